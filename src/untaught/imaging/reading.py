"""Read pictures, volumes, masks and other inputs from files. The content decides the format, not the suffix."""

from __future__ import annotations

import ctypes
import dataclasses
import difflib
import os
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import InputError, PictureError
from untaught.imaging import jpeg_frame, pillow_formats, tiff
from untaught.imaging.addresses import named
from untaught.imaging.files import read_bytes
from untaught.imaging.formats.registry import RAW, Format, find_format
from untaught.imaging.jpeg_tables import read_compression
from untaught.imaging.masks import Understood, file_mask, turned
from untaught.imaging.picture import MAX_PIXELS, Picture
from untaught.imaging.tiff_pages import RawError

__all__ = ["INPUT_KINDS", "format_of", "read", "read_input", "read_mask"]

_DECODERS: Mapping[str, Callable[[bytes], Picture]] = {
    "PNG": pillow_formats.decode,
    "JPEG": pillow_formats.decode,
    "WebP": pillow_formats.decode,
    "TIFF": tiff.decode,
}

_SECONDS, _SECONDS_PER_MEGABYTE = 25.0, 2.0
"""Reading that takes longer than this is given up."""

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
    b"GIF8": "a GIF file",
    b"8BPS": "a Photoshop file",
    b"\x93NUMPY": "an array of numpy",
    b"BM": "a BMP file",
    b"%PDF": "a PDF file",
    b"<": "an SVG, XML or web page",
}


def read(path: str | os.PathLike[str], *, volume: bool = False, page: int | None = None) -> Picture:
    """Read a picture, or a volume from a file whose pages are its slices.

    Args:
        path: a PNG, JPEG, TIFF or WebP file, or one of `untaught.imaging.formats.registry.FORMATS`.
        volume: read all pages of a file as one volume.
        page: read this page of a file, counted from 1; None for the only one that is no preview.

    Raises:
        PictureError: if the file is not one whole picture in one of these formats.
    """
    path = Path(path)
    content = _content(path)
    kind = format_of(content)
    if page is not None and (volume or page < 1):
        raise InputError("a page is a number from 1, and a volume is all of them: choose one of the two")
    content, other = _unpacked(content)
    if kind not in _DECODERS and other is None:
        advice = "PNG, JPEG, TIFF and WebP can be read, and more: docs/reference/files.md; convert it to one of them"
        raise PictureError(f"{path} is {kind}: {advice}")
    stacks = kind == "TIFF" or (other is not None and other.stacks)
    if volume and not stacks:
        raise PictureError(f"{path} is {kind}: a volume is read from a TIFF, whose pages are its slices")
    if page not in (None, 1) and not stacks:
        raise PictureError(f"{path} is {kind} and has one page: leave out --page")
    try:
        if other is not None:
            return _in_time(lambda: other.decode(content).picture(volume=volume, page=page), len(content))
        if kind == "TIFF":
            try:
                return _in_time(lambda: tiff.decode(content, volume=volume, page=page), len(content))
            except RawError as error:
                return _raw(content, error)
        return _DECODERS[kind](content)
    except PictureError as error:
        raise PictureError(f"{path} {error}") from None
    except MemoryError:
        raise
    # Decoders raise exceptions of every kind on damaged files.
    except Exception as error:
        found = jpeg_frame.found_in(content) if kind == "JPEG" else ""
        if found.startswith("is "):
            raise PictureError(f"{path} {found}") from error
        raise PictureError(
            f"{path} is damaged or cut off: it starts as {kind} and cannot be decoded{found}; get a whole copy of it"
        ) from error


def _raw(content: bytes, refused: RawError) -> Picture:
    """The mosaic of a camera's RAW file; the error that refused it, where no library reads it."""
    if RAW.missing():
        raise refused
    try:
        return _in_time(lambda: RAW.decode(content).picture(volume=False, page=None), len(content))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the library raises errors of its own
        raise refused from None


def _in_time(decode: Callable[[], Picture], size: int) -> Picture:
    """Run a decoder in a thread of its own, and give it up if it takes too long: a made file can keep it for hours."""
    answer: list[Picture | BaseException] = []

    def run() -> None:
        try:
            answer.append(decode())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that asked
            answer.append(error)

    limit = _SECONDS + _SECONDS_PER_MEGABYTE * size / 1e6
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit)
    if not answer:
        if thread.ident is not None:  # ends it between two steps of Python, as a loop over pages makes them
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
        raise PictureError(f"takes more than {limit:.0f} s to read: it is damaged or too complex; save it again")
    found = answer[0]
    if isinstance(found, BaseException):
        raise found
    return found


