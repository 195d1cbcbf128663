"""Jobs: add, pause, resume, finish, cancel, continue, remove."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from untaught.studio.job_checks import FieldError, check_job
from untaught.studio.job_files import JobRequest, JobState
from untaught.studio.queue import RefusedError
from untaught.studio.routes.common import (
    CurrentServices,
    Identity,
    Name,
    all_job_facts,
    job_facts,
    link,
    mask_version,
    original,
    picture_info,
    temporary_folder,
)
from untaught.studio.services import Services
from untaught.studio.storage import MissingError, read_json
from untaught.studio.task_schema import check_settings, find_offer, mask_need, second_files

__all__ = ["routes"]

routes = APIRouter()


class NewJob(BaseModel):
    """What to do with a picture.

    Attributes:
        picture: name of an uploaded picture; its present marks are used.
        mask: version of the marks that the client shows, empty if it shows none; the job is refused if they have
            changed. Without it, whatever marks there are.
        task: name of the task.
        settings: of the task, by name; those left out have the default of the command line.
        crop: left, top, width and height of the region to try, in pixels; None for the whole picture.
    """

    model_config = ConfigDict(extra="forbid")

    picture: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    task: Annotated[str, Field(max_length=40)]
    settings: dict[str, bool | int | float | str | list[float | str | None] | None] = {}
    crop: tuple[int, int, int, int] | None = None
    mask: Annotated[str, Field(pattern="^([0-9a-f]{32})?$")] | None = None


class Continuation(BaseModel):
    """How many more iterations to fit."""

    model_config = ConfigDict(extra="forbid")

    iterations: Annotated[int, Field(ge=1, le=1_000_000)]


class Move(BaseModel):
    """By how many places a job moves among those that wait."""

    model_config = ConfigDict(extra="forbid")

    places: Annotated[int, Field(ge=-1000, le=1000)]


class Strength(BaseModel):
    """How much of the noise is removed."""

    model_config = ConfigDict(extra="forbid")

    strength: float


@routes.post("/jobs", status_code=201, summary="Queue a job")
async def _add_job(services: CurrentServices, wanted: NewJob) -> dict[str, Any]:
    settings = await _check(services, wanted)
    if settings.get("volume"):
        await _check_volume(services, wanted, settings)
    services.queue.check_room()
    services.store.check_room()
    with services.store.adding("jobs") as (identity, folder):
        request = _fill(services, wanted, settings, identity, folder)
        state = JobState.queued(services.queue.next_turn())
        state.write(folder)
    services.queue.add(identity, request, state)
    return job_facts(services, identity)


@routes.post("/jobs/plan", summary="Tell what a job would take, and what is to be known of it; nothing is fitted")
async def _plan(services: CurrentServices, wanted: NewJob) -> dict[str, Any]:
    return await _planned(services, wanted, await _check(services, wanted))


async def _planned(services: Services, wanted: NewJob, settings: dict[str, Any]) -> dict[str, Any]:
    services.store.check_room()
    with temporary_folder(services.store) as folder:
        _fill(services, wanted, settings, "0" * 16, folder)
        return await services.planner.ask(folder)


async def _check_volume(services: Services, wanted: NewJob, settings: dict[str, Any]) -> None:
    """Check that the pages of a file make a volume: only whoever reads all of them can tell.

    Raises:
        FieldError: if they do not.
    """
    try:
        await _planned(services, wanted, settings)
    except FieldError as error:
        raise FieldError(error.field or "volume", str(error)) from None


async def _check(services: Services, wanted: NewJob) -> dict[str, Any]:
    """Check a job and return its settings as plain values."""
    info = picture_info(services.store, wanted.picture)
    source = services.store.entry("pictures", wanted.picture)
    task = find_offer(wanted.task)
    devices = services.queue.machine.devices
    return await asyncio.to_thread(check_job, task, wanted.settings, info, source, wanted.crop, devices)


def _fill(services: Services, wanted: NewJob, settings: dict[str, Any], identity: str, folder: Path) -> JobRequest:
    """Write the request and the input files of a job into its folder."""
    info = picture_info(services.store, wanted.picture)
    source = services.store.entry("pictures", wanted.picture)
    task = find_offer(wanted.task)
    version = mask_version(source) if mask_need(task) != "none" else ""
    if mask_need(task) != "none" and wanted.mask not in (None, version):
        raise RefusedError("the marks of this picture have changed in another window: look at them, then start again")
    crop = wanted.crop
    own = [file.role for file in task.files if file.in_picture_file]
    if crop is not None and own:
        crop = _whole_blocks(crop, info["width"], info["height"])
    page = info.get("page")
    is_volume = bool(settings.get("volume"))
    whole_name = info["name"] if page is None or is_volume else f"{info['name']}-page{page}"
    name = whole_name if crop is None else f"{whole_name}-part"
    file = original(services.store, wanted.picture)
    result = ".tif" if is_volume else info["result"]
    suffix = file.suffix if crop is None else result
    shown_as = info["name"] if crop is None else name
    taken: set[str] = set()
    for job in services.queue.all():
        with contextlib.suppress(MissingError):  # its folder was removed by hand
            other = services.queue.request(job)
            if other.picture == wanted.picture:
                taken.add(other.names["result"])
    restored, number = f"{name}-restored{result}", 1
    while restored in taken:
        number += 1
        restored = f"{name}-restored-{number}{result}"
    names = {"picture": f"{shown_as}{suffix}", "result": restored}
    files = {"picture": f"picture{suffix}", "result": f"result{result}"}
    if version:
        names["mask"], files["mask"] = f"{name}-mask.png", "mask.png"
    whole = None if crop is None else f"whole{file.suffix}"
    if whole is not None:
        # What a task reads from the picture's file itself is not in the file of a region.
        for role in own:
            names[role], files[role] = f"{info['name']}{file.suffix}", whole
    link(file, folder / (whole or files["picture"]))
    for second in second_files(task):
        role, path = second.role, next((one for one in source.glob(f"{second.role}.*") if one.suffix != ".json"), None)
        if path is None:
            continue
        cut = crop is not None and second.kind != "kernel"
        files[role] = f"{role}{read_json(source / f'{role}.json')['result'] if cut else path.suffix}"
        names[role] = f"{name}-{files[role]}"
        link(path, folder / (f"whole-{path.name}" if cut else files[role]))
    if version:
        # A copy, not a link: the user may go on painting on the mask of the picture.
        shutil.copyfile(source / "mask.png", folder / ("whole-mask.png" if crop else "mask.png"))
    if crop is None and (source / "view.png").exists() and not settings.get("value_range"):
        link(source / "view.png", folder / "before.png")
    if (source / "thumbnail.jpg").exists():
        link(source / "thumbnail.jpg", folder / "thumbnail.jpg")
    request = JobRequest(
        id=identity,
        picture=wanted.picture,
        name=name,
        task=task.name,
        settings=settings,
        crop=crop,
        whole=whole,
        width=info["width"] if crop is None else crop[2],
        height=info["height"] if crop is None else crop[3],
        names=names,
        files=files,
        continue_for=[],
        mask=version,
        page=page,
        pages=info.get("pages"),
        shown=info.get("shown"),
    )
    request.write(folder)
    return request


def _whole_blocks(crop: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """Extend a region to whole JPEG blocks, also those of subsampled colour: multiples of 16 pixels."""
    left, top = (start // 16 * 16 for start in crop[:2])
    right, bottom = (-(-(start + side) // 16) * 16 for start, side in zip(crop[:2], crop[2:], strict=True))
    return left, top, min(right, width) - left, min(bottom, height) - top


@routes.get("/jobs", summary="All jobs, the newest first")
async def _jobs(services: CurrentServices) -> dict[str, Any]:
    return {"jobs": all_job_facts(services)}


@routes.get("/jobs/{identity}", summary="The state and progress of a job")
async def _job(services: CurrentServices, identity: Identity) -> dict[str, Any]:
    return job_facts(services, identity)


@routes.delete("/jobs/{identity}", status_code=204, summary="Remove a job; it is cancelled first if it has not ended")
async def _remove_job(services: CurrentServices, identity: Identity) -> None:
    services.queue.remove(identity)


@routes.put("/jobs/{identity}/name", summary="Give a job another name, and its result with it")
async def _rename_job(services: CurrentServices, identity: Identity, wanted: Name) -> dict[str, Any]:
    services.queue.rename(identity, wanted.shown())
    return job_facts(services, identity)


@routes.post("/jobs/{identity}/move", summary="Let a job that waits be fitted earlier (negative) or later")
async def _move(services: CurrentServices, identity: Identity, wanted: Move) -> dict[str, Any]:
    services.queue.move(identity, wanted.places)
    return job_facts(services, identity)


@routes.post("/jobs/{identity}/pause", summary="Pause a job at a checkpoint")
async def _pause(services: CurrentServices, identity: Identity) -> dict[str, Any]:
    services.queue.wish(identity, "pause")
    return job_facts(services, identity)


@routes.post("/jobs/{identity}/resume", summary="Resume a job that was paused or cancelled, or has failed")
async def _resume(services: CurrentServices, identity: Identity) -> dict[str, Any]:
    services.queue.resume(identity)
    return job_facts(services, identity)


@routes.post("/jobs/{identity}/finish", summary="End a job now and keep the picture so far as its result")
async def _finish(services: CurrentServices, identity: Identity) -> dict[str, Any]:
    services.queue.wish(identity, "finish")
    return job_facts(services, identity)


@routes.post("/jobs/{identity}/cancel", summary="End a job at once, without a result")
async def _cancel(services: CurrentServices, identity: Identity) -> dict[str, Any]:
    services.queue.cancel(identity)
    return job_facts(services, identity)


@routes.post("/jobs/{identity}/strength", summary="Set the strength of a denoised picture; nothing is fitted again")
async def _strength(services: CurrentServices, identity: Identity, wanted: Strength) -> dict[str, Any]:
    request = services.queue.request(identity)
    task = find_offer(request.task)
    settings = check_settings(task, {**request.settings, "strength": wanted.strength})
    services.queue.set_strength(identity, settings)
    return job_facts(services, identity)


@routes.post("/jobs/{identity}/continue", summary="Fit a finished job for more iterations")
async def _continue(services: CurrentServices, identity: Identity, wanted: Continuation) -> dict[str, Any]:
    services.queue.continue_for(identity, wanted.iterations)
    return job_facts(services, identity)
