"""Solve puzzles with Tiny Recursive Models, watch them think, and train them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_cli.weights.tensors import TRM

__version__ = "0.1.0"
__all__ = ["TRM", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `TRM`, and torch with it, when it is asked for."""
    if name != "TRM":
        raise AttributeError(f"module 'trm_cli' has no attribute {name!r}")
    from trm_cli.weights.tensors import TRM

    return TRM
