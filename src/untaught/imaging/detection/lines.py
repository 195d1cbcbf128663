"""Scratches and hairs: ridges of brightness that are long, smooth, and of one contrast and value along their length.

A ridge is a pixel whose second derivative across a direction is extreme across it. Ridges of the same sign and nearly
the same direction are joined to chains. What tells a scratch from a twig, an edge or hair is how a chain is as a whole:
how far it stands out from the other ridges around it, whether both sides differ from it all along, and whether it keeps
its value while what is beside it changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from untaught.imaging.detection.values import extremeness, typical
from untaught.imaging.detection.weights import LINES, score

__all__ = ["SCALES", "Chains", "Lines", "describe", "find_chains"]

SCALES = (1.2, 2.5)
"""Standard deviations of the two line filters, in pixels: for lines up to 4 and up to 9 pixels wide."""

_LEAST = 0.02
"""Ridges weaker than this are left out, as a share of the range."""

_AROUND, _NEAR = 41, 13
"""Sides of the neighbourhoods that a ridge is compared with, in pixels."""

_SHORTEST = 10
_SURE, _POSSIBLE = 2.6, 0.0
"""Scores from which a certain chain is a scratch whatever its paint, and from which a chain is one where certain ones
have its paint."""


class _Rule(NamedTuple):
    """When there are scratches, bright or dark.

    Attributes:
        certain: the score from which a chain is certain.
        pixels: that all certain chains have together, at least.
        more_certain: a higher score.
        share: of the pixels of possible chains with the same paint, which those of that score have at least. Otherwise
            these are a texture, or things with many lines.
    """

    certain: float
    pixels: int
    more_certain: float
    share: float


_RULES = {1: _Rule(1.0, 400, 2.0, 0.05), -1: _Rule(3.0, 100, 3.0, 0.15)}
"""By the sign of the chains. Dark lines are seldom damage alone: ropes, spokes, seams."""

_MOST_THROUGH, _FLAT = 0.7, 0.03
"""The most of what lies below that shines through; and how much that varies along a chain that tells little."""

_STEPS = ((0, 1), (1, -1), (1, 0), (1, 1), (0, 2), (1, 2), (1, -2), (2, -2), (2, -1), (2, 0), (2, 1), (2, 2))

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Chains:
    """The pixels on ridges, joined to chains.

    Attributes:
        row: of each pixel.
        column: of each pixel.
        across: (2, N), the unit vector across the ridge, down and right.
        sign: 1 for bright ridges, -1 for dark ones.
        value: on the ridge.
        left: the value beside it.
        right: the value on the other side.
        strength: of the ridge.
        around: the mean strength in the neighbourhood.
        near: the same in a smaller one.
        turn: the mean angle between joined pixels, for each chain, in radians.
        extreme: how far the value is towards the end of the picture's range, 1 at it.
        chain: of each pixel, from 0.
        count: of chains.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    across: Floats
    sign: Floats
    value: Floats
    left: Floats
    right: Floats
    strength: Floats
    around: Floats
    near: Floats
    turn: NDArray[np.float64]
    extreme: Floats
    chain: NDArray[np.int32]
    count: int


