"""What is wrong with a picture, in plain words and figures, and the command that would treat it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from untaught.errors import InputError
from untaught.imaging.arrays import in_unit_range
from untaught.imaging.jpeg_tables import Compression, compression_for_quality
from untaught.imaging.noise import estimate_noise, impulses, noise_correlation

__all__ = ["Finding", "Inspection", "inspect"]

_NOISY = 0.012
"""From this standard deviation on, of a range of 1, noise is worth taking off: about 3 of 255."""

_CORRELATED = 0.2
_BLOCKY_QUALITY = 75
_DROPPED = 0.01
_HIT = 0.005
_HIT_BY_ANYTHING = 0.06
_FAR = 0.15
_SMALLEST = 16

_FAINT = 0.1
"""Less than this of what an even fall of the spectrum leads to expect means that the picture has no such detail."""


@dataclass(frozen=True)
class Finding:
    """One thing that is told of a picture.

    Attributes:
        name: of the figure.
        value: the figure; None where it cannot be told.
        sentence: it in words.
    """

    name: str
    value: float | int | str | None
    sentence: str


@dataclass(frozen=True)
class Inspection:
    """What is told of a picture.

    Attributes:
        findings: one after the other.
        treatment: words of the command line that would treat it, without the files; none where nothing is wrong.
    """

    findings: tuple[Finding, ...]
    treatment: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(finding.sentence for finding in self.findings)


def inspect(
    image: ArrayLike, value_range: tuple[float, float] | None = None, *, compression: Compression | None = None
) -> Inspection:
    """Say what is wrong with a picture.

    Nothing here is certain: fine texture is read as noise, and a soft photograph as an enlarged one. The sentences say
    "about" and "looks".

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; of 16 pixels each way at least.
        value_range: the values that stand for black and white; see `untaught.imaging.arrays.to_tensor`.
        compression: how its file was compressed, where that is a JPEG.

    Raises:
        InputError: for a picture that cannot be worked on.

    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(128, 20, (64, 64)).clip(0, 255).astype(np.uint8)
    >>> inspect(noisy).treatment
    ('denoise',)
    """
    original = np.asarray(image)
    picture = in_unit_range(original, value_range).astype(np.float64)
    height, width, channels = picture.shape
    if min(height, width) < _SMALLEST:
        raise InputError(f"a picture to be inspected has at least {_SMALLEST} pixels each way: found {original.shape}")
    finite = np.isfinite(picture)
    if not finite.any():
        raise InputError("the picture has no finite value: every one is NaN or infinite")
    whole = np.where(finite, picture, np.median(picture[finite]))
    dead = ~finite.all(2)
    black = (original.reshape(height, width, -1) == 0).all(2)
    white = (whole >= 1).any(2)
    # Single black pixels have been dropped, larger areas are dark; the sky of an astronomer is black all over.
    scattered = black & (ndimage.uniform_filter(black.astype(float), 3) < 0.8)
    # Grains and specks of a sharp photograph stand alone too, but few of them go far, to the very end of the range.
    far = np.abs(whole - ndimage.median_filter(whole, (3, 3, 1))) > _FAR
    alone = impulses(whole)
    salt, pepper = (alone & (far & end).any(2) for end in (whole >= 1, whole <= 0))
    struck = alone if alone.mean() >= _HIT_BY_ANYTHING else salt | pepper
    if salt.mean() < pepper.mean() / 5:
        # Black alone was dropped, and not hit.
        struck = struck & ~scattered
    else:
        scattered = scattered & ~struck
    lost = float((scattered | dead).mean())
    # Pixels that were lost are no noise.
    calm = whole if lost < _DROPPED and struck.mean() < _HIT else _filled(whole, scattered | dead | struck)
    noise, correlation = estimate_noise(calm), noise_correlation(calm)
    quality = None if compression is None else _quality(compression)
    scale = _scale(original, value_range)
    reach = _reach(calm, 1 / scale if original.dtype.kind in "ui" else 0.0)

    findings = [
        Finding("size", f"{width} x {height}", f"{width} x {height} pixels, {_channels_in_words(channels)}"),
        _depth(original),
        Finding("not_finite", float(dead.mean()), f"{dead.mean():.2%} of the pixels are not finite"),
        Finding("black", float(black.mean()), f"{black.mean():.2%} are exactly black, {scattered.mean():.2%} singly"),
        Finding("saturated", float(white.mean()), f"{white.mean():.2%} are at the upper end of the range"),
        Finding("impulses", float(struck.mean()), f"{struck.mean():.2%} stand out alone, as if hit by impulses"),
        Finding(
            "noise",
            noise * scale,
            f"noise with a standard deviation of about {noise * scale:.3g} (white is {scale:.4g}; fine texture counts "
            "as noise)",
        ),
        Finding(
            "noise_correlation",
            correlation,
            f"neighbouring pixels' noise is {'correlated' if correlation > _CORRELATED else 'independent'} "
            f"({correlation:.2f})",
        ),
    ]
    if compression is not None:
        findings.append(Finding("jpeg_quality", quality, f"a JPEG of quality {quality} or so, on the scale of libjpeg"))
    if reach is not None:
        sentence = (
            f"no detail finer than {1 / reach:.1f} pixels: it looks enlarged by about {1 / reach:.1f}, or blurred"
            if reach < 0.8
            else "detail down to single pixels: it does not look enlarged"
        )
        findings.append(Finding("finest_detail", 1 / reach, sentence))
    return Inspection(tuple(findings), _treatment(lost, float(struck.mean()), quality, noise, correlation))


def _treatment(lost: float, hit: float, quality: int | None, noise: float, correlation: float) -> tuple[str, ...]:
    """The worst first: what one treatment leaves, the next inspection finds."""
    if lost >= _DROPPED:
        return ("restore",)
    if hit >= _HIT:
        return ("denoise", "--kind", "impulse")
    if quality is not None and quality < _BLOCKY_QUALITY:
        return ("dejpeg",)
    if noise >= _NOISY and correlation <= _CORRELATED:
        return ("denoise",)
    return ()


def _channels_in_words(channels: int) -> str:
    return {1: "gray", 3: "RGB"}.get(channels, f"{channels} channels")


def _scale(original: NDArray[Any], value_range: tuple[float, float] | None) -> float:
    if value_range is not None:
        return float(value_range[1] - value_range[0])
    return float(np.iinfo(original.dtype).max) if original.dtype.kind in "ui" else 1.0


def _depth(original: NDArray[Any]) -> Finding:
    """Bits that are in use: a sensor's 12 are often stored in 16, at either end of them."""
    if original.dtype.kind not in "ui":
        return Finding("bits", str(original.dtype), f"values of type {original.dtype}")
    values = np.unique(original.astype(np.int64))
    step = int(np.gcd.reduce(values)) or 1
    steps = max(1, int(values[-1]) // step)
    used, stored = math.ceil(math.log2(steps + 1)), original.dtype.itemsize * 8
    # What was stretched has gaps between its values, in no even step.
    return Finding(
        "bits", used, f"{stored} bits a value, of which {used} are in use, with {len(values)} different values"
    )


def _quality(compression: Compression) -> int:
    """The quality at which libjpeg's table of brightness is nearest to the file's."""
    table = np.array(compression.tables[0], float)
    distances = [
        np.abs(np.log(np.array(compression_for_quality(quality, 1).tables[0], float) / table)).mean()
        for quality in range(1, 101)
    ]
    return 1 + int(np.argmin(distances))


def _filled(picture: NDArray[np.float64], lost: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The picture with what was lost replaced by the value of the nearest pixel that was not."""
    if lost.all():
        return picture
    nearest = ndimage.distance_transform_edt(lost, return_distances=False, return_indices=True)
    filled: NDArray[np.float64] = picture[tuple(nearest)]
    return filled


def _reach(picture: NDArray[np.float64], step: float) -> float | None:
    """How far the picture's spectrum reaches, 1 for the finest detail that its pixels can hold.

    Of a picture that was enlarged by interpolation little is left beyond a frequency but faint images of what is below
    it; the spectrum of a sharp one falls off evenly. None where there is nothing to be told.

    Args:
        picture: (H, W, C), finite.
        step: between two values that it can have: its rounding covers what is fainter.
    """
    gray = picture.mean(2)
    window = np.hanning(gray.shape[0])[:, None] * np.hanning(gray.shape[1])
    power = np.abs(np.fft.fft2((gray - gray.mean()) * window)) ** 2 / (window**2).sum()
    y, x = np.meshgrid(*(np.fft.fftfreq(n) * 2 for n in gray.shape), indexing="ij")
    # Along the axes, where enlarging cuts: between them the diagonals reach further.
    radius = np.maximum(np.abs(y), np.abs(x))
    bands = np.linspace(0, 1, min(40, min(gray.shape) // 4) + 1)
    middles = (bands[1:] + bands[:-1]) / 2
    profile = np.array([np.median(power[(radius > low) & (radius <= high)]) for low, high in pairwise(bands)])
    rounding = step**2 / 12 / picture.shape[2]
    inner = (middles > 0.08) & (middles < 0.3)
    if inner.sum() < 3 or not (profile[inner] > 4 * rounding).all():
        return None
    slope, height = np.polyfit(np.log(middles[inner]), np.log(profile[inner]), 1)
    expected = np.exp(height + slope * np.log(middles))
    # By the number of bands: images of what is below are single ones.
    return float(((profile > 4 * rounding) & (profile > _FAINT * expected)).mean())
