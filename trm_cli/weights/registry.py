"""Public checkpoints that are known by a short name, with what their authors say of them.

None is ours. Figures are the authors' own; `tried` says whether the file itself was loaded and
measured with this program. Where it was not, the layout it should have was, at a small size.
"""

from dataclasses import dataclass

UNSTATED = "unstated"  # a licence


@dataclass(frozen=True)
class Known:
    """One file of a public repository."""

    alias: str  # what users write
    repo: str
    file: str
    task: str
    network: str
    accuracy: str  # as published, with what it was measured on
    licence: str
    size: str  # of the file
    tried: bool = False

    @property
    def source(self) -> str:
        """Repository and file, as `--model` takes them."""
        return f"{self.repo}:{self.file}"


SUDOKU, MAZE = "Sudoku-Extreme", "Maze-Hard"

KNOWN = (
    Known("alphaxiv/sudoku-mlp", "alphaXiv/trm-model-sudoku", "step_32550_sudoku_epoch50k",
          "sudoku", "mlp", f"79.37% of {SUDOKU}", "MIT", "20 MB"),
    Known("alphaxiv/sudoku-mlp-60k", "alphaXiv/trm-model-sudoku", "step_39060_sudoku_epoch_60k",
          "sudoku", "mlp", f"75.57% of {SUDOKU}", "MIT", "20 MB"),
    Known("alphaxiv/sudoku-attention", "alphaXiv/trm-model-sudoku",
          "step_39060_sudoku_60k_epoch_attn_type",
          "sudoku", "attention", f"73.66% of {SUDOKU}", "MIT", "27 MB"),
    Known("alphaxiv/sudoku-attention-50k", "alphaXiv/trm-model-sudoku",
          "step_32550_sudoku_50k_epoch_attn_type",
          "sudoku", "attention", f"69.69% of {SUDOKU}", "MIT", "27 MB"),
    Known("alphaxiv/maze", "alphaXiv/trm-model-maze", "maze_hard_step_32550",
          "maze", "attention", f"83.67% of {MAZE}", "MIT", "27 MB"),
    Known("alphaxiv/arc-1", "alphaXiv/trm-model-arc-agi-1",
          "step_259320_arc_ag1_attn_type_h3l4",
          "arc", "attention", "43.0% of ARC-AGI-1 (pass@2)", "MIT", "1.8 GB"),
    Known("gar/sudoku-mlp", "MaximeILL/GAR_ckpts", "TRM-MLP-Sudoku-Extreme.pt",
          "sudoku", "mlp", f"86.50% of {SUDOKU}", UNSTATED, "20 MB"),
    Known("cgar/sudoku-mlp", "Kaleemullah/trm-cgar-sudoku", "pytorch_model.bin",
          "sudoku", "mlp", f"86.02% of {SUDOKU}", UNSTATED, "20 MB"),
    Known("sanjin/sudoku-mlp", "Sanjin2024/TinyRecursiveModels-Sudoku-Extreme-mlp", "step_16275",
          "sudoku", "mlp", f"84.80% of {SUDOKU}", UNSTATED, "20 MB"),
    Known("sanjin/maze", "Sanjin2024/TinyRecursiveModel-Maze-Hard", "step_9765",
          "maze", "attention", f"78.70% of {MAZE}", UNSTATED, "27 MB"),
    Known("sanjin/arc-1", "Sanjin2024/TinyRecursiveModel-ARC-AGI-1", "step_155718",
          "arc", "attention", "not published", "Apache-2.0", "1.8 GB"),
    Known("arcprize/arc-1", "arcprize/trm_arc_prize_verification", "arc_v1_public/step_518071",
          "arc", "attention", "40% of ARC-AGI-1 (pass@2)", "MIT", "1.8 GB"),
    Known("arcprize/arc-2", "arcprize/trm_arc_prize_verification", "arc_v2_public/step_723914",
          "arc", "attention", "6.2% of ARC-AGI-2 (pass@2)", "MIT", "2.5 GB"),
    Known("trelis/arc-2", "Trelis/TRM-ARC-AGI-II-all-200k", "step_769740",
          "arc", "attention", "not published", UNSTATED, "2.5 GB"),
    Known("seconds-0/arc-2", "seconds-0/trm-arc2-8gpu", "model.ckpt",
          "arc", "attention", "not published", UNSTATED, "2.5 GB"),
)  # fmt: skip

BY_ALIAS = {known.alias: known for known in KNOWN}
