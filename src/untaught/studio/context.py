"""What every request of the studio meets: the store, the queue, and the processes that read foreign files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request

from untaught.studio.queue import Queue
from untaught.studio.storage import Store

__all__ = ["EXAMPLES", "Studio"]

EXAMPLES = {
    "portrait": ("A portrait, written over", "inpaint"),
    "coffee": ("Half of the pixels gone", "restore"),
    "camera": ("A scratched photograph", "inpaint"),
}
"""The pictures to begin with, by name: title and task."""

_READERS = 2
_UPLOADS = 16
_SECONDS_TO_READ = 120.0


class Studio:
    """The store, the queue, and the processes that read foreign files.

    Args:
        store: where everything is kept.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.queue = Queue(store)
        self.uploads = 0
        self._readers = asyncio.Semaphore(_READERS)

    async def read(self, where: Path, what: str, *words: str) -> dict[str, Any]:
        """Have `untaught.studio.sandbox` do something in a folder.

        Raises:
            HTTPException: 422 for a file that is refused, 500 for one that took the process down.
        """
        async with self._readers:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "untaught.studio.sandbox", what, *words),
                cwd=where,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                output, _ = await asyncio.wait_for(process.communicate(), _SECONDS_TO_READ)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if process.returncode not in (0, 2):
            raise HTTPException(422, "the file could not be read: it is damaged, or takes too much memory")
        answer: dict[str, Any] = json.loads(output)
        if process.returncode == 2:
            raise HTTPException(422, answer["message"])
        return answer

    async def make_examples(self) -> None:
        """Make the pictures to begin with, where they are not there yet."""
        folder = self.store.folder / "examples"
        if not all((folder / name / "thumbnail.jpg").exists() for name in EXAMPLES):
            with contextlib.suppress(HTTPException, TimeoutError):
                await self.read(folder, "examples")

    async def take_in(self, request: Request, path: Path) -> None:
        """Write the body of a request into a file.

        Raises:
            HTTPException: 400 for an empty one, 503 while too many are being taken in.
            FullError: for want of room.
        """
        if self.uploads >= _UPLOADS:
            raise HTTPException(503, "too many uploads at once", headers={"retry-after": "2"})
        self.uploads += 1
        try:
            self.store.check_room(int(request.headers.get("content-length", "0")))
            with path.open("xb") as file:
                async for chunk in request.stream():
                    await asyncio.to_thread(file.write, chunk)
                if not file.tell():
                    raise HTTPException(400, "the body is empty: a picture is wanted")
        finally:
            self.uploads -= 1
