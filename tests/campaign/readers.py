"""Everything that reads what a stranger wrote: what is right, how it is changed, the command, and how that may end."""

import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from tests.arc_tasks import made_tasks, save_untrained, small_data
from tests.campaign.hostile import changed_bytes, json_like, json_lines_like, safetensors_like, text_like
from tests.conftest import ANSWER, PUZZLE, sudokus
from tests.test_cli import trm
from tests.watched import HEADER, HEADER_OF_SEARCH, run_inside, run_of_one, run_of_search, run_of_two
from trm_cli.solving.trace import Header, Moment, trace_lines
from trm_cli.tasks.sudoku import Sudoku
from trm_cli.tasks.tables import dataset_bytes
from trm_cli.weights.checkpoint import bundled_checkpoints

Files = dict[str, bytes | None]  # what lies at a path below the folder of a command; None takes it away
ROWS = "\n".join(PUZZLE[start : start + 9] for start in range(0, 81, 9))
SMALL = "....21.....4.4.1"
MAZE = "S..#\n.#..\n.#.#\n...G\n"
SUDOKU_LETTERS = "0123456789.ABCDEFGabcg#|+-=_*,;:\t \r\n\0\"'[]{}éﬀ\u2028\ufeff"
MAZE_LETTERS = "#SG .oX0123,;|\t\r\n\0\"'[]{}é\ufeff"


@dataclass(frozen=True)
class Reader:
    """One way in which a stranger's files come in.

    prepare  what lies in a command's folder before, made once.
    inputs   what is put into it, given what lies there.
    """

    name: str
    inputs: Callable[[Path], st.SearchStrategy[Files]]
    words: tuple[str, ...]  # of the command
    codes: tuple[int, ...]  # with which it may end
    prepare: Callable[[Path], None] = Path.touch  # nothing
    share: float = 1.0  # of the inputs of a campaign, over those of another reader


def one_file(name: str, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    """A single file of that content."""

    def files(data: bytes) -> Files:
        return {name: data}

    return content.map(files)


def some_of(
    folder: Path, changes: Mapping[str, Callable[[bytes], st.SearchStrategy[bytes]]]
) -> st.SearchStrategy[Files]:
    """One of the files of a folder, changed, or now and then missing or taken from its neighbour."""
    known = {name: (folder / name).read_bytes() for name in changes}
    changed = [one_file(name, change(known[name])) for name, change in changes.items()]
    gone = st.sampled_from(sorted(known)).map(_without)
    swapped = st.permutations(sorted(known)).map(lambda names: {names[0]: known[names[-1]]})
    return st.one_of(*changed, *changed, gone, swapped)


def _without(name: str) -> Files:
    return {name: None}


# --- puzzles and data sets -----------------------------------------------------------------------------------------


def json_puzzles() -> st.SearchStrategy[bytes]:
    """Puzzles in JSON."""
    numbers = [[0 if cell == "." else int(cell) for cell in row] for row in ROWS.split("\n")]
    known = [
        numbers,
        [PUZZLE, SMALL],
        {"puzzle": PUZZLE},
        [{"question": SMALL}] * 3,
        ROWS.split("\n"),
        {"puzzles": [SMALL]},
    ]
    return st.one_of(*map(json_like, known))


TABLE = f"source,question,answer,rating\nmade,{PUZZLE},{ANSWER},3\nmade,{ANSWER[:40]}{PUZZLE[40:]},{ANSWER},\n"
SUDOKUS = st.one_of(
    text_like([PUZZLE, ROWS, SMALL, f"# by hand\n{SMALL}\n{SMALL}\n", TABLE, "[Puzzle]\n" + ROWS], SUDOKU_LETTERS),
    json_puzzles(),
)
MAZES = st.one_of(
    text_like([MAZE, MAZE.replace("\n", ""), f"question\n{MAZE}", f'question,answer\n"{MAZE}",x\n'], MAZE_LETTERS),
    json_like(MAZE.split("\n")),
    json_like([MAZE.replace("\n", "")]),
)
QUOTED = f'"question","answer"\n"{PUZZLE}","{ANSWER}"\n'
TABLES = text_like([TABLE, TABLE.replace(",", ";"), TABLE.replace("\n", "\r\n"), QUOTED], SUDOKU_LETTERS)


# --- ARC -----------------------------------------------------------------------------------------------------------


def prepare_arc(folder: Path) -> None:
    """A small data set, an untrained network that knows its tasks, and a task of them."""
    data = small_data(folder)
    save_untrained(folder / "model", data)
    task = made_tasks(1, seed=2, largest=5, prefix="evaluation")["evaluation0"]
    (folder / "task.json").write_text(json.dumps(task))


def arc_model(folder: Path) -> st.SearchStrategy[Files]:
    return some_of(folder, {"model/puzzles.safetensors": safetensors_like})


def arc_tasks(folder: Path) -> st.SearchStrategy[Files]:
    return one_file("task.json", json_like(json.loads((folder / "task.json").read_bytes())))


def arc_data(folder: Path) -> st.SearchStrategy[Files]:
    def of_json(content: bytes) -> st.SearchStrategy[bytes]:
        return json_like(json.loads(content))

    names = ["trm.json", "identifiers.json", "test_puzzles.json", "train/dataset.json", "test/dataset.json"]
    arrays = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("set/*/*.npy"))]
    return some_of(folder, {f"set/{name}": of_json for name in names} | dict.fromkeys(arrays, array_like))


