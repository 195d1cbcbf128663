"""Several networks side by side, each with a picture of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Independent"]


class Independent(nn.Module):
    """N networks with separate weights and statistics: what each gives is what it would have given alone.

    Each takes its own part of the batch.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, output_channels, H, W)."""
        return torch.cat([member(part) for member, part in zip(self.members, torch.split(x, 1), strict=True)])