def format_of(content: bytes) -> str:
    """Name the format of a file by its first bytes, worded to end a sentence: "this file is ..."."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if (found := _unpacked(content)[1]) is not None:
        return found.name
    if content[4:8] == b"ftyp":
        return "a video file"
    return next((name for start, name in _SIGNATURES.items() if content.lstrip().startswith(start)), "not a picture")


def _unpacked(content: bytes) -> tuple[bytes, Format | None]:
    """The content of a file that gzip may have compressed, as NIfTI is, and its format in the folder ``formats``."""
    if content[:2] == b"\x1f\x8b":
        try:
            inner = zlib.decompressobj(31)
            start = inner.decompress(content, 4096)
            found = find_format(start)
            if found is not None:
                return start + inner.decompress(inner.unconsumed_tail, 80 * MAX_PIXELS), found
        except zlib.error:
            pass
    return content, find_format(content)


def read_input(path: str | os.PathLike[str], kind: str, shape: tuple[int, ...]) -> Any:
    """Read an input other than the picture itself.

    Args:
        path: file to read.
        kind: a key of `INPUT_KINDS`.

            * "mask": as `read_mask` understands it.
            * "picture", "guide", "other": a picture of the same size.
            * "kernel": a picture of any size.
            * "compression": how the file itself was compressed.
        shape: height and width of the picture it belongs to; of a volume depth, height and width.

    Returns:
        For a mask (H, W), bool. For pictures (H, W) or (H, W, C) in the file's own type. For "compression" what
        `untaught.imaging.jpeg_tables.read_compression` returns.

    Raises:
        PictureError: if the file cannot be read.
        InputError: if its size is wrong.
    """
    return INPUT_KINDS[kind](Path(path), shape)


def read_mask(
    path: str | os.PathLike[str],
    shape: tuple[int, ...],
    picture: Picture | None = None,
    *,
    marks: str = "auto",
    grow: int | None = None,
) -> Understood:
    """Read a mask and understand it (`untaught.imaging.masks.file_mask`).

    Args:
        path: file to read.
        shape: height and width of the picture it belongs to; of a volume depth, height and width, and one mask may
            serve all slices.
        picture: that picture, if it is there.
        marks: what white means: "known", "missing" or "auto".
        grow: pixels by which the missing part is widened; None for what suits the mask.

    Raises:
        PictureError: if the file cannot be read.
        InputError: if its size is wrong, or it is no mask.
    """
    path = Path(path)
    kind = format_of(_content(path))
    size = shape[-2:]
    mask = read(path, volume=len(shape) == 3 and kind == "TIFF")
    notes: tuple[str, ...] = ()
    if mask.volume and len(mask.pixels) == 1:
        mask = dataclasses.replace(mask, pixels=mask.pixels[0], volume=False)
    if picture is not None and mask.size != size and (fitting := turned(mask, picture)) is not None:
        mask = fitting
        notes = ("the mask is turned as the picture's EXIF orientation turns the picture",)
    elif picture is not None and picture.orientation != 1 and mask.orientation == 1 and mask.size == size:
        notes = (
            "the picture has an EXIF orientation, and the mask has none: it is taken as drawn on the picture as shown",
        )
    if mask.size not in (shape, size):
        raise _wrong_size("mask", path, mask, shape)
    understood = file_mask(mask, picture=picture, marks=marks, grow=grow, jpeg=kind == "JPEG")
    known = understood.known
    if len(shape) == 3 and not mask.volume:
        known = np.broadcast_to(known, shape)
        notes += (f"the mask serves all {shape[0]} slices",)
    return Understood(known, (*notes, *understood.notes))


def _read_same_size(path: Path, shape: tuple[int, ...], name: str = "picture") -> NDArray[Any]:
    picture = read(path, volume=len(shape) == 3)
    if picture.size != shape:
        raise _wrong_size(name, path, picture, shape)
    return picture.pixels


def _wrong_size(name: str, path: Path, picture: Picture, shape: tuple[int, ...]) -> InputError:
    found, wanted = (" x ".join(map(str, reversed(size))) for size in (picture.size, shape))
    sides = "width x height x pages" if len(shape) == 3 else "width x height"
    return InputError(
        f"the {name} {path} is {found} pixels and the picture {wanted} ({sides}): both must have the same size; "
        "resize or crop one of them"
    )


INPUT_KINDS: Mapping[str, Callable[[Path, tuple[int, ...]], Any]] = {
    "compression": lambda path, _: read_compression(_content(path)),
    "guide": lambda path, shape: _read_same_size(path, shape, "guide"),
    "kernel": lambda path, _: read(path).pixels,
    "mask": lambda path, shape: read_mask(path, shape).known,
    "other": lambda path, shape: _read_same_size(path, shape, "other picture"),
    "picture": _read_same_size,
}
"""How `read_input` reads each kind of input. Tasks name the kinds of their inputs by these keys."""


def _content(path: Path) -> bytes:
    try:
        content = read_bytes(path)
    except FileNotFoundError as error:
        names = os.listdir(path.parent) if os.access(path.parent, os.R_OK) and path.parent.is_dir() else []  # noqa: PTH208
        near = difflib.get_close_matches(path.name, names, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise PictureError(f"there is no file {named(path)}{hint}") from error
    if not content:
        raise PictureError(f"{path} is empty: a picture file is wanted")
    return content
