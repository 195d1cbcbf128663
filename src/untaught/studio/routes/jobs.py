"""Jobs: queued, told what to do, removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from untaught.studio.routes.common import Here, Identity, job_facts, original
from untaught.studio.storage import read_json, write_json
from untaught.studio.task_schema import check_settings, find_offer, mask_need

__all__ = ["routes"]

routes = APIRouter()


class JobRequest(BaseModel):
    """What to do with a picture.

    Attributes:
        picture: name of an uploaded picture; its mask as it is now is used.
        task: name of one of the tasks.
        settings: of that task, by name; what is left out is as it is for the command line.
        crop: left, top, width and height of a region to try, in pixels; the whole picture if there is none.
    """

    model_config = ConfigDict(extra="forbid")

    picture: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    task: Annotated[str, Field(max_length=40)]
    settings: dict[str, bool | int | float | str | None] = {}
    crop: tuple[int, int, int, int] | None = None


class ContinueRequest(BaseModel):
    """How much longer to fit."""

    model_config = ConfigDict(extra="forbid")

    iterations: Annotated[int, Field(ge=1, le=1_000_000)]


@routes.post("/jobs", status_code=201, summary="Queue a job")
async def _add_job(studio: Here, wanted: JobRequest) -> dict[str, Any]:
    source = studio.store.entry("pictures", wanted.picture)
    info = read_json(source / "info.json")
    task = find_offer(wanted.task)
    settings = check_settings(task, wanted.settings)
    has_mask = mask_need(task) != "none" and (source / "mask.png").exists()
    if mask_need(task) == "needed" and not has_mask:
        raise HTTPException(422, "paint over what is missing first: there is no mask yet")
    crop = wanted.crop
    if crop is not None and not _fits(crop, info["width"], info["height"]):
        raise HTTPException(422, "the region to try is not inside the picture, or is smaller than 16 x 16")
    own = [file.role for file in task.files if file.own]
    if crop is not None and own:
        crop = _whole_blocks(crop, info["width"], info["height"])
    studio.queue.check_room()
    studio.store.check_room()
    name = info["name"] if crop is None else f"{info['name']}-part"
    file = original(source)
    suffix = file.suffix if crop is None else info["result"]
    names = {"picture": f"{name}{suffix}", "result": f"{name}-restored{info['result']}"}
    files = {"picture": f"picture{suffix}", "result": f"result{info['result']}"}
    if has_mask:
        names["mask"], files["mask"] = f"{name}-mask.png", "mask.png"
    whole = None if crop is None else f"whole{file.suffix}"
    if whole is not None:
        # What is read from the picture's own file is not in that of a part.
        for role in own:
            names[role], files[role] = f"{info['name']}{file.suffix}", whole
    with studio.store.adding("jobs") as (identity, folder):
        _link(file, folder / (whole or files["picture"]))
        if has_mask:
            # Copied, not linked: the picture's own mask may be painted on.
            shutil.copyfile(source / "mask.png", folder / ("whole-mask.png" if crop else "mask.png"))
        if crop is None and (source / "view.png").exists():
            _link(source / "view.png", folder / "before.png")
        _link(source / "thumbnail.jpg", folder / "thumbnail.jpg")
        request: dict[str, Any] = {
            "id": identity,
            "picture": wanted.picture,
            "name": name,
            "task": task.name,
            "settings": settings,
            "crop": crop,
            "whole": whole,
            "width": info["width"] if crop is None else crop[2],
            "height": info["height"] if crop is None else crop[3],
            "names": names,
            "files": files,
            "continue_for": [],
        }
        write_json(folder / "request.json", request)
        write_json(folder / "state.json", {"state": "queued", "message": "", "created": 0, "turn": 0})
    studio.queue.add(identity)
    return job_facts(studio, identity)


def _fits(crop: tuple[int, int, int, int], width: int, height: int) -> bool:
    left, top, wide, tall = crop
    return min(wide, tall) >= 16 and min(left, top) >= 0 and left + wide <= width and top + tall <= height


def _whole_blocks(crop: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """A region that a JPEG's blocks fit into, those of colours spared too, as they fit into the whole picture."""
    left, top = (start // 16 * 16 for start in crop[:2])
    right, bottom = (-(-(start + side) // 16) * 16 for start, side in zip(crop[:2], crop[2:], strict=True))
    return left, top, min(right, width) - left, min(bottom, height) - top


@routes.get("/jobs", summary="All jobs, the newest first")
async def _jobs(studio: Here) -> dict[str, Any]:
    return {"jobs": [job_facts(studio, identity) for identity in studio.queue.all()]}


@routes.get("/jobs/{identity}", summary="Where a job stands")
async def _job(studio: Here, identity: Identity) -> dict[str, Any]:
    return job_facts(studio, identity)


@routes.delete("/jobs/{identity}", status_code=204, summary="Cancel a job if need be, and remove it")
async def _remove_job(studio: Here, identity: Identity) -> None:
    studio.queue.remove(identity)


@routes.post("/jobs/{identity}/pause", summary="Leave a job at a checkpoint, to be resumed later")
async def _pause(studio: Here, identity: Identity) -> dict[str, Any]:
    studio.queue.wish(identity, "pause")
    return job_facts(studio, identity)


@routes.post("/jobs/{identity}/resume", summary="Go on with a job that was paused, cancelled or has failed")
async def _resume(studio: Here, identity: Identity) -> dict[str, Any]:
    studio.queue.resume(identity)
    return job_facts(studio, identity)


@routes.post("/jobs/{identity}/finish", summary="End a job now, with the picture so far as its result")
async def _finish(studio: Here, identity: Identity) -> dict[str, Any]:
    studio.queue.wish(identity, "finish")
    return job_facts(studio, identity)


@routes.post("/jobs/{identity}/cancel", summary="End a job at once")
async def _cancel(studio: Here, identity: Identity) -> dict[str, Any]:
    studio.queue.cancel(identity)
    return job_facts(studio, identity)


@routes.post("/jobs/{identity}/continue", summary="Fit on after the end")
async def _continue(studio: Here, identity: Identity, wanted: ContinueRequest) -> dict[str, Any]:
    studio.queue.continue_for(identity, wanted.iterations)
    return job_facts(studio, identity)


def _link(source: Path, target: Path) -> None:
    """The same file in a second place: no copy where the disk can do without one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
