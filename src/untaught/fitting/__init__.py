"""The fit: problem, recipe, loop, stopping, checkpoint, result."""
