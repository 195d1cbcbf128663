"""Dust, specks, and dead or hot pixels: small spots that stand out from all sides of a calm surrounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from untaught.imaging.detection.values import extremeness, typical
from untaught.imaging.detection.weights import SPECKS, score

__all__ = ["Pixels", "Specks", "Spots", "describe", "find_spots"]

_RADII = (3, 4, 6, 8)
_ANGLES = np.arange(16) * np.pi / 8
_RINGS = {
    radius: np.rint(radius * np.stack([np.sin(_ANGLES), np.cos(_ANGLES)])).astype(np.int64) for radius in (2, *_RADII)
}
_LEAST = 0.05
"""Spots of a lower contrast are left out, as a share of the range."""

_CERTAIN, _POSSIBLE = 3.0, 0.5
"""Scores from which a spot is a speck, and from which it is one where certain ones have its value."""

_LEAST_CERTAIN = 2
_LEAST_PIXEL = 0.1
"""Contrast of a dead or hot pixel to the nearest of its neighbours, as a share of the range."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Spots:
    """Spots, and what is around them.

    Attributes:
        row: of each spot.
        column: of each spot.
        sign: 1 for bright ones, -1 for dark ones.
        value: of the smoothed picture there.
        contrast: to the most similar value on the ring around it.
        rings: (N, 16) values on the circles around it, by radius.
        radius: index of the circle that is the ring around it.
        busy: how much the surroundings vary.
        others: the sum of the contrasts of all spots near it.
        alike: the same, where dark spots cancel bright ones.
        extreme: how far the value is towards the end of the picture's range, 1 at it.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    sign: Floats
    value: Floats
    contrast: Floats
    rings: dict[int, Floats]
    radius: NDArray[np.int64]
    busy: Floats
    others: Floats
    alike: Floats
    extreme: Floats


def find_spots(gray: Floats) -> Spots:
    """Find the local extremes that all of a ring around them differs from.

    Args:
        gray: (H, W), 0 to 1.
    """
    from scipy import ndimage

    height, width = gray.shape
    smooth = ndimage.gaussian_filter(gray, 0.8, mode="nearest", truncate=3)
    detail = np.abs(gray - ndimage.gaussian_filter(gray, 2.5, mode="nearest", truncate=3))
    busy = ndimage.uniform_filter(detail, 41, mode="nearest")
    local = ndimage.uniform_filter(gray, 11, mode="nearest")
    most = ndimage.maximum_filter(smooth, 7, mode="nearest")
    least = ndimage.minimum_filter(smooth, 7, mode="nearest")
    bright = np.nonzero((most == smooth) & (gray - local > 0.6 * _LEAST))
    dark = np.nonzero((least == smooth) & (local - gray > 0.6 * _LEAST))
    row, column = np.concatenate([bright[0], dark[0]]), np.concatenate([bright[1], dark[1]])
    sign = np.repeat(np.array([1, -1], np.float32), [len(bright[0]), len(dark[0])])

    def ring(radius: int) -> Floats:
        down, right = _RINGS[radius]
        found: Floats = smooth[(row[:, None] + down).clip(0, height - 1), (column[:, None] + right).clip(0, width - 1)]
        return found

    value = smooth[row, column]
    rings = {radius: ring(radius) for radius in _RINGS}
    nearest = np.stack([(sign[:, None] * (value[:, None] - rings[radius])).min(1) for radius in _RADII], 1)
    contrast = nearest.max(1)
    chosen = contrast > _LEAST
    radius = (nearest >= 0.75 * contrast[:, None]).argmax(1)[chosen]
    row, column, sign, value, contrast = row[chosen], column[chosen], sign[chosen], value[chosen], contrast[chosen]

    def nearby(weights: Floats) -> Floats:
        page = np.zeros((height, width), np.float32)
        np.add.at(page, (row, column), weights)
        summed: Floats = ndimage.uniform_filter(page, 61, mode="nearest")[row, column] * np.float32(61 * 61)
        return summed

    return Spots(
        row=row,
        column=column,
        sign=sign,
        value=value,
        contrast=contrast,
        rings={radius: values[chosen] for radius, values in rings.items()},
        radius=radius,
        busy=busy[row, column],
        others=nearby(contrast),
        alike=np.abs(nearby(contrast * sign)),
        extreme=extremeness(gray, value, sign),
    )


def describe(spots: Spots) -> NDArray[np.float64]:
    """Measure each spot: (N, features)."""
    every = np.stack([spots.rings[radius] for radius in _RADII], 1)
    count = np.arange(len(spots.row))
    ring, outer = every[count, spots.radius], every[count, np.minimum(spots.radius + 1, len(_RADII) - 1)]
    sign, value, contrast = spots.sign[:, None], spots.value[:, None], spots.contrast

    def below(values: Floats) -> Floats:
        return sign * (value - values)

    both = np.concatenate([ring, outer], 1)
    mean = below(ring).mean(1)
    first = [
        np.log(contrast),
        contrast / mean,
        np.log(mean / (spots.busy + 0.004)),
        np.log(contrast / (ring.std(1) + 0.01)),
        np.log(contrast / (np.ptp(both, 1) + 0.02)),
        below(outer).min(1) / contrast,
        np.log1p(np.maximum(spots.others - contrast, 0) / contrast),
        np.log1p(np.maximum(spots.alike - contrast, 0) / contrast),
        spots.radius / 4,
        spots.extreme,
        below(spots.rings[2]).min(1) / contrast,
        below(spots.rings[2]).mean(1) / contrast,
        (spots.sign > 0).astype(np.float32),
        below(spots.rings[3]).mean(1) / contrast,
    ]
    products = [(0, 0), (5, 5), (8, 8), (10, 10), (11, 11), (13, 13), (2, 6), (4, 6), (9, 4), (8, 11)]
    more = [first[one] * first[two] for one, two in products]
    return np.stack([*first, *more], 1).astype(np.float64)


class Specks:
    """Dust and specks in a picture.

    Args:
        gray: (H, W), 0 to 1.
    """

    def __init__(self, gray: Floats) -> None:
        self._gray = gray
        self._spots = find_spots(gray)
        some = len(self._spots.row) > 0
        self._scores = score(describe(self._spots), SPECKS) if some else np.zeros(0)

    def at(self, ease: float) -> NDArray[np.bool_]:
        """Where they are, (H, W); ``ease`` is added to each score."""
        spots, scores, marked = self._spots, self._scores + ease, np.zeros(self._gray.shape, bool)
        chosen = np.zeros(len(scores), bool)
        for direction in (1, -1):
            own = spots.sign == direction
            certain = own & (scores > _CERTAIN)
            if certain.sum() < _LEAST_CERTAIN:
                continue
            middle, reach = typical(spots.value[certain], 0.08)
            chosen |= certain | (own & (np.abs(spots.value - middle) <= reach) & (scores > _POSSIBLE))
        if chosen.any():
            _paint(marked, self._gray, spots, chosen)
        return marked


def _paint(marked: NDArray[np.bool_], gray: Floats, spots: Spots, chosen: NDArray[np.bool_]) -> None:
    """Mark chosen spots as large as they are: to a third of the way from the ring to the spot."""
    height, width = gray.shape
    row, column, sign, value = spots.row[chosen], spots.column[chosen], spots.sign[chosen], spots.value[chosen]
    index = spots.radius[chosen]
    every = np.stack([spots.rings[radius][chosen] for radius in _RADII], 1)
    ring = np.median(every[np.arange(len(row)), index], 1)
    level = ring + (value - ring) / 3
    reach = np.array(_RADII)[index]
    for down in range(-max(_RADII), max(_RADII) + 1):
        for right in range(-max(_RADII), max(_RADII) + 1):
            y, x = row + down, column + right
            here = (down**2 + right**2 < reach**2) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
            y, x = y[here], x[here]
            inside = sign[here] * (gray[y, x] - level[here]) > 0
            marked[y[inside], x[inside]] = True


class Pixels:
    """Dead and hot pixels of a picture: single ones that are beyond all of their neighbours by far.

    Args:
        values: (H, W, C), 0 to 1.
        most: the largest ease that will be asked for.
    """

    def __init__(self, values: Floats, most: float) -> None:
        from scipy import ndimage

        height, width = self._size = values.shape[:2]
        least = _LEAST_PIXEL * 0.75**most
        steps = [(down, right) for down in range(-2, 3) for right in range(-2, 3) if (down, right) != (0, 0)]
        near = np.array([max(abs(down), abs(right)) == 1 for down, right in steps])
        self._found = []
        for channel in np.moveaxis(values, 2, 0):
            local = ndimage.uniform_filter(channel, 3, mode="nearest")
            for sign, extreme in ((1, ndimage.maximum_filter), (-1, ndimage.minimum_filter)):
                beyond = sign * (channel - local)
                row, column = np.nonzero((extreme(channel, 3, mode="nearest") == channel) & (beyond > least))
                around = np.stack(
                    [
                        channel[(row + down).clip(0, height - 1), (column + right).clip(0, width - 1)]
                        for down, right in steps
                    ]
                )
                here = channel[row, column]
                middle = np.median(around, 0)
                excess = (sign * (here - around[near])).min(0)
                noise = 1.4826 * np.median(np.abs(around - middle), 0)
                single = (excess > least) & (excess > 0.75 * sign * (here - middle))
                facts = row, column, beyond[row, column], excess, noise, np.ptp(around, 0)
                self._found.append(tuple(one[single] for one in facts))

    def at(self, ease: float) -> NDArray[np.bool_]:
        """Where any channel is so, (H, W); what is wanted is lower by a quarter for an ease of 1."""
        marked = np.zeros(self._size, bool)
        least = _LEAST_PIXEL * 0.75**ease
        for row, column, beyond, excess, noise, span in self._found:
            far = (beyond > least) & (excess > least) & (excess > 6 * 0.75**ease * noise)
            far &= excess > span * 0.8 * 0.75**ease
            marked[row[far], column[far]] = True
        return marked
