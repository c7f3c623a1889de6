"""The library: a network that solves a puzzle in a line, and a run that can be looked at.

    from trm_cli import TRM

    model = TRM.from_pretrained("sudoku")        # bundled, folder, file, OWNER/NAME[:PATH]
    solution = model.solve("53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79")
    print(solution)                              # the board; in a notebook, a player of the run
    for frame in model.watch(solution.question):
        print(frame.step, frame.answer)

What `trm solve` can be told is a keyword here, and what it refuses is refused with the same words.
"""

import copy
import html
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import groupby, tee
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from rich.text import Text
from torch import Tensor

from trm_cli.config import MOST_TOGETHER, ModelConfig, SolveConfig, given_settings, solve_config
from trm_cli.display.boards import BoardView, Look, board_text
from trm_cli.display.export import check_names, check_tree, save_run, save_tree
from trm_cli.display.page import page_of
from trm_cli.display.tree import Guess, guesses_of
from trm_cli.errors import PuzzleError, UsageError, did_you_mean, first_line
from trm_cli.files import making_folder
from trm_cli.model.machine import choose_machine
from trm_cli.model.network import TinyRecursiveModel, compile_network, resized
from trm_cli.model.number_types import compute_in, type_of
from trm_cli.solving.engine import batch_size_for, examiner, header_of, moments, solve_stream
from trm_cli.solving.search import Outcome
from trm_cli.solving.trace import LARGEST_GRID, Header, Moment
from trm_cli.solving.trace import Frame as State
from trm_cli.solving.voting import Ballot, Candidate, ProblemRows, Voter, refuse_attempts
from trm_cli.tasks import get_task, loadable_tasks
from trm_cli.tasks.base import PADDING, Finding, Layout, Puzzle, Task, Tokens, Violation, board_of, rules_of
from trm_cli.tasks.inputs import Source, find_source, read_problems, read_puzzles, rows_as_text
from trm_cli.tasks.problems import Demonstrated, Problem, refuse_learning, refuse_unchecked
from trm_cli.training.problems import adaptation, recall_or_adapt
from trm_cli.weights.card import write_card
from trm_cli.weights.catalogue import find_by_name, refuse_board
from trm_cli.weights.checkpoint import Checkpoint
from trm_cli.weights.hub import Pushed, push
from trm_cli.weights.tensors import LoadedModel, load_checkpoint, save_checkpoint

DEEPEST = 3  # lists of lists of puzzles
LETTER = np.dtype("U1").itemsize  # bytes
PLAYER_HEIGHT = 600  # pixels, in a notebook
SETTINGS = frozenset(setting.name for setting in fields(SolveConfig)) - {"breadth_first"} | {"time_limit"}
OTHERS = frozenset({"batch_size", "check", "adapt", "augment", "train_network"})

Puzzles = str | Path | NDArray[Any] | dict[str, Any] | Iterable[Any]


class Board:
    """An answer to a puzzle: as text, as an array, and drawn."""

    task: Task
    puzzle: Puzzle
    tokens: Tokens  # [L]
    guesses: tuple[Guess, ...]

    @property
    def question(self) -> str:
        """The puzzle on one line, as its task writes it."""
        return self.task.write(self.puzzle.tokens)

    @property
    def answer(self) -> str:
        """The answer on one line, as its task writes it."""
        return self.task.write(self.tokens)

    @property
    def array(self) -> NDArray[Any]:
        """The answer as [height, width]: digits (0 for a blank), colours or letters."""
        return self.task.as_array(self.tokens)

    @cached_property
    def violations(self) -> list[Violation]:
        """The cells that break a rule; empty where the rules hold."""
        return rules_of(self.task).violations(self.puzzle.tokens, self.tokens)

    def _drawn(self, look: Look, confidence: NDArray[np.float32] | None = None) -> Text:
        cells = {(one.row - 1) * self.puzzle.width + one.column - 1 for one in self.violations}
        guessed = {(guess.row - 1) * self.puzzle.width + guess.column - 1 for guess in self.guesses}
        view = BoardView(self.task, self.puzzle.tokens, self.tokens, cells, confidence=confidence, guessed=guessed)
        return board_text(view, look)

    def __str__(self) -> str:
        lines = self._drawn(Look(in_a_list=True, marks=True)).plain.split("\n")
        drawn = "\n".join(line.rstrip() for line in lines)
        return drawn.rstrip("\n") if self.task.layout is Layout.BLOCKS else drawn  # nothing lies below a grid

    def __rich__(self) -> Text:
        return self._drawn(Look(in_a_list=True))


