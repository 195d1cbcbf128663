"""What the fit needs of an operator, and a check that one fits its observation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from untaught.errors import InputError

__all__ = ["Operator", "check_output"]


@runtime_checkable
class Operator(Protocol):
    """A differentiable callable from a picture to what was observed of it.

    Any torch callable will do. Two optional attributes say more:

    * ``known``: bool tensor that broadcasts to the observation, True where a value was observed; None for everywhere.
      Other values are never read.
    * ``adjoint(observation)``: the adjoint, if the operator is linear.

    On a CUDA device its kernels are recorded after a few calls and replayed from then on. Whatever changes from call to
    call must come from tensors on the device, or from torch's random numbers there.
    """

    def __call__(self, picture: Tensor, /) -> Tensor:
        """Map a picture (N, C, H, W), float in [0, 1], to the observation it would give."""
        ...


def check_output(
    operator: Operator,
    picture_shape: Sequence[int],
    observed_shape: Sequence[int],
    device: torch.device | str = "cpu",
) -> None:
    """Call an operator once and check that its output has the shape of the observation and passes a gradient.

    A wrong size would otherwise go unnoticed where torch can broadcast one shape to the other.

    Args:
        operator: what to check.
        picture_shape: (N, C, H, W) of the picture to fit.
        observed_shape: shape of what was observed.
        device: where the operator's tensors are.

    Raises:
        InputError: if it does not fit, with both shapes.

    >>> check_output(lambda picture: picture[..., ::2], (1, 3, 8, 8), (1, 3, 8, 4))
    """
    picture = torch.full(tuple(picture_shape), 0.5, device=device, dtype=torch.float32, requires_grad=True)
    wanted = tuple(observed_shape)
    try:
        with torch.enable_grad():
            found = operator(picture)
    except InputError:
        raise
    # Any exception of the user's own code.
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"the operator fails on a picture of {tuple(picture_shape)}: {lines[0]}; if the picture has another size, "
            "say so by size=(height, width) and channels=..."
        ) from error
    if not isinstance(found, Tensor):
        raise InputError(f"the operator returns a {type(found).__name__}: it must return a torch tensor")
    if tuple(found.shape) != wanted:
        raise InputError(
            f"the operator maps a picture of {tuple(picture_shape)} to {tuple(found.shape)} and {wanted} was observed: "
            "both must be equal; say the size of the picture by size=(height, width) and channels=..., or correct the "
            "operator"
        )
    if not found.requires_grad:
        raise InputError(
            "no gradient comes back from the operator: it must be differentiable; compute with torch, without numpy "
            "or detach()"
        )
