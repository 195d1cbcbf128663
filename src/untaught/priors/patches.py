"""Patches: a large picture is shown to the network one random crop at a time.

What a network learns of a picture at one place holds at every other place, so an iteration costs one patch, whatever
the picture's size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Patches", "Strip", "inside", "patch_count", "patch_size", "sweep_length", "windows"]

Strip = tuple[int, int, int, int]
"""Top, bottom, left and right of a part of a picture, in pixels."""

_LEAST = 4000
"""Patches before the sequence repeats; more than most fits have iterations."""

_SWEEPS = 8
"""Sweeps before the sequence repeats, at least."""


def patch_size(size: Sequence[int], side: int) -> tuple[int, ...]:
    """Height and width of a patch of this side, in a picture of this height and width."""
    return tuple(min(side, length) for length in size)


def patch_count(size: Sequence[int], side: int) -> float:
    """How many patches of this side a picture of this height and width holds; 1 if it fits into one."""
    return math.prod(size) / math.prod(patch_size(size, side))


class Patches:
    """The sequence of patches of a picture.

    They sweep over the whole picture again and again: first row by row from the top, then shifted and in random order.
    The sequence depends on the sizes and on what is wanted only.

    Args:
        size: height and width of the picture.
        side: of a patch, in pixels.
        device: of the picture.
        wanted: (H, W), bool: the pixels that patches are for; one without any is left out. None for all of them.
        strips: rows and columns (top, bottom, left, right) of the parts of the picture that belong together; a patch
            lies within one of them. Empty for the whole picture.
    """

    def __init__(
        self,
        size: Sequence[int],
        side: int,
        device: torch.device,
        wanted: Tensor | None = None,
        strips: Sequence[Strip] = (),
    ) -> None:
        self.size = patch_size(size, side)
        self.corners: Tensor | None = None
        if max(size) > side:
            self.corners = _corners(strips or [(0, size[0], 0, size[1])], self.size, wanted).to(device)
            self.drawn = torch.zeros(1, dtype=torch.int64, device=device)

    def cut(self, *pictures: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor] | None]:
        """Crop pictures, (1, C, H, W), to the next patch; also its rows and columns, None for a picture that fits."""
        if self.corners is None:
            return pictures, None
        # Everything stays on the device: the host does not know which patch it is.
        corner = self.corners.index_select(0, self.drawn)[0]
        self.drawn.add_(1).remainder_(len(self.corners))
        rows, columns = self._place(corner)
        cut = tuple(picture.index_select(-2, rows).index_select(-1, columns) for picture in pictures)
        return cut, (rows[None], columns[None])

    def another(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        """Crop a picture, (1, C, H, W), to one of the patches at random; only for a picture that has several."""
        assert self.corners is not None
        number = torch.randint(len(self.corners), (1,), generator=generator, device=picture.device)
        rows, columns = self._place(self.corners.index_select(0, number)[0])
        return picture.index_select(-2, rows).index_select(-1, columns)

    def _place(self, corner: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns of the patch at a corner, (2,)."""
        down, right = (
            start + torch.arange(side, device=corner.device) for start, side in zip(corner, self.size, strict=True)
        )
        return down, right

    def state(self) -> dict[str, Tensor]:
        """What changes from patch to patch."""
        # The key is that of version 0.1, whose checkpoints still load.
        return {} if self.corners is None else {"windows": self.drawn}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state."""
        if self.corners is not None:
            self.drawn.copy_(state["windows"])


def sweep_length(size: Sequence[int], side: int, wanted: Tensor | None = None, strips: Sequence[Strip] = ()) -> float:
    """How many patches show each wanted pixel about once; 1 for a picture that fits into one. See `Patches`."""
    if wanted is None and not strips:
        return patch_count(size, side)
    if max(size) <= side:
        return 1.0
    whole = [(0, size[0], 0, size[1])]
    return float(max(1, len(_sweep(strips or whole, patch_size(size, side), _Counts(wanted)))))


def windows(
    size: Sequence[int], side: int, margin: int, wanted: Tensor | None = None, strips: Sequence[Strip] = ()
) -> list[tuple[Strip, Strip]]:
    """Windows that cover all wanted pixels: where each lies, and the part of it that is used.

    Args:
        size: height and width of the picture.
        side: largest height and width of a window.
        margin: pixels of a window's rim that are not used, except at the edge of a picture or strip.
        wanted: (H, W), bool: a window without any is left out; None for all of them.
        strips: the parts of the picture that belong together; empty for the whole.
    """
    counts, found = _Counts(wanted), []
    for top, bottom, left, right in strips or [(0, size[0], 0, size[1])]:
        rows, columns = (_spans(*ends, side, margin) for ends in ((top, bottom), (left, right)))
        for (first, last), (upper, lower) in rows:
            for (start, end), (near, far) in columns:
                if counts.has(upper, lower, near, far):
                    found.append(((first, last, start, end), (upper, lower, near, far)))
    return found


def _spans(start: int, end: int, side: int, margin: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The windows along one axis, and the parts that are used, which are equally long."""
    count = 1 if end - start <= side else -(-(end - start) // (side - 2 * margin))
    cuts = [start + round(number * (end - start) / count) for number in range(count + 1)]
    return [
        ((max(start, one - margin), min(end, other + margin)), (one, other)) for one, other in itertools.pairwise(cuts)
    ]


def inside(size: Sequence[int], strips: Sequence[Strip]) -> Tensor:
    """Where the strips are in a picture of this height and width: (H, W), bool."""
    result = torch.zeros(*size, dtype=torch.bool)
    for top, bottom, left, right in strips:
        result[top:bottom, left:right] = True
    return result


class _Counts:
    """How many wanted pixels a patch has, for many patches at once."""

    def __init__(self, wanted: Tensor | None) -> None:
        self.sums: Tensor | None = None
        if wanted is not None:
            counted = wanted.cpu().to(torch.int32).cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
            self.sums = torch.nn.functional.pad(counted, (1, 0, 1, 0))

    def has(self, top: int, bottom: int, left: int, right: int) -> bool:
        """Whether a part of the picture has a wanted pixel."""
        return self.sums is None or bool(self._count(top, bottom, left, right) > 0)

    def wanted(self, corners: Tensor, size: Sequence[int]) -> Tensor:
        """The corners, (count, 2), of patches of this size that have a wanted pixel."""
        if self.sums is None:
            return corners
        (top, left), (bottom, right) = corners.T, (corners + torch.tensor(size)).T
        return corners[self._count(top, bottom, left, right) > 0]

    def _count(self, top: Any, bottom: Any, left: Any, right: Any) -> Tensor:
        sums = self.sums
        assert sums is not None
        return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]


