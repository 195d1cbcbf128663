"""Inspect a picture: find its damage, in words and figures, and suggest the command that treats it."""

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
from untaught.imaging.noise import CORRELATED, estimate_noise, impulses, noise_correlation
from untaught.imaging.noise_model import NoiseModel, estimate_noise_model
from untaught.imaging.patterns import mosaic_contrast, stripes, waves

__all__ = ["Finding", "Inspection", "inspect"]

_NOISY = 0.012
"""Noise from this standard deviation on, in a range of 1, is worth removing: about 3 of 255."""

_SMALLEST_MODELLED = 96
_MIDDLE = 256
"""Side of the part whose noise is modelled, in pixels."""
_BLOCKY_QUALITY = 75
_DROPPED = 0.01
_HIT = 0.005
_HIT_BY_ANYTHING = 0.03
_FAR = 0.15
_BY_NOISE = 4.0
"""Noise takes a value so many of its standard deviations away from its surroundings to black or white, but no more."""
_SMALLEST = 16
_MOSAIC = 1.25
_STRIPED = 8.0
_MOST_AT_ENDS = 0.9
_SOFT = 0.85
_PLAIN = 0.02
_DOUBTFUL = 4 * _NOISY
"""Weaker noise that neighbours share may as well be texture."""
_WAVY = 1100.0

_FAINT = 0.1
"""A band has no detail if its power is less than this share of what the lower frequencies predict."""


@dataclass(frozen=True)
class Finding:
    """One property of a picture.

    Attributes:
        name: its key, as in the output of ``untaught inspect --json``.
        value: its figure; None if it is not known.
        sentence: the same in words.
    """

    name: str
    value: float | int | str | None
    sentence: str


@dataclass(frozen=True)
class Inspection:
    """The properties of a picture and a suggested treatment.

    Attributes:
        findings: all properties.
        treatment: the words of the suggested command, without files; empty if nothing is wrong, or it is not sure.
        doubt: why no command is suggested although something seems to be wrong; empty otherwise.
    """

    findings: tuple[Finding, ...]
    treatment: tuple[str, ...]
    doubt: str = ""

    def __str__(self) -> str:
        return "\n".join(finding.sentence for finding in self.findings)


