"""Solve a Sudoku and a maze with the bundled networks, and watch one of them: python examples/quickstart.py"""

from trm_cli import TRM

SUDOKU = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
MAZE = """
S...#....
###.#.##.
....#.#..
.####.#.#
......#..
.##.###.#
.#......#
.#.####.#
.#....#G.
"""

model = TRM.from_pretrained("sudoku")
solution = model.solve(SUDOKU)
print(solution)
print(f"solved: {solution.solved}, step {solution.steps} of attempt {solution.attempts}")
print(f"halt probability: {solution.halt_probability:.1%}\n")

for frame in model.watch(SUDOKU, attempts=1):
    print(f"step {frame.step}: {len(frame.violations)} violations")

print()
print(TRM.from_pretrained("maze").solve(MAZE))
