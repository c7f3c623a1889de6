"""What a stranger's file says, against a declared shape."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from trm_cli.errors import FileError
from trm_cli.schema import checked, parse_json, sealed, unsealed


@dataclass(frozen=True)
class Move:
    stream: Annotated[str, ("y", "z")]
    heat: Annotated[list[float], 3]


@dataclass(frozen=True)
class Moment:
    step: int
    cells: list[Annotated[int, (0, 255)]]
    halt: Annotated[float, (0, 1)] | None
    pairs: tuple[tuple[int, str], ...] = ()
    move: Move | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    later: object = None
    name: Annotated[str, 5] = ""
    words: list[str] = field(default_factory=list)


GOOD: dict[str, Any] = {
    "step": 3,
    "cells": [0, 255],
    "halt": 1,
    "pairs": [[1, "a"]],
    "move": {"stream": "y", "heat": [0, 0.5, 1]},
    "facts": {"a": [1, None]},
    "unknown": 1,
}


def test_a_record_is_made_of_what_fits() -> None:
    assert checked(GOOD, Moment) == Moment(3, [0, 255], 1, ((1, "a"),), Move("y", [0, 0.5, 1]), {"a": [1, None]})
    assert checked({"step": 0, "cells": [], "halt": None}, Moment) == Moment(0, [], None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": -1}, "step: expected a whole number from 0 up, got -1"),
        ({"step": True}, "step: expected a whole number from 0 up, got true"),
        ({"step": 1.0}, "step: expected a whole number from 0 up, got 1.0"),
        ({"step": 10**30}, "step: expected a whole number from 0 up, got 1000000000000000000000000000000"),
        ({"cells": [0, 256]}, r"cells\[1\]: expected a whole number from 0 to 255, got 256"),
        ({"cells": [0, False]}, r"cells\[1\]: expected a whole number from 0 to 255, got false"),
        ({"cells": {}}, "cells: expected a list, got {}"),
        ({"cells": "ab"}, 'cells: expected a list, got "ab"'),
        ({"halt": 1.5}, "halt: expected a number from 0 to 1, got 1.5"),
        ({"halt": 1e999}, "halt: expected a number from 0 to 1, got Infinity"),
        ({"pairs": [[1]]}, r"pairs\[0\]: expected a list of 2, got \[1\]"),
        ({"pairs": [["a", "a"]]}, r'pairs\[0\]\[0\]: expected a whole number from 0 up, got "a"'),
        ({"move": {"stream": "x", "heat": [0, 0, 0]}}, 'move.stream: expected one of y, z, got "x"'),
        ({"move": {"stream": "y", "heat": [0, 10**400, 0]}}, r"move.heat\[1\]: expected a number from 0 up, got 1000"),
        ({"move": {"stream": "y", "heat": [0, 0]}}, r"move.heat: expected a list of 3, got \[0, 0\]"),
        ({"move": {"stream": "y", "heat": [0, 0, 1e999]}}, r"move.heat\[2\]: expected a number from 0 up"),
        ({"move": {"stream": "y"}}, "move.heat: missing"),
        ({"move": 1}, "move: expected an object, got 1"),
        ({"facts": {"a": "\ud800"}}, "facts.a: holds half a character"),
        ({"facts": {"a": -1e999}}, "facts.a: expected a number, got -Infinity"),
        ({"name": "123456"}, 'name: expected a text of at most 5 characters, got "123456"'),
        ({"name": 1}, "name: expected a text of at most 5 characters, got 1"),
        ({"words": ["a", 1]}, r"words\[1\]: expected a text, got 1"),
        ({"words": ["a", "\ud800"]}, r"words\[1\]: holds half a character"),
        ({"facts": [1]}, r"facts: expected an object, got \[1\]"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FileError, match=message):
        checked(GOOD | change, Moment)


def test_nothing_nests_deeper_than_any_file_of_ours() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(FileError, match=r"facts.deep: nested too deeply"):
        checked(GOOD | {"facts": {"deep": deep}}, Moment)


def test_what_is_shown_of_a_value_needs_no_depth() -> None:
    nested = parse_json('{"a": ' + "[" * 900 + "]" * 900 + "}")
    with pytest.raises(FileError, match="step: expected a whole number from 0 up, got "):
        checked(GOOD | {"step": nested}, Moment)
    assert checked(GOOD | {"later": nested}, Moment).later is nested


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON .Expecting property name enclosed in double quotes, line 1, column 2."),
        ("[NaN]", "not JSON: NaN is no number"),
        ("[-Infinity]", "not JSON: -Infinity is no number"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "[],{}," * (1 << 20) + "0]", "more than 2,097,152 lists and objects"),
        ("1" * 5000, "a number of too many digits"),
        (b"\xff", "not UTF-8 text at byte 0"),
    ],
)
def test_what_is_no_json_is_told_in_words(text: str | bytes, message: str) -> None:
    with pytest.raises(FileError, match=message):
        parse_json(text)


def test_a_checksum_covers_names_and_values_not_their_order() -> None:
    record = {"a": 1.5, "b": ["x", None]}
    whole = sealed(record)
    assert unsealed(whole) == unsealed(dict(reversed(whole.items()))) == unsealed(record) == record
    for damaged in ({**whole, "a": 1.25}, {**whole, "c": 1}, {"a": 1.5, "checksum": whole["checksum"]}):
        with pytest.raises(FileError, match="its checksum is not that of its content"):
            unsealed(damaged)
