"""How much is stored, from which size on the page asks, and the removal of what the user has chosen."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from untaught.studio.queue import RefusedError
from untaught.studio.routes.common import CurrentServices, picture_info
from untaught.studio.routes.pictures import check_unused
from untaught.studio.storage import MissingError

__all__ = ["routes"]

routes = APIRouter()

_Names = list[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]]


class Limit(BaseModel):
    """From which size on the page asks what to remove.

    Attributes:
        largest: size of all entries, in bytes.
    """

    model_config = ConfigDict(extra="forbid")

    largest: Annotated[int, Field(ge=0, le=2**60)]


class Removal(BaseModel):
    """What to remove.

    Attributes:
        pictures: names of pictures.
        jobs: names of jobs.
    """

    model_config = ConfigDict(extra="forbid")

    pictures: _Names = []
    jobs: _Names = []


@routes.get("/storage", summary="What is stored, how much may be, and what is damaged")
async def _storage(services: CurrentServices) -> dict[str, Any]:
    store = services.store
    found = []
    for entry in await asyncio.to_thread(store.contents):
        with contextlib.suppress(MissingError):
            if entry["kind"] == "jobs":
                name, used = services.queue.request(entry["id"]).name, services.queue.is_unfinished(entry["id"])
            else:
                name, used = picture_info(store, entry["id"])["name"], bool(services.queue.jobs_of(entry["id"]))
            found.append({**entry, "name": name, "in_use": used})
    damaged = store.folder / "damaged"
    return {
        "bytes": sum(entry["bytes"] for entry in found),
        "largest": store.largest,
        "free": shutil.disk_usage(store.folder).free,
        "folder": str(store.folder),
        "entries": found,
        "damaged": sorted(path.name for path in damaged.iterdir()) if damaged.is_dir() else [],
    }


@routes.put("/storage", status_code=204, summary="Set from which size on the page asks what to remove")
async def _set_limit(services: CurrentServices, wanted: Limit) -> None:
    services.store.largest = wanted.largest


@routes.post("/storage/remove", summary="Remove pictures and jobs; none of them if a job has not ended")
async def _remove(services: CurrentServices, wanted: Removal) -> dict[str, int]:
    for identity in wanted.jobs:
        if services.queue.is_unfinished(identity):
            raise RefusedError("one of these jobs has not ended: cancel it, or wait for its end")
    for identity in wanted.pictures:
        check_unused(services, identity)
    for identity in wanted.jobs:
        services.queue.remove(identity)
    for identity in wanted.pictures:
        services.store.remove("pictures", identity)
    return {"removed": len(wanted.jobs) + len(wanted.pictures)}
