"""The protocol of an input sampler, and the batch that it gives in each iteration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Generator, Tensor

__all__ = ["Batch", "InputSampler"]


class Batch(NamedTuple):
    """What the network is given for one iteration.

    Attributes:
        input: (N, channels, H, W), float32.
        guess: (N, C, H, W), float32: what the network's output is added to; nothing if None.
        compared: (N, C, H, W), bool: the values that the loss is taken over; all that are known if None.
        shown: (N, C, H, W), bool: where the guess is what was observed, and stands as it is; nowhere if None.
        mirrored: (N, 2), bool: whether the input was mirrored left to right and top to bottom, as the network's output
            then is too; not at all if None.
        target: (N, C, H, W), float32: what is compared with in place of what was observed; that itself if None. With
            it, ``compared`` stands by itself.
        window: the rows, (N, h), and columns, (N, w), int64, of the picture that all of these are of, with h and w in
            place of H and W; they are of the whole picture if None.
    """

    input: Tensor
    guess: Tensor | None = None
    compared: Tensor | None = None
    shown: Tensor | None = None
    target: Tensor | None = None
    mirrored: Tensor | None = None
    window: tuple[Tensor, Tensor] | None = None


class InputSampler(Protocol):
    """Gives the network's input of each iteration in turn."""

    @property
    def generators(self) -> Sequence[Generator]:
        """What it draws random numbers from."""
        ...

    def draw(self) -> Batch:
        """The next iteration's input."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What changes from draw to draw."""
        ...

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state; without ``randomness`` the random numbers go on."""
        ...
