"""A reconstructor for deepinv: it takes their physics and measurements, and returns their tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from untaught.fitting.state import Restoration
from untaught.tasks.fit import fit

__all__ = ["Untaught"]


class Untaught(nn.Module):
    """Fits an untrained network to each measurement; a deepinv model without weights to train.

    Args:
        img_size: (C, H, W) of the picture; None for that of the physics' adjoint.
        **options: of `untaught.fit`, such as ``recipe``, ``iterations`` or ``stopping``.

    Attributes:
        last: the restoration of the last call: why it stopped, history, notes.

    >>> class EverySecondRow:
    ...     def A(self, x): return x[..., ::2, :]
    ...     def A_adjoint(self, y): return torch.stack([y, 0 * y], -2).flatten(-3, -2)
    >>> Untaught(iterations=2)(torch.rand(1, 1, 8, 16), EverySecondRow()).shape
    torch.Size([1, 1, 16, 16])
    """

    def __init__(self, img_size: tuple[int, ...] | None = None, **options: Any) -> None:
        super().__init__()
        self.img_size = img_size
        self.options = options
        self.last: Restoration | None = None

    def forward(self, y: Tensor, physics: Any, **_: Any) -> Tensor:
        """Reconstruct the pictures (N, C, H, W) of the measurements."""
        with torch.no_grad():
            channels, *size = self.img_size or physics.A_adjoint(y).shape[1:]
        run = fit(y, physics, channels=int(channels), size=tuple(map(int, size)), **self.options)
        self.last = run.finish()
        found: Tensor = self.last.picture
        return found.to(y.device)
