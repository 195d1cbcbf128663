"""A film made larger: neighbouring frames show the same things at other places of the grid, so together they show more.

The larger frame is the one that, moved as the motion says and made smaller, agrees with the frame and its neighbours,
where these show the same (Irani and Peleg, 1991, "Improving resolution by image registration"; Farsiu et al., 2004,
"Fast and robust multiframe super resolution"). Colour is less sharp to the eye, and comes from the frame alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from untaught.errors import InputError
from untaught.films.denoising import neighbours
from untaught.films.frames import Frame, windows
from untaught.films.motion import at, sampled, with_motion
from untaught.imaging.block_groups import cosines
from untaught.imaging.picture import MAX_PIXELS
from untaught.physics.resampling import Downsample

if TYPE_CHECKING:
    from untaught.tasks.upscale import UpscaleSettings

__all__ = ["REACH", "enlarged"]

REACH = 2
"""Frames before and after that help."""
_ALONE, _TOGETHER = 8, 12
"""Steps for a frame alone, and with its neighbours."""
_REFINED, _WINDOW, _STILL = 3, 6.0, 1e-6
"""Motion is refined so often, by what is around: standard deviation in pixels, and the least squared slope."""
_AROUND, _ALIKE = 9, 2 / 255
"""Side of the squares in which frames are compared, in pixels, and by how much they may differ."""


def enlarged(frames: Iterable[Frame], settings: UpscaleSettings, *, even: bool) -> Iterator[Frame]:
    """The frames of a film, each with its larger result in ``kept["result"]``.

    Args:
        frames: in order.
        settings: of the task.
        even: whether height and width of the result are to be even, as many videos want it.
    """
    operator: Downsample | None = None
    # Motion is found at half the size of what is given, so that is twice the frame.
    for frame, before, after in windows(with_motion(frames, _twice), REACH):
        if operator is None:
            smaller = (frame.planes.shape[1], frame.planes.shape[2])
            step = 2 if even else 1
            height, width = (step * round(side * settings.factor / step) for side in smaller)
            if height * width > MAX_PIXELS:
                raise InputError(f"the frames would have {width} x {height} pixels: choose a smaller factor")
            operator = Downsample((height, width), smaller, settings.kernel)
        frame.kept["result"] = _one(frame, list(neighbours(frame, before, after)), operator)
        yield frame


def _twice(frame: Frame) -> Tensor:
    return functional.interpolate(frame.planes[None], scale_factor=2, mode="bicubic", align_corners=False)[0]


def _larger(planes: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(planes[None], tuple(size), mode="bicubic", align_corners=False)[0]


def _one(frame: Frame, others: Sequence[tuple[Frame, Tensor]], operator: Downsample) -> Tensor:
    colours = cosines(len(frame.planes), frame.planes.device)
    planes = torch.einsum("kc,chw->khw", colours, frame.planes)
    made = _larger(planes, operator.size)
    for _ in range(_ALONE):
        made = made + _larger(planes - operator(made[None])[0], operator.size)
    own = _larger(planes[:1], operator.size)
    seen = []
    for other, move in others:
        theirs = torch.einsum("c,chw->hw", colours[0], other.planes)[None]
        seen.append((theirs, *_agreeing(own, _larger(theirs, operator.size), move, operator)))
    made[:1] = _together(made[:1], planes[:1], seen, operator)
    return torch.einsum("kc,khw->chw", colours, made)


def _agreeing(own: Tensor, theirs: Tensor, move: Tensor, operator: Downsample) -> tuple[Tensor, Tensor]:
    """How a neighbour sees the larger frame.

    Args:
        own: (1, H, W): the frame, enlarged.
        theirs: the neighbour.
        move: from twice the frame to twice the neighbour.
        operator: makes smaller.

    Returns:
        For each pixel of the enlarged neighbour, its place in the frame, (2, H W); and how far each pixel of the
        neighbour counts, (1, h, w), 0 to 1.
    """
    height, width = operator.size
    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).flatten(1).float()
    scale = torch.tensor([[operator.size[axis] / (2 * operator.smaller[axis])] for axis in range(2)])
    places = _refined(own, theirs, grid + at(move, (grid + 0.5) / scale - 0.5) * scale)
    error = (sampled(theirs, places).view(1, 1, height, width) - own[None]).square()
    error = functional.avg_pool2d(error, _AROUND, 1, _AROUND // 2, count_include_pad=False)
    # Noise is everywhere, and no reason to leave a frame out.
    usual = torch.quantile(error.flatten()[:: max(1, error.numel() // 10_000)], 0.2)
    share = (1 + error / (usual + _ALIKE**2)).reciprocal()[0]
    there = (places - grid).view(2, height, width)
    back = grid.clone()
    for _ in range(4):
        back = grid - sampled(there, back, "bilinear")
    inside = (back > -0.5).all(0) & (back[0] < height - 0.5) & (back[1] < width - 0.5)
    share = sampled(share, back, "bilinear") * inside
    return back, operator(share.view(1, 1, height, width))[0].clamp(0, 1)


def _refined(own: Tensor, theirs: Tensor, places: Tensor) -> Tensor:
    """Places shifted so that what is around fits better (Lucas and Kanade, 1981)."""
    for _ in range(_REFINED):
        moved = sampled(theirs, places).view_as(own)[0]
        down, right = torch.gradient(moved)
        rest = own[0] - moved
        terms = torch.stack([down * down, down * right, right * right, down * rest, right * rest])
        a, b, c, e, f = torch.from_numpy(
            ndimage.gaussian_filter(terms.numpy(), (0, _WINDOW, _WINDOW)).astype(np.float32)
        )
        a, c = a + _STILL, c + _STILL
        shift = torch.stack([c * e - b * f, a * f - b * e]) / (a * c - b * b)
        places = places + shift.clamp_(-1, 1).flatten(1)
    return places


def _together(made: Tensor, own: Tensor, seen: Sequence[tuple[Tensor, Tensor, Tensor]], operator: Downsample) -> Tensor:
    """The larger plane that agrees best with what was seen: some accelerated gradient steps (Nesterov, 1983)."""
    if not seen:
        return made
    # No step is longer than the steepest bend allows.
    length = 0.4 * operator.size[0] * operator.size[1] / (operator.smaller[0] * operator.smaller[1]) / (1 + len(seen))
    before = made
    with torch.enable_grad():
        for number in range(_TOGETHER):
            ahead = (made + number / (number + 3) * (made - before)).requires_grad_(True)
            loss = (operator(ahead[None])[0] - own).square().sum()
            for theirs, places, share in seen:
                view = operator(sampled(ahead, places).view(1, 1, *operator.size))[0]
                loss = loss + (share * (view - theirs).square()).sum()
            (slope,) = torch.autograd.grad(loss, ahead)
            before, made = made, (ahead - length * slope).detach()
    return made
