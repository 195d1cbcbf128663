"""Motion between frames: where each place of one frame is in another.

Fields have half the frames' size: (2, h, w), rows and columns, in pixels of the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from untaught.films.frames import Frame

__all__ = ["at", "certainty", "chained", "field", "sampled", "small", "widened", "with_motion"]

_RADIUS, _STEPS = 8, 3
"""Of the optical flow: half the side of its windows, in pixels of half the size, and steps at each scale."""
_SLOPE = 1e-4
"""Motion is half certain where the squared slope in the weakest direction is that."""
_SMOOTH = 1.2
"""Standard deviation, in pixels, by which frames are smoothed first."""


def small(planes: Tensor) -> Tensor:
    """What motion is found from: the mean of the channels of (C, H, W), smoothed, at half the size."""
    gray = ndimage.gaussian_filter(planes.mean(0).numpy(), _SMOOTH)
    even = functional.pad(torch.from_numpy(gray)[None, None], (0, gray.shape[1] % 2, 0, gray.shape[0] % 2), "replicate")
    return functional.avg_pool2d(even, 2)[0, 0]


def field(one: Tensor, other: Tensor) -> Tensor:
    """From each place of one small picture to the same thing in another one (`small`), (2, h, w).

    Le Besnerais and Champagnat, 2005, "Dense optical flow by iterative local window registration".
    """
    from skimage.registration import optical_flow_ilk

    if min(one.shape) < 16:
        return torch.zeros(2, *one.shape)
    found = optical_flow_ilk(one.numpy(), other.numpy(), radius=_RADIUS, num_warp=_STEPS, dtype=np.float32)
    return 2 * torch.from_numpy(np.ascontiguousarray(found, np.float32)).nan_to_num()


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


def certainty(small: Tensor, known: Tensor) -> Tensor:
    """How well the motion at each place of a small picture (`small`) can be told, (h, w), 0 to 1.

    It takes slopes in two directions, and nothing unknown near.

    Args:
        small: (h, w).
        known: (H, W), bool: of the frame.
    """
    down, right = torch.gradient(small)
    terms = torch.stack([down * down, down * right, right * right])
    a, b, c = torch.from_numpy(ndimage.gaussian_filter(terms.numpy(), (0, _RADIUS / 2, _RADIUS / 2)))
    least = (a + c) / 2 - (((a - c) / 2).square() + b * b).sqrt()
    missing = functional.pad((~known).float()[None, None], (0, known.shape[1] % 2, 0, known.shape[0] % 2))
    near = functional.max_pool2d(functional.max_pool2d(missing, 2), 2 * (_RADIUS // 2) + 1, 1, _RADIUS // 2)[0, 0]
    return least.clamp_min(0) / (least + _SLOPE) * (1 - near)


def widened(field: Tensor, certainty: Tensor) -> Tensor:
    """A field that comes from around where it is not certain."""
    height, width = field.shape[1:]
    if height == width == 1:
        return field
    even = [functional.pad(one, (0, width % 2, 0, height % 2)) for one in (field * certainty, certainty[None])]
    sums, weights = (functional.avg_pool2d(one, 2) for one in even)
    coarse = widened(sums / weights.clamp_min(1e-12), (4 * weights[0]).clamp(max=1))
    smooth = functional.interpolate(coarse[None], scale_factor=2, mode="bilinear")[0, :, :height, :width]
    return smooth + certainty * (field - smooth)


def with_motion(frames: Iterable[Frame], look: Callable[[Frame], Tensor]) -> Iterator[Frame]:
    """The same frames, each with its motion to the frame before it and after it in its shot.

    Args:
        frames: in order.
        look: (C, H, W) of a frame: what motion is found from.
    """
    before: Frame | None = None
    seen: Tensor | None = None
    for frame in frames:
        own = small(look(frame))
        if before is not None:
            if before.shot == frame.shot:
                assert seen is not None
                frame.back, before.ahead = field(own, seen), field(seen, own)
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
