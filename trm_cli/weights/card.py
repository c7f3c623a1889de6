"""The model card of a checkpoint: README.md, written from what its config.json holds."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from trm_cli.config import ModelConfig
from trm_cli.errors import printable
from trm_cli.files import write_whole
from trm_cli.tasks.base import HELD_OUT
from trm_cli.weights.checkpoint import CARD_FILE, TABLE_FILE, Checkpoint
from trm_cli.weights.facts import WHOLE, Measurement, Record, measurements_of, record_of

COLUMNS = ("puzzles", "cells", "exact", "verified", "mean steps", "halted", "right when halted")
LICENCES = {"Apache-2.0": "apache-2.0", "MIT": "mit"}  # ours and the Hub's spelling
METRICS = {"exact": "exact_match", "verified": "rules_hold"}  # ours and the Hub's spelling
SIZE_THAT_COUNTS = 50  # puzzles in a group before its weakness is named
MIXER_WORDS = {
    "mlp": "a SwiGLU across positions (the paper's choice for small boards)",
    "attention": "self-attention across positions",
    "equivariant": "one field per symbol with shared weights; a SwiGLU across cells, learned",
    "units": "one field per symbol with shared weights; message passing over rows, columns and boxes: every cell "
    "pools its row, its column, its box and the other symbols at the cell by their sums. Which cells share a unit "
    "is wired in, what sharing one means is learned",
    "convolution": "every cell pools its eight neighbours. Which cells are neighbours is wired in, what being one "
    "means is learned. The same weights fit boards of every size",
}


def write_card(folder: Path, checkpoint: Checkpoint) -> None:
    """Write README.md into a checkpoint's folder."""
    write_whole(folder / CARD_FILE, card(checkpoint).encode())


def without_metadata(card: str) -> str:
    """What of a card is for readers."""
    return card.split("\n---\n", 1)[-1].lstrip() if card.startswith("---\n") else card


def card(checkpoint: Checkpoint, repo_id: str = "") -> str:
    """The card's text, in the Markdown that the Hugging Face Hub reads.

    repo_id  where it goes on the Hub; the card then says how to load it from there, and its metadata
             holds the measurements. Empty for the card that lies in a folder.
    Raises ModelError where the config tells its facts in other ways than ours.
    """
    model, record, measured = checkpoint.model, record_of(checkpoint), measurements_of(checkpoint)
    parts = [
        f"---\n{_metadata(checkpoint, record, measured, for_hub=bool(repo_id))}\n---",
        f"# {checkpoint.name}: a Tiny Recursive Model for {checkpoint.task}",
        f"Grids of {model.board}. `trm solve {checkpoint.task} PUZZLES "
        + (f"--model {repo_id}`." if repo_id else "--model FOLDER`, FOLDER being where this card lies."),
        "## Network",
        _network(model),
        "## Training",
        _training(record),
    ]
    if record.storage:
        parts += ["## Storage", record.storage]
    if checkpoint.solving:
        given = ((f"--{name.replace('_', '-')}", value) for name, value in checkpoint.solving.items())
        flags = " ".join(flag if value is True else f"{flag} {value}" for flag, value in given)
        parts += ["## Solving", f"Unless options say otherwise, it is run with `{flags}`."]
    parts += [
        "## Accuracy",
        "EMA weights; one attempt where a heading names no more. Exact: every cell equals the label. Verified: "
        "givens kept and rules hold. Mean steps: of all attempts. Right when halted: of the puzzles whose halt "
        "head fired in the first attempt, the share that was right at that moment.",
        *(_measured(name, entry) for name, entry in measured.items()),
    ]
    return "\n".join(map(printable, "\n\n".join(parts).split("\n"))) + "\n"


