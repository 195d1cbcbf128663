"""A process that answers questions, each a line, until nothing was asked for a while."""

from __future__ import annotations

import asyncio
import contextlib

from untaught.studio.reader_process import ending

__all__ = ["KeptProcess"]

_SECONDS = 120.0
_SECONDS_TO_KEEP = 180.0


class KeptProcess:
    """What the planner and the proposer have in common: at most one process, and one question at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._end: asyncio.TimerHandle | None = None
        self._ending = False

    async def _answer(self, question: str) -> bytes:
        """The line that answers a line; empty, and the process is ended, if none comes.

        Raises:
            HTTPException: 503 if the server ends.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._end is not None:
            self._end.cancel()
        line = b""
        try:
            if self._ending:
                raise ending()
            self._process.stdin.write(f"{question}\n".encode())
            line = await asyncio.wait_for(self._process.stdout.readline(), _SECONDS)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            if not line:  # also if the client has gone: the next answer would be to its question
                self.close()
        if self._ending:
            raise ending()
        self._end = asyncio.get_running_loop().call_later(_SECONDS_TO_KEEP, self.close)
        return line

    def end(self) -> None:
        """End the process, and start no other one."""
        self._ending = True
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._process = None
