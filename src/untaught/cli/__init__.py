"""The command line: commands, help, progress on a terminal, and the demonstration."""

from untaught.cli.app import main

__all__ = ["main"]
