"""Lines of a CSV table, for a reader that must name the line where something is wrong."""

from collections.abc import Iterable, Iterator


class TableLines:
    """Lines without the `#` comments between them; `number` and `line` are those last given.

    has_comments  false where a line may start with # and mean it.
    """

    def __init__(self, lines: Iterable[str], number: int = 0, *, has_comments: bool = True) -> None:
        self._lines = iter(lines)
        self.number = number
        self.has_comments = has_comments
        self.line = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            self.line = next(self._lines)
            self.number += 1
            if not (self.has_comments and self.line.lstrip().startswith("#")):
                return self.line
