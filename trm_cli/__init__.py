"""Solve puzzles with Tiny Recursive Models, watch them think, and train them."""

__version__ = "0.1.0"
