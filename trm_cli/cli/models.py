"""`trm models`: what models there are, and everything that can be done with one but solving."""

import json as json_module
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from typer import Argument, Option

from trm_cli.cli import options
from trm_cli.cli.commands import Command, Group
from trm_cli.cli.completion import complete_models, complete_tasks, complete_words
from trm_cli.cli.help import INPUT_OUTPUT, NETWORK
from trm_cli.errors import UsageError, printable
from trm_cli.files import making_folder, write_whole

if TYPE_CHECKING:
    from trm_cli.weights.catalogue import Entry

HEADINGS = {"bundled": "Bundled", "cached": "In the cache", "known": "On the Hub"}
UNTESTED = ", as published, untested here"
NUMBERS = SIZE, SOLVED, TRIES, ONE = ("", "size"), ("", "solved"), ("attempts", "x steps"), ("one", "attempt")
HEADERS = (("", "name"), ("", "task"), SIZE, SOLVED, TRIES, ONE, ("", "data"), ("", "licence"))  # each of two lines

models = typer.Typer(cls=Group, help="List, pull, push, convert and export models.", rich_markup_mode=None)

AnyModel = Annotated[
    str, Argument(metavar="MODEL", show_default=False, help=f"{options.A_MODEL}.", autocompletion=complete_models)
]


