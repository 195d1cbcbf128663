"""What every request needs: the store, the queue, and the processes that read uploaded files."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from fastapi import HTTPException, Request

from untaught.studio.feed import Feed
from untaught.studio.planner_process import Planner
from untaught.studio.proposer import Proposer
from untaught.studio.queue import Queue
from untaught.studio.reader_process import Readers
from untaught.studio.storage import Store

__all__ = ["CONVERTED", "EXAMPLES", "Services"]

CONVERTED = (".bmp", ".gif")
"""What the names of files end with that become PNG."""

EXAMPLES = {
    "portrait": "inpaint",
    "coffee": "restore",
    "camera": "inpaint",
}
"""The tasks of the example pictures, by name."""

_MOST_UPLOADS = 16


class Services:
    """The store, the queue and the processes.

    Args:
        store: of the pictures and jobs.
        batch: folder of the results of a batch, which the page links to; None for none.

    Attributes:
        feed: what all event streams say; the app sets it.
        masks: `mask_version` of the pictures whose marks have changed since the start.
    """

    feed: Feed

    def __init__(self, store: Store, batch: Path | None = None) -> None:
        self.store = store
        self.batch = batch
        self.queue = Queue(store)
        self.readers = Readers()
        self.planner = Planner()
        self.proposer = Proposer(self.readers)
        self.masks: dict[str, str] = {}
        self._uploads = 0

    def end_helpers(self) -> None:
        """End the processes that requests wait for."""
        self.readers.end()
        self.planner.end()
        self.proposer.end()

    async def make_examples(self) -> None:
        """Make the example pictures that do not exist yet."""
        folder = self.store.folder / "examples"
        if not all((folder / name / "thumbnail.jpg").exists() for name in EXAMPLES):
            with contextlib.suppress(HTTPException, TimeoutError):
                await self.readers.run(folder, "examples")

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
