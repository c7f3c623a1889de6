"""Training: recipes, batches, losses, optimizers, the loop."""