def find_chains(gray: Floats, sigma: float) -> Chains:
    """Find ridges and join them.

    Args:
        gray: (H, W), 0 to 1.
        sigma: standard deviation of the line filter, in pixels.
    """
    from scipy import ndimage
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    height, width = gray.shape
    smooth = ndimage.gaussian_filter(gray, sigma, mode="nearest", truncate=3)
    wide = np.pad(smooth, 1, mode="edge")
    factor = np.float32(sigma**2)
    xx = (wide[1:-1, 2:] + wide[1:-1, :-2] - 2 * smooth) * factor
    yy = (wide[2:, 1:-1] + wide[:-2, 1:-1] - 2 * smooth) * factor
    xy = (wide[2:, 2:] + wide[:-2, :-2] - wide[2:, :-2] - wide[:-2, 2:]) * (factor / 4)
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    # The eigenvalue that is farther from zero, negative on bright ridges.
    strong = np.where(middle <= 0, middle - half, middle + half)
    size = np.abs(strong)
    around = ndimage.uniform_filter(size, _AROUND, mode="nearest")
    near = ndimage.uniform_filter(size, _NEAR, mode="nearest")
    row, column = np.nonzero(size > _LEAST)

    def at(array: Floats, down: NDArray[np.int64], right: NDArray[np.int64]) -> Floats:
        found: Floats = array[down.clip(0, height - 1), right.clip(0, width - 1)]
        return found

    angle = 0.5 * np.arctan2(2 * xy[row, column], xx[row, column] - yy[row, column])
    sign = np.where(strong[row, column] < 0, np.float32(1), np.float32(-1))
    angle += np.where(sign > 0, np.float32(np.pi / 2), np.float32(0))
    across = np.stack([np.sin(angle), np.cos(angle)])
    down, right = np.rint(across).astype(np.int64)
    here = size[row, column]
    keep = here >= -sign * at(strong, row + down, column + right)
    keep &= here > -sign * at(strong, row - down, column - right)
    row, column, across, sign, here = row[keep], column[keep], across[:, keep], sign[keep], here[keep]
    fine = ndimage.gaussian_filter(gray, 0.7, mode="nearest")
    beside = round(1.8 * sigma + 1.5)

    def sample(offset: int) -> Floats:
        move = np.rint(offset * across).astype(np.int64)
        return at(fine, row + move[0], column + move[1])

    value, left, right_side = sample(0), sample(beside), sample(-beside)
    contrast = np.minimum(sign * (value - left), sign * (value - right_side))
    keep = contrast > 0
    row, column, across, sign, here = row[keep], column[keep], across[:, keep], sign[keep], here[keep]
    value, left, right_side, contrast = value[keep], left[keep], right_side[keep], contrast[keep]
    count = len(row)
    place = np.full((height + 4, width + 4), -1, np.int32)
    place[row + 2, column + 2] = np.arange(count)
    firsts, seconds = [], []
    for step in _STEPS:
        second = place[row + 2 + step[0], column + 2 + step[1]]
        first = np.nonzero(second >= 0)[0]
        second = second[first]
        length = float(np.hypot(*step))
        alike = np.abs((across[:, first] * across[:, second]).sum(0)) > 0.85
        alike &= np.abs(across[0, first] * step[0] + across[1, first] * step[1]) < length * (
            0.75 if length < 2 else 0.4
        )
        alike &= sign[first] == sign[second]
        least = np.minimum(contrast[first], contrast[second])
        alike &= np.abs(value[first] - value[second]) < 0.15 + 0.5 * least
        firsts.append(first[alike])
        seconds.append(second[alike])
    one, two = np.concatenate(firsts), np.concatenate(seconds)
    links = coo_matrix((np.ones(len(one), np.int8), (one, two)), (count, count))
    number, chain = connected_components(links, directed=False)
    turns = np.arccos(np.abs((across[:, one] * across[:, two]).sum(0)).clip(0, 1))
    joined = np.bincount(chain[one], minlength=number)
    return Chains(
        row=row,
        column=column,
        across=across,
        sign=sign,
        value=value,
        left=left,
        right=right_side,
        strength=here,
        around=around[row, column],
        near=near[row, column],
        turn=np.bincount(chain[one], weights=turns, minlength=number) / np.maximum(joined, 1),
        extreme=extremeness(gray, value, sign),
        chain=chain,
        count=number,
    )


