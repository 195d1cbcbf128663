"""Several networks side by side: one for each picture, or one for each layer of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Independent", "concatenate_layers"]


class Independent(nn.Module):
    """Networks with separate weights and statistics, each on its own part of the batch.

    Each output is what the network would give alone.

    Args:
        members: picture after picture, and for each picture layer after layer.
        layers: networks per picture, whose outputs are concatenated along the channels.
    """

    def __init__(self, members: Sequence[nn.Module], layers: int = 1) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """(N, c, H, W) to (N, C of all layers, H, W)."""
        inputs = [part for part in torch.split(x, 1) for _ in range(self.layers)]
        return concatenate_layers(
            [member(part) for member, part in zip(self.members, inputs, strict=True)], self.layers
        )


def concatenate_layers(outputs: Sequence[Tensor], layers: int) -> Tensor:
    """N * layers outputs, (1, C, H, W) each, as one batch: (N, C of all layers, H, W)."""
    if layers == 1:
        return torch.cat(list(outputs))
    return torch.cat([torch.cat(list(outputs[n : n + layers]), dim=1) for n in range(0, len(outputs), layers)])
