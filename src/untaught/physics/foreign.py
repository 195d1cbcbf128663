"""Operators of other libraries, taken as they are: `adapt` makes an `Operator` of any of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from untaught.errors import InputError
from untaught.physics.operator import Operator

__all__ = ["Adapted", "AdaptedLinear", "adapt"]


class Adapted(nn.Module):
    """An object of another library as an operator, without an adjoint. Made by `adapt`.

    Args:
        wrapped: the object. A torch module moves between devices with this one.
        forward_name: the method that maps a picture to an observation.
    """

    def __init__(self, wrapped: Any, forward_name: str) -> None:
        super().__init__()
        self.wrapped = wrapped
        self.forward_name = forward_name

    @property
    def known(self) -> Tensor | None:
        """What the object says of it; None for everywhere."""
        known: Tensor | None = getattr(self.wrapped, "known", None)
        return known

    def forward(self, picture: Tensor) -> Tensor:
        """Map a picture to its observation."""
        observed: Tensor = getattr(self.wrapped, self.forward_name)(picture)
        return observed


class AdaptedLinear(Adapted):
    """The same for an object that has an adjoint.

    Args:
        wrapped: the object.
        forward_name: the method that maps a picture to an observation.
        adjoint_name: the method that is its adjoint.
    """

    def __init__(self, wrapped: Any, forward_name: str, adjoint_name: str) -> None:
        super().__init__(wrapped, forward_name)
        self.adjoint_name = adjoint_name

    def adjoint(self, observation: Tensor) -> Tensor:
        """Apply the adjoint to an observation."""
        picture: Tensor = getattr(self.wrapped, self.adjoint_name)(observation)
        return picture


def adapt(operator: Any) -> Operator:
    """Make an operator of an object.

    Args:
        operator: one of

            * an object with ``A``, and ``A_adjoint`` if it is linear, as deepinv's physics. ``A`` comes before a call
              of the object, which would add noise there;
            * a callable, with ``adjoint`` if it is linear; returned as it is;
            * an object with ``forward``, and ``adjoint`` if it is linear.

    Raises:
        InputError: for anything else.

    >>> adapt(lambda picture: picture[..., ::2])(Tensor([[1, 2, 3]])).tolist()
    [[1.0, 3.0]]
    """

    def has(name: str) -> bool:
        return callable(getattr(operator, name, None))

    if has("A"):
        return AdaptedLinear(operator, "A", "A_adjoint") if has("A_adjoint") else Adapted(operator, "A")
    if isinstance(operator, Operator):
        return operator
    if has("forward"):
        return AdaptedLinear(operator, "forward", "adjoint") if has("adjoint") else Adapted(operator, "forward")
    raise InputError(
        f"found a {type(operator).__name__}: an operator is a differentiable callable, or an object with A and "
        "A_adjoint, or with forward and adjoint"
    )
