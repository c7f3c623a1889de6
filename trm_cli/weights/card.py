"""The model card of a checkpoint: README.md, written from what its config.json holds."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

from trm_cli.config import ModelConfig
from trm_cli.errors import ModelError
from trm_cli.files import write_whole
from trm_cli.tasks.base import HELD_OUT
from trm_cli.weights.checkpoint import CARD_FILE, CONFIG_FILE, TABLE_FILE, Checkpoint

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


@contextmanager
def strange_facts(checkpoint: Checkpoint) -> Iterator[None]:
    """Raise ModelError where a stranger's config.json tells its facts in other ways than ours."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(
            f"model {checkpoint.name!r}: what {CONFIG_FILE} says of training or accuracy cannot be "
            f"read ({type(error).__name__}: {error})"
        ) from error


def card(checkpoint: Checkpoint, repo_id: str = "") -> str:
    """The card's text, in the Markdown that the Hugging Face Hub reads.

    repo_id  where it goes on the Hub; the card then says how to load it from there, and its metadata
             holds the measurements. Empty for the card that lies in a folder.
    Raises ModelError where the config tells its facts in other ways than ours.
    """
    model = checkpoint.model
    with strange_facts(checkpoint):
        parts = [
            f"---\n{_metadata(checkpoint, for_hub=bool(repo_id))}\n---",
            f"# {checkpoint.name}: a Tiny Recursive Model for {checkpoint.task}",
            f"Grids of {model.board}. `trm solve {checkpoint.task} PUZZLES "
            + (f"--model {repo_id}`." if repo_id else "--model FOLDER`, FOLDER being where this card lies."),
            "## Network",
            _network(model),
            "## Training",
            _training(checkpoint.training),
        ]
        if storage := checkpoint.training.get("storage"):
            parts += ["## Storage", storage]
        if checkpoint.solving:
            given = ((f"--{name.replace('_', '-')}", value) for name, value in checkpoint.solving.items())
            flags = " ".join(flag if value is True else f"{flag} {value}" for flag, value in given)
            parts += ["## Solving", f"Unless options say otherwise, it is run with `{flags}`."]
        parts += [
            "## Accuracy",
            "EMA weights; one attempt where a heading names no more. Exact: every cell equals the label. Verified: "
            "givens kept and rules hold. Mean steps: of all attempts. Right when halted: of the puzzles whose halt "
            "head fired in the first attempt, the share that was right at that moment.",
            *(_measured(name, entry) for name, entry in checkpoint.measured.items()),
        ]
        return "\n\n".join(parts) + "\n"


def _metadata(checkpoint: Checkpoint, *, for_hub: bool) -> str:
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
            metric_value=round(group[field] * 100, 4),
            metric_args={"command": f"measured by {entry['command']}"},
        )
        for name, entry in checkpoint.measured.items()
        for field in METRICS
        for group in entry["groups"]
        if group["kind"] == "all"
    ]
    return ModelCardData(
        library_name="trm-cli",
        license=licence(checkpoint),
        tags=["tiny-recursive-model", "recursive-reasoning", checkpoint.task],
        pipeline_tag="other" if for_hub else None,
        model_name=checkpoint.name if for_hub and results else None,
        eval_results=results if for_hub and results else None,
    ).to_yaml()


def licence(checkpoint: Checkpoint) -> str:
    """The licence of the weights, as the Hub spells it."""
    facts = checkpoint.training.get("converted_from")
    return LICENCES.get(facts["licence"], "unknown") if facts else LICENCES["Apache-2.0"]


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


