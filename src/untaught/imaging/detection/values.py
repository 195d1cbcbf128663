"""What the values of damage have in common: one end of the picture's range, and one colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["extremeness", "typical"]

Floats = NDArray[np.float32]


def extremeness(gray: Floats, value: Floats, sign: Floats) -> Floats:
    """How far values are towards an end of a picture's range: 1 at it.

    Args:
        gray: (H, W): the picture.
        value: (N,).
        sign: (N,): 1 for the bright end, -1 for the dark one.
    """
    height, width = gray.shape
    low, high = np.quantile(gray[:: max(1, height // 512), :: max(1, width // 512)], [0.005, 0.995])
    found: Floats = np.where(sign > 0, value - low, high - value) / np.float32(max(float(high - low), 0.02))
    return found


def typical(values: NDArray[np.floating], least: float) -> tuple[float, float]:
    """The middle of the values of certain damage, and how far from it others may be: ``least`` or more."""
    middle = float(np.median(values))
    return middle, max(least, 2.5 * float(np.median(np.abs(values - middle))))
