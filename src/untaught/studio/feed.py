"""What all event streams say. It is made once for all of them, whoever reads it and whoever does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from untaught.studio.job_files import new_lines
from untaught.studio.queue import Queue

__all__ = ["Feed"]

_SECONDS = 0.1
_TICKS_BETWEEN_JOBS = 20
_MOST_UNREAD = 256

Message = tuple[str, str]
"""The name of an event, and its data as JSON."""


class Feed:
    """Tells listeners of changes.

    Args:
        queue: of the jobs.
        masks: the versions of marks that have changed.
        describe: returns all jobs as clients see them.
    """

    def __init__(self, queue: Queue, masks: dict[str, str], describe: Callable[[], list[dict[str, Any]]]) -> None:
        self._queue = queue
        self._masks = masks
        self._describe = describe
        self._listeners: set[asyncio.Queue[Message | None]] = set()
        self._told: dict[str, Message] = {}
        self._seen: tuple[int, float] | None = None
        self._offsets: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    async def listen(self) -> AsyncIterator[Message]:
        """Yield how things stand, and then every change.

        It ends for a listener that does not keep up. A client that connects again learns how things stand then.
        """
        listener: asyncio.Queue[Message | None] = asyncio.Queue(_MOST_UNREAD)
        if self._task is None or self._task.done():  # what was told is out of date
            self._seen = None
            self._told.clear()
            self._offsets.clear()
            self._task = asyncio.create_task(self._run())
        for message in self._told.values():
            listener.put_nowait(message)
        self._listeners.add(listener)
        try:
            while not self._queue.closing and (news := await listener.get()) is not None:
                yield news
        finally:
            self._listeners.discard(listener)

    async def _run(self) -> None:
        """Look for changes as long as anybody listens."""
        tick = 0
        while self._listeners and not self._queue.closing:
            for message in self._news(tick):
                self._tell(message)
            tick += 1
            await asyncio.sleep(_SECONDS)
        for listener in [*self._listeners]:
            self._drop(listener)

    def _tell(self, message: Message) -> None:
        if message[0] != "progress":
            self._told[message[0]] = message
        for listener in [*self._listeners]:
            try:
                listener.put_nowait(message)
            except asyncio.QueueFull:
                self._drop(listener)

    def _drop(self, listener: asyncio.Queue[Message | None]) -> None:
        self._listeners.discard(listener)
        while not listener.empty():
            listener.get_nowait()
        listener.put_nowait(None)

    def _news(self, tick: int) -> list[Message]:
        queue, news = self._queue, []
        # The progress of running jobs is in the list of jobs, which is sent every two seconds.
        due = self._seen is None or tick % _TICKS_BETWEEN_JOBS == 0
        now = (queue.changes, queue.last_activity() if due or self._seen is None else self._seen[1])
        news += [found for folder in queue.running() if (found := self._progress(folder)) is not None]
        if now != self._seen:
            self._seen = now
            news.append(("jobs", json.dumps(self._describe())))
        masks = ("masks", json.dumps(self._masks))
        if self._masks and masks != self._told.get("masks"):
            news.append(masks)
        return news

    def _progress(self, folder: Path) -> Message | None:
        """Return the new lines of a job's log; a page that misses some reads the log itself."""
        start = self._offsets.get(folder.name)
        if start is None:
            with contextlib.suppress(OSError):
                start = (folder / "log.jsonl").stat().st_size
            self._offsets[folder.name] = start or 0
            return None
        lines, end = new_lines(folder / "log.jsonl", start)
        self._offsets[folder.name] = end
        if not lines:
            return None
        where = json.dumps({"job": folder.name, "from": start, "to": end})
        return "progress", f'{where[:-1]}, "lines": [{",".join(lines)}]}}'
