"""Two layers that are seen together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from untaught.physics.linear import DifferentiableOperator, Example

__all__ = ["Mixture"]


class Mixture(DifferentiableOperator):
    """Two pictures of two layers, each a weighted mean of them. The weights are fitted together with the layers.

    Args:
        shares: weight of the first layer in each of the two pictures at the start, between 0 and 1. The second layer
            has the rest.
    """

    def __init__(self, shares: tuple[float, float] = (0.65, 0.35)) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.logit(torch.tensor(shares, dtype=torch.float32)))

    @property
    def shares(self) -> Tensor:
        """The current weights of the first layer, (2,)."""
        return self.logits.sigmoid()

    def forward(self, layers: Tensor) -> Tensor:
        """Map two layers (N, 2 C, H, W), one after the other, to two pictures (N, 2 C, H, W)."""
        first, second = layers.chunk(2, dim=1)
        return torch.cat([share * first + (1 - share) * second for share in self.shares.to(layers)], dim=1)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        return [(cls(), (2, 6, 5, 4))]
