"""Frames on their way through a film: read one after the other, so that memory does not grow with the film's length."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from untaught.imaging.ranges import Range

__all__ = ["Frame", "Values", "windows"]


@dataclass(frozen=True)
class Values:
    """How pixels and planes of a film become each other.

    Attributes:
        range_: what is black and white in all of it.
        like: the first frame's pixels, (H, W) or (H, W, C).
    """

    range_: Range
    like: NDArray[Any]

    def planes(self, pixels: NDArray[Any]) -> Tensor:
        """(C, H, W), float32, in [0, 1] but for values beyond black and white."""
        flat = pixels if pixels.ndim == 3 else pixels[..., None]
        scaled = (np.moveaxis(flat, -1, 0).astype(np.float32) - self.range_.low) / self.range_.span
        return torch.from_numpy(np.ascontiguousarray(scaled, np.float32))

    def pixels(self, planes: Tensor) -> NDArray[Any]:
        """The inverse, in the film's own type; whole numbers are rounded."""
        values = np.moveaxis(planes.double().numpy(), 0, -1) * self.range_.span + self.range_.low
        if self.like.dtype.kind == "u":
            values = values.round().clip(0, np.iinfo(self.like.dtype).max)
        made: NDArray[Any] = values.astype(self.like.dtype)
        return made if self.like.ndim == 3 else made[..., 0]


@dataclass(eq=False)
class Frame:
    """One frame.

    Attributes:
        number: from 0.
        shot: number of the first frame of its shot.
        planes: (C, H, W), float32, in [0, 1].
        known: (H, W), bool: what is not to be filled in; None where nothing is.
        back: (2, h, w): from each place of the frame to the same thing in the frame before (`untaught.films.motion`);
            None for the first frame of a shot, or where it is not needed.
        ahead: the same in the frame after; it is there once that frame was read.
        kept: by name, what later steps have found.
    """

    number: int
    shot: int
    planes: Tensor
    known: Tensor | None = None
    back: Tensor | None = None
    ahead: Tensor | None = None
    kept: dict[str, Any] = field(default_factory=dict)


def windows(frames: Iterable[Frame], reach: int) -> Iterator[tuple[Frame, list[Frame], list[Frame]]]:
    """Each frame with those of its shot around it.

    Args:
        frames: in order.
        reach: how many before and after, at most.

    Yields:
        The frame, those before it, the nearest first, and those after it, the nearest first.
    """
    held: deque[Frame] = deque()
    place = 0
    end: list[Frame | None] = [None] * (reach + 1)
    for frame in itertools.chain(frames, end):
        if frame is not None:
            held.append(frame)
        while place < len(held) and (frame is None or len(held) - place > reach):
            middle = held[place]
            others = list(held)
            before = [one for one in reversed(others[:place]) if one.shot == middle.shot]
            after = [one for one in others[place + 1 :] if one.shot == middle.shot]
            yield middle, before[:reach], after[:reach]
            place += 1
            while place > reach:
                held.popleft()
                place -= 1
