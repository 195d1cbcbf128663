"""What is to be solved: what was observed of a picture and what happened to it, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from untaught.errors import InputError
from untaught.fitting.losses import MeanSquaredError, Objective
from untaught.imaging.arrays import Layout
from untaught.physics.operator import Operator

__all__ = ["Problem"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is known of a picture, or of a volume, which has (D, H, W) wherever a picture has (H, W).

    Attributes:
        observed: (N, ...), float32: what the operator made of N pictures; anything where it is not known.
        known: bool, the same shape: where it is known.
        channels: of the picture.
        size: height and width of the picture; depth, height and width of a volume.
        layout: how the picture is handed back.
        operator: from the picture to the observation; None where the observation is the picture itself.
        noise: standard deviation of its independent normal noise; None where it has none, or none is known of.
        layers: channels of each layer of the picture that has a network of its own, ``channels`` together; all of them
            in one if empty.
        objective: how far a picture is from the observation.
        signed: whether that may be negative, so that how many times it has grown says nothing.
        guide: (N, channels, H, W), float32: the network's input in place of the recipe's, or beside what a recipe
            shows of a noisy picture; none if None.
        kept: (N, C, H, W), bool: values of the picture that are returned as they were given; none if None.
        polish: what is done to the fitted picture, (N, C, H, W), at the very end, for seconds maybe; nothing if None.
        finish: what is done to each fitted picture, (N, C, H, W), before anybody sees it; nothing if None.
        found: what else there is to be handed back, by name, each (N, C, H, W): from the operator as it was learnt and
            the fitted picture; nothing if None.
        verdict: the sentence on a fitted picture, (N, C, H, W), at the very end; what the operator makes of it is
            compared with the observation, in the picture's units, if None.
        recipes: name of the row of `untaught.recipes.RECIPES` that is for it, where that is not the task's own.
        notes: sentences that the user should read.
    """

    observed: Tensor
    known: Tensor
    channels: int
    size: tuple[int, ...]
    layout: Layout
    operator: Operator | None = None
    noise: float | None = None
    layers: tuple[int, ...] = ()
    objective: Callable[[Tensor, Operator, Tensor], Objective] = MeanSquaredError
    signed: bool = False
    guide: Tensor | None = None
    kept: Tensor | None = None
    polish: Callable[[Tensor], Tensor] | None = None
    finish: Callable[[Tensor], Tensor] | None = None
    found: Callable[[Operator, Tensor], Mapping[str, Tensor]] | None = None
    verdict: Callable[[Tensor], str] | None = None
    recipes: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.known.flatten(1).any(1).all():
            raise InputError("a picture has no known value at all: there is nothing to restore it from")
        if not self.observed[self.known].isfinite().all():
            raise InputError("the picture has values that are not finite where it is said to be known")

    @property
    def missing(self) -> float:
        """Share of the observed values that are not known."""
        return 1 - self.known.float().mean().item()
