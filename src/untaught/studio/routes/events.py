"""Server-sent events: clients learn of changes while they happen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse

from untaught.studio.job_files import FINAL, new_lines
from untaught.studio.routes.common import CurrentServices, Identity, job_facts
from untaught.studio.storage import MissingError

__all__ = ["routes"]

routes = APIRouter()

_LONGEST_OFFSET = 15
_PING = 10
_LAST = 2**53


@routes.get(
    "/events",
    summary="Server-sent events: `jobs`, all jobs; `masks`, versions of marks that changed; `progress`, lines of logs",
)
async def _events(services: CurrentServices) -> EventSourceResponse:
    async def events() -> AsyncIterator[dict[str, str]]:
        async for name, data in services.feed.listen():
            yield {"event": name, "data": data}

    return EventSourceResponse(events(), ping=_PING)


@routes.get("/jobs/{identity}/log", summary="The lines of a job's log after an offset in bytes, and the next offset")
async def _log(
    services: CurrentServices, identity: Identity, after: Annotated[int, Query(ge=0, le=_LAST)] = 0
) -> dict[str, Any]:
    lines, offset = new_lines(services.store.entry("jobs", identity) / "log.jsonl", after)
    return {"lines": [json.loads(line) for line in lines], "offset": offset}


@routes.get(
    "/jobs/{identity}/events",
    summary="Server-sent events until a job has ended: `progress`, new lines of its log; `job`, the job",
)
async def _job_events(
    services: CurrentServices, identity: Identity, last_event_id: Annotated[str, Header()] = ""
) -> Response:
    log = services.store.entry("jobs", identity) / "log.jsonl"
    # The id of an event is an offset in the log, in bytes.
    known = last_event_id.isdecimal() and len(last_event_id) <= _LONGEST_OFFSET
    offset = int(last_event_id) if known else 0
    if known and services.queue.state(identity).state in FINAL and new_lines(log, offset) == ([], offset):
        return Response(status_code=204)  # a browser that connects again stops at this answer

    async def events() -> AsyncIterator[dict[str, str]]:
        nonlocal offset
        async for name, _ in services.feed.listen():
            lines, offset = new_lines(log, offset)
            if lines:
                yield {"id": str(offset), "event": "progress", "data": f"[{','.join(lines)}]"}
            if name != "jobs":
                continue
            try:
                facts = job_facts(services, identity)
            except MissingError:
                return
            yield {"event": "job", "data": json.dumps(facts)}
            if facts["state"] in FINAL:
                return

    return EventSourceResponse(events(), ping=_PING)
