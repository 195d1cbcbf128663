"""The command line."""

from untaught.cli.app import main

__all__ = ["main"]
