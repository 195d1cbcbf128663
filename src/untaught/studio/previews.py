"""Pictures as a browser shows them: 8-bit views, thumbnails, uncertainty maps and the film of a job."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from untaught.errors import InputError
from untaught.imaging.picture import Picture

__all__ = [
    "as_film",
    "as_jpeg",
    "as_shown",
    "film",
    "heat",
    "in_turns",
    "shown_range",
    "side_by_side",
    "slice_of",
    "thumbnail",
]

_FILM_SIDE = 480
_THUMBNAIL_SIDE = 192
_TURNS_SIDE = 960
_VIDEO_SIDE = 1920
_VIDEO_RATE = 25
_WIPE = (*[0.0] * 30, *(0.5 - 0.5 * math.cos(math.pi * step / 40) for step in range(1, 40)), *[1.0] * 45)
"""How much of the picture after each frame of a film shows: a second of the one before, a wipe, and the one after."""
_SAMPLES = 1 << 20

Ends = tuple[float, float]
"""The values of black and white."""


def shown_range(picture: Picture) -> Ends:
    """The values that are shown as black and white.

    They are what the file says. Else they are the ends of the type, or 0 and 1 for floats; where the values leave them,
    or span less than a quarter of them, their own ends without the rarest ones.
    """
    pixels = picture.pixels
    if picture.levels is not None:
        return picture.levels
    small = pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2
    ends = (0.0, float(np.iinfo(pixels.dtype).max) if small else 1.0)
    if pixels.dtype == np.uint8:
        return ends
    some = pixels.ravel()[:: (pixels.size // _SAMPLES) | 1].astype(np.float64)
    some = some[np.isfinite(some) & ~np.isin(some, picture.nodata)]
    if not some.size:
        return ends
    low, high = (float(value) for value in np.quantile(some, (0.001, 0.999)))
    if low >= ends[0] and high <= ends[1] and (low == high or 4 * (high - low) >= ends[1] - ends[0]):
        return ends
    return low, high if high > low else low + 1


def as_shown(picture: Picture, ends: Ends | None = None) -> Picture:
    """Convert a picture to 8 bits per channel, gray or RGB, with its colour profile where that still applies.

    Of two channels the first is shown, of more than three the first three.

    Args:
        picture: of any type.
        ends: the values of black and white; `shown_range` if None.
    """
    eight = _eight_bits(picture.pixels, ends or shown_range(picture))
    alpha = None if picture.alpha is None else _eight_bits(picture.alpha, shown_range(Picture(picture.alpha)))
    channels = 1 if eight.ndim == 2 else eight.shape[2]
    metadata = picture.metadata
    if metadata.cmyk:
        inks = np.ascontiguousarray(eight)
        image = Image.frombytes("CMYK", (inks.shape[1], inks.shape[0]), inks.tobytes())
        return Picture(np.asarray(image.convert("RGB")), alpha)
    if channels not in (1, 3):
        eight = eight[..., :3] if channels > 3 else eight[..., 0]
    return Picture(np.ascontiguousarray(eight), alpha, type(metadata)(icc_profile=metadata.icc_profile))


def slice_of(picture: Picture, number: int | None) -> Picture:
    """Return the slice of a volume that is shown, counted from 1; another picture is returned as it is."""
    return Picture(picture.pixels[(number or 1) - 1]) if picture.volume else picture


def _eight_bits(values: NDArray[Any], ends: Ends) -> NDArray[np.uint8]:
    low, high = ends
    if values.dtype == np.uint8 and ends == (0.0, 255.0):
        return values
    if values.dtype == np.uint16 and ends == (0.0, 65535.0):
        return (values >> 8).astype(np.uint8)
    unit = np.nan_to_num((values.astype(np.float32) - np.float32(low)) / np.float32(high - low))
    return np.asarray((unit.clip(0, 1) * 255).round().astype(np.uint8))


def thumbnail(picture: Picture, ends: Ends | None = None) -> bytes:
    """Return a picture as a JPEG of at most 192 pixels a side."""
    image = _image(picture, ends)
    image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    return as_jpeg(image)


def as_jpeg(image: Image.Image, icc_profile: bytes | None = None) -> bytes:
    """Return an image as a JPEG of quality 90."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, icc_profile=icc_profile)
    return buffer.getvalue()


