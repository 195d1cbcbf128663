"""Server-sent events: the page learns of changes while they happen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from sse_starlette import EventSourceResponse

from untaught.studio.job_files import new_lines
from untaught.studio.routes.common import CurrentServices, Identity, all_job_facts, job_facts
from untaught.studio.services import Services
from untaught.studio.storage import MissingError

__all__ = ["routes"]

routes = APIRouter()

_LONGEST_OFFSET = 15
_PING = 10


@routes.get("/events", summary="Server-sent events: `jobs`, all jobs; `masks`, versions of the marks that changed")
async def _events(services: CurrentServices) -> EventSourceResponse:
    async def events() -> AsyncIterator[dict[str, str]]:
        seen: tuple[int, float] | None = None
        masks: dict[str, str] = {}
        async for tick in _ticks(services):
            # The progress of running jobs is sent every two seconds.
            queue = services.queue
            now = (queue.changes, queue.last_activity() if tick % 10 == 0 or seen is None else seen[1])
            if now != seen:
                seen = now
                yield {"event": "jobs", "data": json.dumps(all_job_facts(services))}
            if services.masks != masks:
                masks = dict(services.masks)
                yield {"event": "masks", "data": json.dumps(masks)}

    return EventSourceResponse(events(), ping=_PING)


@routes.get("/jobs/{identity}/events", summary="Server-sent events: `progress`, new lines of the log; `job`, the job")
async def _job_events(
    services: CurrentServices, identity: Identity, last_event_id: Annotated[str, Header()] = ""
) -> EventSourceResponse:
    log = services.store.entry("jobs", identity) / "log.jsonl"

    async def events() -> AsyncIterator[dict[str, str]]:
        # The id of an event is an offset in the log, in bytes.
        known = last_event_id.isdecimal() and len(last_event_id) <= _LONGEST_OFFSET
        offset, seen = int(last_event_id) if known else 0, -1
        async for _ in _ticks(services):
            lines, offset = new_lines(log, offset)
            if lines:
                yield {"id": str(offset), "event": "progress", "data": f"[{','.join(lines)}]"}
            if services.queue.changes != seen:
                seen = services.queue.changes
                try:
                    yield {"event": "job", "data": json.dumps(job_facts(services, identity))}
                except MissingError:
                    return

    return EventSourceResponse(events(), ping=_PING)


async def _ticks(services: Services) -> AsyncIterator[int]:
    tick = 0
    while not services.queue.closing:
        yield tick
        tick += 1
        await asyncio.sleep(0.2)