def describe(chains: Chains) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Measure each chain: (N, features), and its number of pixels."""
    length = np.bincount(chains.chain, minlength=chains.count)

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(chains.chain, weights=values, minlength=chains.count) / length

    def deviation(values: NDArray[Any]) -> NDArray[np.float64]:
        values = values.astype(np.float64)
        return np.sqrt(np.maximum(mean(values**2) - mean(values) ** 2, 0))

    row, column = chains.row.astype(np.float64), chains.column.astype(np.float64)
    covariance = mean(row * column) - mean(row) * mean(column)
    high, wide = deviation(row) ** 2, deviation(column) ** 2
    root = np.sqrt((high - wide) ** 2 / 4 + covariance**2)
    extent = np.sqrt(12 * ((high + wide) / 2 + root)) + 1
    bend = np.sqrt(np.maximum((high + wide) / 2 - root, 0)) / extent
    contrast = np.minimum(chains.sign * (chains.value - chains.left), chains.sign * (chains.value - chains.right))
    depth = mean(contrast)
    steady = mean(contrast > 0.4 * depth[chains.chain])
    between = (chains.left + chains.right) / 2
    beside = deviation(between)
    # What shines through damage varies with what is beside it.
    together = mean(chains.value.astype(np.float64) * between) - mean(chains.value) * mean(between)
    through = (together / (beside**2 + _FLAT**2)).clip(0, _MOST_THROUGH)
    varied = np.sqrt(np.maximum(deviation(chains.value) ** 2 - 2 * through * together + (through * beside) ** 2, 0))
    stands_out = np.log(mean(chains.strength) / np.maximum(mean(chains.around), 0.003))
    long = np.log(length)
    cuts = np.sqrt(np.minimum(beside / (varied + 0.02), 8))
    uneven = np.minimum(varied / (depth + 0.02), 3)
    sides = np.minimum(mean(np.abs(chains.left - chains.right)) / (depth + 0.02), 4)
    features = [long, bend, stands_out, np.log(depth + 0.01), steady, uneven, cuts, chains.turn, sides, length / extent]
    features += [mean(chains.extreme), long * stands_out, uneven * cuts, steady * long, long * sides]
    features += [long * chains.turn]
    # What speaks for a line on a calm ground, where nothing shows that it cuts through something.
    features += [np.maximum(stands_out - 1, 0) * np.maximum(long - 3, 0), np.maximum(stands_out - 1.4, 0)]
    features += [np.maximum(stands_out - 1.8, 0), np.maximum(long - 3.7, 0) * steady, cuts * stands_out, cuts * long]
    features += [np.log(mean(chains.strength) / np.maximum(mean(chains.near), 0.003))]
    return np.stack(features, 1), length


class Lines:
    """Scratches and hairs in a picture.

    Args:
        gray: (H, W), 0 to 1.
    """

    def __init__(self, gray: Floats) -> None:
        self._gray = gray
        self._found = []
        for sigma in SCALES:
            chains = find_chains(gray, sigma)
            if not chains.count:
                continue
            features, length = describe(chains)
            scores = np.where(length >= _SHORTEST, score(features, LINES[sigma]), -np.inf)
            between = (chains.left + chains.right) / 2
            value, under, sign = (
                np.bincount(chains.chain, weights=one, minlength=chains.count) / length
                for one in (chains.value, between, chains.sign)
            )
            self._found.append((sigma, chains, length, scores, np.stack([value, under]), sign))

    def at(self, ease: float) -> NDArray[np.bool_]:
        """Where they are, (H, W); ``ease`` is added to each score."""
        found, marked = self._found, np.zeros(self._gray.shape, bool)
        for direction, rule in _RULES.items() if found else ():
            right = [(one[5] * direction > 0, one[3] + ease) for one in found]
            certain = [same & (scores > rule.certain) for same, scores in right]
            lengths = np.concatenate([one[2][sure] for one, sure in zip(found, certain, strict=True)])
            if not len(lengths):
                continue
            seeds = np.concatenate([one[4][:, sure] for one, sure in zip(found, certain, strict=True)], axis=1)
            through, middle, reach = _typical(*np.repeat(seeds, lengths, axis=1))
            alike = [np.abs(value - through * under - middle) <= reach for *_, (value, under), _ in found]
            certain = [
                sure & (paint | (scores > _SURE))
                for sure, paint, (_, scores) in zip(certain, alike, right, strict=True)
            ]
            possible = [same & paint & (scores > _POSSIBLE) for paint, (same, scores) in zip(alike, right, strict=True)]
            more = [sure & (scores > rule.more_certain) for sure, (_, scores) in zip(certain, right, strict=True)]
            all_of_them, enough, most = (
                sum(int(one[2][some].sum()) for one, some in zip(found, chosen, strict=True))
                for chosen in (possible, certain, more)
            )
            if enough < rule.pixels or most < rule.share * all_of_them:
                continue
            for (sigma, chains, *_), sure, some in zip(found, certain, possible, strict=True):
                _paint(marked, self._gray, chains, (sure | some)[chains.chain], round(1.8 * sigma + 1.5))
        return marked


def _typical(value: NDArray[np.float64], under: NDArray[np.float64]) -> tuple[float, float, float]:
    """What the certain damage has in common: how much shines through it, its own part of the value, and the reach."""
    fits = [(through, *typical(value - through * under, 0.06)) for through in np.arange(0, _MOST_THROUGH + 0.01, 0.1)]
    return min(fits, key=lambda fit: fit[2])


def _paint(marked: NDArray[np.bool_], gray: Floats, chains: Chains, chosen: NDArray[np.bool_], reach: int) -> None:
    """Mark chosen ridges as wide as they are: to where the value is half-way to what is beside."""
    row, column, across = chains.row[chosen], chains.column[chosen], chains.across[:, chosen]
    sign, value = chains.sign[chosen], chains.value[chosen]
    height, width = gray.shape
    marked[row, column] = True
    for side, beside in ((1, chains.left[chosen]), (-1, chains.right[chosen])):
        inside = np.ones(len(row), bool)
        middle = (value + beside) / 2
        for step in range(1, reach):
            move = np.rint(side * step * across).astype(np.int64)
            down, right = (row + move[0]).clip(0, height - 1), (column + move[1]).clip(0, width - 1)
            inside &= sign * (gray[down, right] - middle) > 0
            marked[down[inside], right[inside]] = True