def side_by_side(before: Picture, after: Picture) -> Picture:
    """Return two pictures next to each other, as a browser shows them; the first gets the height of the second."""
    first, second = (_image(picture) for picture in (before, after))
    if first.height != second.height:
        wide = max(1, round(first.width * second.height / first.height))
        first = first.resize((wide, second.height), Image.Resampling.LANCZOS)
    gap = max(2, second.height // 100)
    both = Image.new("RGB", (first.width + gap + second.width, second.height), "white")
    both.paste(first, (0, 0))
    both.paste(second, (first.width + gap, 0))
    return Picture(np.asarray(both))


def in_turns(before: Picture, after: Picture) -> bytes:
    """Return an animated GIF that shows two pictures in turns, at most 960 pixels a side."""
    second = _image(after)
    second.thumbnail((_TURNS_SIDE, _TURNS_SIDE))
    first = _image(before).resize(second.size, Image.Resampling.LANCZOS)
    return _gif([first, second], [1200, 1800])


def as_film(before: Picture, after: Picture) -> bytes:
    """Return an MP4 film in which one picture wipes over the other, at most 1920 pixels a side.

    Raises:
        InputError: without the library for films.
    """
    try:
        import av
    except ImportError:
        raise InputError("films are written by PyAV, which is not installed: pip install 'untaught[film]'") from None
    second = _image(after)
    second.thumbnail((_VIDEO_SIDE, _VIDEO_SIDE))
    second = second.resize((max(2, second.width // 2 * 2), max(2, second.height // 2 * 2)))  # H.264 halves the colours
    first = _image(before).resize(second.size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=_VIDEO_RATE, options={"crf": "16", "preset": "medium"})
        stream.width, stream.height, stream.pix_fmt = *second.size, "yuv420p"
        for share in _WIPE:
            packets = stream.encode(av.VideoFrame.from_image(_wiped(first, second, share)))
            container.mux(packets)
        container.mux(stream.encode())
    return buffer.getvalue()


def _wiped(before: Image.Image, after: Image.Image, share: float) -> Image.Image:
    """The picture after, from the left to a share of the width, and the one before."""
    frame, place = before.copy(), round(share * before.width)
    frame.paste(after.crop((0, 0, place, after.height)))
    if 0 < place < frame.width:
        frame.paste("white", (place, 0, min(frame.width, place + max(1, frame.width // 400)), frame.height))
    return frame


def _image(picture: Picture, ends: Ends | None = None) -> Image.Image:
    pixels = as_shown(picture, ends).pixels
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).convert("RGB")


def _gif(frames: list[Image.Image], durations: list[int]) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return buffer.getvalue()


def heat(uncertainty: NDArray[Any]) -> bytes:
    """Return an uncertainty map as a PNG to lay over the picture: transparent where it is zero, yellow to red above.

    Args:
        uncertainty: (H, W) or (H, W, C), not negative; the largest channel is shown, up to the 99th percentile.
    """
    values = uncertainty if uncertainty.ndim == 2 else uncertainty.max(2)
    above = values[values > 0]
    share = (values / np.quantile(above, 0.99)).clip(0, 1) if above.size else np.zeros(values.shape)
    layers = [np.full(share.shape, 255), 220 * (1 - share), 40 * (1 - share), np.where(values > 0, 60 + 180 * share, 0)]
    buffer = io.BytesIO()
    Image.fromarray(np.stack(layers, -1).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def film(paths: Iterable[Path]) -> bytes:
    """Return an animated GIF of the pictures in some files; the last one is shown longer.

    Args:
        paths: in order; files that cannot be read are left out.

    Raises:
        InputError: if no picture can be read.
    """
    frames = []
    for path in paths:
        try:
            with Image.open(path) as image:
                frame = image.convert("RGB")
        except (OSError, SyntaxError):
            continue
        frame.thumbnail((_FILM_SIDE, _FILM_SIDE))
        frames.append(frame)
    if not frames:
        raise InputError("the job has no preview pictures yet: wait until it has begun")
    return _gif(frames, [90] * (len(frames) - 1) + [2500])
