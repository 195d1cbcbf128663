"""The tasks: each reads and checks its input, and makes a problem of it."""
