"""What the page offers before anything is uploaded: the tasks, and example pictures."""

from __future__ import annotations

import shutil
import time
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Response

import untaught
from untaught.imaging.detection.proposal import KINDS
from untaught.imaging.formats.registry import SUFFIXES
from untaught.studio.exports import offered
from untaught.studio.routes.common import CurrentServices, send_file
from untaught.studio.routes.pictures import picture_facts
from untaught.studio.services import CONVERTED, EXAMPLES
from untaught.studio.storage import write_json
from untaught.studio.task_schema import describe, offers

__all__ = ["routes"]

routes = APIRouter()


@routes.get("/tasks", summary="The tasks and their settings")
async def _tasks(services: CurrentServices) -> dict[str, Any]:
    tasks = [describe(task, services.queue.machine.devices) for task in offers()]
    return {
        "version": untaught.__version__,
        "tasks": tasks,
        "proposals": KINDS,
        "files": [*SUFFIXES, *CONVERTED],
        "exports": offered(),
        "machine": services.queue.machine.reasons,
    }


@routes.get("/examples", summary="The example pictures")
async def _examples(services: CurrentServices) -> dict[str, Any]:
    folder = services.store.folder / "examples"
    ready = [name for name in EXAMPLES if (folder / name / "thumbnail.jpg").exists()]
    return {
        "complete": len(ready) == len(EXAMPLES),
        "examples": [{"name": name, "task": EXAMPLES[name]} for name in ready],
    }


_ExampleName = Literal["portrait", "coffee", "camera"]


@routes.get("/examples/{name}/thumbnail", summary="A small JPEG of an example")
async def _example_thumbnail(services: CurrentServices, name: _ExampleName) -> Response:
    return send_file(services.store.folder / "examples" / name / "thumbnail.jpg")


@routes.post("/examples/{name}", status_code=201, summary="Add an example as a picture with its mask")
async def _add_example(services: CurrentServices, name: _ExampleName) -> dict[str, Any]:
    source = services.store.folder / "examples" / name
    if not all((source / file).is_file() for file in ("picture.png", "mask.png", "thumbnail.jpg")):
        raise HTTPException(503, "the examples are not ready yet: try again in a second", headers={"retry-after": "1"})
    services.store.check_room()
    with services.store.adding("pictures") as (identity, folder):
        shutil.copyfile(source / "picture.png", folder / "file")
        shutil.copyfile(source / "mask.png", folder / "mask.png")
        facts = await services.readers.run(folder, "picture")
        write_json(folder / "info.json", {"id": identity, "name": f"example-{name}", "created": time.time(), **facts})
    return picture_facts(services, identity)
