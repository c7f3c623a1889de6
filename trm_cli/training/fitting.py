"""Whether a recipe, the weights to start from and the data fit one another."""

from trm_cli.config import same_weights
from trm_cli.errors import UsageError
from trm_cli.tasks import get_task
from trm_cli.tasks.base import Task
from trm_cli.training.data import Gathered
from trm_cli.training.recipes import Recipe
from trm_cli.weights.store import LoadedModel


def refuse_misfits(recipe: Recipe, start: LoadedModel | None) -> None:
    """Raise UsageError for what cannot work whatever the data are."""
    if start is not None and not same_weights(start.checkpoint.model, recipe.model):
        raise UsageError("--init: that checkpoint has another architecture than the recipe")
    model = recipe.model
    expected = _board(get_task(recipe.task), model.num_cells)
    for name, value in expected.items():
        if getattr(model, name) != value:
            wanted = " ".join(f"--set model.{n}={v}" for n, v in expected.items())
            raise UsageError(
                f"model.{name} is {getattr(model, name)}, but {recipe.task} of {model.num_cells} "
                f"cells needs {value}; give {wanted}"
            )


def refuse_other_data(recipe: Recipe, gathered: Gathered) -> None:
    """Raise UsageError where the data do not fit the recipe."""
    cells = gathered.data.puzzles.shape[1]
    if cells != recipe.model.num_cells:
        wanted = " ".join(
            f"--set model.{n}={v}" for n, v in _board(get_task(recipe.task), cells).items()
        )
        raise UsageError(
            f"the data set holds puzzles of {cells} cells, the recipe {recipe.name!r} is for "
            f"{recipe.model.num_cells}; give other data, or {wanted}"
        )


def _board(task: Task, num_cells: int) -> dict[str, int]:
    """What an architecture for puzzles of that many cells must say."""
    height, width, box_height, box_width = task.boxes(num_cells)
    vocab_size = task.vocab_size(num_cells)
    return {"height": height, "width": width, "box_height": box_height, "box_width": box_width,
            "vocab_size": vocab_size}  # fmt: skip
