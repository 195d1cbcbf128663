"""Suggested marks as the server sees them: a process measures a picture once, and answers for each strength."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import Any

from fastapi import HTTPException

from untaught.studio.reader_process import UNREADABLE, Readers, ending

__all__ = ["Proposer"]

_SECONDS = 120.0
_SECONDS_TO_KEEP = 180.0


class Proposer:
    """Suggests marks for one picture at a time. Its process ends with the next picture, or when it is idle.

    Args:
        readers: lend the process.
    """

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._source = ("", "")
        self._end: asyncio.TimerHandle | None = None
        self._ending = False

    async def ask(self, source: tuple[str, str], kind: str, strength: float) -> tuple[float, bytes]:
        """Suggest marks.

        Args:
            source: the file of the picture and its page.
            kind: of damage, see `untaught.propose_mask`.
            strength: see there.

        Returns:
            The share of the picture that is marked, and the mask as a PNG file.

        Raises:
            HTTPException: 422 if the picture cannot be read, 503 if the server ends.
        """
        async with self._lock:
            if self._end is not None:
                self._end.cancel()
            answer = None
            if source == self._source and self._process is not None:
                answer = await self._answer(kind, strength)
            if answer is None:  # another picture, or its process has come to its limits
                self.close()
                self._process, self._source = await self._readers.lend(*source), source
                answer = await self._answer(kind, strength)
            if self._ending:
                raise ending()
            if answer is None or "message" in answer:
                self.close()
                raise HTTPException(422, UNREADABLE if answer is None else answer["message"])
            self._end = asyncio.get_running_loop().call_later(_SECONDS_TO_KEEP, self.close)
        return answer["missing"], base64.b64decode(answer["mask"])

    async def _answer(self, kind: str, strength: float) -> dict[str, Any] | None:
        """The answer of the process; None if it ends without one."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = b""
        try:
            self._process.stdin.write(f"{kind} {strength}\n".encode())
            line = await asyncio.wait_for(self._process.stdout.readline(), _SECONDS)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            if not line:  # also if the client has gone: the next answer would be to its question
                self.close()
        return dict(json.loads(line)) if line else None

    def end(self) -> None:
        """End the process, so that nobody waits for it."""
        self._ending = True
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._process, self._source = None, ("", "")
