"""Changing the numbers of a recipe: from settings, from a TOML file, and back to TOML.

[model]
n = 3
[train]
batch_size = 64
"""

import difflib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from trm_cli.errors import ConfigError, UsageError
from trm_cli.training.recipes import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECTIONS = ("model", "train", "data")
LARGEST_FILE = 1 << 20  # bytes of a config


def override(recipe: Recipe, settings: list[str]) -> Recipe:
    """Apply settings spelled `section.name=value`.

    Raises UsageError for an unknown name, with the nearest one, and for a value of another type.
    """
    changes: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for setting in settings:
        path, equals, text = setting.partition("=")
        section, _, name = path.strip().partition(".")
        if not equals or section not in SECTIONS:
            raise UsageError(f"--set {setting}: write model.NAME=VALUE, train.NAME=VALUE or data.NAME=VALUE")
        kind = _kind(recipe, section, name, f"--set {setting}")
        changes[section][name] = _parse(text.strip(), kind, setting)
    return _replaced(recipe, changes, "--set")


def read_toml(recipe: Recipe, path: Path) -> Recipe:
    """Apply a TOML file with the sections model, train and data.

    Raises UsageError naming the file where it cannot be read or does not fit.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{path}: larger than any config; give a TOML file")
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file; give a TOML file") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML ({error}); correct the file") from error
    return apply(recipe, values, str(path))


def apply(recipe: Recipe, values: Mapping[str, Any], source: str) -> Recipe:
    """Apply sections of values; raises UsageError, naming the source, where one does not fit."""
    for section, changes in values.items():
        if section not in SECTIONS or not isinstance(changes, Mapping):
            raise UsageError(f"{source}: {section} is no section; write [model], [train] or [data]")
        for name, value in changes.items():
            kind = _kind(recipe, section, name, source)
            fits = type(value) is kind or (kind is float and type(value) is int)
            if not fits:
                raise UsageError(f"{source}: {section}.{name}: expected {kind.__name__}, got {value!r}")
    try:
        typed = {
            section: {n: _kind(recipe, section, n, source)(v) for n, v in changes.items()}
            for section, changes in values.items()
        }
    except OverflowError as error:
        raise UsageError(f"{source}: a number is too large ({error})") from error
    return _replaced(recipe, typed, source)


def numbers(recipe: Recipe) -> dict[str, Any]:
    """The recipe as `apply` takes it, its name and task with it; no data that are not made."""
    whole = asdict(recipe)
    if recipe.data is None:
        del whole["data"]
    return whole


def as_toml(recipe: Recipe) -> str:
    """The recipe's numbers as TOML, as `read_toml` takes them."""
    lines = [f"# {recipe.task}, recipe {recipe.name}"]
    for section in SECTIONS[:2] if recipe.data is None else SECTIONS:
        lines += ["", f"[{section}]"]
        for name, value in asdict(getattr(recipe, section)).items():
            lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines)


def differences(ours: Recipe, theirs: Recipe) -> list[str]:
    """Names and values in which two recipes differ: `train.batch_size is 64, not 32`."""
    found = []
    for section in SECTIONS:
        first, second = getattr(ours, section), getattr(theirs, section)
        if first is None:
            continue
        for field in fields(first):
            one, other = getattr(first, field.name), getattr(second, field.name)
            if one != other:
                found.append(f"{section}.{field.name} is {one}, not {other}")
    return found


def _kind(recipe: Recipe, section: str, name: str, source: str) -> type:
    """The type of a value; raises UsageError with the nearest name where there is none."""
    if section == "data" and recipe.data is None:
        raise UsageError(f"{source}: {recipe.task} has no data.{name}: its data set is a folder")
    known = {f.name: type(getattr(getattr(recipe, section), f.name)) for f in fields(getattr(recipe, section))}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise UsageError(f"{source}: no {section}.{name}; did you mean {section}.{near}?")
    return known[name]


def _replaced(recipe: Recipe, values: Mapping[str, Mapping[str, Any]], source: str) -> Recipe:
    try:
        return replace(recipe, **{s: replace(getattr(recipe, s), **v) for s, v in values.items() if v})
    except ConfigError as error:
        raise UsageError(f"{source}: {error}") from error


def _parse(text: str, kind: type, setting: str) -> Any:
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UsageError(f"--set {setting}: expected true or false")
    try:
        return kind(text)
    except ValueError as error:
        raise UsageError(f"--set {setting}: expected {kind.__name__}, got {text!r}") from error
