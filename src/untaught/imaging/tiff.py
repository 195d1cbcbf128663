"""TIFF of any depth and number of channels, one page or a volume of pages, decoded and encoded by tifffile."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ImageCms

from untaught.errors import PictureError
from untaught.imaging import exif, geo, png_chunks, xmp
from untaught.imaging.metadata import TEXT_NAMES, Metadata
from untaught.imaging.microscopy import Microscopy
from untaught.imaging.picture import MAX_PIXELS, ORIENTATION, Picture, assemble, check_size, upright
from untaught.imaging.tiff_pages import check_directories, check_series, choose
from untaught.imaging.tiff_samples import Samples, check_meaning, stated_levels, understood

__all__ = ["decode", "encode"]

_DESCRIPTION, _XMP, _IPTC, _ICC_PROFILE = 270, 700, 33723, 34675
_SHORT, _LONG, _ASCII, _BYTE, _UNDEFINED = 3, 4, 2, 1, 7
_UNITS = {2: 1.0, 3: 2.54}
"""Resolution units, in units per inch."""


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Drop tifffile's log records meanwhile: a damaged file is reported by our error, other oddities do not matter."""
    logger = logging.getLogger("tifffile")

    # One function per call, so that calls in two threads do not remove each other's filter.
    def drop(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


def decode(content: bytes, *, volume: bool = False, page: int | None = None) -> Picture:
    """Decode a TIFF file.

    Args:
        content: the bytes of the file.
        volume: read all pages as the slices of a volume. By default the file must hold one picture.
        page: number of the page to read, from 1.

    Raises:
        PictureError: for another number of pages, or values that are not a picture.
        Exception: of any kind, for a damaged file.
    """
    check_directories(content)
    with _silenced(), tifffile.TiffFile(io.BytesIO(content)) as file:
        if volume:
            return _decode_volume(content, file)
        series = file.series[0]
        if page is None and len(file.series) == 1 and series.axes == "CYX":
            check_series(file)
            first = file.pages.first
            check_size(first.imagewidth, first.imagelength)
            samples = understood(np.moveaxis(series.asarray(), 0, -1), first, has_channels=True)
            return _assembled(content, file, first, samples, "CYX")
        chosen, notes = choose(file, page)
        if page is None:
            check_series(file)
        if not hasattr(chosen, "asarray") or isinstance(chosen, tifffile.TiffFrame):
            chosen = chosen.aspage()
        check_size(chosen.imagewidth, chosen.imagelength)
        _check_bytes(chosen.shape, chosen.dtype)
        check_meaning(chosen)
        pixels, axes = chosen.asarray(), chosen.axes
        if pixels.ndim == 3 and axes == "SYX":
            pixels, axes = np.moveaxis(pixels, 0, -1), "YXS"
        if pixels.size == 0:
            raise PictureError("has no pixels: a picture has at least one; export it again")
        if pixels.ndim not in (2, 3):
            raise PictureError(f"holds {pixels.dtype} values of shape {pixels.shape}: one plain picture is wanted")
        samples = understood(pixels, chosen, has_channels=pixels.ndim == 3)
        samples.notes = [*notes, *samples.notes]
        return _assembled(content, file, chosen, samples, axes)


def _assembled(content: bytes, file: Any, page: Any, samples: Samples, axes: str) -> Picture:
    """The picture of one page, or of the pages of its channels."""
    orientation = _orientation(page)
    metadata, nodata = _metadata(content, file, page, samples, axes, orientation)
    made = assemble(samples.pixels, has_alpha=samples.has_alpha, orientation=orientation, metadata=metadata)
    levels = stated_levels(samples, page)
    return dataclasses.replace(made, nodata=nodata, levels=levels, notes=tuple(samples.notes))


def _decode_volume(content: bytes, file: Any) -> Picture:
    check_series(file)
    stored, axes, notes = _stack(file)
    if stored.size == 0:
        raise PictureError("has no pixels: a volume has at least one; export it again")
    page, has_channels = file.pages.first, stored.ndim == 4
    samples = understood(stored, page, has_channels=has_channels)
    if samples.has_alpha:
        raise PictureError("has an alpha channel: a volume cannot have one; save it without")
    orientation = _orientation(page)
    metadata, nodata = _metadata(content, file, page, samples, axes, orientation)
    pixels = np.stack([upright(one, orientation) for one in samples.pixels])
    metadata = dataclasses.replace(metadata, size=(pixels.shape[1], pixels.shape[2]))
    return Picture(
        pixels,
        None,
        metadata,
        volume=True,
        orientation=orientation,
        nodata=nodata,
        levels=stated_levels(samples, page),
        notes=(*notes, *samples.notes),
    )


def _stack(file: tifffile.TiffFile) -> tuple[NDArray[Any], str, list[str]]:
    """Return all pages of a file as a volume, (D, H, W) or (D, H, W, C), the axes as stored, and notes."""
    series = file.series[0]
    others = [one for one in file.series[1:] if not int(one.keyframe.subfiletype) & 5]
    # S: samples of one page. C: channels with pages of their own, beside other pages that are slices.
    colour = next((axis for axis in "SC" if axis in series.axes), "")
    slices = [axis for axis in series.axes if axis not in ("Y", "X", colour)]
    if colour == "C" and not slices:
        colour, slices = "", ["C"]
    if others or len(slices) > 1 or not {"Y", "X"} <= set(series.axes):
        held = " and ".join(" x ".join(map(str, one.shape)) for one in file.series[:4])
        raise PictureError(f"holds {held}: the pages of a volume are slices of one size; save only these")
    page = file.pages.first
    check_size(page.imagewidth, page.imagelength, *(series.shape[series.axes.index(axis)] for axis in slices))
    _check_bytes(series.shape, series.dtype)
    check_meaning(page)
    left = len(file.series) - 1
    notes = [f"{left} pages marked as previews or masks are left out"] if left else []
    order = [*slices, "Y", "X", *colour]
    pixels: NDArray[Any] = series.asarray().transpose([series.axes.index(axis) for axis in order])
    return (pixels if slices else pixels[None]), series.axes, notes


def _check_bytes(shape: tuple[int, ...], kind: Any) -> None:
    if math.prod(shape) * np.dtype(kind).itemsize > 80 * MAX_PIXELS:
        raise PictureError(
            f"holds {' x '.join(map(str, shape))} values by its header, more than fit in memory: crop it"
        )


def _orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag is not None and tag.value in range(1, 9) else 1


def _metadata(
    content: bytes, file: Any, page: Any, samples: Samples, axes: str, orientation: int
) -> tuple[Metadata, tuple[float, ...]]:
    """What the file says besides the pixels, and which values are missing."""
    texts = {number: _text(page.tags[number].value) for number in TEXT_NAMES if number in page.tags}
    density = _density(page)
    microscopy = Microscopy.of_file(file, axes, density) if orientation == 1 and not samples.converted else None
    if file.is_imagej or file.is_ome or file.is_shaped:
        texts.pop(_DESCRIPTION, None)  # it describes the pages of this file
    if texts.get(305) == "tifffile.py":
        del texts[305]
    tags = {
        number: (int(tag.dtype), tag.count, tag.value)
        for number in geo.KEPT
        if (tag := page.tags.get(number)) is not None
    }
    nodata = () if samples.converted else geo.nodata(tags)
    if orientation != 1:
        tags = {number: tag for number, tag in tags.items() if number not in geo.PLACE}
    if samples.converted:
        tags.pop(geo.NODATA, None)
    packet = _bytes(page, _XMP)
    profile = _bytes(page, _ICC_PROFILE)
    metadata = Metadata(
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() if samples.is_srgb else profile,
        exif=_exif(content, file, page),
        resolution=_resolution(page, orientation),
        texts={number: text for number, text in texts.items() if text},
        cmyk=samples.cmyk,
        xmp=None if packet is None else xmp.upright(packet),
        iptc=_bytes(page, _IPTC),
        tags=tags,
        microscopy=microscopy,
    )
    return metadata, nodata


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        value = "\n".join(map(_text, value))
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return str(value).rstrip("\0")


def _bytes(page: Any, number: int) -> bytes | None:
    """A tag as the bytes that stand in the file."""
    tag = page.tags.get(number)
    if tag is None:
        return None
    if isinstance(tag.value, bytes):
        return tag.value
    handle = page.parent.filehandle
    handle.seek(tag.valueoffset)
    length = tag.count * struct.calcsize(tifffile.TIFF.DATA_FORMATS[int(tag.dtype)])
    found: bytes = handle.read(length)
    return found


def _exif(content: bytes, file: Any, page: Any) -> bytes | None:
    """The EXIF directories, as a block of their own; None where there are none, or they are damaged."""
    offsets = {}
    for number in (exif.EXIF, exif.GPS):
        tag = page.tags.get(number)
        if tag is not None and tag.count == 1:
            size = 8 if int(tag.dtype) in (13, 16, 18) and file.is_bigtiff else 4
            order = file.byteorder
            place = tag.offset + (12 if file.is_bigtiff else 8)
            offsets[number] = struct.unpack_from(order + {4: "I", 8: "Q"}[size], content, place)[0]
    try:
        return exif.from_tiff(content, offsets) if offsets else None
    except Exception:  # noqa: BLE001 - a broken EXIF directory must not make the picture unreadable
        return None


def _resolution(page: Any, orientation: int) -> tuple[float, float] | None:
    try:
        unit = _UNITS[int(page.tags[296].value) if 296 in page.tags else 2]
        x, y = (above / below * unit for above, below in (page.tags[code].value for code in (282, 283)))
    except (KeyError, ValueError, ZeroDivisionError, TypeError):
        return None
    if not (x > 1 and y > 1):
        return None
    return (float(y), float(x)) if orientation >= 5 else (float(x), float(y))


def _density(page: Any) -> tuple[float, float] | None:
    """Pixels per a unit that another text names."""
    try:
        x, y = (above / below for above, below in (page.tags[code].value for code in (282, 283)))
    except (KeyError, ValueError, ZeroDivisionError, TypeError):
        return None
    return (float(x), float(y)) if x > 0 and y > 0 else None


def encode(picture: Picture) -> bytes:
    """Encode any picture or volume as TIFF, compressed without loss unless ImageJ has to read it."""
    metadata = picture.metadata
    values = picture.for_encoder()
    named, comment, _ = png_chunks.described(metadata.chunks)
    texts = {**named, **exif.texts_of(metadata.exif, TEXT_NAMES), **metadata.texts}
    comment = metadata.comment or comment
    if comment is not None:
        texts.setdefault(_DESCRIPTION, comment)
    options: dict[str, Any]
    if metadata.microscopy is not None and picture.alpha is None and not metadata.cmyk:
        values, options = metadata.microscopy.laid_out(values, volume=picture.volume)
        texts.pop(_DESCRIPTION, None)
        rgb = "S" in (metadata.microscopy.axes if options["metadata"] is None else options["metadata"]["axes"])
        options |= {"photometric": "rgb" if rgb else "minisblack"}
        if metadata.microscopy.kind == "ome":
            options |= {"compression": "zlib", "planarconfig": "contig" if rgb else None}
    else:
        options = {"metadata": None, "compression": "zlib", **_plain_layout(picture, values)}
    if metadata.resolution is not None and "resolution" not in options:
        options |= {"resolution": metadata.resolution, "resolutionunit": "INCH"}
    directories = exif.as_directories(metadata.exif)
    extra: list[tuple[int, int, int | None, Any, bool]] = [
        (code, _ASCII, None, text.encode(errors="replace"), True) for code, text in texts.items()
    ]
    extra += [(code, kind, count, value, True) for code, (kind, count, value) in metadata.tags.items()]
    # tifffile drops tags that point at directories: their place is held by the numbers before them.
    extra += [(code - 1, _LONG, 1, 0, True) for code in directories]
    for code, kind, block in ((_XMP, _BYTE, metadata.xmp), (_IPTC, _UNDEFINED, metadata.iptc)):
        extra += [] if block is None else [(code, kind, len(block), block, True)]
    buffer = io.BytesIO()
    with _silenced():
        tifffile.imwrite(
            buffer,
            values,
            iccprofile=metadata.icc_profile,
            extratags=extra,
            software=False,  # tifffile would write its own name
            **options,
        )
    return _with_directories(buffer.getvalue(), directories)


def _plain_layout(picture: Picture, values: NDArray[Any]) -> dict[str, Any]:
    """How a picture's channels stand in a TIFF that no other program describes."""
    photometric, colours = {3: ("rgb", 3), 4: ("separated", 4) if picture.metadata.cmyk else ("minisblack", 1)}.get(
        picture.channels, ("minisblack", 1)
    )
    extra = ["unspecified"] * (picture.channels - colours) + ["unassalpha"] * (picture.alpha is not None)
    return {
        "photometric": photometric,
        "planarconfig": "contig" if values.ndim > len(picture.size) else None,
        "extrasamples": extra or None,
    }


def _with_directories(content: bytes, directories: dict[int, Any]) -> bytes:
    """Append directories to a little-endian TIFF and let the tags of its first page point at them."""
    data = bytearray(content)
    if data[:4] != b"II*\0":
        return content
    for number, directory in directories.items():
        data += bytes(len(data) % 2)
        (first,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, first)
        for place in range(first + 2, first + 2 + 12 * count, 12):
            if struct.unpack_from("<H", data, place)[0] == number - 1:
                struct.pack_into("<HHII", data, place, number, _LONG, 1, len(data))
        data += directory.tobytes(len(data))
    return bytes(data)
