"""Fill in gaps by groups of similar blocks, which together have a low rank.

A picture repeats itself: for most blocks of 8 x 8 there are others nearby that nearly equal it, and a matrix of them is
nearly of low rank. The gaps begin with some other filling. Each step groups similar blocks of the picture as it is now,
drops the small components of each group, and takes over the gaps from the result; the threshold falls from step to
step. The first steps use a fixed transform (Guleryuz, 2006, "Nonlinear approximation based image recovery using
adaptive sparse reconstructions and iterated denoising"; Li, 2011, "Image recovery via hybrid sparse representations: a
deterministic annealing approach"), the last ones the singular vectors of each group (Dong, Shi and Li, 2013, "Nonlocal
image restoration with bilateral variance estimation: a low-rank approach").
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.imaging.block_groups import (
    BLOCK,
    GROUP,
    block_window,
    cosines,
    features,
    haar,
    reference_blocks,
    similar_blocks,
    transform,
)
from untaught.kernels import for_processor

__all__ = ["AGAIN", "FROM_SMOOTH", "GroupCompletion", "Schedule", "completion_memory"]

_STEP = 4
"""Pixels between two reference blocks, each of which gets a group."""
_RADIUS = 24
"""Search radius for similar blocks, in pixels."""
_DOUBT = 0.5
"""A block at that distance, in one direction, has to be so much more similar than one nearby."""
_GROUP = 32
"""Blocks in a group by its singular vectors; a fixed transform has half of them."""
_COMPARED = 28
"""Cosine coefficients by which blocks are compared: the lowest."""
_REGROUP = 3
"""Steps until similar blocks are looked for again."""
_RELAXATION = 1.9
"""A step goes so many times as far as the filtered picture says, but for the last one; below 2."""
_TILE = 256
"""Side of a tile, in pixels. The picture is completed tile by tile, so that memory does not grow with it."""
_MARGIN = _RADIUS + BLOCK
_CHANNELS = 4
"""Channels that are filtered together, which bounds the memory."""
_CHUNK, _AT_ONCE = 512, 128
"""Groups that are filtered together, and that a thread decomposes at once."""

_BYTES, _BYTES_WITHOUT_KERNELS = 400, 3400
"""Of memory for each pixel of a tile with its margin: what was measured, rounded up."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The thresholds of the steps, in standard deviations of the picture.

    Attributes:
        fixed: of the coefficients of a fixed transform: first, last and number of steps.
        adaptive: of the singular values, after that.
    """

    fixed: tuple[float, float, int]
    adaptive: tuple[float, float, int]

    @property
    def steps(self) -> Sequence[tuple[bool, float]]:
        """For each step whether it goes by singular values, and the threshold."""
        parts = ((False, self.fixed), (True, self.adaptive))
        return [(kind, float(value)) for kind, part in parts for value in np.geomspace(*part)]


FROM_SMOOTH = Schedule((1.4, 0.18, 15), (2.7, 0.23, 14))
"""For a filling that is smooth."""

AGAIN = Schedule((1.0, 1.0, 0), (1.2, 0.23, 8))
"""For a filling that was completed before, and has got better values since."""


class GroupCompletion:
    """A completion in small steps. All of it is on the CPU.

    The tiles that promise most for their time come first: those of much detail, whose gaps are close together.

    Args:
        picture: (N, C, H, W), float32, in [0, 1]: with a first filling of the gaps.
        known: (N, C, H, W), bool.
        schedule: the thresholds.
        strips: the parts that belong together: rows and columns (top, bottom, left, right); empty for the whole.
        done: steps that were done before, whose finished tiles are in the picture already.
        share: how much of the completion to take, from 0 to 1, by the number of the picture, rows and columns; None for
            all of it.

    Attributes:
        picture: (N, C, H, W): the picture so far; gaps of tiles that are not finished are as they were.
        done: steps that are done.
        steps: in all; 0 for a picture without gaps, or of a side shorter than a block.
    """

    def __init__(
        self,
        picture: Tensor,
        known: Tensor,
        schedule: Schedule = FROM_SMOOTH,
        strips: Sequence[tuple[int, int, int, int]] = (),
        done: int = 0,
        share: Callable[[int, slice, slice], Tensor] | None = None,
    ) -> None:
        self.picture, self._known = picture.detach().cpu(), known.cpu()
        self._schedule, self._share = schedule.steps, share
        self._tiles = sorted(_tiles(self._known, strips), key=lambda tile: -self._promise(*tile))
        self._scales = [_deviation(*one) for one in zip(self.picture, self._known, strict=True)]
        self.steps = len(self._tiles) * len(self._schedule)
        self.done = done - done % len(self._schedule)
        self._current: Tensor | None = None
        self._groups: _Groups | None = None
        while self.done < min(done, self.steps):
            self.step()

    def _promise(self, number: int, outer: tuple[int, int, int, int], inner: tuple[slice, slice]) -> float:
        """How much a tile is expected to gain in a unit of time: by its known values, so that it stays the same."""
        top, bottom, left, right = outer
        gaps = ~self._known[number, :, *inner].all(0)
        touched = F.max_pool2d(gaps.float()[None], BLOCK - 1, 1, BLOCK // 2 - 1).sum()
        detail, count = 0.0, 1
        picture, known = (one[number, :, top:bottom, left:right] for one in (self.picture, self._known))
        for axis in (-2, -1):
            # Where three neighbours are known: how much the one between differs from the mean of the others.
            before, at, after = (slice(first, first - 2 or None) for first in range(3))
            first, middle, third = (picture[_along(axis, part)] for part in (before, at, after))
            there = known[_along(axis, before)] & known[_along(axis, at)] & known[_along(axis, after)]
            bends = (middle - (first + third) / 2).square_() * there
            detail += float(bends.sum(dtype=torch.float64))
            count += int(there.sum())
        return detail / count * float(gaps.sum() / touched)

    @property
    def finished(self) -> bool:
        """Whether every tile is done."""
        return self.done >= self.steps

    @torch.no_grad()
    def step(self) -> bool:
        """Take one step in one tile; whether that finished the tile. After the last step it does nothing."""
        if self.finished:
            return False
        number, (top, bottom, left, right), (rows, columns) = self._tiles[self.done // len(self._schedule)]
        index = self.done % len(self._schedule)
        known = self._known[number, :, top:bottom, left:right]
        if index == 0 or self._current is None:
            self._current = self.picture[number, :, top:bottom, left:right].clone()
        adaptive, threshold = self._schedule[index]
        threshold *= self._scales[number]
        # Channels that go together: the first plane is their mean.
        colours = cosines(len(known), known.device)
        planes = torch.einsum("kc,chw->khw", colours, self._current)
        if index % _REGROUP == 0 or self._groups is None:
            self._groups = _Groups(planes[0], ~known.all(0))
        parts = [
            self._groups.filtered(planes[first : first + _CHANNELS], threshold, adaptive=adaptive)
            for first in range(0, len(planes), _CHANNELS)
        ]
        filtered = torch.einsum("kc,khw->chw", colours, torch.cat(parts))
        last = index == len(self._schedule) - 1
        further = self._current + (1 if last else _RELAXATION) * (filtered - self._current)
        self._current = torch.where(known, self._current, further)
        self.done += 1
        if last:
            part = self._current[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            # A checkpoint may hold the picture of before.
            self.picture = self.picture.clone()
            place = (number, slice(None), rows, columns)
            share = 1.0 if self._share is None else self._share(number, rows, columns)
            self.picture[place] = self.picture[place].lerp(part.clamp(0, 1), share)
            self._current = self._groups = None
        return last


def _along(axis: int, part: slice) -> tuple[Any, ...]:
    """The index of a part of the last but one axis, or of the last."""
    return (..., part, slice(None)) if axis == -2 else (..., part)


def completion_memory(size: Sequence[int]) -> float:
    """The bytes that a completion of a colour picture of this height and width takes at most, besides the picture."""
    each = _BYTES_WITHOUT_KERNELS if for_processor() is None else _BYTES
    return each * math.prod(min(side, _TILE + 2 * _MARGIN) for side in size)


def _deviation(picture: Tensor, known: Tensor) -> float:
    """The standard deviation of the known values of all channels; plane by plane, to spare memory."""
    count, total, squares = 0, 0.0, 0.0
    for plane, there in zip(picture, known, strict=True):
        values = plane.masked_select(there)
        count += len(values)
        total += float(values.sum(dtype=torch.float64))
        squares += float(values.square().sum(dtype=torch.float64))
    mean = total / max(count, 1)
    return math.sqrt(max(squares / max(count, 1) - mean**2, 1e-12))


def _tiles(
    known: Tensor, strips: Sequence[tuple[int, int, int, int]]
) -> list[tuple[int, tuple[int, int, int, int], tuple[slice, slice]]]:
    """The tiles that hold gaps: picture, rows and columns with margin, and without it."""
    height, width = known.shape[-2:]
    found = []
    for number, one in enumerate(known):
        gaps = ~one.all(0)
        for above, below, first, last in strips or [(0, height, 0, width)]:
            if min(below - above, last - first) < BLOCK:
                continue
            for top in range(above, below, _TILE):
                for left in range(first, last, _TILE):
                    part = gaps[top : min(below, top + _TILE), left : min(last, left + _TILE)].nonzero()
                    if not len(part):
                        continue
                    (low, west), (high, east) = part.amin(0).tolist(), part.amax(0).tolist()
                    inner = slice(top + low, top + high + 1), slice(left + west, left + east + 1)
                    outer = (
                        *_widened(inner[0].start, inner[0].stop, above, below),
                        *_widened(inner[1].start, inner[1].stop, first, last),
                    )
                    found.append((number, outer, inner))
    return found


def _widened(start: int, stop: int, least: int, most: int) -> tuple[int, int]:
    return max(least, start - _MARGIN), min(most, stop + _MARGIN)


class _Groups:
    """The groups of similar blocks of a tile.

    Each reference block touches a gap. Of a group, those blocks are put back that touch one; the others only help.

    Args:
        guide: (H, W): what is compared.
        gaps: (H, W), bool.
    """

    def __init__(self, guide: Tensor, gaps: Tensor) -> None:
        height, self._width = gaps.shape
        high, wide = height - BLOCK + 1, self._width - BLOCK + 1
        touched = F.max_pool2d(gaps.float()[None, None], BLOCK, 1)[0, 0] > 0
        self._kernels = for_processor()
        # The first pixel of each block; blocks are known by it.
        self._corners = (torch.arange(high)[:, None] * self._width + torch.arange(wide))[touched]
        self._number = torch.full((height * self._width,), -1)
        self._number[self._corners] = torch.arange(len(self._corners))
        self._members = self._similar(guide, touched)
        within = torch.arange(BLOCK)
        self._pixels = (within[:, None] * self._width + within).flatten()

    def _similar(self, guide: Tensor, touched: Tensor) -> Tensor:
        """The most similar blocks of each reference block, (groups, 32), the most similar first."""
        compared = features(guide[None], [_COMPARED])
        rows, columns = reference_blocks(compared, _STEP)
        chosen = touched[rows, columns]
        members = similar_blocks(compared, rows[chosen], columns[chosen], _GROUP, _RADIUS, _DOUBT)
        return members + members // touched.shape[1] * (BLOCK - 1)

    def filtered(self, planes: Tensor, threshold: float, *, adaptive: bool) -> Tensor:
        """Planes, (C, H, W), without the small components of the groups, wherever a block touches a gap."""
        channels, flat, window = len(planes), planes.flatten(1), block_window(planes.device)
        if self._kernels is not None:
            result, touched = torch.empty_like(flat), (self._number >= 0).float()
            self._kernels.filter_groups(
                result, flat, *planes.shape, self._members, len(self._members), touched, window, threshold, adaptive
            )
            return result.view_as(planes)
        sums = flat.new_zeros(len(self._corners), channels * BLOCK**2)
        weights = flat.new_zeros(len(self._corners))
        members = self._members if adaptive else self._members[:, :GROUP]
        for first in range(0, len(members), _CHUNK):
            some = members[first : first + _CHUNK]
            values = flat[:, some[..., None] + self._pixels].movedim(0, 2).flatten(2)
            kept, components = (_low_rank if adaptive else _sparse)(values, threshold)
            # A group weighs more the less it has kept.
            trust = (1 / components.to(values))[:, None].expand_as(some).contiguous()
            number = self._number[some].flatten()
            inside = (number >= 0).nonzero()[:, 0]
            number, trust = number[inside], trust.flatten()[inside]
            sums.index_add_(0, number, kept.flatten(0, 1)[inside].mul_(trust[:, None]))
            weights.index_add_(0, number, trust)
        # Blocks fade out towards their edges, so that the edges do not show.
        top, bottom = torch.zeros_like(flat), torch.zeros_like(flat[0])
        blocks = sums.view(-1, channels, BLOCK**2).permute(2, 1, 0) * window[:, None, None]
        for pixel, share, block in zip(self._pixels.tolist(), window.tolist(), blocks, strict=True):
            places = self._corners + pixel
            bottom.index_add_(0, places, weights, alpha=share)
            for plane, values in zip(top, block, strict=True):
                plane.index_add_(0, places, values)
        return torch.where(bottom > 0, top / bottom.clamp_min(1e-30), flat).view_as(planes)


def _sparse(values: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Groups, (groups, blocks, C * 64), with large coefficients of a fixed transform only, and how many of these."""
    together, lines = haar(values.shape[1], values.device), transform(values.device)
    blocks = values.view(*values.shape[:2], -1, BLOCK**2) @ lines.T
    coefficients = torch.einsum("kl,glcp->gkcp", together, blocks)
    large = coefficients.abs() > threshold
    large[:, 0, :, 0] = True
    back = torch.einsum("kl,gkcp->glcp", together, coefficients.mul_(large)) @ lines
    return back.flatten(2), large.sum((1, 2, 3))


def _low_rank(values: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Groups, (groups, blocks, C * 64), with large singular values only, and how many of these."""
    products = values @ values.transpose(1, 2)
    # The bits do not depend on the number of threads.
    parts = [products[first : first + _AT_ONCE] for first in range(0, len(products), _AT_ONCE)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        squares, vectors = (torch.cat(found) for found in zip(*pool.map(_eigen, parts), strict=True))
    large = squares > threshold**2
    large[:, -1] = True
    return (vectors * large[:, None]) @ (vectors.transpose(1, 2) @ values), large.sum(1)


def _eigen(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors of symmetric matrices, (n, k, k)."""
    try:
        values, vectors = torch.linalg.eigh(matrices)
        if vectors.isfinite().all():
            return values, vectors
    except RuntimeError:
        pass
    # Single precision may fail where blocks are all the same.
    values, vectors = torch.linalg.eigh(matrices.double())
    return values.float(), vectors.float()
