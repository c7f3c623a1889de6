"""Lines of a CSV table, for a reader that must name the line where something is wrong."""

from collections.abc import Iterable, Iterator


class TableLines:
    """Lines without the `#` comments between them; `number` and `line` are those last given."""

    def __init__(self, lines: Iterable[str], number: int = 0) -> None:
        self._lines = iter(lines)
        self.number = number
        self.line = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            self.line = next(self._lines)
            self.number += 1
            if not self.line.lstrip().startswith("#"):
                return self.line
