"""Standard output and standard error that may fail: a closed pipe or a full disk ends the printing and not the run."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["Stream", "guarded_streams"]


class Stream:
    """A text stream that gives up once it cannot be written.

    Args:
        stream: the stream itself.

    Attributes:
        error: why it was given up; None while it works.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        if self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        # Python flushes its streams once more when it ends: what is held back goes nowhere.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def guarded_streams() -> Iterator[Stream | None]:
    """Guard both for a while, and print letters that their encoding lacks as escapes.

    Yields:
        Standard output; None if the process has none.
    """
    before = sys.stdout, sys.stderr
    changed = []
    for stream in before:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and stream.errors != "backslashreplace":
            changed.append((reconfigure, stream.errors))
            reconfigure(errors="backslashreplace")
    out, err = (None if stream is None else Stream(stream) for stream in before)
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        sys.stdout, sys.stderr = before
        for guard in (out, err):
            if guard is not None:
                guard.flush()
        for reconfigure, errors in changed:
            with contextlib.suppress(OSError, ValueError):
                reconfigure(errors=errors)
