"""Solve puzzles with Tiny Recursive Models, watch them think, and train them."""

from typing import TYPE_CHECKING, Any

from trm_cli.errors import ConfigError, ModelError, PuzzleError, TrainingError, TRMError, UsageError

if TYPE_CHECKING:
    from trm_cli.api import TRM, Frame, Run, Solution

__version__ = "0.1.0"
__all__ = [
    "TRM",
    "ConfigError",
    "Frame",
    "ModelError",
    "PuzzleError",
    "Run",
    "Solution",
    "TRMError",
    "TrainingError",
    "UsageError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'trm_cli' has no attribute {name!r}")
    from trm_cli import api

    return getattr(api, name)