def _corners(strips: Sequence[Strip], size: Sequence[int], wanted: Tensor | None) -> Tensor:
    """Top left corners: (count, 2), int64."""
    generator, counts = torch.Generator().manual_seed(0), _Counts(wanted)
    sweeps = [_sweep(strips, size, counts)]
    if not len(sweeps[0]):
        # Nothing is wanted: then everything is as good.
        counts = _Counts(None)
        sweeps = [_sweep(strips, size, counts)]
    while sum(map(len, sweeps)) < _LEAST or len(sweeps) < _SWEEPS:
        sweep = _sweep(strips, size, counts, generator)
        sweeps.append(sweep[torch.randperm(len(sweep), generator=generator)])
    return torch.cat(sweeps)


def _sweep(
    strips: Sequence[Strip], size: Sequence[int], counts: _Counts, generator: torch.Generator | None = None
) -> Tensor:
    """Patches that cover the strips once, shifted at random if there is a generator."""
    places = []
    for top, bottom, left, right in strips:
        lines = []
        for start, end, side in ((top, bottom, size[0]), (left, right, size[1])):
            shift = int(torch.randint(side, (), generator=generator)) if generator is not None else 0
            lines.append(torch.unique(torch.arange(start - shift, end, side).clamp(start, max(start, end - side))))
        places.append(torch.cartesian_prod(*lines))
    return counts.wanted(torch.cat(places), size)
