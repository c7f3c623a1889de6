"""A few puzzles of each task, for who wants to see one solved and has none at hand."""

from textwrap import dedent

from trm_cli.errors import UsageError

EXAMPLES = {
    # Minimal Sudokus of `trm data sudoku --generate 150 --minimal --seed 11`: those that take the
    # bundled network the most steps.
    "sudoku": """
        45..6......2....58......1..9.....7.5...5...8.....19.6...6.73..25.....6.93...2..1.
        ......51...4.8...73.65...8..4...1.2......5..3..26.34...8.........14..2...2....7..
        ...1.4.63.1....2..69.......5...9...8.24......1...27.......4.8...5...2.3.2..5...71
        48.1.6...3..7.......65......9.........3.1..7.6..9..125..4..7.16......2...37..24..
        7.6..9.......32.6.5...4...8....9..87..4..6...1.2...4.....4.3...6.......1...2..8..
        2.......1.7...9..8....742...698..7.........4..3.....1..13.4..5......1.......98..3
        ..9.2.....1...38..23..4.1........7..94.8...6...7....928....1.43.9.4......2.6....1
        .6.2.1...13....54..2....9..7.....38.....6.......9.3.....981....2..7...3...5...4..
        16.954..........8.7.....1...5..6...8.....93....61.......5....9..7.2......4..8..62
    """,
}


def example(task_name: str) -> list[str]:
    """The lines of the task's examples; raises UsageError where there are none."""
    if task_name not in EXAMPLES:
        raise UsageError(f"no {task_name} comes with trm: give a file of puzzles")
    return dedent(EXAMPLES[task_name]).strip("\n").splitlines()
