"""Patches: a large picture is shown to the network one random crop at a time.

What a network learns of a picture at one place holds at every other place, so an iteration costs one patch, whatever
the picture's size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Patches", "patch_count", "patch_size"]

_LEAST = 4000
"""Patches before the sequence repeats; more than most fits have iterations."""


def patch_size(size: Sequence[int], side: int) -> tuple[int, ...]:
    """Height and width of a patch of this side, in a picture of this height and width."""
    return tuple(min(side, length) for length in size)


def patch_count(size: Sequence[int], side: int) -> float:
    """How many patches of this side a picture of this height and width holds; 1 if it fits into one."""
    return math.prod(size) / math.prod(patch_size(size, side))


class Patches:
    """The sequence of patches of a picture.

    They sweep over the whole picture again and again: first row by row from the top, then shifted and in random order.
    The sequence is the same for all pictures of a size.

    Args:
        size: height and width of the picture.
        side: of a patch, in pixels.
        device: of the picture.
    """

    def __init__(self, size: Sequence[int], side: int, device: torch.device) -> None:
        self.size = patch_size(size, side)
        self.corners: Tensor | None = None
        if max(size) > side:
            self.corners = _corners(size, side).to(device)
            self.drawn = torch.zeros(1, dtype=torch.int64, device=device)

    def cut(self, *pictures: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor] | None]:
        """Crop pictures, (1, C, H, W), to the next patch; also its rows and columns, None for a picture that fits."""
        if self.corners is None:
            return pictures, None
        # Everything stays on the device: the host does not know which patch it is.
        corner = self.corners.index_select(0, self.drawn)[0]
        self.drawn.add_(1).remainder_(len(self.corners))
        rows, columns = (
            start + torch.arange(side, device=corner.device) for start, side in zip(corner, self.size, strict=True)
        )
        cut = tuple(picture.index_select(-2, rows).index_select(-1, columns) for picture in pictures)
        return cut, (rows[None], columns[None])

    def state(self) -> dict[str, Tensor]:
        """What changes from patch to patch."""
        # The key is that of version 0.1, whose checkpoints still load.
        return {} if self.corners is None else {"windows": self.drawn}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state."""
        if self.corners is not None:
            self.drawn.copy_(state["windows"])


def _corners(size: Sequence[int], side: int) -> Tensor:
    """Top left corners: (count, 2), int64."""
    generator = torch.Generator().manual_seed(0)
    sweeps: list[Tensor] = []
    while sum(map(len, sweeps)) < _LEAST:
        lines = []
        for length in size:
            shift = int(torch.randint(side, (), generator=generator)) if sweeps else 0
            starts = torch.arange(-shift, length, side).clamp(0, max(0, length - side))
            lines.append(torch.unique(starts))
        sweep = torch.cartesian_prod(*lines)
        if sweeps:
            sweep = sweep[torch.randperm(len(sweep), generator=generator)]
        sweeps.append(sweep)
    return torch.cat(sweeps)