def _metadata(checkpoint: Checkpoint, record: Record, measured: dict[str, Measurement], *, for_hub: bool) -> str:
    """What the Hub reads of a card, as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="puzzle-solving",
            task_name=checkpoint.task,
            dataset_type=checkpoint.task,
            dataset_name=name,
            dataset_config=name,  # tells one measurement of the task from another
            metric_type=METRICS[field],
            metric_name=f"{field}, percent of puzzles",
            metric_value=round(getattr(group, field) * 100, 4),
            metric_args={"command": f"measured by {entry.command}"},
        )
        for name, entry in measured.items()
        for field in METRICS
        for group in entry.groups
        if group.kind == WHOLE
    ]
    return ModelCardData(
        library_name="trm-cli",
        license=licence(record),
        tags=["tiny-recursive-model", "recursive-reasoning", checkpoint.task],
        pipeline_tag="other" if for_hub else None,
        model_name=checkpoint.name if for_hub and results else None,
        eval_results=results if for_hub and results else None,
    ).to_yaml()


def licence(record: Record) -> str:
    """The licence of the weights, as the Hub spells it."""
    return LICENCES.get(record.converted.licence, "unknown") if record.converted else LICENCES["Apache-2.0"]


def _network(model: ModelConfig) -> str:
    from trm_cli.model.network import count_parameters  # torch, which a list of models does without

    table = (
        f" Beside it, in `{TABLE_FILE}`, {model.num_puzzles:,} rows of {model.hidden_size}: "
        "one for each task that it was trained on, in each way in which it was redrawn. It "
        "knows no other task."
    )
    return (
        f"{count_parameters(model):,} parameters, D = {model.hidden_size}, {model.num_layers} layers, "
        f"mixer `{model.mixer}`: {MIXER_WORDS[model.mixer]}. T = {model.T}, n = {model.n}, N_sup = {model.N_sup}, "
        f"{model.start} start of z, {model.num_prefix} prefix positions.{table if model.looks_up_puzzles else ''}"
    )


def _training(record: Record) -> str:
    if facts := record.converted:
        at = f" at {facts.revision}" if facts.revision else ""
        return (
            f"Trained by others. Converted by trm {facts.trm} from `{facts.origin}`{at} "
            f"({facts.layout} layout, sha256 `{facts.sha256[:16]}`).\n"
            f"- licence of the weights: {facts.licence}"
            + (f"\n- published accuracy, not measured here: {facts.published}" if facts.published is not None else "")
        )
    if (training := record.trained) is None:
        return "Not recorded."
    known = [f"{name} {count:,}" for name, count in training.sources.items() if name]
    lines = [
        f"- command: `{training.command}`",
        *([f"- started from the weights of {training.started_from}"] if training.started_from else []),
        f"- data: {', '.join(training.data)}; {training.puzzles:,} trained on (sha256 of their tokens "
        f"`{training.puzzles_sha256[:16]}`), {training.held_out:,} "
        f"{'in the validation set' if training.judged_by == HELD_OUT else training.judged_by} "
        f"(`{training.held_out_sha256[:16]}`)",
        f"- where these puzzles come from: {', '.join(known) or 'the data set does not say'}",
        f"- {training.steps:,} optimizer steps of {training.train.batch_size} (puzzle, supervision step) "
        f"pairs in {training.seconds / 60:.0f} minutes on {training.hardware}"
        + (f" for each of {training.workers} workers" if training.workers > 1 else ""),
        f"- seed {training.seed}, trm {training.versions.trm}, torch {training.versions.torch}, {training.started}",
        *([f"- {training.note}"] if training.note else []),
    ]
    return "\n".join(lines)


def num_gains(solved: Sequence[int]) -> int:
    """How many of ever more attempts or steps solve more than those before; the rest need not be shown."""
    return bisect_left(solved, solved[-1]) + 1


def _measured(name: str, entry: Measurement) -> str:
    """One measurement: its command, a table of groups, curves where they are recorded, the weakest groups."""
    data = f", tokens of sha256 `{entry.data_sha256[:16]}`" if entry.data_sha256 else ""
    rows = ["| group | " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * len(COLUMNS) + "|"]
    for group in entry.groups:
        precision = "–" if group.precision is None else f"{group.precision:.2%}"
        rows.append(
            f"| {group.label} | {group.puzzles:,} | {group.cell:.2%} | {group.exact:.2%} | "
            f"{group.verified:.2%} | {group.mean_steps:.1f} | {group.fired:.2%} | {precision} |"
        )
    parts = [f"### {name}", f"Measured by `{entry.command}`{data}", "\n".join(rows)]
    puzzles = entry.whole.puzzles
    curves = {"steps of the first attempt": entry.solved_within_steps, "attempts": entry.solved_within_attempts}
    for words, counts in curves.items():
        if len(counts) > 1:
            shares = ", ".join(f"{count / puzzles:.2%}" for count in counts)
            parts.append(f"Verified within 1, 2, 3 … {words}: {shares}.")
    if budgets := entry.budgets:
        gains = num_gains(entry.solved_within_budgets)
        reached = [*zip(budgets, entry.solved_within_budgets, entry.steps_within_budgets, strict=True)][:gains]
        rows = [f"| {most:,} | {solved / puzzles:.2%} | {steps / puzzles:.1f} |" for most, solved, steps in reached]
        head = ["| steps of all attempts, at most | verified | mean steps |", "|---:|---:|---:|"]
        parts.append("\n".join([*head, *rows]))
    large = [group for group in entry.groups if group.kind != WHOLE and group.puzzles >= SIZE_THAT_COUNTS]
    worst = sorted(large, key=attrgetter("verified"))[:3]
    if worst:
        named = ", ".join(f"{group.label} ({group.verified:.1%} verified)" for group in worst)
        parts.append(f"Weakest: {named}.")
    return "\n\n".join(parts)
