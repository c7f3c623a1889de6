"""`trm models`: what models there are, and everything that can be done with one but solving."""

import json as json_module
from pathlib import Path
from typing import Annotated, Optional

import typer

from trm_cli.cli.common import (
    Force,
    Json,
    Quiet,
    Revision,
    hide_download_bars,
    user_errors,
)
from trm_cli.errors import UsageError

models = typer.Typer(help="List, pull, push, convert and export models.", no_args_is_help=True,
                     rich_markup_mode=None)  # fmt: skip

AnyModel = Annotated[str, typer.Argument(
    metavar="MODEL", show_default=False,
    help="A bundled name, a folder or file of weights, or OWNER/NAME[:PATH] on the Hub.",
)]  # fmt: skip
Storage = Annotated[str, typer.Option(
    "--storage", help="How numbers are kept: float32, bfloat16 or int8.")]  # fmt: skip
Folder = Annotated[Path, typer.Option(
    "--output", "-o", metavar="FOLDER", show_default=False,
    help="Write a checkpoint there.")]  # fmt: skip
TaskGuess = Annotated[Optional[str], typer.Option(
    "--task", show_default="from the vocabulary", help="sudoku, maze or arc.")]  # fmt: skip
Size = Annotated[Optional[int], typer.Option(
    "--size", min=1, max=256, show_default="from shapes, or the usual one",
    help="Cells a side of the board.")]  # fmt: skip
Updates = Annotated[Optional[int], typer.Option(
    "--n", min=1, max=1000, show_default="6 for sudoku, else 4",
    help="Latent updates in one recursion.")]  # fmt: skip
Recursions = Annotated[Optional[int], typer.Option(
    "--T", min=1, max=1000, show_default="3",
    help="Recursions in one supervision step.")]  # fmt: skip
Heads = Annotated[Optional[int], typer.Option(
    "--heads", min=1, max=1024, show_default="one for 64 channels",
    help="Heads of the attention.")]  # fmt: skip


@models.command("list")
@user_errors()
def list_models(json: Json = False) -> None:
    """Show bundled, cached and publicly known models; asks nothing of the network.

    Example: trm models list
    """
    from trm_cli.display.models import show_listing
    from trm_cli.weights.listing import listing

    show_listing(listing(), as_json=json)


@models.command("show")
@user_errors()
def show(model: AnyModel, revision: Revision = None, json: Json = False,
         quiet: Quiet = False) -> None:  # fmt: skip
    """Show a model's card, or with --json its config; fetches or converts it first if need be.

    Example: trm models show sudoku
    """
    hide_download_bars(quiet)

    from trm_cli.weights.catalogue import find_by_name
    from trm_cli.weights.listing import described

    found = find_by_name(model, revision)
    typer.echo(json_module.dumps(described(found), indent=2) if json else described(found)["card"])


@models.command()
@user_errors()
def pull(model: AnyModel, revision: Revision = None, quiet: Quiet = False) -> None:
    """Fetch a model of the Hub into the cache, check that it loads, and print its folder.

    Example: trm models pull alphaxiv/sudoku-mlp
    """
    hide_download_bars(quiet)

    import torch

    from trm_cli.weights.catalogue import find_by_name
    from trm_cli.weights.store import load_checkpoint

    found = find_by_name(model, revision)
    load_checkpoint(found.folder, source=found.source, device=torch.device("cpu"))
    typer.echo(found.folder)


@models.command()
@user_errors()
def push(
    run: Annotated[str, typer.Argument(
        metavar="RUN", show_default=False, help="The folder of a run, or a model.")],
    repo: Annotated[str, typer.Argument(
        metavar="OWNER/NAME", show_default=False, help="Where it goes on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="If the repository is new.")] = False,
    dry_run: Annotated[bool, typer.Option(
        "--dry-run", help="Only show what would go up; asks nothing of the network.")] = False,
    storage: Storage = "float32",
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Upload config, weights and a generated card to the Hub.

    Example: trm models push runs/sudoku/fast-1 me/my-sudoku --dry-run
    """
    hide_download_bars(quiet)

    from trm_cli.display.models import show_pushed
    from trm_cli.weights.catalogue import find_by_name
    from trm_cli.weights.pretrained import TRM
    from trm_cli.weights.push import push as push_model

    inside = Path(run) / "checkpoint"  # of a run
    model = TRM.from_pretrained(inside if inside.is_dir() else find_by_name(run).folder)
    show_pushed(push_model(model.checkpoint, model, repo, private=private, dry_run=dry_run,
                           storage=storage))  # fmt: skip


@models.command()
@user_errors()
def remove(
    model: Annotated[str, typer.Argument(
        metavar="OWNER/NAME", show_default=False, help="As `trm models list` shows it.")],
) -> None:  # fmt: skip
    """Delete what the cache holds of a model of the Hub, and what was converted from it.

    Example: trm models remove alphaXiv/trm-model-sudoku
    """
    from trm_cli.weights.listing import remove_model

    typer.echo(f"{remove_model(model):,} bytes freed", err=True)


@models.command()
@user_errors()
def convert(
    source: Annotated[str, typer.Argument(
        metavar="SOURCE", show_default=False,
        help="A file of weights of any public layout, here or OWNER/NAME[:PATH] on the Hub.")],
    output: Folder,
    revision: Revision = None,
    task: TaskGuess = None,
    size: Size = None,
    n: Updates = None,
    T: Recursions = None,
    heads: Heads = None,
    storage: Storage = "float32",
    force: Force = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Turn others' weights into a checkpoint of ours; their layout is seen from the tensors.

    Example: trm models convert step_16275 -o sudoku-mlp
    """
    hide_download_bars(quiet)

    from trm_cli.display.models import show_network
    from trm_cli.weights.converted import Source, convert
    from trm_cli.weights.hub_models import fetch_model
    from trm_cli.weights.layouts import Given

    _refuse_folder(output, force)
    local = Path(source) if Path(source).exists() else fetch_model(source, revision)
    if local.is_dir():
        raise UsageError(f"{source}: a folder; name the file of weights in it")
    origin = Source(local, source if not Path(source).exists() else local.name, revision)
    checkpoint = convert(origin, Given(task, size, n, T, heads), output, storage=storage)
    show_network(checkpoint, output)


@models.command()
@user_errors()
def export(
    model: AnyModel,
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="PATH", show_default=False,
        help="The .onnx file, or the folder of the checkpoint.")],
    file_format: Annotated[str, typer.Option(
        "--format", help="onnx: one supervision step; trm: a checkpoint.")] = "onnx",
    storage: Storage = "float32",
    revision: Revision = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write a model for other programs, or as a smaller checkpoint with the measured difference.

    Example: trm models export sudoku --format trm --storage bfloat16 -o small
    """
    hide_download_bars(quiet)

    from trm_cli.weights.catalogue import find_by_name
    from trm_cli.weights.export import export_checkpoint, export_onnx

    if file_format not in ("onnx", "trm"):
        raise UsageError(f"--format {file_format}: choose onnx or trm")
    _refuse_folder(output, force)
    found = find_by_name(model, revision)
    if file_format == "onnx" and storage != "float32":
        raise UsageError("--storage: is for --format trm")
    if file_format == "onnx":
        export_onnx(found, output)
    else:
        typer.echo(export_checkpoint(found, output, storage), err=True)


def _refuse_folder(path: Path, force: bool) -> None:
    """Raise UsageError if something would be overwritten, or cannot be written there."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() and not force:
        raise UsageError(f"{path}: exists already; choose another name or add --force")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it first")
