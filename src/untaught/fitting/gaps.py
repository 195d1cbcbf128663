"""How wide the gaps in what is known of a picture are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["RADII", "WIDE", "width_classes"]

RADII = (1, 2, 4, 8, 16)
"""A gap's width class is the number of these distances, in pixels, within which nothing is known."""

_BAND = 256
"""Rows that are looked at together."""

WIDE = 3
"""The first of the classes of wide gaps, of which a network that is shown small patches sees too little."""


def width_classes(known: Tensor, radii: Sequence[int] = RADII) -> Tensor:
    """The width class of each value: how many of the radii have nothing known of its channel within them.

    Args:
        known: (N, C, H, W), bool.
        radii: in pixels, of square windows.

    Returns:
        (N, C, H, W), or (N, 1, H, W) if that is the same in all channels; uint8: 0 for known values and the thinnest
        gaps.
    """
    if bool((known == known[:, :1]).all()):
        known = known[:, :1]
    height, margin = known.shape[-2], max(radii)
    # A large picture in bands of rows, which take little memory.
    starts = range(0, height, _BAND)
    bands = [_of_band(known[..., max(0, top - margin) : top + _BAND + margin, :], radii) for top in starts]
    inner = [band[..., min(margin, top) :, :][..., :_BAND, :] for top, band in zip(starts, bands, strict=True)]
    return torch.cat(inner, -2)


def _of_band(known: Tensor, radii: Sequence[int]) -> Tensor:
    """The width classes by sums over windows, which take the memory of several pictures."""
    seen = known.to(torch.int32)
    height, width = seen.shape[-2:]
    sums = F.pad(seen.cumsum(-1, dtype=torch.int32).cumsum(-2, dtype=torch.int32), (1, 0, 1, 0))
    classes = torch.zeros_like(seen, dtype=torch.uint8)
    rows, columns = (torch.arange(side, device=known.device) for side in (height, width))
    for radius in radii:
        top, bottom = (rows - radius).clamp(min=0), (rows + radius + 1).clamp(max=height)
        left, right = (columns - radius).clamp(min=0), (columns + radius + 1).clamp(max=width)
        lines = sums.index_select(-2, bottom) - sums.index_select(-2, top)
        classes += lines.index_select(-1, right) == lines.index_select(-1, left)
    return classes
