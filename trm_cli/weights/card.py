"""The model card of a checkpoint: README.md, written from what its config.json holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.config import ModelConfig
from trm_cli.errors import ModelError
from trm_cli.tasks.base import HELD_OUT
from trm_cli.weights.checkpoint import CARD_FILE, CONFIG_FILE, TABLE_FILE, Checkpoint

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

COLUMNS = ("puzzles", "cells", "exact", "verified", "mean steps", "halted", "right when halted")
LICENCES = {"Apache-2.0": "apache-2.0", "MIT": "mit"}  # ours and the Hub's spelling
SIZE_THAT_COUNTS = 50  # puzzles in a group before its weakness is named
MIXER_WORDS = {
    "mlp": "a SwiGLU across positions (the paper's choice for small boards)",
    "attention": "self-attention across positions",
    "equivariant": "one field per symbol with shared weights; a SwiGLU across cells, learned",
    "units": "one field per symbol with shared weights; every cell hears the means of its row, "
    "column, box and of the other symbols at the cell. Which cells share a unit is wired in, "
    "what sharing one means is learned",
    "convolution": "every cell hears its eight neighbours. Which cells are neighbours is wired in, "
    "what being one means is learned. The same weights fit boards of every size",
}


def write_card(folder: Path, checkpoint: Checkpoint) -> None:
    """Write README.md into a checkpoint's folder."""
    (folder / CARD_FILE).write_text(card(checkpoint), encoding="utf-8")


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


def card(checkpoint: Checkpoint) -> str:
    """The card's text, in the Markdown that the Hugging Face Hub reads."""
    with strange_facts(checkpoint):
        return _card(checkpoint)


