"""Several networks side by side, each with a picture, or a layer of one, of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from untaught.priors.encoder_decoder import EncoderDecoder, side_by_side

__all__ = ["Independent"]


class Independent(nn.Module):
    """N networks with separate weights and statistics: what each gives is what it would have given alone.

    Each takes its own part of the batch.

    Args:
        members: picture after picture, and in each layer after layer.
        layers: how many networks draw one picture together, one after the other in its channels.
    """

    def __init__(self, members: Sequence[EncoderDecoder], layers: int = 1) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, output_channels of all layers, H, W)."""
        members = cast("list[EncoderDecoder]", list(self.members))
        if self.layers == 1:
            return torch.cat(side_by_side(members, torch.split(x, 1)))
        drawn = side_by_side(members, [part for part in torch.split(x, 1) for _ in range(self.layers)])
        return torch.cat([torch.cat(drawn[n : n + self.layers], dim=1) for n in range(0, len(drawn), self.layers)])
