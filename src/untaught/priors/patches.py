"""A large picture, shown to a network one window at a time.

What a network that is shown the picture itself learns at one place it knows at every other, so an iteration need not
see all of them: it takes as long for a large picture as for one of the window's size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Windows", "count", "seen"]

_LEAST = 4000
"""Windows before they begin anew; more than most fits have iterations."""


def seen(size: Sequence[int], side: int) -> tuple[int, ...]:
    """Height and width of what is shown at a time of a picture of this height and width, by windows of a side."""
    return tuple(min(side, length) for length in size)


def count(size: Sequence[int], side: int) -> float:
    """How many windows of a side make up a picture of this height and width; 1 if it is shown whole."""
    return math.prod(size) / math.prod(seen(size, side))


class Windows:
    """The windows of a picture in turn.

    They go over the whole picture time and again, first in rows from the top, then in other places each time and in any
    order. They are the same for all pictures of a size.

    Args:
        size: height and width of the picture.
        side: of a window, in pixels.
        device: where the picture is.
    """

    def __init__(self, size: Sequence[int], side: int, device: torch.device) -> None:
        self.size = seen(size, side)
        self.corners: Tensor | None = None
        if max(size) > side:
            self.corners = _corners(size, side).to(device)
            self.drawn = torch.zeros(1, dtype=torch.int64, device=device)

    def cut(self, *pictures: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor] | None]:
        """The next window of pictures, (1, C, H, W), and its rows and columns; small ones whole, and None."""
        if self.corners is None:
            return pictures, None
        # All of it stays on the device: the host does not know which window it is.
        corner = self.corners.index_select(0, self.drawn)[0]
        self.drawn.add_(1).remainder_(len(self.corners))
        rows, columns = (
            start + torch.arange(side, device=corner.device) for start, side in zip(corner, self.size, strict=True)
        )
        cut = tuple(picture.index_select(-2, rows).index_select(-1, columns) for picture in pictures)
        return cut, (rows[None], columns[None])

    def state(self) -> dict[str, Tensor]:
        """What changes from window to window."""
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
            move = int(torch.randint(side, (), generator=generator)) if sweeps else 0
            starts = torch.arange(-move, length, side).clamp(0, max(0, length - side))
            lines.append(torch.unique(starts))
        sweep = torch.cartesian_prod(*lines)
        if sweeps:
            sweep = sweep[torch.randperm(len(sweep), generator=generator)]
        sweeps.append(sweep)
    return torch.cat(sweeps)
