"""Regular patterns in a picture: the mosaic of a sensor, stripes, and waves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["mosaic_contrast", "stripes", "waves"]

Gray = NDArray[np.float64]

_ROUNDING = 0.002
"""Half a step of 8 bits: smaller differences may be rounding."""


def mosaic_contrast(gray: Gray) -> float:
    """How much more a pixel differs from its neighbour than from the one after it; below 1 for a photograph.

    A sensor's neighbours have other colours, and every other one has the same.

    Args:
        gray: (H, W), finite.
    """
    found = []
    for axis in (0, 1):
        near, next_ = (np.abs(np.diff(gray, axis=axis)), np.abs(_step(gray, axis)))
        found.append(float(near.mean() / max(next_.mean(), 1e-9)))
    return min(found)


def _step(gray: Gray, axis: int) -> Gray:
    moved: Gray = gray[2:] - gray[:-2] if axis == 0 else gray[:, 2:] - gray[:, :-2]
    return moved


def stripes(gray: Gray) -> float:
    """How far whole lines, or columns, differ from their neighbours, in multiples of what single pixels explain.

    Edges are where a few pixels of a line differ, so the median over a line is near zero there.

    Args:
        gray: (H, W), finite.
    """
    found = []
    for turned in (gray, gray.T):
        # Against lines on both sides, some of which may belong to the same stripe.
        for reach in (1, 2, 4):
            if len(turned) < 4 * reach + 8:
                continue
            middle = turned[reach:-reach]
            bend = middle - (turned[: -2 * reach] + turned[2 * reach :]) / 2
            medians = np.median(bend, axis=1)
            spread = 1.4826 * np.median(np.abs(bend - medians[:, None]))
            alone = 1.2533 * max(spread, _ROUNDING) / turned.shape[1] ** 0.5
            found.append(1.4826 * float(np.median(np.abs(medians - np.median(medians)))) / alone)
    return max(found, default=0.0)


def waves(gray: Gray) -> float:
    """How far the strongest single wave stands out of the frequencies around it, as a ratio of power.

    Args:
        gray: (H, W), finite.
    """
    window = np.hanning(gray.shape[0])[:, None] * np.hanning(gray.shape[1])
    power = np.abs(np.fft.fft2((gray - gray.mean()) * window)) ** 2
    power = np.fft.fftshift(power)
    background = ndimage.median_filter(power, 15, mode="wrap")
    y, x = np.indices(power.shape)
    # The lowest frequencies and both axes are the content's, and those of the picture's frame.
    away = (np.abs(y - power.shape[0] // 2) > 4) | (np.abs(x - power.shape[1] // 2) > 4)
    return float((power[away] / np.maximum(background[away], 1e-12)).max())
