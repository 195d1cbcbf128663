"""The tasks: one file each, with its options, how it reads its input, and its registration."""
