"""What can be told of a job before it is queued: whether it cannot succeed, and which field of the page is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from untaught.errors import SettingError
from untaught.studio.task_schema import check_settings, mask_need, second_files
from untaught.tasks.registry import Task

__all__ = ["SMALLEST", "FieldError", "check_job"]

SMALLEST = 16
"""Side of the smallest region, in pixels."""

Box = tuple[int, int, int, int]


class FieldError(SettingError):
    """A job that cannot succeed.

    Attributes:
        field: what has to be changed: an option, "mask" or "region"; empty for the picture or the task.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check_job(
    task: Task,
    given: Mapping[str, object],
    info: Mapping[str, Any],
    folder: Path,
    crop: Box | None,
    devices: Sequence[str],
) -> dict[str, Any]:
    """Check a job.

    Args:
        task: the task.
        given: its options as the client sends them.
        info: of the picture.
        folder: of the picture.
        crop: left, top, width and height of the region to restore; None for the whole picture.
        devices: of this machine; empty while they are not known.

    Returns:
        The options as plain values.

    Raises:
        FieldError: if the job cannot succeed.
    """
    settings = _check_options(task, given)
    device = str(settings.get("device", "auto"))
    if devices and not {device, f"{device}:0", device.removesuffix(":0")} & set(devices):
        raise FieldError("device", f"this machine has no device {device}: there are {', '.join(devices)}")
    if settings.get("volume") and not info.get("pages"):
        raise FieldError("volume", "this file holds one picture: a volume has several pages, which are its slices")
    if crop is not None:
        _check_region(crop, info["width"], info["height"])
    if mask_need(task) != "none":
        _check_marks(task, folder / "mask.png", crop)
    given_files = [file.role for file in second_files(task) if (folder / f"{file.role}.json").exists()]
    for file in second_files(task):
        if file.required and file.role not in given_files:
            raise FieldError(file.role, f"a second picture is needed, {file.about}: choose it first")
    if task.name == "deblur" and settings.get("radius") is None and "kernel" not in given_files:
        raise FieldError("radius", "how far does the blur reach? Enter the radius, in pixels")
    if task.name == "demosaic" and info.get("channels", 1) != 1:
        raise FieldError("", "this picture has its colours already: the mosaic of a sensor is a gray picture")
    if task.name == "dejpeg" and settings.get("consistent") and info.get("format") != "JPEG":
        raise FieldError("consistent", "this picture is no JPEG: only a JPEG says how it was compressed")
    return settings


def _check_options(task: Task, given: Mapping[str, object]) -> dict[str, Any]:
    try:
        return check_settings(task, given)
    except SettingError as error:
        for name, value in given.items():
            try:
                check_settings(task, {name: value})
            except SettingError as reason:
                text = str(reason)
                words = name.replace("_", " ")
                raise FieldError(name, words + text.removeprefix(name) if text.startswith(name) else text) from None
        # Two that do not go together: at the one that is named first.
        named = sorted((name for name in given if name in str(error)), key=str(error).index)
        raise FieldError(named[0] if named else "", str(error)) from None


def _check_region(crop: Box, width: int, height: int) -> None:
    left, top, wide, tall = crop
    if min(wide, tall) < SMALLEST:
        raise FieldError(
            "region", f"the region has {wide} x {tall} pixels: draw one of {SMALLEST} x {SMALLEST} or more"
        )
    if min(left, top) < 0 or left + wide > width or top + tall > height:
        raise FieldError("region", "the region must be inside the picture: draw another one")


def _check_marks(task: Task, mask: Path, crop: Box | None) -> None:
    if not mask.exists():
        if mask_need(task) == "needed":
            raise FieldError("mask", "the picture has no mask: mark what is missing first")
        return
    with Image.open(mask) as image:
        inside = image if crop is None else image.crop((crop[0], crop[1], crop[0] + crop[2], crop[1] + crop[3]))
        values = np.asarray(inside.convert("L"))
    least, most = int(values.min()), int(values.max())
    if least > 127 and mask_need(task) == "needed":
        raise FieldError("region", "nothing is marked in this region: draw one around marks")
    if most <= 127:
        where = "picture" if crop is None else "region"
        field = "mask" if crop is None else "region"
        raise FieldError(field, f"all of the {where} is marked: leave something to restore it from")
