"""The base classes of our operators, composition by ``>>``, and the simplest operators.

``Blur(kernel) >> Downsample((64, 48), (32, 24)) >> Mask(known)`` blurs first. Either side of ``>>`` may be any
differentiable callable or an operator of another library.

To add an operator, derive from `LinearOperator` (or from `DifferentiableOperator`, if it is not linear) and write
``forward``, ``adjoint`` and ``examples``, and ``output_size`` and ``input_size`` if the size changes. The tests find it
and check the laws of `untaught.physics.laws` on its examples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn

from untaught.errors import InputError
from untaught.physics.foreign import adapt

__all__ = [
    "Composed",
    "ComposedLinear",
    "DifferentiableOperator",
    "Example",
    "Identity",
    "LinearOperator",
    "Mask",
    "Size",
    "compose",
    "per_picture",
]

Size = tuple[int, ...]
"""Height and width; for a volume depth, height and width."""


class DifferentiableOperator(nn.Module, ABC):
    """Base of our operators: a differentiable map from pictures (N, C, H, W), each treated alone, to observations."""

    @property
    def known(self) -> Tensor | None:
        """Where the observation has values: bool, broadcasts to it. None for everywhere."""
        return None

    @abstractmethod
    def forward(self, picture: Tensor) -> Tensor:
        """Map pictures (N, C, H, W) to their observations."""

    def output_size(self, size: Size) -> Size:
        """Return the size of the observation of a picture of this size.

        Raises:
            InputError: for a picture that cannot be observed.
        """
        return size

    def input_size(self, size: Size) -> Size:
        """Return the size of the picture with an observation of this size.

        Raises:
            InputError: if no picture has such an observation.
        """
        return size

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Return a few small operators of this class, each with the shape (N, C, H, W) of a picture for it.

        The tests check the laws of `untaught.physics.laws` on them.
        """
        raise NotImplementedError(f"{cls.__name__} needs examples(), which its laws are checked on")

    def __rshift__(self, other: Any) -> Composed:
        """Compose: first this operator, then the other one."""
        return compose(self, other)

    def __rrshift__(self, other: Any) -> Composed:
        """Compose: first the other one, then this operator."""
        return compose(other, self)


Example = tuple[DifferentiableOperator, tuple[int, ...]]
"""An operator and the shape of a picture for it."""


class LinearOperator(DifferentiableOperator):
    """Base of our linear operators. A complex observation of a real picture is linear too, over the real numbers."""

    @abstractmethod
    def adjoint(self, observation: Tensor) -> Tensor:
        """Map observations back to pictures: Re <A x, y> = <x, B y> for every x and y, where B is this map."""

    @overload
    def __rshift__(self, other: LinearOperator) -> ComposedLinear: ...

    @overload
    def __rshift__(self, other: Any) -> Composed: ...

    def __rshift__(self, other: Any) -> Composed:
        """Compose: first this operator, then the other one."""
        return compose(self, other)


def compose(first: Any, second: Any) -> Composed:
    """Compose two operators. The result has an adjoint if both have one.

    Args:
        first: maps the picture; any object that `untaught.physics.foreign.adapt` takes.
        second: maps what the first one returns; the same.

    Raises:
        InputError: for an object that is no operator.
    """
    parts = adapt(first), adapt(second)
    linear = all(callable(getattr(part, "adjoint", None)) for part in parts)
    return ComposedLinear(*parts) if linear else Composed(*parts)


class Composed(DifferentiableOperator):
    """One operator after another; made by ``first >> second``.

    Its sizes are known if both parts have ``output_size`` and ``input_size``, as our own operators do.

    Args:
        first: from the picture.
        second: from the output of the first one.
    """

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__()
        self.first = adapt(first)
        self.second = adapt(second)

    @property
    def known(self) -> Tensor | None:
        """Where the second operator observes values."""
        known: Tensor | None = getattr(self.second, "known", None)
        return known

    def forward(self, picture: Tensor) -> Tensor:
        """Map pictures through both operators."""
        return self.second(self.first(picture))

    def output_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        return _size(self.second, "output_size", _size(self.first, "output_size", size))

    def input_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        return _size(self.first, "input_size", _size(self.second, "input_size", size))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        return [(cls(Identity(), torch.sin), (2, 3, 5, 4))]


