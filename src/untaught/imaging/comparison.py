"""Compare two pictures: metrics, and a picture of both beside their difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import InputError
from untaught.imaging.metrics import psnr_and_ssim

__all__ = ["Closeness", "closeness", "side_by_side"]


@dataclass(frozen=True)
class Closeness:
    """Metrics of one picture against another.

    Attributes:
        psnr: peak signal-to-noise ratio, dB; infinite for equal pictures.
        ssim: structural similarity, 1 for equal pictures; NaN if height or width is under 11 pixels.
    """

    psnr: float
    ssim: float


def closeness(picture: NDArray[Any], other: NDArray[Any]) -> Closeness:
    """Return the metrics of one picture against another. Values are clipped to [0, 1].

    Args:
        picture: (H, W, C), float in [0, 1]; a volume is (D, H, W, C).
        other: same shape and range.

    Raises:
        InputError: for different shapes, or values that are not finite.
    """
    if picture.shape != other.shape:
        found, wanted = (" x ".join(map(str, shape)) for shape in (picture.shape, other.shape))
        raise InputError(
            f"one picture is {found} and the other {wanted} (height x width x channels, a volume's depth before them): "
            "both must have the same shape; crop or resize one of them"
        )
    if not (np.isfinite(picture).all() and np.isfinite(other).all()):
        raise InputError("a picture has values that are not finite: metrics need finite values; restore it first")
    return Closeness(**psnr_and_ssim(picture.clip(0, 1), other.clip(0, 1)))


def side_by_side(
    first: NDArray[Any], second: NDArray[Any], reference: NDArray[Any] | None = None
) -> tuple[NDArray[np.uint8], float]:
    """Put the first picture, the second, and the second's difference side by side.

    Args:
        first: (H, W, 1) or (H, W, 3), float in [0, 1]; a volume has a depth before the height.
        second: same shape and range.
        reference: the difference is taken to this picture; to the first one if None.

    Returns:
        (H, 3 W, C), uint8; and the factor that brightens the difference, so that 99.5 % of it stay below white.

    Raises:
        InputError: unless there are 1 or 3 channels.
    """
    if first.shape[-1] not in (1, 3):
        raise InputError(f"found {first.shape[-1]} channels: only gray and RGB can be shown; choose 1 or 3 of them")
    difference = np.abs(second - (first if reference is None else reference))
    brightest = float(np.quantile(difference, 0.995))
    gain = 1.0 if brightest == 0 else max(1.0, 1 / brightest)
    row = np.concatenate([first, second, difference * gain], axis=-2).clip(0, 1)
    return (row * 255).round().astype(np.uint8), gain