class Frame(Board):
    """One moment of a puzzle's run: its answer after a supervision step, or after a call of the net inside it."""

    def __init__(self, state: State) -> None:
        self.state = state  # all that was measured, as a trace keeps it
        self.task, self.puzzle, self.tokens = state.task, state.puzzle, state.answer
        self.guesses = guesses_of(state.guesses, state.task, state.puzzle)

    @property
    def step(self) -> int:
        """Supervision steps of its attempt begun; 0 is the question itself."""
        return self.state.step

    @property
    def attempt(self) -> int:
        """Which attempt it is; 0 is the first."""
        return self.state.attempt

    @property
    def parent(self) -> int | None:
        """The attempt whose beliefs the guesses of this one follow from; None where it makes none."""
        return self.state.parent

    @property
    def cost(self) -> float:
        """What its guesses cost: the sum of the negative logarithms of the beliefs in them."""
        return self.state.cost

    @property
    def halt_probability(self) -> float | None:
        """What the halt head says; None in the question, and inside a step."""
        return self.state.halt_probability

    @property
    def confidence(self) -> NDArray[np.float32] | None:
        """[height, width] softmax of the symbol in each cell; None in the question."""
        shape = self.puzzle.height, self.puzzle.width
        return None if self.state.confidence is None else self.state.confidence.reshape(shape)

    @property
    def solved(self) -> bool:
        """Whether the givens are kept and the rules hold."""
        return self.state.solved

    def __rich__(self) -> Text:
        return self._drawn(Look(in_a_list=True), self.state.confidence)


class Run:
    """What there is to see of a run: its frames come as they are computed, and are kept."""

    def __init__(self, header: Header, coming: Iterator[Moment]) -> None:
        self.header = header
        self._coming, self._kept = coming, list[Moment]()

    @property
    def moments(self) -> Iterator[Moment]:
        """What each screen shows: a frame of every puzzle that is watched side by side."""
        yield from self._kept
        for moment in self._coming:
            self._kept.append(moment)
            yield moment

    def __iter__(self) -> Iterator[Frame]:
        return (Frame(state) for moment in self.moments for state in moment.new_frames)

    def save(self, path: str | Path, *, pause: float | None = None, force: bool = False) -> None:
        """Write it as .jsonl, .svg, .gif or .html, as `trm watch --save` does.

        pause  seconds that a step stays; None for what is easy to follow.
        Raises UsageError for another ending, and for a file that exists unless `force` is given.
        """
        (path,) = check_names([Path(path)])
        _refuse_existing(path, force)
        save_run(path, self.header, list(self.moments), pause=pause)

    def save_tree(self, path: str | Path, *, force: bool = False) -> None:
        """Draw the tree of its search as .svg or .png, as `trm watch --tree` does; of a run of one puzzle.

        Raises UsageError for another ending, where nothing is searched, and for a file that exists
        unless `force` is given.
        """
        check_tree(Path(path), self.header)
        _refuse_existing(Path(path), force)
        save_tree(Path(path), self.header, list(self.moments))

    def _repr_html_(self) -> str:
        page = html.escape(page_of(self.header, self.moments))
        return f'<iframe srcdoc="{page}" style="width: 100%; height: {PLAYER_HEIGHT}px; border: 0"></iframe>'


@dataclass(frozen=True, repr=False)
class Solution(Board):
    """How one puzzle ended: the network's answer, whether it is right, and the run that led to it."""

    task: Task
    puzzle: Puzzle
    tokens: Tokens  # [L] of the answer
    solved: bool  # the givens are kept and the rules hold; of a vote: one of `candidates` is the known answer
    steps: int  # supervision steps of the attempt that gave the answer
    attempts: int  # how often the puzzle was tried; of a vote: predictions that were counted
    halt_probability: float  # what the halt head said at the last step of that attempt
    seconds: float  # from its entry into the batch to the end of its last attempt
    why: str | None  # it is not solved, in a sentence, as far as counting its solutions tells; None where it is
    guesses: tuple[Guess, ...] = ()  # blanks that the attempt filled in, in the order in which they were guessed
    depth: int = 0  # the most guesses that an attempt filled in
    candidates: tuple[Candidate, ...] = ()  # of a vote: the grids that are tried, best first
    _watch: "Watch | None" = None  # the run again

    @property
    def nodes(self) -> int:
        """Nodes of the search that were tried: its attempts."""
        return self.attempts

    @cached_property
    def trace(self) -> Run:
        """Its run, frame by frame: solved once more when asked for, with the same draws."""
        assert self._watch is not None
        return self._watch.run([self.puzzle])

    def __repr__(self) -> str:
        told = ("answer", "solved", "steps", "attempts", "halt_probability", "why")
        return f"Solution({', '.join(f'{name}={getattr(self, name)!r}' for name in told)})"

    def __str__(self) -> str:
        return super().__str__() if self.solved else f"{super().__str__()}\nnot solved: {self.why}"

    def _repr_html_(self) -> str:
        return self.trace._repr_html_()


