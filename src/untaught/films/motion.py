"""Motion between frames: where each place of one frame is in another.

Fields have half the frames' size: (2, h, w), rows and columns, in pixels of the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from untaught.films.frames import Frame

__all__ = ["at", "chained", "coarse", "field", "sampled", "small", "with_motion"]

_RADIUS, _STEPS = 8, 3
"""Of the optical flow: half the side of its windows, in pixels of half the size, and steps at each scale."""
_SQUARE, _LEAST = 64, 16
"""Side of the squares of which motion is found first, in pixels of half the size, and the least side that tells any."""
_FLAT = 1e-4
"""Standard deviation below which a square tells nothing."""
_CLEAR = 0.9
"""A square moves otherwise than most do if its error is less than this share of that."""
_SMOOTH = 1.2
"""Standard deviation, in pixels, by which frames are smoothed first."""


def small(planes: Tensor) -> Tensor:
    """What motion is found from: the mean of the channels of (C, H, W), smoothed, at half the size."""
    gray = ndimage.gaussian_filter(planes.mean(0).numpy(), _SMOOTH)
    even = functional.pad(torch.from_numpy(gray)[None, None], (0, gray.shape[1] % 2, 0, gray.shape[0] % 2), "replicate")
    return functional.avg_pool2d(even, 2)[0, 0]


def field(one: Tensor, other: Tensor) -> Tensor:
    """From each place of one small picture to the same thing in another one (`small`), (2, h, w).

    From `coarse` on by Le Besnerais and Champagnat, 2005, "Dense optical flow by iterative local window registration".
    """
    from skimage.registration import optical_flow_ilk

    begun = coarse(one, other)
    if min(one.shape) < _LEAST:
        return begun
    moved = sampled(other[None], (_grid(one) + begun / 2).flatten(1)).view_as(one)
    rest = optical_flow_ilk(one.numpy(), moved.numpy(), radius=_RADIUS, num_warp=_STEPS, dtype=np.float32)
    return begun + 2 * torch.from_numpy(np.ascontiguousarray(rest, np.float32)).nan_to_num()


def coarse(one: Tensor, other: Tensor) -> Tensor:
    """The same as motion of squares, by phase correlation; between their middles it changes evenly.

    Where a square tells little, it moves as those around it, or as most do.
    """
    from skimage.registration import phase_cross_correlation

    side = min(_SQUARE, *one.shape)
    if side < _LEAST:
        return torch.zeros(2, *one.shape)
    lines = [
        torch.linspace(0, length - side, 1 + -(-2 * (length - side) // side)).round().long() for length in one.shape
    ]
    window = torch.hann_window(side, periodic=False).outer(torch.hann_window(side, periodic=False)) + 1e-3
    moves = torch.zeros(2, *map(len, lines))
    squares = []
    for i, top in enumerate(lines[0].tolist()):
        for j, left in enumerate(lines[1].tolist()):
            pair = [each[top : top + side, left : left + side] for each in (other, one)]
            squares.append((top, left))
            if min(float(part.std()) for part in pair) < _FLAT:
                continue
            tapered = [((part - part.mean()) * window).numpy() for part in pair]
            shift, *_ = phase_cross_correlation(*tapered, upsample_factor=8)
            moves[:, i, j] = torch.from_numpy(np.asarray(shift, np.float32)).clamp(-side / 2, side / 2)
    best = _fitting(one, other, moves, squares, side, window)
    middles = [line + (side - 1) / 2 for line in lines]
    places = [
        _position(torch.arange(length, dtype=torch.float32), middle)
        for length, middle in zip(one.shape, middles, strict=True)
    ]
    grid = torch.stack(torch.meshgrid(*places, indexing="ij")).flatten(1)
    return 2 * sampled(best, grid, "bilinear").view(2, *one.shape)


def _fitting(
    one: Tensor, other: Tensor, moves: Tensor, squares: Sequence[tuple[int, int]], side: int, window: Tensor
) -> Tensor:
    """For each square the motion that fits best: its own, that of a neighbour, or that of most."""
    high, wide = moves.shape[1:]
    around = functional.pad(moves[None], (1, 1, 1, 1), "replicate")[0]
    most = moves.flatten(1).median(1).values[:, None, None].expand_as(moves)
    offered = [most, moves]
    offered += [around[:, i : i + high, j : j + wide] for i, j in ((0, 1), (2, 1), (1, 0), (1, 2))]
    within = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
    corners = torch.tensor(squares).T[:, :, None] + within[:, None]
    own = one[corners[0], corners[1]]
    errors = []
    for moved in offered:
        there = corners + moved.flatten(1)[:, :, None]
        found = sampled(other[None], there.flatten(1), "bilinear").view_as(own)
        errors.append(((found - own).square() * window.flatten()).mean(1))
    # What most do is left for a clear gain only.
    table = torch.stack(errors)
    table[0] *= _CLEAR
    which = table.argmin(0)
    return torch.stack(offered).flatten(2)[which, :, torch.arange(high * wide)].T.reshape(2, high, wide)


def _position(places: Tensor, middles: Tensor) -> Tensor:
    """Where places lie among the middles, counted from the first one."""
    if len(middles) == 1:
        return torch.zeros_like(places)
    return ((places - middles[0]) / (middles[-1] - middles[0]) * (len(middles) - 1)).clamp(0, len(middles) - 1)


def _grid(picture: Tensor) -> Tensor:
    lines = [torch.arange(length, dtype=torch.float32) for length in picture.shape[-2:]]
    return torch.stack(torch.meshgrid(*lines, indexing="ij"))


def at(field: Tensor, places: Tensor) -> Tensor:
    """The motion at places of a frame, (2, n), by bilinear interpolation."""
    # The middle of a pixel of half the size lies between four pixels.
    return sampled(field, (places - 0.5) / 2, "bilinear")


def sampled(planes: Tensor, places: Tensor, mode: str = "bicubic") -> Tensor:
    """Values of planes, (C, H, W), at places, (2, n), rows and columns; beyond the edge those of the edge.

    Returns:
        (C, n).
    """
    sides = torch.tensor(planes.shape[-2:], dtype=torch.float32)[:, None]
    unit = (2 * places + 1) / sides - 1
    grid = unit.flip(0).T[None, None]
    found = functional.grid_sample(planes[None], grid, mode=mode, padding_mode="border", align_corners=False)
    return found[0, :, 0]


def with_motion(
    frames: Iterable[Frame], look: Callable[[Frame], Tensor], find: Callable[[Tensor, Tensor], Tensor] | None = None
) -> Iterator[Frame]:
    """The same frames, each with its motion to the frame before it and after it in its shot.

    Args:
        frames: in order.
        look: (C, H, W) of a frame: what motion is found from.
        find: finds the motion between two small pictures; None for `field`.
    """
    find = field if find is None else find
    before: Frame | None = None
    seen: Tensor | None = None
    for frame in frames:
        own = small(look(frame))
        if before is not None:
            if before.shot == frame.shot:
                assert seen is not None
                frame.back, before.ahead = find(own, seen), find(seen, own)
            yield before
        before, seen = frame, own
    if before is not None:
        yield before


def chained(steps: Iterable[Tensor | None]) -> Iterator[Tensor]:
    """From each place of a frame to one frame after the other, by the fields of each step; None ends it."""
    total: Tensor | None = None
    for step in steps:
        if step is None:
            return
        if total is None:
            total = step
        else:
            rows, columns = (torch.arange(length) * 2 + 0.5 for length in step.shape[1:])
            grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
            total = total + at(step, (grid + total).flatten(1)).view_as(step)
        yield total