class ComposedLinear(Composed, LinearOperator):
    """One operator after another, both with an adjoint; made by ``first >> second``."""

    def adjoint(self, observation: Tensor) -> Tensor:
        """Apply the adjoints in reverse order."""
        picture: Tensor = self.first.adjoint(self.second.adjoint(observation))  # type: ignore[attr-defined]
        return picture

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        return [(cls(Identity(), operator), shape) for operator, shape in Mask.examples()]


def _size(operator: Any, name: str, size: Size) -> Size:
    method = getattr(operator, name, None)
    if method is None:
        kind = getattr(operator, "__name__", type(operator).__name__)
        raise InputError(
            f"{kind} does not say how it changes the size of a picture: say the picture's size, by size=(height, width)"
        )
    return tuple(method(size))


class Identity(LinearOperator):
    """The picture was observed as it is. Its own adjoint."""

    def forward(self, picture: Tensor) -> Tensor:
        """Return the same tensor."""
        return picture

    def adjoint(self, observation: Tensor) -> Tensor:
        """Return the same tensor."""
        return observation

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        return [(cls(), (1, 3, 5, 4))]


class Mask(LinearOperator):
    """Only some values were observed; the others are zero. Its own adjoint.

    Args:
        known: bool, broadcasts to the picture (N, C, H, W), True where a value was observed. A mask for N pictures also
            takes a batch of several runs, the N pictures of each run after those of the run before.

    Raises:
        InputError: if the mask is not bool.
    """

    mask: Tensor

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        if known.dtype != torch.bool:
            raise InputError(
                f"found a mask of {known.dtype}: a mask is a bool tensor, True where a value is known; compare it, as "
                "in mask > 0"
            )
        self.register_buffer("mask", known)

    @property
    def known(self) -> Tensor:
        """The mask."""
        return self.mask

    def forward(self, picture: Tensor) -> Tensor:
        """Set unknown values to zero; NaN does not pass. The shape stays."""
        return torch.where(per_picture(self.mask, picture), picture, 0)

    def adjoint(self, observation: Tensor) -> Tensor:
        """Do the same."""
        return self(observation)  # type: ignore[no-any-return]

    def output_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        sides = self.mask.shape[-len(size) :]
        if any(own not in (1, side) for own, side in zip(reversed(sides), reversed(size), strict=False)):
            raise InputError(f"the mask is for pictures of {tuple(sides)} (height, width): found {tuple(size)}")
        return size

    def input_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        return self.output_size(size)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        shapes = [(1, 3, 12, 10), (1, 1, 12, 10), (12, 10), (3, 1, 12, 10)]
        random = torch.Generator().manual_seed(0)
        masks = [torch.rand(shape, generator=random) > 0.4 for shape in shapes]
        return [(cls(mask), (len(mask) if mask.ndim == 4 else 1, 3, 12, 10)) for mask in masks]


def per_picture(data: Tensor, batch: Tensor) -> Tensor:
    """Repeat an operator's data for N pictures to match a batch of several runs.

    Args:
        data: (N, ...), one entry per picture, or anything that broadcasts to the batch.
        batch: (runs * N, ...), the N pictures of each run after those of the run before.

    Raises:
        InputError: if the batch is not a multiple of N.
    """
    if data.ndim < batch.ndim or len(data) in (1, len(batch)):
        return data
    if len(batch) % len(data):
        raise InputError(
            f"found {len(batch)} pictures: this operator is for {len(data)}, or for a multiple of them; make one for "
            "as many pictures as there are"
        )
    return data.repeat(len(batch) // len(data), *[1] * (data.ndim - 1))
