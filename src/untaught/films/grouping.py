"""Groups of similar blocks from several frames: what a frame's collaborative filter takes from its neighbours.

After Dabov, Foi and Egiazarian, 2007, "Video denoising by sparse 3D transform-domain collaborative filtering", and
Maggioni et al., 2012, "Video denoising, deblocking, and enhancement through separable 4-D nonlocal spatiotemporal
transforms". Blocks follow the motion by whole pixels, so that nothing is interpolated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from untaught.films.motion import at
from untaught.imaging.block_groups import BLOCK, GROUP, cosines, reference_blocks, shrunk, similar_blocks

__all__ = ["Noise", "Seen", "filtered"]

_STEP = 4
"""Pixels between two reference blocks."""
_RADIUS = 12
"""How far similar blocks are looked for in the frame itself, in pixels."""
_NEAR = 2
"""How far from where the motion says they are looked for in another frame, in pixels."""
_EACH = 2
"""Blocks that another frame has to offer."""
_LOW, _LOW_COLOUR = 4, 2
"""Blocks are compared by so many of the lowest cosines each way: of the first plane, and of each of the others."""
_TILE, _MARGIN = 320, 20
"""Side of a tile and how much is seen around it, in pixels."""


@dataclass(frozen=True)
class Noise:
    """The noise of planes.

    Attributes:
        levels: (K, H - 7, W - 7): the variance around each block; or (K,), the same everywhere.
        tables: for each plane the covariance of two blocks (`untaught.imaging.block_groups.shrunk`); None if it is
            white.
        threshold: see there.
        excess: see there.
    """

    levels: Tensor
    tables: Sequence[Tensor] | None = None
    threshold: float = 3.0
    excess: float = 1.0


@dataclass(frozen=True)
class Seen:
    """A frame as it is seen from another one.

    Attributes:
        planes: (K, H, W): its noisy planes.
        pilot: (K, H, W): as well as they are known; None before the first step.
        move: (2, h, w): from each place of the other frame to the same thing in this one (`untaught.films.motion`);
            None for the frame itself.
    """

    planes: Tensor
    pilot: Tensor | None = None
    move: Tensor | None = None

    @property
    def guide(self) -> Tensor:
        """By what blocks are compared."""
        return self.planes if self.pilot is None else self.pilot


def filtered(frame: Seen, others: Sequence[Seen], noise: Noise) -> Tensor:
    """A frame without the noise in its groups, (K, H, W).

    Args:
        frame: at least 8 pixels high and wide.
        others: frames of the same size around it.
        noise: of the frame.
    """
    height, width = frame.planes.shape[-2:]
    result = torch.empty_like(frame.planes)
    for top, left in itertools.product(range(0, height, _TILE), range(0, width, _TILE)):
        rows = slice(max(0, top - _MARGIN), min(height, top + _TILE + _MARGIN))
        columns = slice(max(0, left - _MARGIN), min(width, left + _TILE + _MARGIN))
        made = _tile(frame, others, noise, rows, columns)
        inside = made[:, top - rows.start :, left - columns.start :][:, :_TILE, :_TILE]
        result[:, top : top + _TILE, left : left + _TILE] = inside
    return result


def _tile(frame: Seen, others: Sequence[Seen], noise: Noise, rows: slice, columns: slice) -> Tensor:
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    # The tile of each frame, moved with what is in it.
    corners = [torch.tensor([rows.start, columns.start])]
    corners += [_moved_corner(one, rows, columns) for one in others]
    parts = [
        (slice(None), slice(int(top), int(top) + high), slice(int(left), int(left) + wide)) for top, left in corners
    ]
    every = [frame, *others]
    keys = [_features(one.guide[part]) for one, part in zip(every, parts, strict=True)]
    groups = _groups(keys, [one.move for one in others], corners)
    count = len(keys)
    if noise.levels.ndim == 3:
        # The variance is that around the first block of a group, which is one of the frame's own.
        own = noise.levels[:, rows.start : rows.stop - BLOCK + 1, columns.start : columns.stop - BLOCK + 1]
        levels = own.flatten(1)[:, groups[:, 0]]
    else:
        levels = noise.levels[:, None].expand(-1, len(groups))
    made = []
    for plane in range(len(frame.planes)):
        noisy = torch.cat([one.planes[part][plane] for one, part in zip(every, parts, strict=True)])
        pilot = None
        if frame.pilot is not None:
            pilot = torch.cat([one.guide[part][plane] for one, part in zip(every, parts, strict=True)])
        table = None if noise.tables is None else noise.tables[plane]
        whole = shrunk(
            noisy, groups, levels[plane], table=table, pilot=pilot, threshold=noise.threshold, excess=noise.excess
        )
        made.append(whole.view(count, high, wide)[0])
    return torch.stack(made)


def _moved_corner(other: Seen, rows: slice, columns: slice) -> Tensor:
    """Where the tile's first pixel is taken from in another frame, so that most of what is in it is there."""
    assert other.move is not None
    part = other.move[:, rows.start // 2 : -(-rows.stop // 2), columns.start // 2 : -(-columns.stop // 2)]
    move = part.flatten(1).median(1).values.round().long()
    sides = other.planes.shape[-2:]
    most = torch.tensor([sides[0] - (rows.stop - rows.start), sides[1] - (columns.stop - columns.start)])
    return (torch.tensor([rows.start, columns.start]) + move).clamp(min=torch.zeros(2, dtype=torch.long), max=most)


def _features(planes: Tensor) -> Tensor:
    """By what blocks are compared, (F, H - 7, W - 7): their lowest cosines, as they are in `features`."""
    lines = cosines(BLOCK, planes.device)
    found = []
    for number, plane in enumerate(planes):
        low = _LOW if number == 0 else _LOW_COLOUR
        down = functional.conv2d(plane[None, None], lines[:low].view(low, 1, BLOCK, 1))[0]
        found.append(functional.conv2d(down[:, None], lines[:low].view(low, 1, 1, BLOCK)).flatten(0, 1))
    return torch.cat(found)


def _groups(keys: Sequence[Tensor], moves: Sequence[Tensor | None], corners: Sequence[Tensor]) -> Tensor:
    """The blocks of each group, (groups, 16): places in a stack of the frames' tiles, one below the other.

    Args:
        keys: features of the tile of each frame, the filtered one first.
        moves: to each of the others.
        corners: of each tile in its frame.
    """
    high, wide = keys[0].shape[1:]
    rows, columns = reference_blocks(keys[0], _STEP)
    flat = [one.flatten(1).T.contiguous() for one in keys]
    own = flat[0][rows * wide + columns]
    members = similar_blocks(keys[0], rows, columns, GROUP, _RADIUS, 0.5).long()
    distances = (flat[0][members] - own[:, None]).square_().sum(2)
    # A block is its own partner where there are too few; it counts once.
    distances[:, 1:].masked_fill_(members[:, 1:] == members[:, :1], torch.inf)
    distances[:, 0] = -1
    middle = torch.stack([rows, columns]) + corners[0][:, None] + (BLOCK - 1) / 2
    tall = high + BLOCK - 1
    for number, (move, corner) in enumerate(zip(moves, corners[1:], strict=True), start=1):
        assert move is not None
        there = (middle + at(move, middle)).sub_((BLOCK - 1) / 2).round_().long() - corner[:, None]
        offered, places = [], []
        for down, right in itertools.product(range(-_NEAR, _NEAR + 1), repeat=2):
            y, x = there[0] + down, there[1] + right
            outside = (y < 0) | (y >= high) | (x < 0) | (x >= wide)
            place = y.clamp(0, high - 1) * wide + x.clamp(0, wide - 1)
            offered.append((flat[number][place] - own).square_().sum(1).masked_fill_(outside, torch.inf))
            places.append(place)
        least, which = torch.stack(offered).topk(_EACH, dim=0, largest=False)
        chosen = torch.stack(places).gather(0, which) + number * tall * wide
        distances, members = torch.cat([distances, least.T], 1), torch.cat([members, chosen.T], 1)
    least, which = distances.topk(GROUP, dim=1, largest=False, sorted=True)
    found = members.gather(1, which)
    return torch.where(least.isfinite(), found, found[:, :1])
