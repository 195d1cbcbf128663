"""Pictures and their masks: upload, view, suggest a mask, remove."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from untaught.studio.queue import RefusedError
from untaught.studio.routes.common import (
    CurrentServices,
    Identity,
    Name,
    link,
    mask_version,
    original,
    picture_info,
    send_content,
    send_file,
    temporary_folder,
)
from untaught.studio.services import Services
from untaught.studio.storage import DamagedError, MissingError, read_json, shown_name, write_json

__all__ = ["add_picture", "check_unused", "picture_facts", "routes"]

routes = APIRouter()

_Role = Literal["guide", "other", "kernel"]


class Answer(BaseModel):
    """What the user says is wrong with a picture: a name of the page's own."""

    model_config = ConfigDict(extra="forbid")

    answer: Annotated[str, Field(pattern="^[a-z_-]{1,40}$")]


@routes.post("/pictures", status_code=201, summary="Upload a picture: the file is the body")
async def _upload(
    services: CurrentServices,
    request: Request,
    name: Annotated[str, Query(max_length=255, description="name of the file")] = "",
) -> dict[str, Any]:
    return await add_picture(services, name, lambda path: services.receive(request, path))


async def add_picture(
    services: Services, name: str, write: Callable[[Path], Any], *, page: str = "", **more: Any
) -> dict[str, Any]:
    """Add a picture to the store.

    Args:
        services: of the studio.
        name: of its file.
        write: writes the file, or returns what to wait for.
        page: of a file that holds several, from 1; the first one if it is empty.
        **more: what else is known of the picture.

    Returns:
        The picture as clients see it.
    """
    with services.store.adding("pictures") as (identity, folder):
        written = write(folder / "file")
        if inspect.isawaitable(written):
            await written
        facts = await services.readers.run(folder, "picture", page)
        info = {"id": identity, "name": shown_name(name), "created": time.time(), **facts, **more}
        write_json(folder / "info.json", info)
    return picture_facts(services, identity)


def picture_facts(services: Services, identity: str) -> dict[str, Any]:
    """Return a picture as clients see it."""
    info = picture_info(services.store, identity)
    folder = services.store.entry("pictures", identity)
    version = mask_version(folder)
    return {**info, "has_mask": bool(version), "mask": version, "files": _second(folder)}


def _second(folder: Path) -> dict[str, str]:
    """The names of a picture's second pictures, by role."""
    found = {}
    for role in get_args(_Role):
        with contextlib.suppress(DamagedError):
            found[role] = str(read_json(folder / f"{role}.json").get("name", role))
    return found


@routes.get("/pictures", summary="All pictures, the newest first")
async def _pictures(services: CurrentServices) -> dict[str, Any]:
    found = []
    for identity in services.store.entries("pictures"):
        with contextlib.suppress(MissingError):
            found.append(picture_facts(services, identity))
    return {"pictures": sorted(found, key=lambda facts: -facts["created"])}


@routes.get("/pictures/{identity}", summary="Size, format and name of a picture")
async def _picture(services: CurrentServices, identity: Identity) -> dict[str, Any]:
    return picture_facts(services, identity)


@routes.put("/pictures/{identity}/name", summary="Give a picture another name; its jobs keep theirs")
async def _rename_picture(services: CurrentServices, identity: Identity, wanted: Name) -> dict[str, Any]:
    info = picture_info(services.store, identity)
    write_json(services.store.entry("pictures", identity) / "info.json", {**info, "name": wanted.shown()})
    return picture_facts(services, identity)


@routes.put("/pictures/{identity}/answer", summary="Keep what the user says is wrong with a picture")
async def _answer(services: CurrentServices, identity: Identity, wanted: Answer) -> dict[str, Any]:
    info = picture_info(services.store, identity)
    write_json(services.store.entry("pictures", identity) / "info.json", {**info, "answer": wanted.answer})
    return picture_facts(services, identity)


def check_unused(services: Services, identity: str) -> None:
    """Check that no job needs a picture any more.

    Raises:
        RefusedError: if one has not ended.
    """
    if services.queue.jobs_of(identity):
        raise RefusedError("a job of this picture has not ended: cancel it, or wait for its end")


@routes.delete("/pictures/{identity}", status_code=204, summary="Remove a picture; its jobs keep their own copy")
async def _remove_picture(services: CurrentServices, identity: Identity) -> None:
    check_unused(services, identity)
    services.store.remove("pictures", identity)


@routes.post(
    "/pictures/{identity}/pages/{number}",
    status_code=201,
    summary="Another page of its file, as a picture; the one before goes if nothing was done with it",
)
async def _choose_page(
    services: CurrentServices, identity: Identity, number: Annotated[int, InPath(ge=1, le=100_000)]
) -> dict[str, Any]:
    info, source = picture_info(services.store, identity), original(services.store, identity)
    pages = info.get("pages") or 1
    if number > pages:
        raise HTTPException(422, f"this file has {pages} pages: choose one of them")
    services.store.check_room()
    facts = await add_picture(
        services,
        f"{info['name']}{source.suffix}",
        lambda path: link(source, path),
        page=str(number),
        pages=info.get("pages"),
        answer=info["answer"],
    )
    folder = services.store.entry("pictures", identity)
    if not mask_version(folder) and not _second(folder) and not services.queue.jobs_of(identity, ended=True):
        services.store.remove("pictures", identity)
    return facts


