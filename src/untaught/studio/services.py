"""What every request needs: the store, the queue, and the sandbox processes that read uploaded files."""

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

__all__ = ["EXAMPLES", "Services"]

EXAMPLES = {
    "portrait": ("A portrait, written over", "inpaint"),
    "coffee": ("Half of the pixels gone", "restore"),
    "camera": ("A scratched photograph", "inpaint"),
}
"""The example pictures by name: title and task."""

_MOST_SANDBOXES = 2
_MOST_UPLOADS = 16
_SECONDS_TO_READ = 120.0


class Services:
    """The store, the queue and the sandbox processes.

    Args:
        store: of the pictures and jobs.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.queue = Queue(store)
        self._uploads = 0
        self._sandboxes = asyncio.Semaphore(_MOST_SANDBOXES)

    async def run_sandbox(self, folder: Path, action: str, *words: str) -> dict[str, Any]:
        """Run an action of `untaught.studio.sandbox` in a folder, and return its answer.

        Raises:
            HTTPException: 422 if the sandbox refuses the file or does not survive it.
        """
        async with self._sandboxes:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "untaught.studio.sandbox", action, *words),
                cwd=folder,
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
        """Make the example pictures that do not exist yet."""
        folder = self.store.folder / "examples"
        if not all((folder / name / "thumbnail.jpg").exists() for name in EXAMPLES):
            with contextlib.suppress(HTTPException, TimeoutError):
                await self.run_sandbox(folder, "examples")

    async def receive(self, request: Request, path: Path) -> None:
        """Write the body of a request to a new file.

        Raises:
            HTTPException: 400 if the body is empty, 503 while too many uploads are running.
            FullError: if the disk has too little free space.
        """
        if self._uploads >= _MOST_UPLOADS:
            raise HTTPException(503, "too many uploads at once: try again in two seconds", headers={"retry-after": "2"})
        self._uploads += 1
        try:
            self.store.check_room(int(request.headers.get("content-length", "0")))
            with path.open("xb") as file:
                async for chunk in request.stream():
                    await asyncio.to_thread(file.write, chunk)
                if not file.tell():
                    raise HTTPException(400, "the body is empty: send the file as the body of the request")
        finally:
            self._uploads -= 1
