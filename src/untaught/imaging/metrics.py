"""How near a picture is to a reference: scikit-image does the work."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["psnr", "ssim"]


def psnr(picture: NDArray[Any], reference: NDArray[Any], where: NDArray[np.bool_] | None = None) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal pictures.

    Args:
        picture: (H, W) or (H, W, C), float in [0, 1]; or a volume, (D, H, W, C).
        reference: same shape and range.
        where: (H, W) or the same shape, bool: compare only there.

    >>> round(psnr(np.zeros((2, 2)), np.full((2, 2), 0.1)), 2)
    20.0
    """
    difference = np.asarray(picture, np.float64) - np.asarray(reference, np.float64)
    if where is not None:
        difference = difference[where]
    error = float(np.mean(difference**2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim(picture: NDArray[Any], reference: NDArray[Any]) -> float:
    """Structural similarity (Wang et al., 2004: Gaussian window of 1.5 pixels); 1 for equal pictures.

    Args:
        picture: (H, W) or (H, W, C), float in [0, 1]; NaN is returned where a side is under 11 pixels. Of a volume,
            (D, H, W, C), the mean over its slices is taken, which may be fewer than that.
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
