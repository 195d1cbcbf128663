"""What happened to the picture, as differentiable callables from the picture to what was observed of it.

To add one, write a class with ``__call__`` and, where it is linear, ``adjoint``; see `untaught.contracts.Operator`. The
laws in tests/test_operators.py run over every operator listed there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from untaught.errors import InputError

__all__ = ["Identity", "Mask"]


class Identity:
    """Nothing happened: the picture was observed as it is. Linear, and its own adjoint."""

    known: Tensor | None = None

    def __call__(self, picture: Tensor) -> Tensor:
        """(N, C, H, W) to the same tensor."""
        return picture

    def adjoint(self, observation: Tensor) -> Tensor:
        """(N, C, H, W) to the same tensor."""
        return observation


class Mask:
    """Only a part was observed: unknown values are zero. Linear, and its own adjoint.

    Args:
        known: bool tensor broadcastable to the picture, (N, C, H, W); True where a value was observed.
    """

    def __init__(self, known: Tensor) -> None:
        if known.dtype != torch.bool:
            raise InputError(f"a mask is a bool tensor, True where a value is known: found {known.dtype}")
        self.known = known

    def __call__(self, picture: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return torch.where(self.known, picture, 0)

    def adjoint(self, observation: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return torch.where(self.known, observation, 0)
