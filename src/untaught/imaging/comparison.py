"""Two pictures compared: figures, and a picture of both with their difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import InputError
from untaught.imaging.metrics import psnr, ssim

__all__ = ["Closeness", "closeness", "side_by_side"]


@dataclass(frozen=True)
class Closeness:
    """How near one picture is to another.

    Attributes:
        psnr: peak signal-to-noise ratio, dB; infinite for equal pictures.
        ssim: structural similarity, 1 for equal pictures; NaN where a side is under 11 pixels.
    """

    psnr: float
    ssim: float


def closeness(picture: NDArray[Any], other: NDArray[Any]) -> Closeness:
    """How near (H, W, C) or (D, H, W, C), float, taken as far as it lies in [0, 1], is to another of the same shape.

    Raises:
        InputError: for shapes that differ, or values that are not finite.
    """
    if picture.shape != other.shape:
        found, wanted = (" x ".join(map(str, shape)) for shape in (picture.shape, other.shape))
        raise InputError(
            f"one picture is {found} and the other {wanted} (height x width x channels, a volume's depth before them): "
            "they must be alike"
        )
    if not (np.isfinite(picture).all() and np.isfinite(other).all()):
        raise InputError("a picture has values that are not finite: there is no figure to be taken of it")
    picture, other = picture.clip(0, 1), other.clip(0, 1)
    return Closeness(psnr(picture, other), ssim(picture, other))


def side_by_side(
    first: NDArray[Any], second: NDArray[Any], reference: NDArray[Any] | None = None
) -> tuple[NDArray[np.uint8], float]:
    """The first picture, the second, and the second's difference, from left to right.

    Args:
        first: (H, W, 1) or (H, W, 3), float in [0, 1]; or a volume, with a depth before the height.
        second: the same shape.
        reference: what the difference is taken to; the first picture if None.

    Returns:
        (H, 3 W, C), uint8; and by how much the difference is brightened, so that 99.5 % of it are within white.

    Raises:
        InputError: for another number of channels.
    """
    if first.shape[-1] not in (1, 3):
        raise InputError(f"gray and RGB can be shown: found {first.shape[-1]} channels")
    difference = np.abs(second - (first if reference is None else reference))
    brightest = float(np.quantile(difference, 0.995))
    gain = 1.0 if brightest == 0 else max(1.0, 1 / brightest)
    row = np.concatenate([first, second, difference * gain], axis=-2).clip(0, 1)
    return (row * 255).round().astype(np.uint8), gain
