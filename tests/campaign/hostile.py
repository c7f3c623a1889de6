"""Inputs that mean harm: what was right, changed in one to four places, and what never was anything."""

import copy
import json
import math
from typing import Any

from hypothesis import strategies as st

ATOMS: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 9, 10, 255, 256, 65_536, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400),
    *(0.5, -0.0, 1e-320, 1e308, math.inf, -math.inf, math.nan),
    *(
        "",
        " ",
        "a",
        "1",
        "-1",
        "1e999",
        "sudoku",
        "y",
        "\0",
        "\x1b[31m",
        "\n",
        "é",
        "\ud800",
        "\u202e",
        "../../x",
        "/",
        "x" * 300,
    ),
    *([], [[]], {}, {"": {}}, [None], [0] * 100, [0.5] * 81, [[1, 2], [3]], ["a"], {"a": [1]}),
]
PIECES = [b"\0", b"\xff", b"\xff" * 8, b"\n", b",", b'"', b"#", b"[", b"-1", b"1e9", "é".encode(), b"=", b"\r"]
DEEP = 300  # lists inside one another
Picks = st.integers(0, 2**16)


@st.composite
def changed_json(draw: st.DrawFn, value: Any) -> Any:
    """A value of JSON with one to three of its parts replaced, removed, repeated or nested."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(draw, value)
    return value


def _changed(draw: st.DrawFn, value: Any) -> Any:
    goes_down = isinstance(value, (list, dict)) and len(value) > 0 and draw(st.integers(0, 9)) > 0
    if goes_down:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        place = places[draw(Picks) % len(places)]
        action = draw(st.sampled_from(["down"] * 6 + ["remove", "repeat", "rename"]))
        if action == "remove":
            del value[place]
        elif action == "repeat" and isinstance(value, list):
            value[place:place] = [copy.deepcopy(value[place])] * draw(st.sampled_from([1, 2, 100]))
        elif action == "rename" and isinstance(value, dict):
            value[draw(st.sampled_from(["", "a", "\0", "é", str(place).upper()]))] = value.pop(place)
        else:
            value[place] = _changed(draw, value[place])
        return value
    action = draw(st.sampled_from(["replace"] * 6 + ["nest", "deepen", "shift"]))
    if action == "nest":
        return [value] if draw(st.booleans()) else {"a": value}
    if action == "deepen":
        for _ in range(draw(st.sampled_from([3, DEEP]))):
            value = [value]
        return value
    if action == "shift" and type(value) in (int, float):
        return value + draw(st.sampled_from([-1, 1, 0.5, -1000, 1000]))
    return copy.deepcopy(draw(st.sampled_from(ATOMS)))


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which some are flipped, cut off, inserted, moved or repeated."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(Picks) % (len(data) + 1)
        length = draw(st.sampled_from([1, 1, 2, 8, 100]))
        action = draw(st.sampled_from(["flip", "flip", "cut", "remove", "insert", "repeat", "overwrite"]))
        if action == "flip" and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif action == "cut":
            del data[place:]
        elif action == "remove":
            del data[place : place + length]
        elif action == "repeat":
            data[place:place] = data[place : place + length] * draw(st.sampled_from([1, 3, 1000]))
        else:
            new = draw(st.sampled_from(PIECES))
            data[place : place + (len(new) if action == "overwrite" else 0)] = new
    return bytes(data)


def spelled(value: Any) -> bytes:
    """JSON, with what is no JSON where Python can write it."""
    return json.dumps(value).encode()


def json_like(value: Any) -> st.SearchStrategy[bytes]:
    """A JSON document that was changed as a value or as a text."""
    return st.one_of(changed_json(value).map(spelled), changed_bytes(spelled(value)))


def json_lines_like(values: list[Any]) -> st.SearchStrategy[bytes]:
    """JSON lines of which some were changed, removed, repeated or swapped."""

    @st.composite
    def lines(draw: st.DrawFn) -> bytes:
        changed = list(values)
        for _ in range(draw(st.integers(1, 2))):
            place = draw(Picks) % len(changed)
            if draw(st.integers(0, 4)):
                changed[place] = draw(changed_json(changed[place]))
            else:
                shorter = changed[:place] + changed[place + 1 :] or values
                changed = draw(st.sampled_from([shorter, [*changed, changed[place]], changed[::-1]]))
        return b"".join(spelled(value) + b"\n" for value in changed)

    return st.one_of(lines(), changed_bytes(b"".join(spelled(value) + b"\n" for value in values)))


def safetensors_like(content: bytes) -> st.SearchStrategy[bytes]:
    """A safetensors file whose header or bytes were changed."""
    length = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]

    def packed(changed: Any) -> bytes:
        text = spelled(changed)
        return len(text).to_bytes(8, "little") + text + rest

    inside = json.loads(header.get("__metadata__", {}).get("tasks", "null"))
    hidden = st.nothing()
    if inside is not None:
        hidden = changed_json(inside).map(lambda told: packed(header | {"__metadata__": {"tasks": json.dumps(told)}}))
    values = changed_bytes(rest).map(lambda data: content[: 8 + length] + (data + rest)[: len(rest)])
    return st.one_of(hidden, changed_json(header).map(packed), changed_bytes(content), values)


def text_like(texts: list[str], alphabet: str) -> st.SearchStrategy[bytes]:
    """Texts that were changed, letters of an alphabet in any order, and any bytes at all."""
    return st.one_of(
        *(changed_bytes(text.encode()) for text in texts),
        st.text(alphabet, max_size=400).map(str.encode),
        st.lists(st.text(alphabet, max_size=40), max_size=20).map(lambda lines: "\n".join(lines).encode()),
        st.binary(max_size=200),
    )