def inspect(
    image: ArrayLike, value_range: tuple[float, float] | None = None, *, compression: Compression | None = None
) -> Inspection:
    """Find out what is wrong with a picture.

    Nothing here is certain: fine texture counts as noise, and a soft photograph looks like an enlarged one.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1], at least 16 pixels high and wide.
        value_range: the values that stand for black and white; see `untaught.imaging.arrays.to_tensor`.
        compression: how its file was compressed, if it is a JPEG.

    Returns:
        The findings and a treatment.

    Raises:
        InputError: for a picture that is too small, or without a finite value.

    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(128, 20, (64, 64)).clip(0, 255).astype(np.uint8)
    >>> inspect(noisy).treatment
    ('denoise',)
    """
    try:
        original = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"found a {type(image).__name__} that numpy makes no array of: give an array") from error
    picture = in_unit_range(original, value_range).astype(np.float64)
    height, width, channels = picture.shape
    if min(height, width) < _SMALLEST:
        raise InputError(
            f"found a picture of {width} x {height} pixels (width x height): at least {_SMALLEST} pixels each way are "
            "needed; inspect a larger part of it"
        )
    finite = np.isfinite(picture)
    if not finite.any():
        raise InputError("every value of the picture is NaN or infinite: there is nothing to inspect; check the file")
    whole = np.where(finite, picture, np.median(picture[finite]))
    dead = ~finite.all(2)
    black = (original.reshape(height, width, -1) == 0).all(2)
    white = (whole >= 1).any(2)
    # Single black pixels were lost; larger black areas are dark, as the sky in astronomy.
    scattered = black & (ndimage.uniform_filter(black.astype(float), 3) < 0.8)
    # Noise reaches black and white too, where the picture is dark or bright. Without those pixels, it tells how far.
    ends = scattered | ((whole >= 1) & (ndimage.uniform_filter(whole, (3, 3, 1)) < 0.95)).any(2)
    rest = _filled(whole, ends | dead) if ends.mean() < _MOST_AT_ENDS else whole
    reach_of_noise = max(_FAR, _BY_NOISE * estimate_noise(rest))
    around = ndimage.median_filter(rest, (5, 5, 1))
    # Specks in a sharp photograph stand out too, but few reach the end of the range.
    far = np.abs(whole - around) > reach_of_noise
    alone = impulses(whole) & far.any(2)
    salt, pepper = (alone & (far & end).any(2) for end in (whole >= 1, whole <= 0))
    struck = alone if alone.mean() >= _HIT_BY_ANYTHING else salt | pepper
    dropped = scattered & far.any(2)
    # Where pixels were lost, dark ones were too.
    bright = (around > reach_of_noise).any(2)
    share = float(dropped.sum() / max(1, bright.sum())) if bright.mean() > 0.05 else float(dropped.mean())
    if share < _DROPPED:
        scattered = dropped
    if salt.mean() < pepper.mean() / 5:
        # With black pixels only, values were lost; impulses would be white too.
        struck = struck & ~scattered
    else:
        scattered = scattered & ~struck
        # Where there are impulses, the black ones that were missed are no dropouts.
        share = 0.0 if struck.mean() >= _HIT else min(share, float(scattered.mean()))
    lost = max(share, float(dead.mean()))
    # Lost pixels are not noise.
    calm = whole if lost < _DROPPED and struck.mean() < _HIT else _filled(whole, scattered | dead | struck)
    finest, correlation = estimate_noise(calm), noise_correlation(calm)
    model = _model(calm) if correlation > CORRELATED and finest > 0 else None
    noise = finest if model is None else model.level
    quality = None if compression is None else _quality(compression)
    scale = _scale(original, value_range)
    reach = _reach(calm, 1 / scale if original.dtype.kind in "ui" else 0.0)

    findings = [
        Finding("size", f"{width} x {height}", f"{width} x {height} pixels, {_channels_in_words(channels)}"),
        _depth(original),
        *(
            [Finding("not_finite", float(dead.mean()), f"{dead.mean():.2%} of the pixels are NaN or infinite")]
            if original.dtype.kind not in "uib"
            else []
        ),
        Finding(
            "black",
            float(black.mean()),
            f"{black.mean():.2%} are exactly black, {scattered.mean():.2%} as single pixels",
        ),
        Finding("saturated", float(white.mean()), f"{white.mean():.2%} are saturated: at the upper end of the range"),
        Finding("impulses", float(struck.mean()), f"{struck.mean():.2%} look like impulse noise (salt and pepper)"),
        Finding(
            "noise",
            noise * scale,
            f"noise with a standard deviation of about {noise * scale:.3g}, in a range of {scale:.4g} (fine texture "
            "counts as noise)",
        ),
        Finding(
            "noise_correlation",
            correlation,
            f"the noise of neighbouring pixels is {'correlated' if correlation > CORRELATED else 'independent'} "
            f"(correlation {correlation:.2f})",
        ),
    ]
    if model is not None:
        findings += _model_in_words(model, scale)
    if compression is not None:
        findings.append(Finding("jpeg_quality", quality, f"JPEG of a quality of about {quality} (libjpeg's scale)"))
    if reach is not None:
        sentence = (
            f"no detail finer than {1 / reach:.1f} pixels: it looks blurred, or enlarged by about {1 / reach:.1f}"
            if reach < 0.8
            else "detail down to single pixels: it looks neither blurred nor enlarged"
        )
        findings.append(Finding("finest_detail", 1 / reach, sentence))
    treatment = _treatment(lost, float(struck.mean()), quality, finest, model)
    if treatment and treatment[0] in ("restore", "dejpeg"):
        return Inspection(tuple(findings), treatment)
    if channels == 1 and mosaic_contrast(calm[..., 0]) > _MOSAIC:
        findings.append(
            Finding("mosaic", 1, "neighbouring pixels differ more than every other one, as in a raw mosaic")
        )
        return Inspection(tuple(findings), ("demosaic",))
    doubt = _doubt(calm, model, reach, treatment)
    return Inspection(tuple(findings), () if doubt else treatment, doubt)


def _doubt(
    picture: NDArray[np.float64], model: NoiseModel | None, reach: float | None, treatment: tuple[str, ...]
) -> str:
    """Why no treatment is suggested, though something seems to be wrong; empty otherwise."""
    gray = picture.mean(2)
    # Where not even coarse detail stands out from rounding, it is soft too.
    if not treatment and (reach < _SOFT if reach is not None else gray.std() > _PLAIN):
        return (
            "it may be blurred, or enlarged, or soft by itself: deblur with the radius of the blur, or upscale the "
            "picture that it was made from"
        )
    if treatment[:2] != ("denoise", "--kind"):
        if stripes(gray) > _STRIPED:
            return "the lines or columns differ as a whole, as banding does, and no command here removes that"
        if waves(gray) > _WAVY:
            return "a regular pattern lies over the picture, as interference does, and no command here removes that"
    if treatment == ("denoise",) and model is not None and model.level < _DOUBTFUL:
        return "what looks like weak noise may be fine texture: try denoise, and compare"
    return ""


