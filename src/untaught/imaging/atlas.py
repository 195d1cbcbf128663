"""An atlas: what is needed of a large picture to restore a little of it, cut out and laid side by side.

A scratch takes a few thousand of a photograph's twelve million pixels. Only strips around the damage are fitted, so
that time and memory grow with the damage and not with the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_PATCH", "Atlas", "plan_atlas"]

Box = tuple[int, int, int, int]

_BLOCK = 64
"""Height of the part of a strip that is restored, in pixels."""

_CONTEXT = 32
"""Pixels around a restored part that are cut out with it, where the picture has them."""

LARGEST_PATCH = _BLOCK + 2 * _CONTEXT
"""A larger patch does not fit into a strip."""

_WORTH = 0.5
"""An atlas is used if it has at most this share of the picture's pixels."""


@dataclass(frozen=True)
class Atlas:
    """Strips of a picture, laid out in a smaller one.

    Attributes:
        size: height and width of the atlas.
        sources: top, bottom, left and right of each strip in the picture.
        strips: the same in the atlas.
        restored: the part of each strip that is pasted back, in the picture; no two overlap.
        missing: share of the picture's pixels that are damaged, 0 to 1.
    """

    size: tuple[int, int]
    sources: tuple[Box, ...]
    strips: tuple[Box, ...]
    restored: tuple[Box, ...]
    missing: float

    def cut(self, picture: NDArray[Any], filler: Any = 0) -> NDArray[Any]:
        """Cut the strips from a picture or a mask, (H, W) or (H, W, C); between them there is filler."""
        atlas = np.full((*self.size, *picture.shape[2:]), filler, picture.dtype)
        for source, strip in zip(self.sources, self.strips, strict=True):
            atlas[_slices(strip)] = picture[_slices(source)]
        return atlas

    def paste(self, atlas: NDArray[Any], picture: NDArray[Any] | None) -> NDArray[Any]:
        """A copy of the picture with the restored parts from the atlas."""
        assert picture is not None
        result = np.array(picture)
        for source, strip, part in zip(self.sources, self.strips, self.restored, strict=True):
            down, right = strip[0] - source[0], strip[2] - source[2]
            there = (part[0] + down, part[1] + down, part[2] + right, part[3] + right)
            result[_slices(part)] = atlas[_slices(there)]
        return result


def plan_atlas(missing: NDArray[np.bool_]) -> Atlas | None:
    """Plan the atlas of a damaged picture.

    Args:
        missing: (H, W): the pixels to restore.

    Returns:
        The atlas; None where the whole picture is as good, since it is small or damaged in many places.
    """
    height, width = missing.shape
    side, context = LARGEST_PATCH, _CONTEXT
    if height <= side or width <= side or not missing.any():
        return None
    rows, columns = (np.arange(0, length, _BLOCK) for length in (height, width))
    damaged = np.logical_or.reduceat(np.logical_or.reduceat(missing, rows, axis=0), columns, axis=1)
    sources, restored = [], []
    for row, line in zip(rows.tolist(), damaged, strict=True):
        top = min(max(0, row - context), height - side)
        for start, end in _runs(line, gap=2 * context // _BLOCK):
            left, right = start * _BLOCK, min(width, end * _BLOCK)
            first = min(max(0, left - context), width - side)
            sources.append((top, top + side, first, max(first + side, min(width, right + context))))
            restored.append((row, min(height, row + _BLOCK), left, right))
    area = sum((right - left) * side for _, _, left, right in sources)
    if area > _WORTH * height * width:
        return None
    size, strips = _shelves(sources, side, area)
    return Atlas(size, tuple(sources), strips, tuple(restored), float(missing.mean()))


def _runs(line: NDArray[np.bool_], gap: int) -> list[tuple[int, int]]:
    """Start and end of each run of True; runs that are at most ``gap`` apart are one."""
    places = np.flatnonzero(line)
    runs: list[tuple[int, int]] = []
    for place in places.tolist():
        if runs and place - runs[-1][1] <= gap:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs


def _shelves(sources: list[Box], side: int, area: int) -> tuple[tuple[int, int], tuple[Box, ...]]:
    """Put strips of the same height onto shelves: the size of all, and the place of each."""
    lengths = [right - left for _, _, left, right in sources]
    width = max(*lengths, round(area**0.5)) if len(lengths) > 1 else lengths[0]
    strips: list[Box | None] = [None] * len(sources)
    free: list[int] = []
    # The longest first, each onto the first shelf that has room.
    for number in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        shelf = next((k for k, room in enumerate(free) if room >= lengths[number]), len(free))
        if shelf == len(free):
            free.append(width)
        left = width - free[shelf]
        strips[number] = (shelf * side, shelf * side + side, left, left + lengths[number])
        free[shelf] -= lengths[number]
    return (len(free) * side, width), tuple(strip for strip in strips if strip is not None)


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box[0], box[1]), slice(box[2], box[3])