def _card(checkpoint: Checkpoint) -> str:
    training, model = checkpoint.training, checkpoint.model
    parts = [
        _front_matter(checkpoint),
        f"# {checkpoint.name}: a Tiny Recursive Model for {checkpoint.task}",
        f"Grids of {'up to ' * model.any_size}{model.height}x{model.width}. "
        f"`trm solve {checkpoint.task} PUZZLES --model FOLDER`, FOLDER being where this card lies.",
        "## Network",
        _network(model),
        "## Training",
        _training(training),
        *(["## Storage", training["storage"]] if "storage" in training else []),
        *_solving(checkpoint.solving),
        "## Accuracy",
        "EMA weights; one attempt where a heading names no more. Exact: every cell equals the "
        "label. Verified: givens kept and rules hold. Mean steps: of all attempts. Right when "
        "halted: of the puzzles whose halt head fired in the first attempt, the share that was "
        "right at that moment.",
        *(_measured(name, entry) for name, entry in checkpoint.measured.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def hub_card(checkpoint: Checkpoint, repo_id: str) -> str:
    """The card as the Hub shows it: the same, with how to load it and figures it can read."""
    with strange_facts(checkpoint):
        return _hub_card(checkpoint, repo_id)


def _hub_card(checkpoint: Checkpoint, repo_id: str) -> str:
    _, _, body = card(checkpoint).split("---\n", 2)
    head = _front_matter(checkpoint, for_hub=True)
    return f"{head}\n{body}".replace("FOLDER`, FOLDER being where this card lies", f"{repo_id}`")


def _front_matter(checkpoint: Checkpoint, *, for_hub: bool = False) -> str:
    """What the Hub reads of a card, as YAML between dashes; for the Hub itself with every measurement."""
    from huggingface_hub import ModelCardData

    found = _results(checkpoint) if for_hub else []
    data = ModelCardData(
        library_name="trm-cli",
        license=licence(checkpoint),
        tags=["tiny-recursive-model", "recursive-reasoning", checkpoint.task],
        pipeline_tag="other" if for_hub else None,
        model_name=checkpoint.name if found else None,
        eval_results=found or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def _results(checkpoint: Checkpoint) -> "list[EvalResult]":
    """Exact and verified answers of every measurement, in percent."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="puzzle-solving",
            task_name=checkpoint.task,
            dataset_type=checkpoint.task,
            dataset_name=name,
            dataset_config=name,  # without one, results of the same type are taken for one data set's
            metric_type=kind,
            metric_name=f"{field}, percent of puzzles",
            metric_value=round(group[field] * 100, 4),
            metric_args={"command": f"measured by {entry['command']}"},
        )
        for name, entry in checkpoint.measured.items()
        for kind, field in (("exact_match", "exact"), ("rules_hold", "verified"))
        for group in entry["groups"]
        if group["kind"] == "all"
    ]


def _network(model: ModelConfig) -> str:
    from trm_cli.model.network import count_parameters  # torch, which a list of models does without

    table = (
        f" Beside it, in `{TABLE_FILE}`, {model.num_puzzles:,} rows of {model.hidden_size}: "
        "one for each task that it was trained on, in each way in which it was redrawn. It "
        "knows no other task."
    )
    return (
        f"{count_parameters(model):,} parameters, D = {model.hidden_size}, "
        f"{model.num_layers} layers, mixer `{model.mixer}`: "
        f"{MIXER_WORDS[model.mixer]}. T = {model.T}, n = {model.n}, N_sup = {model.N_sup}, "
        f"{model.start} start of z, {model.num_prefix} prefix positions."
        f"{table if model.looks_up_puzzles else ''}"
    )


def _training(training: dict[str, Any]) -> str:
    if not training.keys() - {"storage"}:
        return "Not recorded."
    if "converted_from" in training:
        return _converted(training["converted_from"])
    start = training.get("started_from")
    lines = [
        f"- command: `{training['command']}`",
        *([f"- started from the weights of {start}"] if start else []),
        f"- data: {', '.join(training['data'])}; {training['puzzles']:,} trained on "
        f"(sha256 of their tokens `{training['puzzles_sha256'][:16]}`), "
        f"{training['held_out']:,} {training.get('judged_by', HELD_OUT)} "
        f"(`{training['held_out_sha256'][:16]}`)",
        f"- where these puzzles come from: {_sources(training.get('sources', {}))}",
        f"- {training['steps']:,} optimizer steps of {training['train']['batch_size']} (puzzle, "
        f"supervision step) pairs in {training['seconds'] / 60:.0f} minutes on "
        f"{training['hardware']}",
        f"- seed {training['seed']}, trm {training['versions']['trm']}, "
        f"torch {training['versions']['torch']}, {training['started']}",
    ]
    return "\n".join(lines)


def _converted(facts: dict[str, Any]) -> str:
    """Where weights come from that this program did not train."""
    at = f" at {facts['revision']}" if facts.get("revision") else ""
    lines = [
        f"Trained by others. Converted by trm {facts['trm']} from `{facts['origin']}`{at} "
        f"({facts['layout']} layout, sha256 `{facts['sha256'][:16]}`).",
        f"- licence of the weights: {facts['licence']}",
    ]
    if "published" in facts:
        lines.append(f"- published accuracy, not measured here: {facts['published']}")
    return "\n".join(lines)


def licence(checkpoint: Checkpoint) -> str:
    """The licence of the weights, as the Hub spells it."""
    facts = checkpoint.training.get("converted_from")
    return LICENCES.get(facts["licence"], "unknown") if facts else LICENCES["Apache-2.0"]


def _solving(solving: dict[str, Any]) -> list[str]:
    """What is done if a command does not say otherwise."""
    if not solving:
        return []
    flags = [_flag(name, value) for name, value in solving.items()]
    return ["## Solving", f"Unless options say otherwise, it is run with `{' '.join(flags)}`."]


def _flag(name: str, value: object) -> str:
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {value}"


def _sources(counts: dict[str, int]) -> str:
    known = [f"{name} {count:,}" for name, count in counts.items() if name]
    return ", ".join(known) or "the data set does not say"


def _label(group: dict[str, Any]) -> str:
    return "all" if group["kind"] == "all" else f"{group['kind']} {group['group']}"


def _measured(name: str, entry: dict[str, Any]) -> str:
    rows = ["| group | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for group in entry["groups"]:
        precision = group["precision"]
        rows.append(
            f"| {_label(group)} | {group['puzzles']:,} | {group['cell']:.2%} | "
            f"{group['exact']:.2%} | {group['verified']:.2%} | {group['mean_steps']:.1f} | "
            f"{group['fired']:.2%} | {'–' if precision is None else f'{precision:.2%}'} |"
        )
    data = f", tokens of sha256 `{entry['data_sha256'][:16]}`" if "data_sha256" in entry else ""
    head = f"### {name}\n\nMeasured by `{entry['command']}`{data}\n\n"
    return head + "\n".join(rows) + _curves(entry) + _weakest(entry["groups"])


def _curves(entry: dict[str, Any]) -> str:
    """Solved against steps of the first attempt, and against attempts, where they are recorded."""
    text, puzzles = "", entry["groups"][0]["puzzles"]
    for what, name in (("steps", "solved_within_steps"), ("attempts", "solved_within_attempts")):
        counts = entry.get(name, [])
        if len(counts) > 1:
            curve = [f"{count / puzzles:.2%}" for count in counts]
            first = " of the first attempt" if what == "steps" else ""
            text += f"\n\nVerified within 1, 2, 3 … {what}{first}: {', '.join(curve)}."
    return text


def _weakest(groups: list[dict[str, Any]]) -> str:
    """A sentence naming the groups of some size that the network does worst on."""
    large = [g for g in groups if g["kind"] != "all" and g["puzzles"] >= SIZE_THAT_COUNTS]
    worst = sorted(large, key=lambda group: float(group["verified"]))[:3]
    named = ", ".join(f"{_label(group)} ({group['verified']:.1%} verified)" for group in worst)
    return f"\n\nWeakest: {named}." if named else ""
