"""Metrics of a picture against a reference, by scikit-image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["finite", "psnr", "psnr_and_ssim", "ssim"]


def psnr(picture: NDArray[Any], reference: NDArray[Any], where: NDArray[np.bool_] | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, infinite for equal pictures.

    Args:
        picture: (H, W) or (H, W, C), float in [0, 1]; or a volume, (D, H, W, C).
        reference: same shape and range.
        where: (H, W) or the same shape, bool: compare only these values.

    >>> round(psnr(np.zeros((2, 2)), np.full((2, 2), 0.1)), 2)
    20.0
    """
    from skimage.metrics import peak_signal_noise_ratio

    picture, reference = np.asarray(picture, np.float64), np.asarray(reference, np.float64)
    if where is not None:
        picture, reference = picture[where], reference[where]
    with np.errstate(divide="ignore"):  # equal pictures
        return float(peak_signal_noise_ratio(reference, picture, data_range=1.0))


def ssim(picture: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return the structural similarity, 1 for equal pictures, NaN if height or width is under 11 pixels.

    Wang, Bovik, Sheikh and Simoncelli, 2004, with their Gaussian window of 1.5 pixels.

    Args:
        picture: (H, W) or (H, W, C), float in [0, 1]. Of a volume, (D, H, W, C), the mean over its slices is taken.
        reference: same shape and range.
    """
    if picture.ndim == 4:
        return float(np.mean([ssim(one, other) for one, other in zip(picture, reference, strict=True)]))
    if min(picture.shape[:2]) < 11:
        return float("nan")
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            np.asarray(picture, np.float64),
            np.asarray(reference, np.float64),
            data_range=1.0,
            channel_axis=-1 if picture.ndim == 3 else None,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def psnr_and_ssim(picture: NDArray[Any], reference: NDArray[Any]) -> dict[str, float]:
    """Return both metrics by name; see `psnr` and `ssim`."""
    return {"psnr": psnr(picture, reference), "ssim": ssim(picture, reference)}


def finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures as JSON can hold them: None for one that is infinite or NaN."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
