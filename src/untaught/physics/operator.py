"""The protocol of an operator: what happened to the picture."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Operator"]


@runtime_checkable
class Operator(Protocol):
    """What happened to the picture: a differentiable callable from the picture to what was observed of it.

    Any torch callable will do. Two optional attributes say more:

    * ``known``: bool tensor broadcastable to the observation, True where a value was observed, or None for
      everywhere. Values elsewhere are never read.
    * ``adjoint(observation)``: the adjoint, for operators that are linear.

    On a CUDA device its kernels are recorded after a few calls and replayed from then on. What is to differ from call
    to call has to come from tensors on the device, or from torch's random numbers there.
    """

    def __call__(self, picture: Tensor, /) -> Tensor:
        """Map a picture (N, C, H, W), float in [0, 1], to the observation that it would have given."""
        ...
