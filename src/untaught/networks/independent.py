"""Several networks side by side, each with a picture of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from untaught.networks.encoder_decoder import EncoderDecoder, side_by_side

__all__ = ["Independent"]


class Independent(nn.Module):
    """N networks with separate weights and statistics: what each gives is what it would have given alone.

    Each takes its own part of the batch.
    """

    def __init__(self, members: Sequence[EncoderDecoder]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, output_channels, H, W)."""
        members = cast("list[EncoderDecoder]", list(self.members))
        return torch.cat(side_by_side(members, torch.split(x, 1)))
