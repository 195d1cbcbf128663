"""Writing, and other damage of one colour: a value that thin things have far more often than values next to it.

Candidates are pixels that differ from both sides of a line through them. In the histogram of their brightness, damage
of one colour is a spike. What has the colour of a spike, is thin and differs from all around it is measured, and the
colour is taken if most of it is so.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.imaging.detection.weights import COLOURS, score

__all__ = ["Colour", "Colours", "brightness", "candidate_pixels", "find_spikes", "measure"]

THICKEST = 13
"""Things of one colour that are thicker than this are parts of the picture, in pixels."""

_DIFFERENT = 24
"""What differs from both sides by more than this, of 255, is a candidate."""

_CERTAIN = 2.0
"""Score from which a colour is damage."""

_MOST = 0.3
"""A colour that a larger share of the picture has is its ground."""

_WIDTHS = (2, 6)
"""Half-widths of a spike, of 255: of a colour that is exact, and of one that went through JPEG or has noise."""

Bytes = NDArray[np.uint8]
Colour = tuple[int, int, float, float, float]
"""A spike: its brightness, its half-width, the share of it that is above its surroundings, that share of all
candidates, and how significant it is."""


def brightness(levels: Bytes) -> NDArray[np.int16]:
    """The mean of the channels, rounded: (H, W)."""
    if levels.shape[2] == 1:
        return levels[..., 0].astype(np.int16)
    mean: NDArray[np.int16] = np.rint(levels.mean(2, dtype=np.float32)).astype(np.int16)
    return mean


def candidate_pixels(levels: Bytes) -> NDArray[np.bool_]:
    """Where a pixel differs from both sides of it, in one of four directions, at one of two distances."""
    found = np.zeros(levels.shape[:2], bool)
    height, width = levels.shape[:2]
    for reach in (3, 7):
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            down, right = down * reach, right * reach
            rows, beyond = slice(0, height - down), slice(down, height)
            columns = slice(max(0, -right), width - max(0, right))
            across = slice(max(0, right), width - max(0, -right))
            if height <= down or width <= abs(right):
                continue
            one, two = levels[rows, columns], levels[beyond, across]
            far = np.zeros((height, width), bool)
            apart = (np.maximum(one, two) - np.minimum(one, two)) > _DIFFERENT
            far[rows, columns] = functools.reduce(np.logical_or, np.moveaxis(apart, 2, 0))
            back = np.zeros((height, width), bool)
            back[beyond, across] = far[rows, columns]
            found |= far & back
    return found


def _window(counts: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    total = np.concatenate([[0], np.cumsum(np.pad(counts, half))])
    summed: NDArray[np.float64] = total[2 * half + 1 :] - total[: -2 * half - 1]
    return summed


def find_spikes(levels: NDArray[np.int16], candidates: NDArray[np.bool_]) -> list[Colour]:
    """Find the brightnesses that candidates have far more often than those next to them.

    Args:
        levels: (H, W), 0 to 255.
        candidates: (H, W).
    """
    counts = np.bincount(levels[candidates], minlength=256).astype(np.float64)
    total = counts.sum()
    found: list[Colour] = []
    sizes: list[float] = []
    for half in _WIDTHS:
        inside = _window(counts, half)
        expected = (_window(counts, 3 * half) - inside) / 2
        excess = inside - expected
        for _ in range(3):
            middle = int(excess.argmax())
            if excess[middle] < max(40, 0.004 * total):
                break
            near = [size for spike, size in zip(found, sizes, strict=True) if abs(spike[0] - middle) <= 6]
            if not (near and half == _WIDTHS[1] and inside[middle] < 1.5 * near[0]):
                part = excess[middle] / inside[middle], excess[middle] / total
                found.append((middle, half, *part, excess[middle] / np.sqrt(expected[middle].clip(0) + 10)))
                sizes.append(float(inside[middle]))
            excess[max(0, middle - 3 * half) : middle + 3 * half + 1] = 0
    return found


def _colour(levels: Bytes, gray: NDArray[np.int16], candidates: NDArray[np.bool_], spike: Colour) -> NDArray[np.int16]:
    """The most frequent colour of the candidates in a spike: (C,)."""
    own = levels[candidates & (np.abs(gray - spike[0]) <= spike[1])]
    if levels.shape[2] > 1:
        coarse = (own >> 4).astype(np.int64) @ (16 ** np.arange(levels.shape[2]))
        middle = np.median(own[coarse == np.bincount(coarse).argmax()], 0)
        own = own[np.abs(own - middle).max(1) <= 12]
    middle = np.rint(np.median(own, 0))
    return np.asarray(middle, np.int16)


def measure(
    levels: Bytes, gray: NDArray[np.int16], candidates: NDArray[np.bool_], spike: Colour
) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """Measure what has the colour of a spike.

    Returns:
        The features, and where it is thin and differs from all around: (H, W); None if nothing is.
    """
    from scipy import ndimage

    exact = spike[1] == _WIDTHS[0]
    colour = _colour(levels, gray, candidates, spike)
    far = np.zeros(gray.shape, np.int16)
    for channel, value in enumerate(colour):
        np.maximum(far, np.abs(levels[..., channel] - value), out=far)
    off = np.abs(gray - np.int16(round(float(colour.mean()))))
    own = (far <= (4 if exact else 26)) & (off <= (3 if exact else 11))
    if own.mean() > _MOST:
        return None
    thick = ndimage.minimum_filter(own.view(np.uint8), THICKEST, mode="constant")
    thick = ndimage.maximum_filter(thick, THICKEST + 2).view(bool)
    thin = own & ~thick
    labels, count = ndimage.label(thin, np.ones((3, 3)))
    if not count:
        return None
    area = np.bincount(labels.ravel(), minlength=count + 1).astype(np.float64)
    solid = np.bincount(labels[ndimage.minimum_filter(thin.view(np.uint8), 2).view(bool)], minlength=count + 1)
    owner = ndimage.maximum_filter(labels, 5)
    ring = (owner > 0) & ~ndimage.maximum_filter(thin.view(np.uint8), 3).view(bool)
    owner, jump, beside = owner[ring], np.maximum(far[ring], off[ring]), gray[ring].astype(np.float64)
    around = np.maximum(np.bincount(owner, minlength=count + 1), 1)

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(owner, weights=values, minlength=count + 1) / around

    apart = mean(jump > (16 if exact else 36))
    level = mean(beside)
    spread = np.maximum(mean(beside**2) - level**2, 0)
    touches = np.bincount(labels[ndimage.maximum_filter(thick.view(np.uint8), 3).view(bool)], minlength=count + 1) > 0
    good = (apart > 0.8) & (area >= 4) & ((solid >= 2) | (area >= 25)) & ~(touches & (area < 6 * THICKEST**2))
    good[0] = False
    weights = area[good]
    if weights.sum() < 20:
        return None

    def average(values: NDArray[np.float64]) -> float:
        return float(np.average(values[good], weights=weights))

    varied = np.sqrt(average((level - average(level)) ** 2 + spread)) / 30
    _, half, fine, share, clear = spike
    wide, many = float(half == _WIDTHS[1]), np.log(good.sum())
    features = [
        weights.sum() / area[1:].sum(),
        pure := weights.sum() / area[1:][area[1:] >= 4].sum(),
        many,
        varied,
        average(mean(jump)) / 50,
        average(np.minimum(1, 2 * solid / np.maximum(area, 1))),
        np.log(weights.sum() / labels.size * 1000 + 0.01),
        average(apart),
        float(colour.max() < 8 or colour.min() > 247),
        fine,
        np.log(share),
        np.log(clear),
        float(levels.shape[2] == 1),
        pure * fine,
        varied * fine,
        wide,
        wide * fine,
        wide * pure,
        wide * many,
        wide * np.log(clear),
    ]
    return np.array(features), good[labels]


class Colours:
    """Damage of one colour in a picture.

    Args:
        levels: (H, W, C), 0 to 255.
    """

    def __init__(self, levels: Bytes) -> None:
        from scipy import ndimage

        gray, candidates = brightness(levels), candidate_pixels(levels)
        self._found: list[tuple[float, NDArray[np.bool_]]] = []
        for spike in find_spikes(gray, candidates):
            measured = measure(levels, gray, candidates, spike)
            if measured is not None:
                # Between the letters of one colour and their soft edges.
                whole = ndimage.binary_closing(measured[1], np.ones((2, 2))) | measured[1]
                self._found.append((score(measured[0][None], COLOURS)[0], whole))

    def at(self, ease: float) -> list[NDArray[np.bool_]]:
        """For each colour that is damage, where it is, (H, W); ``ease`` is added to each score."""
        return [where for value, where in self._found if value + ease > _CERTAIN]
