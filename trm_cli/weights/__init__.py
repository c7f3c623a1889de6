"""Checkpoints on disk: saving, loading, naming, describing."""