@dataclass(frozen=True)
class Watch:
    """How a run is shown: the network, and the settings that it was or will be solved with."""

    loaded: LoadedModel
    task: Task  # that judges the answers
    settings: SolveConfig
    checks: bool = False  # whether the solutions of a puzzle that is not solved are counted
    inner: bool = False
    shape: tuple[int, int] = (1, 1)  # rows and columns of puzzles side by side
    row: Tensor | None = None  # [1, D] by which the network knows the problem

    def run(self, puzzles: list[Puzzle]) -> Run:
        """The run of puzzles of one size; nothing is computed yet."""
        header = header_of(self.loaded, self.settings, num_puzzles=len(puzzles), shape=self.shape, inner=self.inner)
        return Run(replace(header, task=self.task), self._moments(puzzles))

    def _moments(self, puzzles: list[Puzzle]) -> Iterator[Moment]:
        network = self.loaded.network
        if self.row is not None:
            network = copy.deepcopy(network)
            network.recall(self.row)
        yield from moments(
            network,
            self.task,
            puzzles,
            settings=self.settings,
            at_once=self.shape[0] * self.shape[1],
            inner=self.inner,
            examine=examiner(self.task) if self.checks else None,
        )


class TRM(TinyRecursiveModel):
    """A Tiny Recursive Model with what is known about it; calling it takes a supervision step.

    x, (y, z) = model.embed(tokens), model.starting_state(len(tokens))
    y, z, logits, halt = model(x, y, z)

    Without a checkpoint its task is the one with such boards and as many tokens, or `unknown`.
    """

    def __init__(self, config: ModelConfig, checkpoint: Checkpoint | None = None) -> None:
        super().__init__(config)
        self.checkpoint = checkpoint or Checkpoint("trm", _task_of(config), config)
        self.folder, self.source, self.sha256 = Path(), "", ""  # that it was loaded from; of the weights file

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device = "cpu",
        dtype: str = "float32",
        threads: int | None = None,
        compile_net: bool = False,
    ) -> "TRM":
        """Load whatever `--model` takes, without gradients.

        device       auto, cpu, cuda or mps, or one of torch's own.
        dtype        auto, float32, bfloat16 or int8: what it computes in.
        threads      of the CPU, for all of torch; None leaves them as they are.
        compile_net  compile the net first, as `--compile` does.
        Raises ModelError where there is no such model, where a tensor is missing, unexpected or of
        another shape, and where a file is unsafe. Nothing is printed.
        """
        kind = device.type if isinstance(device, torch.device) else device.partition(":")[0]
        where, number_type = choose_machine(kind, threads, dtype)
        found = find_by_name(str(name), revision)
        loaded = load_checkpoint(found.folder, source=found.source)
        with torch.random.fork_rng(devices=[]):
            model = cls(loaded.checkpoint.model, loaded.checkpoint)
        model.load_state_dict(loaded.network.state_dict())
        model.folder, model.source, model.sha256 = loaded.folder, loaded.source, loaded.sha256
        model.to(where if kind == "auto" else device).eval().requires_grad_(False)
        compute_in(model, number_type)
        if compile_net:
            compile_network(model)
        return model

    @property
    def task(self) -> Task:
        """What its puzzles are; raises UsageError where nobody knows them."""
        return get_task(self.checkpoint.task)

    @overload
    def solve(self, puzzles: Path | list[Any], **options: Any) -> list[Solution]: ...
    @overload
    def solve(self, puzzles: Any, **options: Any) -> Any: ...
    def solve(self, puzzles: Puzzles, **options: Any) -> Any:
        """Solve a puzzle, or several.

        puzzles  the text of one puzzle, an array [height, width] or [L], rows of cells: a Solution comes back.
                 A path, a list of any of these, an array [N, height, width] or [N, L]: a list of Solutions, in
                 order. Of problems that are shown by demonstrations: a path, the JSON of one, or what it means in
                 Python; a list comes back, a Solution for each test.
        options  what `trm solve` takes, each by its name: attempts, max_steps, retry_steps, step_limit,
                 search, starts, noise, views, select, halt, seed, batch_size; time_limit in seconds or as
                 text; check=False spends every attempt on a puzzle at fault; adapt, augment, train_network.
        Raises PuzzleError for what is no puzzle, UsageError for settings that cannot be, ModelError
        for puzzles that the network is not for.
        """
        if isinstance(self.task, Demonstrated) or not _is_one(puzzles):
            return list(self.solve_many(puzzles, **options))
        found = list(self._puzzles(puzzles))
        if len(found) > 1:
            raise PuzzleError(f"puzzle: {len(found)} puzzles in one text; give a list of them")
        return next(self._search(iter(found), _Options.of(options, self.task)))

    def solve_many(self, puzzles: Puzzles, **options: Any) -> Iterator[Solution]:
        """Solve puzzles and yield each Solution as soon as those before it are done.

        puzzles  as in `solve`; an iterator is read as the network asks for more.
        options  as in `solve`.
        """
        how = _Options.of(options, self.task)
        if isinstance(self.task, Demonstrated):
            return self._vote(self.task, puzzles, how)
        return self._search(self._puzzles(puzzles), how)

    def watch(self, puzzles: Puzzles, *, inner: bool = False, grid: tuple[int, int] = (1, 1), **options: Any) -> Run:
        """See the recursion think: a Run whose frames are computed as they are asked for.

        puzzles  as in `solve`, of one size.
        inner    also a frame after every call of the net inside a step.
        grid     rows and columns of puzzles that are solved side by side.
        options  as in `solve`.
        """
        how, task = _Options.of(options, self.task), self.task
        if not (isinstance(grid, tuple) and len(grid) == 2 and all(_is_count(count, LARGEST_GRID) for count in grid)):
            raise UsageError(f"grid {grid!r}: give rows and columns from 1 to {LARGEST_GRID}: (3, 3)")
        if isinstance(task, Demonstrated):
            problems = list(_problems(task, puzzles))
            voter = self._voter(task)
            if len(problems) != 1:
                raise PuzzleError(f"{len(problems)} problems; watch one at a time")
            voter.refuse_large(problems[0])
            voter.refuse_unknown(problems)
            watch = watch_of(voter, problems[0], voter.read(voter.known(problems[0], 1)), self, how.settings)
            return replace(watch, inner=inner, shape=grid).run(task.tests_of(problems[0], voter.side))
        found = list(self._puzzles(puzzles))
        if len({puzzle.tokens.size for puzzle in found}) != 1:
            raise PuzzleError("puzzles of different sizes; watch those of one size" if found else "no puzzle to watch")
        loaded = self._loaded_for(found[0].tokens.size)
        settings = solve_config(self.checkpoint.solving, how.settings)
        return Watch(loaded, task, settings, how.check, inner, grid).run(found)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors (in float32) and the card."""
        if not str(folder):
            raise UsageError("save_pretrained: an empty name is no folder; name one")
        if type_of(self) == torch.int8:
            raise UsageError("save_pretrained: the weights were rounded to 8-bit integers; save a model of float32")
        with making_folder(Path(folder)) as whole:
            save_checkpoint(whole, self.checkpoint, self)
            write_card(whole, self.checkpoint)

    def push_to_hub(self, repo_id: str, *, private: bool = False) -> Pushed:
        """Upload config, weights and card to OWNER/NAME; returns where they are now."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push(Path(folder), repo_id, private=private)

    def _loaded_for(self, num_cells: int) -> LoadedModel:
        """The network for boards of so many cells: itself, or its weights on another board if they fit any."""
        refuse_board(self.checkpoint, num_cells)
        network: TinyRecursiveModel = self
        if num_cells != self.config.num_cells:
            board: dict[str, Any] = board_of(self.task, num_cells)
            network = resized(self, replace(self.config, **board, smallest=0)).eval()
        return LoadedModel(self.checkpoint, network, self.folder, self.source, self.sha256)

    def _puzzles(self, given: Puzzles) -> Iterator[Puzzle]:
        """The puzzles in whatever was given, those of an iterator one by one."""
        for source in _sources(given):
            yield from read_puzzles(self.task, source)

    def _search(self, puzzles: Iterator[Puzzle], how: "_Options") -> Iterator[Solution]:
        """Attempts at puzzles until the rules hold; those of one size that come in a row share a batch."""
        task, settings = self.task, solve_config(self.checkpoint.solving, how.settings)
        examine = examiner(task) if how.check else None
        for num_cells, group in groupby(puzzles, key=lambda puzzle: puzzle.tokens.size):
            loaded = self._loaded_for(num_cells)
            ahead, told = tee(group)
            outcomes = solve_stream(
                loaded.network,
                task,
                (puzzle.tokens for puzzle in ahead),
                batch_size=how.batch_size or batch_size_for(loaded.network),
                settings=settings,
                stops=how.stops,
                examine=examine,
            )
            watch = Watch(loaded, task, settings, how.check)
            for outcome, puzzle in zip(outcomes, told, strict=False):
                yield _solution(watch, puzzle, outcome)

    def _voter(self, task: Demonstrated) -> Voter:
        return Voter.of(task, LoadedModel(self.checkpoint, self, self.folder, self.source, self.sha256))

    def _vote(self, task: Demonstrated, given: Puzzles, how: "_Options") -> Iterator[Solution]:
        """A vote over views on each test of problems, each of which is learned first if that was asked for."""
        refuse_attempts(task, how.settings)
        problems, voter = list(_problems(task, given)), self._voter(task)
        for problem in problems:
            voter.refuse_large(problem)
        if how.adapt is None:
            voter.refuse_unknown(problems)
        how_to_learn = adaptation(how.adapt, how.augment, how.train_network, how.settings)
        for problem in problems:
            began = time.perf_counter()
            known = recall_or_adapt(
                voter, problem, how_to_learn, views=how.settings.get("views"), progress=lambda: None
            )
            network, rows = known.network, known.known
            batch_size = how.batch_size or batch_size_for(network)
            ballots = voter.vote(problem, rows, batch_size=batch_size, network=network)
            seconds = time.perf_counter() - began
            watch = watch_of(voter, problem, rows, network, {})
            for place, ballot in enumerate(ballots):
                yield _voted(watch, voter, problem, place, ballot, seconds)