def _training(training: dict[str, Any]) -> str:
    if not training.keys() - {"storage"}:
        return "Not recorded."
    if facts := training.get("converted_from"):
        at = f" at {facts['revision']}" if facts.get("revision") else ""
        published = facts.get("published")
        return (
            f"Trained by others. Converted by trm {facts['trm']} from `{facts['origin']}`{at} "
            f"({facts['layout']} layout, sha256 `{facts['sha256'][:16]}`).\n"
            f"- licence of the weights: {facts['licence']}"
            + (f"\n- published accuracy, not measured here: {published}" if published is not None else "")
        )
    start, judged_by = training.get("started_from"), training.get("judged_by", HELD_OUT)
    known = [f"{name} {count:,}" for name, count in training.get("sources", {}).items() if name]
    lines = [
        f"- command: `{training['command']}`",
        *([f"- started from the weights of {start}"] if start else []),
        f"- data: {', '.join(training['data'])}; {training['puzzles']:,} trained on (sha256 of their tokens "
        f"`{training['puzzles_sha256'][:16]}`), {training['held_out']:,} "
        f"{'in the validation set' if judged_by == HELD_OUT else judged_by} (`{training['held_out_sha256'][:16]}`)",
        f"- where these puzzles come from: {', '.join(known) or 'the data set does not say'}",
        f"- {training['steps']:,} optimizer steps of {training['train']['batch_size']} (puzzle, supervision step) "
        f"pairs in {training['seconds'] / 60:.0f} minutes on {training['hardware']}",
        f"- seed {training['seed']}, trm {training['versions']['trm']}, torch {training['versions']['torch']}, "
        f"{training['started']}",
        *([f"- {note}"] if (note := training.get("note")) else []),
    ]
    return "\n".join(lines)


def num_gains(solved: Sequence[int]) -> int:
    """How many of ever more attempts or steps solve more than those before; the rest need not be shown."""
    return bisect_left(solved, solved[-1]) + 1


def _measured(name: str, entry: dict[str, Any]) -> str:
    """One measurement: its command, a table of groups, curves where they are recorded, the weakest groups."""
    groups = entry["groups"]
    names = ["all" if group["kind"] == "all" else f"{group['kind']} {group['group']}" for group in groups]
    data = f", tokens of sha256 `{entry['data_sha256'][:16]}`" if "data_sha256" in entry else ""
    rows = ["| group | " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * len(COLUMNS) + "|"]
    for label, group in zip(names, groups, strict=True):
        precision = "–" if group["precision"] is None else f"{group['precision']:.2%}"
        rows.append(
            f"| {label} | {group['puzzles']:,} | {group['cell']:.2%} | {group['exact']:.2%} | "
            f"{group['verified']:.2%} | {group['mean_steps']:.1f} | {group['fired']:.2%} | {precision} |"
        )
    parts = [f"### {name}", f"Measured by `{entry['command']}`{data}", "\n".join(rows)]
    curves = {"solved_within_steps": "steps of the first attempt", "solved_within_attempts": "attempts"}
    for key, words in curves.items():
        if len(counts := entry.get(key, [])) > 1:
            shares = ", ".join(f"{count / groups[0]['puzzles']:.2%}" for count in counts)
            parts.append(f"Verified within 1, 2, 3 … {words}: {shares}.")
    if budgets := entry.get("budgets"):
        puzzles, gains = groups[0]["puzzles"], num_gains(entry["solved_within_budgets"])
        reached = [*zip(budgets, entry["solved_within_budgets"], entry["steps_within_budgets"], strict=True)][:gains]
        rows = [f"| {most:,} | {solved / puzzles:.2%} | {steps / puzzles:.1f} |" for most, solved, steps in reached]
        head = ["| steps of all attempts, at most | verified | mean steps |", "|---:|---:|---:|"]
        parts.append("\n".join([*head, *rows]))
    large = [
        (float(group["verified"]), label)
        for label, group in zip(names, groups, strict=True)
        if group["kind"] != "all" and group["puzzles"] >= SIZE_THAT_COUNTS
    ]
    worst = sorted(large, key=itemgetter(0))[:3]
    if worst:
        parts.append(f"Weakest: {', '.join(f'{label} ({share:.1%} verified)' for share, label in worst)}.")
    return "\n\n".join(parts)
