"""Write pictures and volumes to files. The suffix decides the format; a file is always either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from untaught.errors import PictureError
from untaught.imaging import files, pillow_formats, tiff
from untaught.imaging.picture import Picture

__all__ = ["check_writable", "write"]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP"}
_LONGEST_SIDE = {"JPEG": 65535, "WebP": 16383}
_ENCODERS: Mapping[str, Callable[[Picture], bytes]] = {
    "PNG": pillow_formats.encode_png,
    "JPEG": pillow_formats.encode_jpeg,
    "WebP": pillow_formats.encode_webp,
    "TIFF": tiff.encode,
}


def check_writable(
    path: str | os.PathLike[str], picture: Picture, *, inputs: Sequence[Path] = (), overwrite: bool = False
) -> None:
    """Check whether a picture can be written, before a long computation makes it.

    Args:
        path: file to write.
        picture: a picture like the one to write; its values do not matter.
        inputs: files that must not be overwritten.
        overwrite: allow to overwrite them.

    Raises:
        PictureError: if it cannot, with the reason.
    """
    path = Path(path)
    kind = _format(path)
    files.check_writable(path, () if overwrite else inputs, "choose another name, or allow it by --overwrite")
    if problem := _cannot_hold(kind, picture):
        raise PictureError(f"{path} cannot be written: {problem}")


def write(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture in the format that the suffix names. Only JPEG is lossy.

    Raises:
        PictureError: if the suffix or the format does not allow it; see `check_writable`.
    """
    path = Path(path)
    kind = _format(path)
    if problem := _cannot_hold(kind, picture):
        raise PictureError(f"{path} cannot be written: {problem}")
    files.write_bytes(path, _ENCODERS[kind](picture))


def _format(path: Path) -> str:
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise PictureError(f"{path} has {found}: the suffix chooses the format; use one of {', '.join(_FORMATS)}")
    return kind


def _cannot_hold(kind: str, picture: Picture) -> str | None:
    """Say why a format cannot hold a picture, and which can. None if it can."""
    if kind == "TIFF":
        return None
    if picture.volume:
        return f"{kind} holds one picture and this is a volume: choose .tif"
    pixels, metadata, channels = picture.pixels, picture.metadata, picture.channels
    if pixels.dtype.kind == "f":
        return f"{kind} holds whole numbers and this picture has floats: choose .tif"
    if pixels.dtype not in (np.uint8, np.uint16):
        return f"{kind} does not hold {pixels.dtype} values: choose .tif"
    if kind != "PNG" and pixels.dtype != np.uint8:
        return f"{kind} holds 8 bits per channel and this picture has 16: choose .png or .tif"
    if channels not in (1, 3) and not (kind == "JPEG" and metadata.cmyk):
        ink = " of ink" if metadata.cmyk else ""
        return f"{kind} holds gray or RGB and this picture has {channels} channels{ink}: choose .tif"
    if kind == "JPEG" and picture.alpha is not None:
        return "JPEG has no alpha channel and this picture has one: choose .png, .tif or .webp"
    if max(pixels.shape[:2]) > _LONGEST_SIDE.get(kind, 2**31 - 1):
        return f"{kind} holds sides of up to {_LONGEST_SIDE[kind]} pixels: choose .png or .tif"
    return None
