"""What a stranger's file says, checked against a declared shape before anything is done with it.

A shape is a type: a dataclass, whose fields without a default must be there, or what fields are made of:

    Annotated[int, (0, 255)]               a whole number in that range; without one, from 0 up
    float                                  a finite number; an integer is one, too
    Annotated[str, ("y", "z")]             one of these words; without them, any text
    Annotated[str, 80]                     a text of at most so many characters
    bool, Any, KIND | None                 Any is whatever JSON can say
    object                                 the same, not looked into: to be checked later
    list[KIND], Annotated[list[KIND], 81]  of that length; without it, of any
    tuple[KIND, ...], tuple[ONE, OTHER]    a list, too
    dict[str, KIND]                        an object with any names

Nothing here guesses: `true` is no number, and a text is no list.
"""

import json
import math
import sys
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from trm_cli.errors import FileError, printable

MOST = 2**63 - 1  # of a whole number
MOST_FLOAT = sys.float_info.max  # of a number; larger whole ones are none for a computer
DEEPEST = 64  # lists and objects inside one another
MOST_LISTS = 1 << 21  # and objects of one value: in memory, an empty one takes thirty times what it takes in the text
SHOWN = 40  # characters of a value in a message
NAMES = {str: "a text", list: "a list", dict: "an object", bool: "true or false"}
NAMES |= {int: "a whole number", float: "a number"}
CHECKSUM = "checksum"  # the name of a record's own
KIND = TypeVar("KIND")


def parse_json(text: str | bytes) -> Any:
    """A value of JSON; raises FileError where it is none, or one that no file of ours would hold."""
    num_lists = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    if num_lists > MOST_LISTS:
        raise FileError(f"more than {MOST_LISTS:,} lists and objects, more than any file of this kind has")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise FileError(f"not UTF-8 text at byte {error.start:,}") from error
    except RecursionError as error:
        raise FileError("not JSON: nested too deeply") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno:,}, column {error.colno:,}"
        raise FileError(f"not JSON ({printable(error.msg)}, {where})") from error
    except FileError:
        raise
    except ValueError as error:  # Python reads no numbers of thousands of digits
        raise FileError("not JSON: a number of too many digits") from error
    return value


def _refuse_constant(name: str) -> Any:
    raise FileError(f"not JSON: {name} is no number")


