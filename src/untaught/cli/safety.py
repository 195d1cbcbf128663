"""What protects a run: signals that wait for the end of an iteration, and checkpoints."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from untaught.cli.outputs import complain, remove
from untaught.errors import UntaughtError
from untaught.imaging.files import reason

if TYPE_CHECKING:
    from untaught.fitting.run import Run
    from untaught.fitting.state import State

__all__ = ["Checkpoints", "Interruption", "out_of_memory"]


class Checkpoints:
    """The checkpoints of a run, one file.

    Args:
        run: to keep.
        request: what a resumed run is read from; see `untaught.fitting.record.make_request`.
        path: the file; None to keep nothing.

    Attributes:
        written: whether there is one of this run.
    """

    def __init__(self, run: Run, request: Mapping[str, Any], path: Path | None) -> None:
        self.run = run
        self.request = request
        self.path = path
        self.written = False

    def keep(self) -> None:
        """Write one."""
        from untaught.fitting import checkpoint

        if self.path is None:
            return
        checkpoint.save(self.path, self.run.snapshot().beside(request=self.request))
        self.written = True

    def keep_last(self) -> None:
        """Write one at the end of the run; if that fails, say so."""
        try:
            self.keep()
        except (UntaughtError, OSError, MemoryError) as error:
            complain(f"the last checkpoint is missing: {reason(error)}")

    def keep_for_resuming(self, say: Callable[[str], object], *, finished: bool, between: bool) -> None:
        """Write one of a run that is not over, or whose picture could not be written, and say how to go on.

        Args:
            say: takes a sentence.
            finished: whether the run has come to its end.
            between: whether it has been left between two iterations.
        """
        more = ""
        if between:
            self.keep_last()
        elif finished and not self.written:
            self.keep_last()
            more = " --continue-for 1"
        if self.written:
            say(f"go on with: {shlex.join(['untaught', 'resume', str(self.path)])}{more}")

    def remove(self) -> None:
        """Remove what this run has written."""
        self.make_room()

    def make_room(self) -> bool:
        """Remove what this run has written, and return whether there was anything."""
        if self.path is None or not self.written:
            return False
        self.written = False
        remove(self.path)
        return True


class Interruption:
    """Turns the first Ctrl-C, SIGTERM or loss of the terminal into an end between two iterations.

    The second one ends at once. Python lets only the main thread handle signals; in another one, this does nothing.

    Attributes:
        asked: whether there has been one.
        between: whether the run has ended between two iterations because of it.
    """

    def __init__(self) -> None:
        self.asked = False
        self.between = False
        self._previous: list[tuple[signal.Signals, Any]] = []

    def _ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __call__(self, state: State) -> None:  # noqa: ARG002
        """End the run here, if somebody has asked for it."""
        if self.asked:
            self.between = True
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                # nohup ignores the loss of the terminal, and so do we.
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous.append((number, signal.signal(number, self._ask)))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous:
            signal.signal(number, handler)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that there is not enough memory; torch has no class of its own for that on a processor."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("allocate memory" in text or "not enough memory" in text)
