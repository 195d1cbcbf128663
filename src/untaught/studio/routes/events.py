"""What happens, told as it happens: server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from untaught.studio.context import Studio
from untaught.studio.routes.common import Here, Identity, job_facts
from untaught.studio.storage import MissingError

__all__ = ["routes"]

routes = APIRouter()


@routes.get("/events", summary="Server-sent events: `jobs`, the whole queue, whenever it changes")
async def _events(studio: Here) -> Response:
    async def events() -> AsyncIterator[str]:
        seen: tuple[int, float] | None = None
        async for tick in _ticks(studio):
            # What a running job looks like by now is said every two seconds.
            now = (studio.queue.changes, studio.queue.last_activity() if tick % 10 == 0 or seen is None else seen[1])
            if now != seen:
                seen = now
                jobs = [job_facts(studio, identity) for identity in studio.queue.all()]
                yield f"event: jobs\ndata: {json.dumps(jobs)}\n\n"
            else:
                yield ""

    return _stream(events())


@routes.get("/jobs/{identity}/events", summary="Server-sent events: `progress`, lines of figures; `job`, its state")
async def _job_events(studio: Here, identity: Identity, last_event_id: Annotated[str, Header()] = "") -> Response:
    log = studio.store.entry("jobs", identity) / "log.jsonl"

    async def events() -> AsyncIterator[str]:
        offset = int(last_event_id) if last_event_id.isdecimal() else 0
        seen = -1
        async for _ in _ticks(studio):
            lines, offset = _new_lines(log, offset)
            text = ""
            if lines:
                text += f"id: {offset}\nevent: progress\ndata: [{','.join(lines)}]\n\n"
            if studio.queue.changes != seen:
                seen = studio.queue.changes
                try:
                    text += f"event: job\ndata: {json.dumps(job_facts(studio, identity))}\n\n"
                except (MissingError, KeyError):
                    return
            yield text

    return _stream(events())


async def _ticks(studio: Studio) -> AsyncIterator[int]:
    tick = 0
    while not studio.queue.closing:
        yield tick
        tick += 1
        await asyncio.sleep(0.2)


def _stream(events: AsyncIterator[str]) -> Response:
    async def with_signs_of_life() -> AsyncIterator[str]:
        silent_since = time.monotonic()
        async for text in events:
            if text or time.monotonic() - silent_since > 10:
                silent_since = time.monotonic()
                yield text or ": still here\n\n"

    return StreamingResponse(with_signs_of_life(), media_type="text/event-stream")


def _new_lines(log: Path, offset: int) -> tuple[list[str], int]:
    """The whole lines of a log after an offset in bytes, and the offset after them."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], offset
    whole, _, _ = content.rpartition(b"\n")
    if not whole:
        return [], offset
    return whole.decode().split("\n"), offset + len(whole) + 1
