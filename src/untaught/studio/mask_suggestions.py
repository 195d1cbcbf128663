"""Suggested masks: find damage that is thin and stands out, for the user to correct."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "likely", "propose"]

KINDS = ("black", "dark", "bright", "coloured")

_THICKNESS = 9
_LEAST_RESPONSE = 0.05
_LEAST_AREA = 12
_LEAST_SPECK, _SPECK = 4, 2.5
"""Pixels of the smallest speck of dust, and how many times the threshold it must reach if it is that small."""
_STRONGEST = 0.995


def likely(pixels: NDArray[Any]) -> str:
    """Return the kind of damage of which the strongest pixels stand out most: "dark", "bright" or "coloured".

    Args:
        pixels: (H, W) or (H, W, C), of any real type.
    """
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    return max(KINDS[1:], key=lambda kind: float(np.quantile(_response(channels, kind), _STRONGEST)))


def propose(pixels: NDArray[Any], kind: str, strength: float = 0.5) -> NDArray[np.bool_]:
    """Suggest which pixels of a picture are missing.

    Lines are found by the top-hat transform, which keeps what is thinner than 9 pixels. Pixels above a threshold are
    marked, with the pixels connected to them that are above half of it (hysteresis threshold). Small pieces are left
    out, but for specks that stand out far.

    Args:
        pixels: (H, W) or (H, W, C), of any real type.
        kind: "black", pixels that are zero in all channels; "dark" or "bright", scratches and writing that are darker
            or brighter than their surroundings; "coloured", writing of more saturated colour than its surroundings.
        strength: how much is marked, 0 to 1; not used for "black".

    Returns:
        (H, W), True where the picture is known.
    """
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    if kind == "black":
        known: NDArray[np.bool_] = (channels != 0).any(2)
        return known
    return ~_lines(_response(channels, kind), strength)


def _response(channels: NDArray[Any], kind: str) -> NDArray[np.float32]:
    """Return how much each pixel stands out as part of something thin: (H, W), 0 to 1."""
    from scipy import ndimage

    values = np.nan_to_num(channels[..., :3].astype(np.float32))
    span = float(values.max() - values.min()) or 1.0
    values = (values - values.min()) / span
    size = (_THICKNESS, _THICKNESS)
    if kind == "coloured":
        gray = values.max(2) - values.min(2)
        return np.asarray(ndimage.white_tophat(gray, size), dtype=np.float32)
    gray = values.mean(2)
    tophat = ndimage.black_tophat if kind == "dark" else ndimage.white_tophat
    return np.asarray(tophat(gray, size), dtype=np.float32)


def _lines(response: NDArray[np.float32], strength: float) -> NDArray[np.bool_]:
    """Return where a response stands out from its own noise over a large enough area, or far; widened by one pixel."""
    from scipy import ndimage

    middle = float(np.median(response))
    noise = 1.4826 * float(np.median(np.abs(response - middle)))
    threshold = max(_LEAST_RESPONSE, middle + (2 + 12 * (1 - strength)) * noise, 0.6 * (1 - strength) ** 1.5)
    possible = response > threshold / 2
    labels, count = ndimage.label(possible, structure=np.ones((3, 3)))
    sizes, peaks = np.bincount(labels.ravel(), minlength=count + 1), np.zeros(count + 1)
    peaks[1:] = ndimage.maximum(response, labels, np.arange(1, count + 1))
    certain = (peaks > threshold) & (sizes >= _LEAST_AREA)
    certain |= (peaks > _SPECK * threshold) & (sizes >= _LEAST_SPECK)
    certain[0] = False
    wider: NDArray[np.bool_] = ndimage.binary_dilation(certain[labels], structure=np.ones((3, 3)))
    return wider
