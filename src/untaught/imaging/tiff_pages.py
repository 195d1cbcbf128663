"""The pages of a TIFF: whether the file is whole, and which page is the picture."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from untaught.errors import PictureError

__all__ = ["RawError", "check_directories", "check_series", "choose"]

_MOST_PAGES, _MOST_TAGS = 100_000, 4096
_REDUCED, _TRANSPARENCY = 1, 4
_MOSAIC, _LINEAR_RAW = 32803, 34892
_PIXELS_OF = ((273, 279), (324, 325))
_PIXELS = (273, 279, 324, 325)
"""Tags that say where the pixels are, and how many bytes they take: of strips and of tiles."""
_WHOLE = {3: "H", 4: "I", 16: "Q"}
_TYPE_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)


class RawError(PictureError):
    """A camera's RAW file in the form of a TIFF."""


def check_directories(content: bytes) -> None:
    """Follow the chain of pages once, so that a chain that is cut off, or goes in a circle, is an error.

    Raises:
        PictureError: for a chain in a circle, or one that is too long.
        struct.error: for a file that is cut off.
        ValueError: for a file that is damaged, or ends before its last pixel.
    """
    order = {b"II": "<", b"MM": ">"}[content[:2]]
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    pointer, count_of, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    (offset,) = struct.unpack_from(order + pointer, content, 8 if big else 4)
    width = struct.calcsize(order + pointer)
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) > _MOST_PAGES:
            raise PictureError("is damaged: its chain of pages goes in a circle or is endless; get a whole copy of it")
        seen.add(offset)
        (count,) = struct.unpack_from(order + count_of, content, offset)
        start = offset + struct.calcsize(order + count_of)
        if not 0 < count <= _MOST_TAGS:
            raise ValueError("a page without tags")
        (offset,) = struct.unpack_from(order + pointer, content, start + entry * count)
        where: dict[int, tuple[int, ...]] = {}
        for place in range(start, start + entry * count, entry):
            code, kind, length = struct.unpack_from(order + "HH" + pointer, content, place)
            size = _TYPE_SIZES[kind] * length if kind < len(_TYPE_SIZES) else 0
            value = place + 4 + width
            if size > width:
                (value,) = struct.unpack_from(order + pointer, content, value)
                if value + size > len(content):
                    raise ValueError("a tag beyond the end of the file")
            if code in _PIXELS and kind in _WHOLE:
                where[code] = struct.unpack_from(f"{order}{length}{_WHOLE[kind]}", content, value)
        for offsets, lengths in _PIXELS_OF:
            pieces = zip(where.get(offsets, ()), where.get(lengths, ()), strict=False)
            if any(at + length > len(content) for at, length in pieces):
                raise ValueError("pixels beyond the end of the file")


def choose(file: Any, page: int | None) -> tuple[Any, list[str]]:
    """Find the page that is the picture.

    Args:
        file: a `tifffile.TiffFile`.
        page: its number from 1; None for the only one that is no preview and no mask.

    Returns:
        The page, and notes for the user.

    Raises:
        PictureError: for a camera's RAW file, a page that is not there, or more than one picture.
    """
    pages = list(file.pages)
    if page is not None:
        if page > len(pages):
            raise PictureError(f"has {_pages(len(pages))}: choose one from 1 to {len(pages)} by --page")
        return pages[page - 1], []
    _refuse_raw(file, pages)
    pictures = [one for one in pages if not _kind(one) & (_REDUCED | _TRANSPARENCY)]
    if len(pages) == 1:
        return pages[0], []
    if len(pictures) == 1:
        left = len(pages) - 1
        return pictures[0], [
            f"the file holds {_pages(len(pages))}: page {pages.index(pictures[0]) + 1} is restored, the {left} "
            f"marked as preview or mask {'is' if left == 1 else 'are'} left out"
        ]
    sizes = ", ".join(f"{at}: {one.imagewidth} x {one.imagelength}" for at, one in enumerate(pages[:4], 1))
    more = ", ..." if len(pages) > 4 else ""
    raise PictureError(
        f"holds {len(pages)} pages ({sizes}{more}): one picture is wanted, so choose one by --page, or fit all of them "
        "as a volume, by --volume"
    )


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def _kind(page: Any) -> int:
    """What a page is: bits of the tag NewSubfileType, or the older SubfileType."""
    old = page.tags.get(255)
    return int(page.subfiletype) | (_REDUCED if old is not None and old.value == 2 else 0)


def _refuse_raw(file: Any, pages: list[Any]) -> None:
    """Refuse a camera's own file: its first page is often a small preview, its picture a mosaic with its own curve."""
    first = pages[0]
    camera = first.tags.get(50706) is not None or (file.filehandle.size > 10 and _magic(file) == b"CR")
    below = [one for page in pages[:8] for one in (page.pages or ())] if first.subifds else []
    raw = any(int(one.photometric) in (_MOSAIC, _LINEAR_RAW) for one in [*pages, *below] if one is not first)
    larger = any(one.imagewidth > first.imagewidth and one.imagelength > first.imagelength for one in below)
    if int(first.photometric) == _LINEAR_RAW or raw or (camera and int(first.photometric) != _MOSAIC):
        raise RawError(
            "is a camera's RAW file whose first page is a preview: develop it to a 16-bit TIFF, or save its mosaic as "
            'a gray TIFF for demosaic, or have it read by pip install "untaught[raw]"'
        )
    if larger and _kind(first) & _REDUCED:
        raise PictureError(
            "begins with a preview and holds the picture in a sub-file: save the picture as a plain TIFF"
        )


def _magic(file: Any) -> bytes:
    file.filehandle.seek(8)
    return bytes(file.filehandle.read(2))


def check_series(file: Any, is_whole: Callable[[Any], bool] = lambda page: page is not None) -> None:
    """Check that a file holds all the pages that ImageJ or OME promise.

    Raises:
        PictureError: if some are missing.
    """
    series = file.series[0]
    promised = 0
    if file.is_imagej:
        promised = int((file.imagej_metadata or {}).get("images", 1))
        held = 1
        for axis, length in zip(series.axes, series.shape, strict=True):
            held *= length if axis not in "YX" else 1
        if promised > held:
            raise PictureError(
                f"is cut off: ImageJ wrote {promised} pages and {held} are there; get a whole copy of it"
            )
    if file.is_ome:
        pages = list(series.pages)
        there = sum(is_whole(page) for page in pages)
        if there < len(pages):
            raise PictureError(
                f"holds {there} of the {len(pages)} pages that OME says: the others are cut off, or in other files: "
                "get a whole copy, in one file"
            )
