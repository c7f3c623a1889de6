"""A published checkpoint of ARC's kind, scaled down: its table is streamed, its tasks answered.

A published table has 876,406 rows of 512 channels in float32, 1.8 GB. This one has 800,000 of 64,
an eighth of its width: 205 MB beside a network of 0.5 MB.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.arc_tasks import small_data
from trm_cli.cli.app import app
from trm_cli.tasks.problems import ProblemData
from trm_cli.weights.checkpoint import TABLE_FILE, WEIGHTS_FILE, read_config
from trm_cli.weights.puzzle_table import KnownProblem, PuzzleTable

ROWS, WIDTH, INNER = 800_000, 64, 256
PREFIX = "_orig_mod.model.inner."
CONVERT = """
import resource, sys
from pathlib import Path
import torch
from trm_cli.weights.convert import Source, convert
from trm_cli.weights.convert import Given
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert(Source(Path(sys.argv[1]), "theirs"), Given(), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def official_arc(num_puzzles: int) -> dict[str, torch.Tensor]:
    """A state dict of the official layout with attention, for boards of 30x30."""
    torch.manual_seed(0)
    layer = {
        "self_attn.qkv_proj.weight": (3 * WIDTH, WIDTH),
        "self_attn.o_proj.weight": (WIDTH, WIDTH),
        "mlp.gate_up_proj.weight": (2 * INNER, WIDTH),
        "mlp.down_proj.weight": (WIDTH, INNER),
    }
    shapes = {
        "H_init": (WIDTH,),
        "L_init": (WIDTH,),
        "embed_tokens.embedding_weight": (12, WIDTH),
        "lm_head.weight": (12, WIDTH),
        "q_head.weight": (2, WIDTH),
        "q_head.bias": (2,),
        **{f"L_level.layers.{n}.{name}": shape for n in (0, 1) for name, shape in layer.items()},
    }
    tensors = {PREFIX + name: torch.randn(shape) / 8 for name, shape in shapes.items()}
    table = torch.arange(num_puzzles, dtype=torch.float32)[:, None] / num_puzzles
    return tensors | {f"{PREFIX}puzzle_emb.weights": table.expand(-1, WIDTH).contiguous()}


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in kilobytes, as Linux does")
def test_a_large_table_is_converted_without_being_in_memory_twice(tmp_path: Path) -> None:
    torch.save(official_arc(ROWS), tmp_path / "step_9")
    size = (tmp_path / "step_9").stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, tmp_path / "step_9", tmp_path / "ours"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) * 1000 < 1.4 * size  # the mapped file, a chunk, and the network
    table = PuzzleTable(tmp_path / "ours" / TABLE_FILE)
    assert (table.num_rows, table.width, table.problems) == (ROWS, WIDTH, {})
    last = table.rows(KnownProblem(ROWS - 1, 1, ""))
    assert torch.equal(last, torch.full((1, WIDTH), (ROWS - 1) / ROWS))
    assert (tmp_path / "ours" / WEIGHTS_FILE).stat().st_size < 1_000_000
    model = read_config(tmp_path / "ours").model
    assert (model.num_puzzles, model.height, model.n) == (ROWS, 30, 4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ProblemData:
    return small_data(tmp_path_factory.mktemp("arc"))


def test_what_was_converted_is_evaluated_with_the_data_set_of_its_training(data: ProblemData, tmp_path: Path) -> None:
    """The ids of a data set that both builders write alike are the rows of a published table."""
    torch.save(official_arc(len(data.names)), tmp_path / "step_9")
    words = ["models", "convert", str(tmp_path / "step_9"), "-o", str(tmp_path / "ours")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(
        app,
        [
            "eval",
            "arc",
            "--data",
            str(data.folder),
            "--model",
            str(tmp_path / "ours"),
            "--limit",
            "1",
            "--views",
            "1",
            "--device",
            "cpu",
        ],
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("pass@1 ")
