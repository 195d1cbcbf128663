"""TIFF of any depth and number of channels, one page or a volume of pages, decoded and encoded by tifffile."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from untaught.errors import PictureError
from untaught.imaging.picture import ORIENTATION, Metadata, Picture, assemble, check_size, native, upright

__all__ = ["decode", "encode"]

# Descriptive tags by number, and the argument of tifffile.imwrite that writes them, if there is one.
_TEXTS = {270: "description", 271: None, 272: None, 305: "software", 306: "datetime", 315: None, 33432: None}
_ICC_PROFILE = 34675
_SAMPLE_RANGE = ((280, 340), (281, 341))  # MinSampleValue and SMinSampleValue, and those of the largest
_NODATA = 42113  # GDAL's, as text


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


def decode(content: bytes, *, volume: bool = False) -> Picture:
    """Decode a TIFF file.

    Args:
        content: the bytes of the file.
        volume: read all pages as the slices of a volume. By default the file must hold one picture.

    Raises:
        PictureError: for another number of pages, or values that are not a picture.
        Exception: of any kind, for a damaged file.
    """
    with _silenced(), tifffile.TiffFile(io.BytesIO(content)) as file:
        page, series = file.pages.first, file.series[0]
        channels_first = len(file.series) == 1 and series.axes == "CYX"
        if len(file.pages) > 1 and not channels_first and not volume:
            raise PictureError(
                f"holds {len(file.pages)} pages: one picture is wanted, so split it or save one of them, or fit all of "
                "them as a volume, by --volume"
            )
        check_size(page.imagewidth, page.imagelength)
        if volume:
            pixels = _stack(file)
        else:
            pixels = series.asarray() if channels_first else page.asarray()
            if channels_first or (pixels.ndim == 3 and page.axes == "SYX"):
                pixels = np.moveaxis(pixels, 0, -1)
        if pixels.ndim - volume not in (2, 3) or pixels.dtype.kind not in "uifb":
            raise PictureError(f"holds {pixels.dtype} values of shape {pixels.shape}: one plain picture is wanted")
        pixels = native(pixels)
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            pixels = np.moveaxis(page.colormap[:, pixels], 0, -1)
        elif page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
            pixels = np.iinfo(pixels.dtype).max - pixels
        tags = {code: page.tags[code].value for code in (_ICC_PROFILE, ORIENTATION, *_TEXTS) if code in page.tags}
        if volume and ("C" in series.axes or series.kind == "ome"):
            # Microscope software describes here one page per channel; these pages will not exist in our file.
            tags.pop(270, None)
        # The EXIF directory of a TIFF points into its own file and is not kept. The descriptive tags are.
        metadata = Metadata(
            icc_profile=tags.get(_ICC_PROFILE),
            resolution=_resolution(page),
            texts={code: str(tags[code]) for code in _TEXTS if tags.get(code)},
            cmyk=page.photometric == tifffile.PHOTOMETRIC.SEPARATED and pixels.shape[2 + volume :] == (4,),
        )
        # 1 and 2 are the two kinds of alpha. Other extra samples are data.
        has_alpha = pixels.ndim - volume == 3 and bool(page.extrasamples) and int(page.extrasamples[-1]) in (1, 2)
        nodata, levels = _nodata(page), _levels(page, pixels)
    orientation = int(tags.get(ORIENTATION, 1))
    if not volume:
        picture = assemble(pixels, has_alpha=has_alpha, orientation=orientation, metadata=metadata)
        return dataclasses.replace(picture, nodata=nodata, levels=levels)
    if has_alpha:
        raise PictureError("has an alpha channel: a volume cannot have one; save it without")
    whole = np.stack([upright(one, orientation) for one in pixels])
    return Picture(whole, None, metadata, volume=True, orientation=orientation, nodata=nodata, levels=levels)


def _stack(file: tifffile.TiffFile) -> NDArray[Any]:
    """Return all pages of a file as a volume, (D, H, W) or (D, H, W, C)."""
    series = file.series[0]
    # S: samples of one page. C: channels with pages of their own, beside other pages that are slices.
    colour = next((axis for axis in "SC" if axis in series.axes), "")
    slices = [axis for axis in series.axes if axis not in ("Y", "X", colour)]
    if colour == "C" and not slices:
        colour, slices = "", ["C"]
    if len(file.series) > 1 or len(slices) > 1 or not {"Y", "X"} <= set(series.axes):
        held = " and ".join(" x ".join(map(str, one.shape)) for one in file.series[:4])
        raise PictureError(f"holds {held}: the pages of a volume are slices of one size; save only these")
    page = file.pages.first
    check_size(page.imagewidth, page.imagelength, *(series.shape[series.axes.index(axis)] for axis in slices))
    order = [*slices, "Y", "X", *colour]
    pixels: NDArray[Any] = series.asarray().transpose([series.axes.index(axis) for axis in order])
    return pixels if slices else pixels[None]


def _nodata(page: Any) -> tuple[float, ...]:
    """The value that GDAL's tag says is missing; none for NaN, which is missing anyway."""
    try:
        value = float(str(page.tags[_NODATA].value).strip("\0 "))
    except (KeyError, ValueError):
        return ()
    return (value,) if math.isfinite(value) else ()


