"""A film without its noise: the collaborative filter over groups of blocks from several frames.

The noise is measured once in each shot, so that the strength does not change from frame to frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untaught.films.frames import Frame, Values, windows
from untaught.films.grouping import Noise, Seen, filtered
from untaught.films.motion import at, chained, with_motion
from untaught.films.shots import Strengths
from untaught.imaging.block_groups import cosines
from untaught.imaging.noise import declipped, estimate_noise
from untaught.tasks.modelled_noise import blended

__all__ = ["REACH", "denoised"]

REACH = 4
"""Frames before and after that help."""

_LEAST = 1e-4
"""Noise below this standard deviation is none."""
_DUPLICATE = 0.02
"""A frame that differs from the one before by less than this share of the noise is the same frame again."""


def denoised(
    frames: Iterable[Frame], values: Values, strengths: Strengths, *, noise: float | None, strength: float
) -> Iterator[Frame]:
    """The frames of a film, each with its result as its pilot.

    Args:
        frames: in order.
        values: of the film.
        strengths: what was measured before, to which is added.
        noise: standard deviation in the film's units; measured if None.
        strength: how much of it is removed, 0 to 1.5.
    """
    told = None if noise is None else noise / values.range_.span
    moving = with_motion(frames, lambda frame: frame.planes)
    for frame, before, after in windows(_first(moving, strengths, told), REACH):
        level = strengths[str(frame.shot)]
        picture = frame.planes if level == 0 else _step(frame, before, after, level)
        frame.kept["result"] = _finished(picture, frame.planes, level, strength)
        yield frame


def _first(frames: Iterable[Frame], strengths: Strengths, told: float | None) -> Iterator[Frame]:
    """The frames after the first step."""
    for frame, before, after in windows(frames, REACH):
        if str(frame.shot) not in strengths:
            strengths[str(frame.shot)] = _measured([*reversed(before), frame, *after]) if told is None else told
        level = strengths[str(frame.shot)]
        frame.kept["pilot"] = frame.planes if level == 0 else _step(frame, before, after, level)
        yield frame


def _step(frame: Frame, before: Sequence[Frame], after: Sequence[Frame], level: float) -> Tensor:
    """One step of the filter: the first one where the frame has no pilot yet."""
    colours = cosines(len(frame.planes), frame.planes.device)

    def seen(one: Frame, move: Tensor | None = None) -> Seen:
        planes, pilot = (
            None if each is None else torch.einsum("kc,chw->khw", colours, each)
            for each in (one.planes, one.kept.get("pilot"))
        )
        assert planes is not None
        return Seen(planes, pilot if "pilot" in frame.kept else None, move)

    others = [seen(one, move) for one, move in neighbours(frame, before, after)]
    noise = Noise(frame.planes.new_full((len(colours),), level**2))
    return torch.einsum("kc,khw->chw", colours, filtered(seen(frame), others, noise))


def neighbours(frame: Frame, before: Sequence[Frame], after: Sequence[Frame]) -> Iterator[tuple[Frame, Tensor]]:
    """The frames around one, each with the motion to it."""
    back = [one.back for one in (frame, *before)]
    ahead = [one.ahead for one in (frame, *after)]
    yield from zip(before, chained(back), strict=False)
    yield from zip(after, chained(ahead), strict=False)


def _measured(frames: Sequence[Frame]) -> float:
    """The noise of a shot, from its first frames: what is no texture, which comes again in the next frame."""
    found = [float(estimate_noise(_array(one.planes))) for one in frames]
    level = float(np.median(found))
    changes = []
    for one, other in itertools.pairwise(frames):
        if one.ahead is None:
            continue
        change = _change(one, other)
        if change > _DUPLICATE * level:
            changes.append(change)
    level = min([level, *([float(np.median(changes))] if changes else [])])
    return level if level >= _LEAST else 0.0


def _change(frame: Frame, after: Frame) -> float:
    """The noise of the difference of two frames, whose texture has gone, as noise of one of them."""
    assert frame.ahead is not None
    height, width = frame.planes.shape[-2:]
    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).flatten(1)
    # By whole pixels: nothing is interpolated, which would remove noise.
    there = (grid + at(frame.ahead, grid.float()).round()).long()
    there[0].clamp_(0, height - 1)
    there[1].clamp_(0, width - 1)
    moved = after.planes[:, there[0], there[1]].view_as(frame.planes)
    return float(estimate_noise(_array((frame.planes - moved) / 2**0.5), _array(frame.planes)))


def _array(planes: Tensor) -> Any:
    return np.moveaxis(planes.numpy(), 0, -1)


def _finished(picture: Tensor, noisy: Tensor, level: float, strength: float) -> Tensor:
    """The result, with as much of the noise as is to stay."""
    if level and bool(((noisy == 0) | (noisy == 1)).float().mean() > 1e-4):
        picture = declipped(picture, level)
    return blended(picture[None], noisy[None], strength)[0]
