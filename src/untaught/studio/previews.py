"""Pictures of any depth as a browser can show them, and the short film of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from untaught.imaging.picture import Picture

__all__ = ["as_jpeg", "as_shown", "film", "heat", "thumbnail"]

_FILM_SIDE = 480
_THUMBNAIL_SIDE = 192


def as_shown(picture: Picture) -> Picture:
    """The same picture with 8 bits a channel, gray or RGB, colour profile kept where it still applies.

    Whole numbers are shown over the range of their type, floats over [0, 1] or, where they leave it, from the least to
    the greatest; of other numbers of channels the first three or the first one.
    """
    eight = _eight_bits(picture.pixels)
    alpha = None if picture.alpha is None else _eight_bits(picture.alpha)
    channels = 1 if eight.ndim == 2 else eight.shape[2]
    metadata = picture.metadata
    if metadata.cmyk:
        inks = np.ascontiguousarray(eight)
        image = Image.frombytes("CMYK", (inks.shape[1], inks.shape[0]), inks.tobytes())
        return Picture(np.asarray(image.convert("RGB")), alpha)
    if channels not in (1, 3):
        eight = eight[..., :3] if channels > 3 else eight[..., 0]
    return Picture(np.ascontiguousarray(eight), alpha, type(metadata)(icc_profile=metadata.icc_profile))


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind in "ui":
        return (values >> (8 * (values.dtype.itemsize - 1))).clip(0, 255).astype(np.uint8)
    finite = values[np.isfinite(values)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if least >= 0 and most <= 1:
        least, most = 0.0, 1.0
    unit = np.nan_to_num((values.astype(np.float64) - least) / max(most - least, 1e-30))
    return np.asarray((unit.clip(0, 1) * 255).round().astype(np.uint8))


def thumbnail(picture: Picture) -> bytes:
    """A small JPEG of a picture."""
    pixels = as_shown(picture).pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
    image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    return as_jpeg(image.convert("RGB"))


def as_jpeg(image: Image.Image, icc_profile: bytes | None = None) -> bytes:
    """A JPEG, good enough to judge a picture by."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, icc_profile=icc_profile)
    return buffer.getvalue()


def heat(uncertainty: NDArray[Any]) -> bytes:
    """A map of uncertainty as a PNG to be laid over the picture: clear where it is zero, yellow to red with its size.

    Args:
        uncertainty: (H, W) or (H, W, C), not negative; the largest of the channels is shown, up to the 99th percentile.
    """
    values = uncertainty if uncertainty.ndim == 2 else uncertainty.max(2)
    above = values[values > 0]
    share = (values / np.quantile(above, 0.99)).clip(0, 1) if above.size else np.zeros(values.shape)
    layers = [np.full(share.shape, 255), 220 * (1 - share), 40 * (1 - share), np.where(values > 0, 60 + 180 * share, 0)]
    buffer = io.BytesIO()
    Image.fromarray(np.stack(layers, -1).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def film(moments: Sequence[Path]) -> bytes:
    """An animated GIF of pictures in files, in order; the last one stays longer.

    Args:
        moments: at least one.
    """
    frames = []
    for path in moments:
        with Image.open(path) as image:
            frame = image.convert("RGB")
            frame.thumbnail((_FILM_SIDE, _FILM_SIDE))
            frames.append(frame)
    durations = [90] * (len(frames) - 1) + [2500]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return buffer.getvalue()
