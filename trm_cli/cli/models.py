"""`trm models`: what models there are, and everything that can be done with one but solving."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from trm_cli.cli.options import (
    Force,
    Json,
    Quiet,
    Revision,
    as_typed,
    hide_download_bars,
    refuse_full,
    user_errors,
    writing,
)
from trm_cli.errors import UsageError

if TYPE_CHECKING:
    from trm_cli.weights.convert import Source

models = typer.Typer(help="List, pull, push, convert and export models.", no_args_is_help=True, rich_markup_mode=None)

AnyModel = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        show_default=False,
        help="A bundled name, a folder or file of weights, or OWNER/NAME[:PATH] on the Hub.",
    ),
]
Folder = Annotated[
    Path, typer.Option("--output", "-o", metavar="FOLDER", show_default=False, help="Write a checkpoint there.")
]
TaskGuess = Annotated[Optional[str], typer.Option("--task", show_default="from the vocabulary", help="Kind of puzzle.")]
Size = Annotated[
    Optional[int],
    typer.Option("--size", min=1, max=256, show_default="from shapes, or the task's usual", help="Side of the board."),
]
Updates = Annotated[
    Optional[int],
    typer.Option("--n", min=1, max=1000, show_default="as published", help="Latent updates in one recursion."),
]
Recursions = Annotated[
    Optional[int], typer.Option("--T", min=1, max=1000, show_default="3", help="Recursions in one supervision step.")
]
Heads = Annotated[
    Optional[int],
    typer.Option("--heads", min=1, max=1024, show_default="one for 64 channels", help="Heads of the attention."),
]


@models.command("list")
@user_errors()
def list_models(json: Json = False) -> None:
    """Show bundled, cached and publicly known models.

    Asks nothing of the network.

    Example: trm models list
    """
    from trm_cli.display.listings import show_listing
    from trm_cli.weights.catalogue import listing

    show_listing(listing(), as_json=json)


@models.command("show")
@user_errors()
def show(model: AnyModel, revision: Revision = None, json: Json = False, quiet: Quiet = False) -> None:
    """Show a model's card, or with --json its config.

    A model of the Hub is fetched, another's file converted first.

    Example: trm models show sudoku
    """
    hide_download_bars(quiet)

    from trm_cli.display.listings import show_card
    from trm_cli.weights.catalogue import described, find_by_name

    known = described(find_by_name(model, revision))
    if json:
        typer.echo(json_module.dumps(known))
    else:
        show_card(known["card"])


@models.command()
@user_errors()
def pull(model: AnyModel, revision: Revision = None, quiet: Quiet = False) -> None:
    """Fetch a model of the Hub and print its folder.

    It stays in the cache; whether it loads is checked.

    Example: trm models pull alphaxiv/sudoku-mlp
    """
    hide_download_bars(quiet)

    from trm_cli.weights.catalogue import find_by_name
    from trm_cli.weights.tensors import load_checkpoint

    found = find_by_name(model, revision)
    load_checkpoint(found.folder, source=found.source)
    typer.echo(found.folder)


@models.command()
@user_errors()
def push(
    run: Annotated[str, typer.Argument(metavar="RUN", show_default=False, help="The folder of a run, or a model.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", show_default=False, help="Where it goes on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="If the repository is new.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would go up; asks nothing of the network.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Upload config, weights and a generated card to the Hub.

    Example: trm models push runs/sudoku/fast-1 me/my-sudoku --dry-run
    """
    hide_download_bars(quiet)

    from trm_cli.display.listings import show_pushed
    from trm_cli.weights.catalogue import find_by_name
    from trm_cli.weights.hub import push as push_model

    show_pushed(push_model(find_by_name(run).folder, repo, private=private, dry_run=dry_run))


@models.command()
@user_errors()
def remove(
    model: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", show_default=False, help="As `trm models list` shows it.")
    ],
) -> None:
    """Delete what the cache holds of a model.

    What was converted from it goes, too. The name may also be that of a file that was converted.

    Example: trm models remove alphaXiv/trm-model-sudoku
    """
    from trm_cli.weights.catalogue import remove_model

    typer.echo(f"{remove_model(model):,} bytes freed", err=True)


@models.command()
@user_errors()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            show_default=False,
            help="A file of weights of any public layout, here or OWNER/NAME[:PATH] on the Hub.",
        ),
    ],
    output: Folder,
    revision: Revision = None,
    task: TaskGuess = None,
    size: Size = None,
    n: Updates = None,
    T: Recursions = None,
    heads: Heads = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Turn others' weights into a checkpoint of ours.

    Their layout is seen from the names and shapes of the tensors.

    Example: trm models convert step_16275 -o sudoku-mlp
    """
    hide_download_bars(quiet)

    from trm_cli.display.listings import show_network
    from trm_cli.weights.convert import Given, convert

    refuse_full(output, force)
    found = _foreign(source, revision)
    with writing(output):
        checkpoint = convert(found, Given(task, size, n, T, heads), output)
    show_network(checkpoint, output)


@models.command()
@user_errors()
def export(
    model: AnyModel,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            show_default=False,
            help="The .onnx file, or the folder of the checkpoint.",
        ),
    ],
    file_format: Annotated[
        str, typer.Option("--format", help="onnx: one supervision step; trm: a checkpoint.")
    ] = "onnx",
    storage: Annotated[
        str, typer.Option("--storage", help="How a checkpoint keeps its numbers: float32, bfloat16 or int8.")
    ] = "float32",
    num_puzzles: Annotated[
        int,
        typer.Option(
            "--puzzles",
            min=1,
            max=100_000,
            help="Generated puzzles that a checkpoint is compared with the original on.",
        ),
    ] = 32,
    revision: Revision = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a model as ONNX or in a smaller storage.

    A smaller checkpoint says in its card what the storage changes, as measured.

    Example: trm models export sudoku --format trm --storage bfloat16 -o small
    """
    if file_format not in ("onnx", "trm"):
        raise UsageError(f"--format {file_format}: choose onnx or trm")
    if file_format == "onnx" and storage != "float32":
        raise UsageError("--storage: is for --format trm; drop it")
    refuse_full(output, force)
    hide_download_bars(quiet)

    from trm_cli.display.console import remarks_console
    from trm_cli.weights.catalogue import find_by_name
    from trm_cli.weights.export import export_checkpoint, export_onnx

    found = find_by_name(model, revision)
    with writing(output):
        if file_format == "onnx":
            export_onnx(found, output)
        else:
            words = export_checkpoint(found, output, storage, num_puzzles=num_puzzles, command=as_typed())
            remarks_console(quiet).print(words)


def _foreign(name: str, revision: str | None) -> "Source":
    """The file of weights that is meant, fetched if it is one of the Hub."""
    from trm_cli.weights.checkpoint import CONFIG_FILE
    from trm_cli.weights.convert import Source
    from trm_cli.weights.hub import fetch_model, looks_like_hub_name

    path = Path(name)
    if not path.exists() and not looks_like_hub_name(name):
        raise UsageError(f"{name}: neither a file nor OWNER/NAME on the Hub")
    if path.exists() and revision is not None:
        raise UsageError(f"--revision: {name} is no model of the Hub; leave it out")
    local = path if path.exists() else fetch_model(name, revision)
    if local.is_dir():
        what = "is a checkpoint of trm already" if (local / CONFIG_FILE).is_file() else "a folder"
        raise UsageError(f"{name}: {what}; name a file of weights")
    return Source(local, local.name if path.exists() else name, revision)
