"""The table of a benchmark."""

from collections.abc import Iterable, Iterator

from rich.table import Table

from trm_cli.display.console import answers_console, remarks_console
from trm_cli.display.figures import memory
from trm_cli.training.benchmark import Speed

GIGA, TERA = 1e9, 1e12


def announced(speeds: Iterable[Speed], sizes: list[int], *, quiet: bool) -> Iterator[Speed]:
    """The speeds as they come, saying on a terminal which batch size is being measured."""
    coming = iter(speeds)
    with remarks_console(quiet).status("") as status:
        for size in sizes:
            status.update(f"measuring a batch of {size:,}")
            yield next(coming)


def show_speeds(speeds: list[Speed], title: str) -> None:
    """Draw one row for each batch size on stdout."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("batch", "steps/s", "pairs/s", "puzzles/s", "arithmetic", "of peak", "memory",
                    "first step"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for speed in speeds:
        table.add_row(
            f"{speed.batch_size:,}",
            f"{speed.steps_per_second:.3g}",
            f"{speed.pairs_per_second:,.0f}",
            f"{speed.puzzles_per_second:,.1f}",
            _per_second(speed.flops_per_second),
            f"{speed.peak_share:.0%}",
            "–" if speed.memory is None else memory(speed.memory),
            f"{speed.first_step_seconds:.1f} s",
        )
    answers_console().print(table)


def _per_second(flops: float) -> str:
    if flops >= TERA:
        return f"{flops / TERA:.1f} TFLOP/s"
    return f"{flops / GIGA:.1f} GFLOP/s"