@models.command("list", cls=Command)
def list_models(json: options.Json = False) -> None:
    """Show bundled, cached and publicly known models, and what each solves.

    Solved: by its default settings, with so many attempts of so many steps at most.
    Asks nothing of the network.

    Example: trm models list
    """
    from trm_cli.display.console import answers_console
    from trm_cli.weights.catalogue import listing

    entries = listing()
    if json:
        for entry in entries:
            typer.echo(json_module.dumps(asdict(entry)))
        return
    entries.sort(key=lambda entry: (list(HEADINGS).index(entry.where), not entry.tried))
    console = answers_console()
    for number, ((where, tried), group) in enumerate(groupby(entries, lambda entry: (entry.where, entry.tried))):
        if number:
            console.print()
        console.print(HEADINGS[where] + ("" if tried else UNTESTED), style="bold")
        upper, lower, *rows = aligned([*zip(*HEADERS, strict=True), *map(_cells, group)])
        console.print(upper, lower, sep="\n", style="dim")
        console.print(*rows, sep="\n")


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, each column as wide as its longest cell; the numbers stand at the right of theirs."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = [">" if header in NUMBERS else "<" for header in HEADERS]
    return [
        "  ".join(f"{cell:{sign}{width}}" for cell, sign, width in zip(row, signs, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cells(entry: "Entry") -> tuple[str, ...]:
    """What the list says of a model, column by column."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    tries = (
        "search" if entry.searches else f"{entry.attempts} x {entry.max_steps}" if entry.attempts else entry.vote or "-"
    )
    figures = share(entry.solved), tries, share(entry.first_attempt), entry.data or "-"
    return tuple(map(printable, (entry.name, entry.task, entry.size, *figures, entry.licence)))


@models.command(cls=Command)
def show(
    model: AnyModel, revision: options.Revision = None, json: options.Json = False, quiet: options.Quiet = False
) -> None:
    """Show a model's card, or with --json its config.

    On a pipe the card is Markdown, with the metadata that the Hub reads. A model of the Hub is
    fetched, another's file converted first.

    Example: trm models show sudoku
    """
    from rich.markdown import Markdown

    from trm_cli.display.console import answers_console
    from trm_cli.weights.card import without_metadata
    from trm_cli.weights.catalogue import described, find_by_name

    known = described(find_by_name(model, revision))
    if json:
        typer.echo(json_module.dumps(known))
        return
    text = "\n".join(map(printable, known["card"].splitlines()))
    console = answers_console()
    if console.is_terminal:
        console.print(Markdown(without_metadata(text)), soft_wrap=False)
    else:
        typer.echo(text)


@models.command(cls=Command)
def pull(model: AnyModel, revision: options.Revision = None, quiet: options.Quiet = False) -> None:
    """Fetch a model of the Hub and print its folder.

    It stays in the cache; whether it loads is checked.

    Example: trm models pull alphaxiv/sudoku-mlp
    """
    from trm_cli.weights.catalogue import find_by_name
    from trm_cli.weights.tensors import load_checkpoint

    found = find_by_name(model, revision)
    load_checkpoint(found.folder, source=found.source)
    typer.echo(found.folder)


@models.command(cls=Command)
def push(
    run: str = Argument(metavar="RUN", show_default=False, help="The folder of a run, or a model."),
    repo: str = Argument(metavar="OWNER/NAME", show_default=False, help="Where it goes on the Hub."),
    private: bool = Option(False, "--private", help="Make the repository private, if it is new."),
    dry_run: bool = Option(False, "--dry-run", help="Only show what would be uploaded; needs no network."),
    quiet: options.Quiet = False,
) -> None:
    """Upload config, weights and a generated card to the Hub.

    Example: trm models push runs/sudoku/fast-1 me/my-sudoku --dry-run
    """
    from trm_cli.weights import hub
    from trm_cli.weights.catalogue import find_by_name

    pushed = hub.push(find_by_name(run).folder, repo, private=private, dry_run=dry_run)
    for name, size in pushed.sizes.items():
        typer.echo(f"{name}  {size:,} bytes", err=True)
    if pushed.commit:
        typer.echo(pushed.url)
    else:
        typer.echo(f"nothing went up; to {pushed.repo} would go the files above and this card:", err=True)
        typer.echo(pushed.card, nl=False)


@models.command(cls=Command)
def remove(
    model: str = Argument(metavar="OWNER/NAME", show_default=False, help="As `trm models list` shows it."),
) -> None:
    """Delete what the cache holds of a model.

    What was converted from it goes, too. The name may also be that of a file that was converted.

    Example: trm models remove alphaXiv/trm-model-sudoku
    """
    from trm_cli.weights.catalogue import remove_model

    typer.echo(f"{remove_model(model):,} bytes freed", err=True)


@models.command(cls=Command)
def convert(
    source: str = Argument(
        metavar="SOURCE",
        show_default=False,
        help="A file of weights of any public layout, here or OWNER/NAME[:PATH] on the Hub.",
    ),
    output: Path = Option(
        ...,
        "--output",
        "-o",
        metavar="FOLDER",
        show_default=False,
        help="Write a checkpoint there.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    revision: options.Revision = None,
    task: Optional[str] = Option(
        None,
        metavar="TASK",
        show_default="from the vocabulary",
        help="Kind of puzzle.",
        rich_help_panel=NETWORK,
        autocompletion=complete_tasks,
    ),
    size: Optional[int] = Option(
        None,
        min=1,
        max=256,
        metavar="N",
        show_default="from shapes, or the task's usual",
        help="Side of the board.",
        rich_help_panel=NETWORK,
    ),
    n: Optional[int] = Option(
        None,
        "--n",
        min=1,
        max=1000,
        metavar="N",
        show_default="as published",
        help="Latent updates in one recursion.",
        rich_help_panel=NETWORK,
    ),
    T: Optional[int] = Option(
        None,
        "--T",
        min=1,
        max=1000,
        metavar="N",
        show_default="3",
        help="Recursions in one supervision step.",
        rich_help_panel=NETWORK,
    ),
    heads: Optional[int] = Option(
        None,
        min=1,
        max=1024,
        metavar="N",
        show_default="one for 64 channels",
        help="Heads of the attention.",
        rich_help_panel=NETWORK,
    ),
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn others' weights into a checkpoint of ours.

    Their layout is seen from the names and shapes of the tensors.

    Example: trm models convert step_16275 -o sudoku-mlp
    """
    from trm_cli.weights.checkpoint import CONFIG_FILE
    from trm_cli.weights.convert import Given, Source, convert
    from trm_cli.weights.hub import fetch_model, looks_like_hub_name

    options.refuse_full(output, force)
    path = Path(source)
    is_here = path.exists()
    if not is_here and not looks_like_hub_name(source):
        raise UsageError(f"{source}: neither a file nor OWNER/NAME on the Hub")
    if is_here and revision is not None:
        raise UsageError(f"--revision: {source} is no model of the Hub; leave it out")
    local = path if is_here else fetch_model(source, revision)
    if local.is_dir():
        what = "is a checkpoint of trm already" if (local / CONFIG_FILE).is_file() else "a folder"
        raise UsageError(f"{source}: {what}; name a file of weights")
    origin = local.name if is_here else source
    with options.writing(output), making_folder(output, replaces=force) as folder:
        checkpoint = convert(Source(local, origin, revision), Given(task, size, n, T, heads), folder)
    model, layout = checkpoint.model, checkpoint.training["converted_from"]["layout"]
    typer.echo(
        f"{layout} layout: {checkpoint.task} on {model.height}x{model.width} cells, mixer {model.mixer}, "
        f"{model.num_layers} layers of D = {model.hidden_size}, n = {model.n}, T = {model.T}",
        err=True,
    )
    typer.echo(output)


@models.command(cls=Command)
def export(
    model: AnyModel,
    output: Path = Option(
        ...,
        "--output",
        "-o",
        metavar="PATH",
        show_default=False,
        help="The .onnx or .html file, or the folder of the checkpoint.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    file_format: str = Option(
        "onnx",
        "--format",
        metavar="onnx|trm|html",
        help="onnx: one supervision step; trm: a checkpoint; html: a page in which the network thinks.",
        rich_help_panel=INPUT_OUTPUT,
        autocompletion=complete_words("onnx", "trm", "html"),
    ),
    storage: Optional[str] = Option(
        None,
        metavar="float32|bfloat16|int8",
        show_default="float32; of a page, bfloat16 if it were over 1 MB",
        help="How a checkpoint or a page keeps its numbers.",
        rich_help_panel=INPUT_OUTPUT,
        autocompletion=complete_words("float32", "bfloat16", "int8"),
    ),
    num_puzzles: int = Option(
        32,
        "--puzzles",
        min=1,
        max=100_000,
        metavar="N",
        help="Generated puzzles on which a checkpoint is compared with the original.",
        rich_help_panel=INPUT_OUTPUT,
    ),
    revision: options.Revision = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a model as ONNX, in a smaller storage, or as a web page.

    A smaller checkpoint says in its card what the storage changes, as measured. A page is one file
    that needs neither a server nor a network: puzzles are typed there, and solved there.

    Examples:
    trm models export sudoku --format html -o sudoku.html
    trm models export sudoku --format trm --storage bfloat16 -o small
    """
    if file_format not in ("onnx", "trm", "html"):
        raise UsageError(f"--format {file_format}: choose onnx, trm or html")
    if file_format == "onnx" and storage not in (None, "float32"):
        raise UsageError("--storage: is for --format trm or html; drop it")
    options.refuse_full(output, force)

    from trm_cli.weights.catalogue import find_by_name
    from trm_cli.weights.export import export_checkpoint, export_onnx, start_file

    if file_format == "onnx":
        options.refuse_existing(start_file(output), force)

    found = find_by_name(model, revision)
    with options.writing(output):
        if file_format == "onnx":
            export_onnx(found, output, replaces=force)
            return
        if file_format == "html":
            from trm_cli.display.live import live_page

            page, kept = live_page(found, storage=storage)
            write_whole(output, page.encode(), replaces=force)
            words = f"{output}: {len(page.encode()):,} bytes, the weights in {kept}"
        else:
            command = options.as_typed()
            with making_folder(output, replaces=force) as folder:
                words = export_checkpoint(found, folder, storage or "float32", num_puzzles=num_puzzles, command=command)
    if not quiet:
        typer.echo(words, err=True)
