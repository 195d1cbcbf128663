"""The processes that read uploaded files, as the server sees them: started ahead of time, each for one file only.

One of them may be lent, to suggest marks for its file again and again.

Their own side is `untaught.studio.file_reader`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from fastapi import HTTPException

from untaught.studio.storage import FullError

__all__ = ["UNREADABLE", "Readers", "ending"]

UNREADABLE = "the file could not be read: it is damaged, or takes too much memory"

_MOST = 2
_SLOW = ("inspection", "film", "examples", "compare")
"""Actions that nobody waits for, or that may take long: one at a time, beside the others."""

_SECONDS = 120.0
_REFUSED, _FULL = 2, 3
_LONGEST_LINE = 2**26


class Readers:
    """At most two processes that read, one that does what is slow, and one that waits for the next file."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_MOST)
        self._slow = asyncio.Semaphore(1)
        self._spare: asyncio.Task[asyncio.subprocess.Process] | None = None
        self._warm = False
        self._ending = False
        self._working: set[asyncio.subprocess.Process] = set()

    def open(self) -> None:
        """Keep a process ready from now on."""
        self._warm = True
        self._prepare()

    def _prepare(self) -> None:
        if self._warm and self._spare is None:
            self._spare = asyncio.create_task(_start())

    async def run(self, folder: Path, action: str, *words: str) -> dict[str, Any]:
        """Run an action of `untaught.studio.file_reader` in a folder, and return its answer.

        Raises:
            HTTPException: 422 if the reader refuses the file or does not survive it, 503 if the server ends.
            FullError: if the disk is full.
        """
        async with self._slow if action in _SLOW else self._free:
            if self._ending:
                raise ending()
            spare, self._spare = self._spare, None
            process = await (spare or _start())
            self._working.add(process)
            try:
                if self._ending:
                    raise ending()
                question = json.dumps({"folder": str(folder), "action": action, "words": words})
                output, _ = await asyncio.wait_for(process.communicate(f"{question}\n".encode()), _SECONDS)
            finally:
                self._working.discard(process)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                self._prepare()
        if self._ending:
            raise ending()
        if process.returncode == _FULL:
            raise FullError
        if process.returncode not in (0, _REFUSED):
            raise HTTPException(422, UNREADABLE)
        answer: dict[str, Any] = json.loads(output)
        if process.returncode == _REFUSED:
            raise HTTPException(422, answer["message"])
        return answer

    async def lend(self, original: str, page: str) -> asyncio.subprocess.Process:
        """Return a process that suggests marks for the picture in a file; whoever gets it ends it.

        Raises:
            HTTPException: 503 if the server ends.
        """
        if self._ending:
            raise ending()
        spare, self._spare = self._spare, None
        process = await (spare or _start())
        self._prepare()
        assert process.stdin is not None
        # Not in the picture's own folder: some systems remove no folder that a process is in.
        question = {"folder": str(Path(original).parents[1]), "action": "search", "words": (original, page)}
        process.stdin.write(f"{json.dumps(question)}\n".encode())
        return process

    def end(self) -> None:
        """End the processes that read, so that nobody waits for them, and start no other one."""
        self._warm, self._ending = False, True
        for process in self._working:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def close(self) -> None:
        """End all processes."""
        self.end()
        if self._spare is not None:
            process = await self._spare
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


def ending() -> HTTPException:
    """What is answered to those who wait for a process when the server ends."""
    return HTTPException(503, "the studio is ending: start it again, and repeat this")


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "untaught.studio.file_reader"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LONGEST_LINE,
        start_new_session=True,  # Ctrl-C in the terminal is for the server
    )