@routes.get("/pictures/{identity}/view", summary="The picture in a format that browsers show")
async def _view(services: CurrentServices, identity: Identity) -> Response:
    view = services.store.entry("pictures", identity) / "view.png"
    return send_file(view if view.exists() else original(services.store, identity))


@routes.get("/pictures/{identity}/thumbnail", summary="A small JPEG of the picture")
async def _thumbnail(services: CurrentServices, identity: Identity) -> Response:
    return send_file(services.store.entry("pictures", identity) / "thumbnail.jpg")


@routes.put("/pictures/{identity}/mask", summary="Upload the mask of a picture: white is known, black is missing")
async def _put_mask(
    services: CurrentServices,
    request: Request,
    identity: Identity,
    after: Annotated[str | None, Query(max_length=32, description="the version that it replaces, else 412")] = None,
) -> dict[str, Any]:
    info = picture_info(services.store, identity)
    with temporary_folder(services.store) as aside:
        await services.receive(request, aside / "file")
        facts = await services.readers.run(aside, "mask", str(info["width"]), str(info["height"]))
        folder = services.store.entry("pictures", identity)
        if after is not None and after != mask_version(folder):
            raise HTTPException(412, "the marks of this picture have changed in another window")
        if facts["missing"]:
            (aside / "mask.png").replace(folder / "mask.png")
        else:  # nothing is marked any more
            (folder / "mask.png").unlink(missing_ok=True)
        services.masks[identity] = mask_version(folder)
    return {**facts, "mask": services.masks[identity]}


@routes.put("/pictures/{identity}/files/{role}", summary="Upload a second picture, for the tasks that need one")
async def _put_second(
    services: CurrentServices,
    request: Request,
    identity: Identity,
    role: _Role,
    name: Annotated[str, Query(max_length=255, description="name of the file")] = "",
) -> dict[str, Any]:
    info = picture_info(services.store, identity)
    with temporary_folder(services.store) as aside:
        await services.receive(request, aside / "file")
        facts = await services.readers.run(aside, "second", role, role, str(info["width"]), str(info["height"]))
        write_json(aside / f"{role}.json", {"name": shown_name(name), **facts})
        folder = services.store.entry("pictures", identity)
        _drop_second(folder, role)
        for path in aside.iterdir():
            path.replace(folder / path.name)
    return picture_facts(services, identity)


@routes.delete("/pictures/{identity}/files/{role}", status_code=204, summary="Remove a second picture")
async def _remove_second(services: CurrentServices, identity: Identity, role: _Role) -> None:
    _drop_second(services.store.entry("pictures", identity), role)


def _drop_second(folder: Path, role: str) -> None:
    for path in folder.glob(f"{role}.*"):
        path.unlink()


@routes.get("/pictures/{identity}/mask", summary="The mask of a picture")
async def _get_mask(services: CurrentServices, identity: Identity, *, download: bool = False) -> Response:
    name = f"{picture_info(services.store, identity)['name']}-mask.png" if download else None
    folder = services.store.entry("pictures", identity)
    answer = send_content(folder / "mask.png", download_as=name)
    answer.headers["x-mask"] = mask_version(folder)
    return answer


@routes.delete("/pictures/{identity}/mask", status_code=204, summary="Remove the mask of a picture")
async def _remove_mask(services: CurrentServices, identity: Identity) -> None:
    (services.store.entry("pictures", identity) / "mask.png").unlink(missing_ok=True)
    services.masks[identity] = ""


@routes.get("/pictures/{identity}/inspection", summary="What may be wrong with a picture, and the task that treats it")
async def _inspection(services: CurrentServices, identity: Identity) -> dict[str, Any]:
    return await services.readers.run(
        services.store.entry("pictures", identity), "inspection", *_source(services, identity)
    )


def _source(services: Services, identity: str) -> tuple[str, str]:
    """The file of a picture and its page, as the file reader takes them."""
    return str(original(services.store, identity).resolve()), str(
        picture_info(services.store, identity).get("page") or ""
    )


@routes.get("/pictures/{identity}/proposal", summary="A suggested mask of the damage, for the user to correct")
async def _proposal(
    services: CurrentServices,
    identity: Identity,
    kind: Literal["auto", "scratches", "dust", "text", "pixels", "black"],
    strength: Annotated[float, Query(ge=0, le=1, description="how much is marked as damage")] = 0.5,
) -> Response:
    missing, content = await services.proposer.ask(_source(services, identity), kind, strength)
    return Response(content, media_type="image/png", headers={"x-missing": f"{missing:.6f}"})
