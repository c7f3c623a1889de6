"""Docstrings as the site shows them: what stands in columns under the first line becomes a list."""

import re
from typing import Any

import griffe

NAMED = re.compile(r"(\w+) {2,}(\S.*)")


class Columns(griffe.Extension):
    """Turns lines such as `seed  where draws begin` into items of a list, and starts `Raises` on a new line."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object once it is read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring in Markdown."""
    lines: list[str] = []
    is_in_list = False
    for line in text.splitlines():
        if found := NAMED.fullmatch(line):
            lines += [] if is_in_list else [""]
            lines.append(f"- `{found[1]}`: {found[2]}")
            is_in_list = True
        elif is_in_list and line.startswith(" "):
            lines.append(f"    {line.strip()}")
        else:
            lines += [""] if is_in_list or line.startswith(("Raises", "Returns")) else []
            lines.append(line)
            is_in_list = False
    return "\n".join(lines)
