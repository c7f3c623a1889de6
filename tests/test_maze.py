"""Mazes: the rule of the published labels, what a path is, and how mazes may be written."""