def checked(value: Any, kind: type[KIND], where: str = "") -> KIND:
    """A value of JSON as what its shape says: dataclasses and tuples are made of it, fields of other names left out.

    where  the value stands, in messages.
    Raises FileError that says where what was expected, and what is there instead.
    """
    result: KIND = _checked(value, kind, where, 0)
    return result


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """A record of JSON with a checksum over all that it says: its SHA-256, whatever the spacing."""
    import hashlib  # as in files.py

    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return {**record, CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


def unsealed(record: dict[str, Any]) -> dict[str, Any]:
    """The record without its checksum, if it has one; raises FileError where it is another's."""
    content = {name: value for name, value in record.items() if name != CHECKSUM}
    if CHECKSUM in record and record != sealed(content):
        raise FileError("its checksum is not that of its content")
    return content


def _checked(value: Any, kind: Any, where: str, depth: int) -> Any:
    allowed: Any = None
    if get_origin(kind) is Annotated:
        kind, allowed = get_args(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        (kind,) = (one for one in inner if one is not NoneType)
        return _checked(value, kind, where, depth)
    if depth > DEEPEST:
        raise FileError(f"{where}: nested too deeply")
    if kind is object:
        return value
    if kind is Any:
        return _any(value, where, depth)
    if kind in (int, float):
        return _number(value, kind, allowed or (0, MOST if kind is int else MOST_FLOAT), where)
    if kind is bool:
        return value if type(value) is bool else _refuse(value, NAMES[bool], where)
    if kind is str:
        _refuse_surrogates(value, where)
        if isinstance(allowed, int):
            fits, expected = type(value) is str and len(value) <= allowed, f"a text of at most {allowed:,} characters"
        else:
            fits = type(value) is str and (allowed is None or value in allowed)
            expected = f"one of {', '.join(allowed)}" if allowed else NAMES[str]
        return value if fits else _refuse(value, expected, where)
    if is_dataclass(kind):
        return _record(value, kind, where, depth)
    if origin is dict:
        if type(value) is not dict:
            return _refuse(value, NAMES[dict], where)
        names = [_checked(name, str, where, depth) for name in value]
        return {name: _checked(value[name], inner[1], _inside(where, name), depth + 1) for name in names}
    if type(value) is not list:
        return _refuse(value, NAMES[list], where)
    if origin is tuple and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            _refuse(value, f"a list of {len(inner)}", where)
        pairs = zip(value, inner, strict=True)
        return tuple(_checked(one, kind, f"{where}[{place}]", depth + 1) for place, (one, kind) in enumerate(pairs))
    if allowed is not None and len(value) != allowed:
        _refuse(value, f"a list of {allowed:,}", where)
    return origin(_items(value, inner[0], where, depth))


def _items(values: list[Any], kind: Any, where: str, depth: int) -> list[Any]:
    """The items of a list; numbers and plain texts, of which there may be many, all at once."""
    if kind is object:
        return values
    if kind is str and set(map(type, values)) <= {str} and "".join(values).isascii():
        return values
    base, allowed = get_args(kind) if get_origin(kind) is Annotated else (kind, None)
    if base in (int, float) and set(map(type, values)) <= {int, base}:
        least, most = allowed or (0, MOST if base is int else MOST_FLOAT)
        if not values or (least <= min(values) and max(values) <= most and all(map(math.isfinite, values))):
            return values
    return [_checked(one, kind, f"{where}[{place}]", depth + 1) for place, one in enumerate(values)]


def _number(value: Any, kind: type, allowed: tuple[float, float], where: str) -> Any:
    least, most = allowed
    if type(value) in (int, kind) and least <= value <= most and (type(value) is int or math.isfinite(value)):
        return value
    span = f"from {least:,} to {most:,}" if most < MOST else f"from {least:,} up" if least > -MOST else ""
    return _refuse(value, f"{NAMES[kind]} {span}".rstrip(), where)


def _record(value: Any, kind: Any, where: str, depth: int) -> Any:
    if type(value) is not dict:
        _refuse(value, NAMES[dict], where)
    kinds, given = _kinds_of(kind), {}
    for field in fields(kind):
        if field.name in value:
            inside = _inside(where, field.name)
            given[field.name] = _checked(value[field.name], kinds[field.name], inside, depth + 1)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise FileError(f"{_inside(where, field.name)}: missing")
    return kind(**given)


@cache
def _kinds_of(record: Any) -> dict[str, Any]:
    """What each field of a dataclass is made of."""
    return get_type_hints(record, include_extras=True)


def _any(value: Any, where: str, depth: int) -> Any:
    if depth > DEEPEST:
        raise FileError(f"{where}: nested too deeply")
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(value, "a number", where)
    _refuse_surrogates(value, where)
    if isinstance(value, dict):
        for name, one in value.items():
            _refuse_surrogates(name, where)
            _any(one, _inside(where, name), depth + 1)
    elif isinstance(value, list):
        for one in value:
            _any(one, where, depth + 1)
    return value


def _refuse_surrogates(value: Any, where: str) -> None:
    """JSON can spell halves of characters, which no file and no screen can hold."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise FileError(f"{where or 'a text'}: holds half a character") from error


def _inside(where: str, name: str) -> str:
    name = name if len(name) <= SHOWN else f"{name[:SHOWN]}…"
    return f"{where}.{name}" if where else name


def shown(value: Any) -> str:
    """A value as a message shows it: in JSON, and not the whole of a long one."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "what is nested too deeply"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _refuse(value: Any, expected: str, where: str) -> Any:
    told = f"expected {expected}, got {shown(value)}"
    raise FileError(f"{where}: {told}" if where else told)