def _levels(page: Any, pixels: NDArray[Any]) -> tuple[float, float] | None:
    """Black and white by the tags of the least and largest sample, or by the bits per sample; None if they say nothing.

    Tags that the samples contradict, or that are those of the type anyway, say nothing.
    """
    if pixels.dtype.kind != "u":
        return None
    whole = np.iinfo(pixels.dtype).max
    least, most = ([page.tags[code].value for code in codes if code in page.tags] for codes in _SAMPLE_RANGE)
    try:
        low = min(float(np.min(value)) for value in least) if least else 0.0
        bits = page.bitspersample
        high = max(float(np.max(value)) for value in most) if most else 2.0**bits - 1
    except (TypeError, ValueError):
        return None
    contradicted = not low < high <= whole or pixels.min() < low or pixels.max() > high
    return None if contradicted or (low, high) == (0, whole) else (low, high)


def _resolution(page: Any) -> tuple[float, float] | None:
    try:
        x, y = page.get_resolution(unit="INCH")
    except (KeyError, ValueError, ZeroDivisionError, TypeError):
        return None
    return (float(x), float(y)) if x > 1 and y > 1 else None


def encode(picture: Picture) -> bytes:
    """Encode any picture or volume as TIFF, compressed without loss."""
    values, metadata = picture.with_alpha(), picture.metadata
    values = values[..., 0] if values.shape[len(picture.size) :] == (1,) else values
    photometric, colours = {3: ("rgb", 3), 4: ("separated", 4) if metadata.cmyk else ("minisblack", 1)}.get(
        picture.channels, ("minisblack", 1)
    )
    extra = ["unspecified"] * (picture.channels - colours) + ["unassalpha"] * (picture.alpha is not None)
    texts = dict(metadata.texts)
    options: dict[str, Any] = {"software": False}  # tifffile would write its own name
    options |= {name: texts.pop(code) for code, name in _TEXTS.items() if name and code in texts}
    if metadata.resolution is not None:
        options.update(resolution=metadata.resolution, resolutionunit="INCH")
    buffer = io.BytesIO()
    with _silenced():
        tifffile.imwrite(
            buffer,
            values,
            photometric=photometric,
            planarconfig="contig" if values.ndim > len(picture.size) else None,
            extrasamples=extra or None,
            compression="zlib",
            iccprofile=metadata.icc_profile,
            metadata=None,
            extratags=[(code, 2, None, text, True) for code, text in texts.items()],
            **options,
        )
    return buffer.getvalue()
