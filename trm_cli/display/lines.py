"""Lines of text beside and under each other."""

from itertools import zip_longest

from rich.text import Text


def spread(left: Text, right: Text, width: int) -> Text:
    """Two texts on one line, the second at its right end."""
    gap = max(1, width - left.cell_len - right.cell_len)
    return Text.assemble(left, " " * gap, right)


def beside(blocks: list[list[Text]], gap: int) -> list[Text]:
    """Blocks of lines side by side, each as wide as its widest line, `gap` columns between."""
    widths = [max((line.cell_len for line in block), default=0) for block in blocks]
    lines = []
    for row in zip_longest(*blocks, fillvalue=Text()):
        joined = Text()
        for place, (line, width) in enumerate(zip(row, widths, strict=True)):
            joined.append_text(line)
            if place < len(blocks) - 1:
                joined.append(" " * (width - line.cell_len + gap))
        lines.append(joined)
    return lines


def rows_of(text: Text) -> list[Text]:
    """The lines of a text."""
    return list(text.split("\n"))
