"""Picture files and arrays: reading, writing, metrics, noise estimates, inspection."""
