"""The help of commands: what one does, examples, options in groups with their defaults.

An option's group is its `rich_help_panel`. A docstring is the help of its command; what follows a line `Example:` or
`Examples:` stands there as it is typed. Rich draws nothing here: importing it would double the time help takes.
"""

import re
import textwrap
from contextlib import suppress
from inspect import cleandoc
from typing import Any

from trm_cli.errors import ModelError

INPUT_OUTPUT, SCREEN, ARMS, RECIPE, DATA, RUN = "Input and output", "Screen", "Arms", "Recipe", "Data", "Run"
MODEL, NETWORK, SEARCH, LEARNING = "Model", "Network", "Search", "Learning a new problem"
HARDWARE, GENERAL = "Hardware", "General"  # the latter of options without a group
GROUPS = (INPUT_OUTPUT, SCREEN, ARMS, RECIPE, DATA, RUN, MODEL, NETWORK, SEARCH, LEARNING, HARDWARE)  # as help has them
OWN = "the model's own"  # in a default that a checkpoint knows best; help replaces it by what bundled ones say
WIDEST = 100  # columns of help
NAME_WIDTH = 28  # of the options beside their help; a longer one stands on a line of its own

Rows = list[tuple[str, str, str]]  # name, text and note


def write_help(command: Any, ctx: Any, formatter: Any, *, last: str) -> None:
    """Write usage, what the command does, examples, sub-commands or arguments, options in groups, a last paragraph."""
    params = command.get_params(ctx)
    arguments = [param for param in params if param.param_type_name == "argument"]
    options = [param for param in params if param.param_type_name == "option" and not param.hidden]
    commands = getattr(command, "commands", {})
    words = ["COMMAND"] * bool(commands) + [_metavar(param) for param in arguments] + ["[OPTIONS]"]
    formatter.write_usage(ctx.command_path, " ".join(words))
    text, _, examples = cleandoc(command.help or "").partition("\n\nExample")
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(text)
    if examples:
        ending, _, lines = examples.partition(":")
        _write_lines(formatter, f"Example{ending}", cleandoc(lines).splitlines())
    _write_sections(formatter, _of_commands(commands))
    described: dict[str, Rows] = {"Arguments": [(_metavar(param), param.help or "", "") for param in arguments]}
    _write_sections(formatter, described | _of_options(options))
    if command.epilog:
        _write_lines(formatter, "Where to go next", cleandoc(command.epilog).splitlines())
    if last:
        formatter.write_paragraph()
        formatter.write_text(last)


def _of_commands(commands: dict[str, Any]) -> dict[str, Rows]:
    """Sub-commands with the first sentence of each, by panel."""
    sections: dict[str, Rows] = {}
    for name, command in commands.items():
        sections.setdefault(command.rich_help_panel or "Commands", []).append((name, first_sentence(command), ""))
    return sections


def first_sentence(command: Any) -> str:
    """What a command does in short, without the full stop."""
    sentence = re.split(r"\.(?:\s|$)|\n\n", cleandoc(command.help or ""), maxsplit=1)[0]
    return " ".join(sentence.split())


def _of_options(options: list[Any]) -> dict[str, Rows]:
    """Options in their groups, those without one last."""
    panels = {_panel(param) for param in options}
    own = _own_defaults() if any(OWN in str(getattr(param, "show_default", "")) for param in options) else {}
    return {
        panel or (GENERAL if panels - {None} else "Options"): [
            (_flags(param), param.help or "", _note(param, own)) for param in options if _panel(param) == panel
        ]
        for panel in (*GROUPS, None)
    }


def _write_lines(formatter: Any, heading: str, lines: list[str]) -> None:
    formatter.write_paragraph()
    formatter.write_heading(heading)
    for line in lines:
        formatter.write(f"  {line}\n")


def _write_sections(formatter: Any, sections: dict[str, Rows]) -> None:
    """Write what is not empty, the texts under each other, a note in one piece if it fits on a line."""
    widths = [len(row[0]) for rows in sections.values() for row in rows if len(row[0]) <= NAME_WIDTH]
    indent = 2 + max(widths, default=NAME_WIDTH) + 2
    for heading, rows in sections.items():
        lines: list[str] = []
        for name, text, note in rows:
            wrapped = _wrap(text, formatter.width - indent)
            if wrapped and note and len(wrapped[-1]) + 2 + len(note) <= formatter.width - indent:
                wrapped[-1] += f"  {note}"
            else:
                wrapped += _wrap(note, formatter.width - indent)
            first = [] if len(name) <= NAME_WIDTH else [name]
            left = ["" if first else name] + [""] * len(wrapped)
            lines += first + [f"{beside:{indent - 2}}{line}" for beside, line in zip(left, wrapped, strict=False)]
        if rows:
            _write_lines(formatter, heading, lines)


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


def _panel(param: Any) -> str | None:
    return getattr(param, "rich_help_panel", None)


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _flags(param: Any) -> str:
    """The spellings of an option, short ones first, the long ones of all options in one line."""
    flags = sorted(param.opts, key=len)
    names = ", ".join([*flags, *param.secondary_opts])
    names = names if len(flags[0]) == len("-h") else f"    {names}"
    return names if param.is_flag else f"{names} {_metavar(param)}"


def _note(param: Any, own: dict[str, str]) -> str:
    """What holds without an option, or that there must be one."""
    shown = getattr(param, "show_default", False)
    default = ""
    if isinstance(shown, str):
        default = shown.replace(f"{OWN}, or", f"{own[param.name]}, else") if param.name in own else shown
        default = default.replace(f"{OWN}, or ", "")
    elif shown and param.is_flag and param.secondary_opts:
        default = (param.opts if param.default else param.secondary_opts)[0]
    elif shown and not param.is_flag and param.default is not None:
        default = str(param.default)
    notes = [f"default: {default}"] * bool(default) + ["required"] * param.required
    return f"[{'; '.join(notes)}]" if notes else ""


def _own_defaults() -> dict[str, str]:
    """How the bundled models are solved with, by option: "8 (one, another), 4 (third)"."""
    from trm_cli.weights.checkpoint import bundled_checkpoints, read_config

    models: dict[str, dict[str, list[str]]] = {}
    for name, folder in bundled_checkpoints().items():
        with suppress(ModelError):
            for option, value in read_config(folder).solving.items():
                word = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
                models.setdefault(option, {}).setdefault(word, []).append(name)
    return {
        option: ", ".join(f"{word} ({', '.join(names)})" for word, names in words.items())
        for option, words in models.items()
    }
