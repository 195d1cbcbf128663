"""Server-sent events: the page learns of changes while they happen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from sse_starlette import EventSourceResponse

from untaught.studio.context import Studio
from untaught.studio.job_files import new_lines
from untaught.studio.routes.common import CurrentStudio, Identity, all_job_facts, job_facts
from untaught.studio.storage import MissingError

__all__ = ["routes"]

routes = APIRouter()

_LONGEST_OFFSET = 15
_PING = 10


@routes.get("/events", summary="Server-sent events: `jobs`, the list of all jobs after each change")
async def _events(studio: CurrentStudio) -> EventSourceResponse:
    async def events() -> AsyncIterator[dict[str, str]]:
        seen: tuple[int, float] | None = None
        async for tick in _ticks(studio):
            # The progress of running jobs is sent every two seconds.
            now = (studio.queue.changes, studio.queue.last_activity() if tick % 10 == 0 or seen is None else seen[1])
            if now != seen:
                seen = now
                yield {"event": "jobs", "data": json.dumps(all_job_facts(studio))}

    return EventSourceResponse(events(), ping=_PING)


@routes.get("/jobs/{identity}/events", summary="Server-sent events: `progress`, new lines of the log; `job`, the job")
async def _job_events(
    studio: CurrentStudio, identity: Identity, last_event_id: Annotated[str, Header()] = ""
) -> EventSourceResponse:
    log = studio.store.entry("jobs", identity) / "log.jsonl"

    async def events() -> AsyncIterator[dict[str, str]]:
        # The id of an event is an offset in the log, in bytes.
        known = last_event_id.isdecimal() and len(last_event_id) <= _LONGEST_OFFSET
        offset, seen = int(last_event_id) if known else 0, -1
        async for _ in _ticks(studio):
            lines, offset = new_lines(log, offset)
            if lines:
                yield {"id": str(offset), "event": "progress", "data": f"[{','.join(lines)}]"}
            if studio.queue.changes != seen:
                seen = studio.queue.changes
                try:
                    yield {"event": "job", "data": json.dumps(job_facts(studio, identity))}
                except MissingError:
                    return

    return EventSourceResponse(events(), ping=_PING)


async def _ticks(studio: Studio) -> AsyncIterator[int]:
    tick = 0
    while not studio.queue.closing:
        yield tick
        tick += 1
        await asyncio.sleep(0.2)
