"""The figures of a training run as short text."""

from trm_cli.solving.evaluate import Scores
from trm_cli.training.loop import Evaluation, Report

MEMORY_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def figures(report: Report) -> list[tuple[str, str]]:
    """Names and values of what a report says beside its curves."""
    return [
        ("learning rate", f"{report.rate:.1%}"),
        ("gradient norm", f"{report.gradient_norm:.3f}"),
        ("pairs a second", f"{report.pairs_per_second:,.0f}"),
        ("puzzles a second", f"{report.puzzles_per_second:,.1f}"),
        ("memory", "unknown" if report.memory is None else memory(report.memory)),
    ]


def report_line(report: Report) -> str:
    """A report on one line."""
    halts = "none halts yet"
    if report.halting_step is not None and report.solved is not None:
        halts = f"halts at {report.halting_step:.1f}, {report.solved:.1%} of them right"
    return (
        f"step {report.step}  {report.seconds:.0f} s  loss {report.loss:.3f}  "
        f"cells {report.cell_accuracy:.1%}  {halts}  {report.pairs_per_second:.0f} pairs/s"
    )


def evaluation_line(event: Evaluation) -> str:
    """An evaluation on one line."""
    scores = event.scores
    precision = "" if scores.precision is None else f"right when halting {scores.precision:.2%}"
    return (
        f"step {event.step}  {event.seconds:.0f} s  {event.judged_by}: "
        f"solved {scores.verified:.2%}  exact {scores.exact:.2%}  cells {scores.cell:.2%}  "
        f"steps {scores.mean_steps:.1f}  {precision or 'never halted'}"
    )


def short_evaluation_line(event: Evaluation) -> str:
    """An evaluation on a line of fewer than 80 columns."""
    scores = event.scores
    return (
        f"step {event.step:,}  {event.judged_by}: solved {scores.verified:.1%}  "
        f"steps {scores.mean_steps:.1f}  {_precision(scores)}"
    )


def held_out_figures(scores: Scores) -> str:
    """What an evaluation says beside the share solved."""
    return f"exact {scores.exact:.1%}  steps {scores.mean_steps:.1f}  {_precision(scores)}"


def _precision(scores: Scores) -> str:
    if scores.precision is None:
        return "never halted"
    return f"right when halting {scores.precision:.1%}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as on a clock: 4:07, 1:04:07."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def memory(num_bytes: int) -> str:
    """Bytes in the largest unit that leaves a number above one."""
    for size, unit in MEMORY_UNITS:
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} B"