def _treatment(
    lost: float, hit: float, quality: int | None, finest: float, model: NoiseModel | None
) -> tuple[str, ...]:
    """Suggest a treatment of the worst damage. Inspecting the result finds what is left."""
    if lost >= _DROPPED:
        return ("restore",)
    if hit >= _HIT:
        return ("denoise", "--kind", "impulse")
    if quality is not None and quality < _BLOCKY_QUALITY:
        return ("dejpeg",)
    # Texture is correlated too; noise reaches further down to the finest detail.
    noisy = finest >= _NOISY if model is None else model.level >= 2 * _NOISY and finest >= _NOISY / 2
    return ("denoise",) if noisy else ()


def _model(picture: NDArray[np.float64]) -> NoiseModel | None:
    """The noise of the picture's middle, which is enough to tell; None if the picture is too small."""
    if min(picture.shape[:2]) < _SMALLEST_MODELLED:
        return None
    top, left = (max(0, (length - _MIDDLE) // 2) for length in picture.shape[:2])
    return estimate_noise_model(picture[top : top + _MIDDLE, left : left + _MIDDLE])


def _model_in_words(model: NoiseModel, scale: float) -> list[Finding]:
    """How far the noise is shared, and how strong it is where the picture is dark, middling and bright."""
    shades = np.array([0.15, 0.5, 0.85])
    channels = range(len(model.curves))
    dark, middle, bright = np.mean([model.deviation(channel, shades) for channel in channels], axis=0) * scale
    return [
        Finding(
            "noise_length",
            model.correlation_length,
            f"its correlation falls to a half at {model.correlation_length:.1f} pixels",
        ),
        Finding(
            "noise_by_brightness",
            f"{dark:.3g} {middle:.3g} {bright:.3g}",
            f"its standard deviation is about {dark:.3g} where the picture is dark, {middle:.3g} in the middle and "
            f"{bright:.3g} where it is bright",
        ),
    ]


def _channels_in_words(channels: int) -> str:
    return {1: "gray", 3: "RGB"}.get(channels, f"{channels} channels")


def _scale(original: NDArray[Any], value_range: tuple[float, float] | None) -> float:
    if value_range is not None:
        return float(value_range[1] - value_range[0])
    return float(np.iinfo(original.dtype).max) if original.dtype.kind in "ui" else 1.0


def _depth(original: NDArray[Any]) -> Finding:
    """Count the bits in use. The 12 bits of a sensor are often stored as the upper or lower part of 16."""
    if original.dtype.kind not in "ui":
        return Finding("bits", str(original.dtype), f"{original.dtype} values")
    values = np.unique(original.astype(np.int64))
    step = int(np.gcd.reduce(values)) or 1
    steps = max(1, int(values[-1]) // step)
    used, stored = math.ceil(math.log2(steps + 1)), original.dtype.itemsize * 8
    return Finding("bits", used, f"{stored} bits per value, {used} of them in use, {len(values)} different values")


def _quality(compression: Compression) -> int:
    """Return the quality at which libjpeg's luma table is nearest to the file's."""
    table = np.array(compression.tables[0], float)
    distances = [
        np.abs(np.log(np.array(compression_for_quality(quality, 1).tables[0], float) / table)).mean()
        for quality in range(1, 101)
    ]
    return 1 + int(np.argmin(distances))


def _filled(picture: NDArray[np.float64], lost: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace lost pixels by the nearest other pixel."""
    if lost.all():
        return picture
    nearest = ndimage.distance_transform_edt(lost, return_distances=False, return_indices=True)
    filled: NDArray[np.float64] = picture[tuple(nearest)]
    return filled


def _reach(picture: NDArray[np.float64], step: float) -> float | None:
    """Return how far the spectrum reaches, 1 for the finest detail that pixels can hold; None if it cannot be told.

    The spectrum of a sharp picture falls off evenly. After an enlargement there are only faint aliases beyond some
    frequency.

    Args:
        picture: (H, W, C), finite.
        step: the smallest difference of two values. Rounding hides anything fainter.
    """
    gray = picture.mean(2)
    window = np.hanning(gray.shape[0])[:, None] * np.hanning(gray.shape[1])
    power = np.abs(np.fft.fft2((gray - gray.mean()) * window)) ** 2 / (window**2).sum()
    y, x = np.meshgrid(*(np.fft.fftfreq(n) * 2 for n in gray.shape), indexing="ij")
    # An enlargement cuts the spectrum along both axes: the larger of the two frequencies counts.
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
    # The share of bands with detail, not the last one: single bands beyond may hold aliases.
    return float(((profile > 4 * rounding) & (profile > _FAINT * expected)).mean())