@dataclass(frozen=True)
class _Options:
    """The keywords of `solve` and `watch`; its clock starts when it is made."""

    settings: dict[str, Any]  # of SolveConfig
    end: float  # on the monotonic clock
    batch_size: int | None = None
    check: bool = True
    adapt: int | None = None
    augment: int | None = None
    train_network: bool = False

    @classmethod
    def of(cls, typed: dict[str, Any], task: Task) -> "_Options":
        """Sort keywords; raises TypeError for one that means nothing, UsageError for a value that cannot be."""
        for name in typed:
            if name not in SETTINGS | OTHERS:
                raise TypeError(f"no option {name}{did_you_mean(name, SETTINGS | OTHERS)}")
        settings, end = given_settings({name: value for name, value in typed.items() if name in SETTINGS})
        others = {name: value for name, value in typed.items() if name in OTHERS and value is not None}
        made = cls(settings, end, **others)
        if made.batch_size is not None and not _is_count(made.batch_size, MOST_TOGETHER):
            raise UsageError(f"--batch-size {made.batch_size!r}: give 1 to {MOST_TOGETHER:,} puzzles")
        if isinstance(task, Demonstrated):
            refuse_unchecked(task, made.check)
        else:
            refuse_learning(task, made.adapt, made.augment, made.train_network)
        return made

    def stops(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.end


def _refuse_existing(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise UsageError(f"{path}: exists already; choose another name or give force=True")


def _is_count(number: object, most: int) -> bool:
    return type(number) is int and 1 <= number <= most


def _is_one(given: Puzzles) -> bool:
    """Whether a single puzzle is meant, not several."""
    if isinstance(given, str):
        return find_source(given).path is None
    if isinstance(given, (np.ndarray, Tensor)):
        is_text = isinstance(given, np.ndarray) and given.dtype.kind == "U" and given.dtype.itemsize > LETTER
        is_square = given.ndim == 2 and given.shape[0] == given.shape[1]
        return given.ndim == 0 or (not is_text and (given.ndim == 1 or is_square))
    return isinstance(given, dict) or (isinstance(given, (list, tuple)) and _is_board(given))


def _is_board(rows: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list holds the rows of one board, cell by cell."""
    return bool(rows) and all(isinstance(row, (list, tuple)) and row and not _is_row(row[0]) for row in rows)


def _is_row(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _sources(given: Puzzles, depth: int = 0) -> Iterator[Source]:
    """Where the puzzles stand that were given, in whatever form; raises PuzzleError for what is none."""
    if isinstance(given, np.ndarray) and given.ndim == 0:
        given = given.item()
    if isinstance(given, Path):
        if "\0" in str(given):
            raise PuzzleError(f"{str(given)!r}: a null character is in no name of a file; check the path")
        yield Source(str(given), given)
    elif isinstance(given, str):
        yield find_source(given)
    elif isinstance(given, dict):
        try:
            yield Source("puzzle", text=json.dumps(given))
        except (TypeError, ValueError, RecursionError) as error:
            raise PuzzleError(f"puzzle: a dictionary that JSON cannot say ({first_line(error)})") from error
    elif isinstance(given, Tensor):
        try:
            array = (given.float() if given.is_floating_point() else given).numpy(force=True)
        except (NotImplementedError, RuntimeError, TypeError) as error:
            raise PuzzleError(f"puzzle: a tensor without plain numbers ({first_line(error)})") from error
        yield from _sources(array, depth)
    elif _is_one(given):
        rows = np.atleast_2d(given) if isinstance(given, np.ndarray) else given
        yield Source("puzzle", text=rows_as_text(rows, "puzzle"))
    elif isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable) or depth > DEEPEST:
        raise PuzzleError(f"puzzle: {type(given).__name__} is none; give text, a path, rows of cells or an array")
    else:
        for number, one in enumerate(given):
            for source in _sources(one, depth + 1):
                yield replace(source, name=f"puzzles[{number}]") if source.path is None else source


def _problems(task: Demonstrated, given: Puzzles) -> Iterator[Problem]:
    for source in _sources(given):
        yield from read_problems(task, source)


def _solution(watch: Watch, puzzle: Puzzle, outcome: Outcome) -> Solution:
    chosen = outcome.chosen
    return Solution(
        watch.task,
        puzzle,
        outcome.answer,
        outcome.solved,
        chosen.steps,
        len(outcome.attempts),
        chosen.halt_probability,
        outcome.seconds,
        None if outcome.solved else outcome.reason or Finding.UNKNOWN.value,
        guesses_of(chosen.guesses, watch.task, puzzle),
        outcome.depth,
        _watch=watch,
    )


def watch_of(
    voter: Voter, problem: Problem, rows: ProblemRows, network: TinyRecursiveModel, given: dict[str, Any]
) -> Watch:
    """How a problem's tests are watched: in the plain view and in all steps, as for a vote.

    given  settings of SolveConfig.
    """
    settings = solve_config(voter.loaded.checkpoint.solving, {"max_steps": network.config.N_sup, **given})
    loaded, judge = replace(voter.loaded, network=network), voter.task.judged_by_answers(problem, voter.side)
    return Watch(loaded, judge, replace(settings, halt="never"), row=rows.rows[:1])


def _voted(watch: Watch, voter: Voter, problem: Problem, test: int, ballot: Ballot, seconds: float) -> Solution:
    """What the votes on one test of a problem came to."""
    best, answer = ballot.attempts(), problem.answers[test]
    puzzle = voter.task.tests_of(problem, voter.side)[test]
    nothing = np.full_like(puzzle.tokens, PADDING)
    solved = bool(best) if answer is None else ballot.is_right(answer)
    return Solution(
        watch.task,
        puzzle,
        voter.task.encode(best[0].grid, side=voter.side) if best else nothing,
        solved,
        watch.settings.max_steps,
        ballot.predictions,
        best[0].halt_probability if best else 0.0,
        seconds,
        None if solved else "no attempt is the known answer" if best else "no prediction holds a grid",
        candidates=tuple(best),
        _watch=watch,
    )


def _task_of(config: ModelConfig) -> str:
    board = (config.height, config.width, config.box_height, config.box_width)
    for task in loadable_tasks():
        with suppress(PuzzleError):
            if task.boxes(config.num_cells) == board and task.vocab_size(config.num_cells) == config.vocab_size:
                return task.name
    return "unknown"
