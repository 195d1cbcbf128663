"""Dates that a camera has printed into a corner: digits that glow red, orange, yellow or green, in a row.

A glowing pixel has much more red or green than blue, and more so than what is around it. Digits are as high as each
other, stand in one row near an edge, are made of thin strokes, and nothing like them is beside the row.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Stamps"]

_CONTRAST = 0.2
"""Least glow beyond what is around, of the range, at strength 0.5."""

_LEVELS = (1, 1.7, 2.9)
"""Multiples of it that are tried: what glows less than the digits may touch them."""

_BRIGHT = 0.45
_LOWEST, _HIGHEST = 7, 0.09
"""Heights of a digit: in pixels, and as a share of the picture's shorter side."""

_FEWEST, _PIECES = 4, 3
"""Digits in a row, and pieces that they form, as some may touch."""

_LARGEST = 600
"""Shorter side, in pixels, from twice of which a picture is looked at smaller."""

_EDGE = 0.2
"""A row's middle is nearer to the upper or lower edge than this share of the height."""

_MOST_BESIDE = 0.25
"""Glow around a row, as a share of that in it."""

_THICK = 0.6
"""Most thickness of a stroke, as a share of a digit's height."""

_EVEN, _SHINING, _VIVID = 0.12, 0.65, 0.25
"""The colour of a row: most median deviation, least brightness, least difference between two channels."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Stamps:
    """Dates in the corners of a picture, whose digits stand upright or on their side.

    Args:
        values: (H, W, C), 0 to 1; nothing is found with less than three channels.
        most: the largest ease that will be asked for.
    """

    def __init__(self, values: Floats, most: float) -> None:
        height, width = self._size = values.shape[:2]
        self._bands: list[_Bands] = []
        self._known: dict[float, NDArray[np.uint8]] = {}
        self._step = step = max(1, min(height, width) // _LARGEST)
        if values.shape[2] < 3 or min(height, width) < 4 * _LOWEST:
            return
        if step > 1:
            whole = values[: height // step * step, : width // step * step, :3]
            values = whole.reshape(height // step, step, width // step, step, 3).mean((1, 3))
        red, green, blue = np.moveaxis(values[..., :3], 2, 0)
        bright = np.maximum(red, green) > _BRIGHT
        for glow in (
            red - blue,
            red - np.maximum(green, blue),
            np.minimum(red, green) - blue,
            green - np.maximum(red, blue),
        ):
            shining = np.where(bright, glow, np.float32(0)).clip(0)
            self._bands.append(_Bands(values, shining, _least(most)))
            self._bands.append(_Bands(np.swapaxes(values, 0, 1), np.ascontiguousarray(shining.T), _least(most)))

    def at(self, ease: float) -> Mask:
        """Where they are, (H, W); the contrast that is wanted is lower by a fifth for an ease of 1."""
        # Most of the time of a search is spent here, and a slider comes by the same values again.
        if ease not in self._known:
            found = self._look(ease)
            self._known[ease] = np.packbits(found) if found.any() else np.zeros(0, np.uint8)
        kept = self._known[ease]
        if not len(kept):
            return np.zeros(self._size, bool)
        known: Mask = np.unpackbits(kept, count=math.prod(self._size)).reshape(self._size).view(bool)
        return known

    def _look(self, ease: float) -> Mask:
        from scipy import ndimage

        found = np.zeros(self._size, bool)
        rows = [bands.rows(_least(ease)) for bands in self._bands]
        upright, sideways = rows[::2], rows[1::2]
        if not any(one.any() for one in rows):
            return found
        marked: Mask = np.logical_or.reduce([*upright, *(one.T for one in sideways)])
        if self._step == 1:
            return marked
        large = ndimage.binary_dilation(marked, np.ones((3, 3))).repeat(self._step, 0).repeat(self._step, 1)
        found[: large.shape[0], : large.shape[1]] = large
        return found


def _least(ease: float) -> float:
    """The least glow beyond what is around."""
    return float(_CONTRAST * 0.8**ease)


class _Bands:
    """Where rows along the second axis may stand, at the upper and the lower edge, and what glows there.

    Args:
        values: (H, W, C).
        glow: (H, W).
        least: the least contrast that will be asked for.
    """

    def __init__(self, values: Floats, glow: Floats, least: float) -> None:
        from scipy import ndimage

        height, width = self._size = glow.shape
        deep = min(height, round(_EDGE * height) + round(_HIGHEST * min(height, width)))
        self._values = values
        self._found = []
        for band in (slice(0, deep), slice(height - deep, height)):
            tall = float(_LOWEST)
            while tall <= _HIGHEST * min(height, width):
                thickest = 2 * round(0.3 * tall) + 3
                above = glow[band] - ndimage.grey_opening(glow[band], (thickest, thickest))
                if (above > least).sum() > tall:
                    self._found.append((band, tall, above))
                tall *= 1.5

    def rows(self, least: float) -> Mask:
        """The digits of rows: (H, W)."""
        found = np.zeros(self._size, bool)
        for band, tall, above in self._found:
            for times in _LEVELS:
                ink = above > times * least
                if ink.sum() > tall:
                    found[band] |= _rows_of(self._values[band], above, ink, tall)
        return found


def _rows_of(values: Floats, above: Floats, ink: Mask, tall: float) -> Mask:
    """The digits of rows whose digits are about ``tall`` pixels high, in a band: (h, W)."""
    from scipy import ndimage

    marked = np.zeros(ink.shape, bool)
    reach = max(1, round(0.16 * tall))
    glyphs = ndimage.maximum_filter(ink.view(np.uint8), 2 * reach + 1, mode="constant")
    labels, count = ndimage.label(glyphs)
    if not count:
        return marked
    boxes = ndimage.find_objects(labels)
    tops = np.array([box[0].start + reach for box in boxes])
    bottoms = np.array([box[0].stop - reach for box in boxes])
    lefts = np.array([box[1].start + reach for box in boxes])
    rights = np.array([box[1].stop - reach for box in boxes])
    high, wide = bottoms - tops, rights - lefts
    digits = (high > 0.72 * tall) & (high < 1.32 * tall) & (wide < 3.2 * tall) & (wide > 0.08 * tall)
    for row in _in_rows(tops, bottoms, lefts, rights, digits, tall):
        top, bottom = int(np.median(tops[row])), int(np.median(bottoms[row]))
        left, right = int(lefts[row].min()), int(rights[row].max())
        # Digits that touch count as several.
        number = np.maximum(1, np.round(wide[row] / (0.75 * (bottom - top)))).sum()
        if row.sum() < _PIECES or number < _FEWEST or not _in_a_corner(left, right, ink.shape[1], tall):
            continue
        margin = round(0.9 * tall)
        part = slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)
        box = slice(top - part[0].start, bottom - part[0].start), slice(left - part[1].start, right - part[1].start)
        own = np.concatenate([[False], row])[labels[part]] & ink[part]
        if _is_date(values[part], ink[part], own, box, tall):
            marked[part] |= _whole(above[part], values[part], own, box, tall)
    return marked


def _in_a_corner(left: int, right: int, width: int, tall: float) -> bool:
    """Whether a row is as long as a date, and not in the middle of the edge."""
    length = right - left
    centred = width / 3 < (left + right) / 2 < 2 * width / 3 and length < width / 3
    return 2 * tall < length < 16 * tall and not centred


def _in_rows(
    tops: NDArray[Any], bottoms: NDArray[Any], lefts: NDArray[Any], rights: NDArray[Any], digits: Mask, tall: float
) -> list[Mask]:
    """Join pieces that stand beside each other at one height, with gaps of less than three digits."""
    order = np.flatnonzero(digits)
    order = order[np.argsort(lefts[order])]
    rows: list[list[int]] = []
    for one in order:
        for row in rows:
            last = row[-1]
            level = abs(tops[one] - tops[last]) <= 0.25 * tall and abs(bottoms[one] - bottoms[last]) <= 0.25 * tall
            if level and lefts[one] - rights[last] < 2.6 * tall:
                row.append(int(one))
                break
        else:
            rows.append([int(one)])
    chosen = []
    for row in rows:
        mask = np.zeros(len(tops), bool)
        mask[row] = True
        chosen.append(mask)
    return chosen


def _is_date(values: Floats, ink: Mask, own: Mask, box: tuple[slice, slice], tall: float) -> bool:
    """Whether a row in a box is made of thin strokes of one shining colour, with nothing like them around the box."""
    from scipy import ndimage

    share = own[box].mean()
    if not 0.06 < share < 0.55:
        return False
    near = round(0.35 * tall)
    outside = np.ones(ink.shape, bool)
    outside[tuple(slice(max(0, one.start - near), one.stop + near) for one in box)] = False
    if outside.any() and ink[outside].mean() > _MOST_BESIDE * share:
        return False
    thickest = 2 * float(ndimage.distance_transform_edt(own[box]).max())
    if thickest > max(3.0, _THICK * tall):
        return False
    colours = values[own]
    middle = np.median(colours, 0)
    even = np.median(np.abs(colours - middle), 0).max() < _EVEN
    return bool(even and middle.max() > _SHINING and np.ptp(middle) > _VIVID)


def _whole(above: Floats, values: Floats, own: Mask, box: tuple[slice, slice], tall: float) -> Mask:
    """The digits with their soft edges, and what belongs to them in the row, such as an apostrophe."""
    from scipy import ndimage

    level = float(np.median(above[own]))
    near = max(2, round(0.2 * tall))
    row = np.zeros(own.shape, bool)
    row[max(0, box[0].start - near) : box[0].stop + near] = True
    alike = np.abs(values - np.median(values[own], 0)).max(2) < 2 * _EVEN
    core = own | (row & alike & (above > 0.7 * level))
    edges = ndimage.binary_dilation(core, np.ones((3, 3)), iterations=max(1, round(0.08 * tall)))
    glowing = edges & row & (above > level / 3)
    whole: Mask = ndimage.binary_closing(glowing, np.ones((3, 3))) | glowing
    return whole
