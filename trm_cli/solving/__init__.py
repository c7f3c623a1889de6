"""Running a network on puzzles, and measuring how well it does."""