def array_like(content: bytes) -> st.SearchStrategy[bytes]:
    """An array with other values, of another shape or type, or with bytes changed."""
    array = np.load(io.BytesIO(content))

    def kept(changed: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> bytes:
        sink = io.BytesIO()
        np.save(sink, changed, allow_pickle=True)
        return sink.getvalue()

    others = [array.T, array.astype(np.float64), array[:0], array[::-1], array.reshape(-1)[:-1], array.astype(object)]
    others += [array.astype(">i8"), array + array.dtype.type(100), array.astype(np.int64) - 1, array[..., None]]
    others += [np.asfortranarray(array), np.zeros((), array.dtype), np.concatenate([array, array])]
    return st.one_of(changed_bytes(content), st.sampled_from([kept(other) for other in others]))


# --- traces --------------------------------------------------------------------------------------------------------


def traces(_: Path) -> st.SearchStrategy[Files]:
    runs: list[tuple[Header, list[Moment]]] = [
        (HEADER, run_of_one()),
        (HEADER, run_inside()),
        (HEADER, run_of_two()),
        (HEADER_OF_SEARCH, run_of_search()),
    ]
    known = [[json.loads(line) for line in trace_lines(header, moments)] for header, moments in runs]
    return one_file("run.jsonl", st.one_of(*map(json_lines_like, known)))


# --- checkpoints, configs, states ----------------------------------------------------------------------------------


def prepare_checkpoint(folder: Path) -> None:
    """A bundled network with its card, as a folder of a user's, and a puzzle for it."""
    shutil.copytree(bundled_checkpoints()["sudoku-4x4"], folder / "model")
    (folder / "puzzles.txt").write_text(f"{SMALL}\n")


def checkpoints(folder: Path) -> st.SearchStrategy[Files]:
    def config(content: bytes) -> st.SearchStrategy[bytes]:
        return json_like(json.loads(content))

    return some_of(folder, {"model/config.json": config, "model/model.safetensors": safetensors_like})


VALUES = ["-1", "0", "1e999", "inf", "nan", '"a"', "[]", "{}", "true", "0x10", "1979-05-27", "1_000"]
VALUES += ["9" * 30, "9" * 5000, "[" * 500]


def prepare_config(folder: Path) -> None:
    """A recipe as TOML."""
    done = trm("train", "sudoku", "--recipe", "tiny", "--print-config")
    (folder / "recipe.toml").write_text(done.stdout)


def configs(folder: Path) -> st.SearchStrategy[Files]:
    text = (folder / "recipe.toml").read_text()
    values = st.sampled_from(VALUES)
    lines = text.splitlines()

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        place = draw(st.integers(0, len(lines) - 1))
        name = lines[place].split("=")[0]
        return "\n".join([*lines[:place], f"{name}= {draw(values)}", *lines[place + 1 :]]).encode()

    return one_file("config.toml", st.one_of(changed(), changed_bytes(text.encode())))


def prepare_state(folder: Path) -> None:
    """A run of two steps with a state to go on from."""
    data = sudokus(60, side=4, givens=(5, 8), seed=1)
    (folder / "made.csv").write_bytes(dataset_bytes(data, Sudoku(), gzipped=False))
    settings = [f"--set=model.{name}" for name in ("height=4", "width=4", "box_width=2", "vocab_size=6", "N_sup=4")]
    settings += [f"--set=train.{name}" for name in ("batch_size=8", "validation=10", "steps=9")]
    where = ("-d", folder / "made.csv", "--run", folder / "run")
    done = trm("train", "sudoku", "-r", "tiny", *settings, *where, "--max-steps", 2)
    assert done.returncode == 0, done.stderr


def states(folder: Path) -> st.SearchStrategy[Files]:
    def of_json(content: bytes) -> st.SearchStrategy[bytes]:
        return json_like(json.loads(content))

    (state,) = folder.glob("run/state/step-*")
    inside = state.relative_to(folder).as_posix()
    return some_of(
        folder,
        {
            "run/config.json": of_json,
            f"{inside}/state.json": of_json,
            f"{inside}/shared.safetensors": safetensors_like,
            f"{inside}/worker-0.safetensors": safetensors_like,
        },
    )


def text(content: st.SearchStrategy[bytes]) -> Callable[[Path], st.SearchStrategy[Files]]:
    """A file named input of that content, whatever lies beside it."""
    return lambda _: one_file("input", content)


SOLVE, SOLVED = ("--json", "-q", "--attempts", "1", "--max-steps", "2"), (0, 1, 2)
ARC = ("solve", "arc", "task.json", "-m", "model", "-q")
TRAIN = ("train", "sudoku")
RECIPE = ("-r", "tiny", "--config", "config.toml", "--print-config")
READERS = [
    Reader("sudoku", text(SUDOKUS), ("solve", "sudoku", "input", *SOLVE), SOLVED, share=3),
    Reader("any", text(st.one_of(SUDOKUS, MAZES)), ("solve", "input", *SOLVE), SOLVED, share=2),
    Reader("maze", text(MAZES), ("solve", "maze", "input", *SOLVE), SOLVED, share=2),
    Reader("table", text(TABLES), ("eval", "sudoku", "--data", "input", *SOLVE), (0, 2)),
    Reader("arc-task", arc_tasks, ARC, (0, 1, 2, 3), prepare_arc),
    Reader("arc-model", arc_model, ARC, (0, 1, 3), prepare_arc),
    Reader("arc-data", arc_data, ("eval", "arc", "--data", "set", "-m", "model", "-q"), (0, 2, 3), prepare_arc),
    Reader("trace", traces, ("watch", "--replay", "run.jsonl"), (0, 1, 2), share=2),
    Reader("export", traces, ("watch", "--replay", "run.jsonl", "--save", "a.html", "--save", "a.jsonl"), (0, 1, 2)),
    Reader("config", configs, (*TRAIN, *RECIPE), (0, 2), prepare_config),
    Reader("checkpoint", checkpoints, ("solve", "puzzles.txt", "-m", "model"), (0, 1, 3), prepare_checkpoint, share=2),
    Reader("card", checkpoints, ("models", "show", "model"), (0, 3), prepare_checkpoint),
    Reader("state", states, (*TRAIN, "--resume", "run", "--max-steps", "3", "-q"), (0, 2, 3), prepare_state),
]
