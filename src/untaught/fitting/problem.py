"""The problem: what was observed of a picture and what happened to it, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from untaught.errors import InputError
from untaught.fitting.gaps import RADII, WIDE, width_classes
from untaught.fitting.losses import MeanSquaredError, Objective
from untaught.imaging.arrays import Layout
from untaught.physics.operator import Operator
from untaught.priors.modelled_noise import ModelledNoise
from untaught.priors.patches import Strip, inside

__all__ = ["Problem"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is known of N pictures, or volumes, which have (D, H, W) wherever a picture has (H, W).

    Attributes:
        observed: (N, ...), float32 or complex64: the operator's output; arbitrary where it is unknown.
        known: bool, the same shape.
        channels: of the picture.
        size: height and width of the picture; depth, height and width of a volume.
        layout: how the picture is handed back.
        operator: from the picture to the observation; None if the picture itself was observed.
        noise: standard deviation of the observation's white normal noise; None if there is none or it is unknown.
        channel_noise: (1, C, 1, 1): the same of each channel, where they differ; None where they do not.
        layers: channels of each layer of the picture that has its own network, ``channels`` in all; empty for one.
        objective: builds the loss from observation, operator and known values.
        weights: not negative, broadcastable to the observation: of each value's loss; None for equal weights.
        unit: 1.0 in the fit equals this many units of the observation; the Poisson loss needs them.
        offset: the value of the observation that is 0 in the fit, in its units.
        signed: whether the loss may be negative, so that its growth says nothing.
        clip: whether the picture lies in [0, 1] and outputs are limited to it.
        guide: (N, channels, H, W), float32: replaces the recipe's input, or is shown beside a noisy picture.
        kept: (N, C, H, W), bool: values of the picture that are returned unchanged; None for none.
        final_step: a last step on the fitted picture, (N, C, H, W), which may take seconds; None for none.
        display_step: a step on every picture that is shown or returned; None for none.
        further_results: by name, each (N, C, H, W), from the operator and the fitted picture; None for none.
        verdict: a sentence on the fitted picture; None for how far the operator's output is from the observation.
        recipe_row: the row of `untaught.recipes.RECIPES` to use, if it is not the task's own.
        classical: fills in the unknown values of a picture, (N, C, H, W), by a classical method, from the values and
            what is known of them; the answer is at least as good on held-out values. None for no such method.
        classical_name: what that method is called in notes.
        modelled_noise: makes, for the picture of a number, what draws noise like its own, in up to some minutes; None
            if the noise is white or unknown.
        answer: makes the picture, (N, C, H, W), that a recipe with ``classical`` returns, from the network's, in up to
            some minutes; None for none.
        answer_note: a sentence on that picture, once it is made.
        mixes: whether ``answer`` takes less than a second for a megapixel once the fit has begun, so that each picture
            that is shown is made by it.
        settled: whether that picture holds nothing of the network's, so that no fit is needed; asked once the noise is
            modelled. None for never.
        instead: makes the picture, (N, C, H, W), before the display step, that is returned where the network's is
            farther from the observation than ``noise`` explains; None for none.
        first: makes a picture, (N, C, H, W), before the display step, that is shown until the fit has one; it takes
            less than a second for a megapixel. None for none.
        strips: rows and columns of the parts of the picture that belong together (`untaught.priors.patches`); what lies
            outside is filler. Empty for the whole picture.
        notes: sentences for the user.
        classical_notes: further ones, which hold for a recipe with ``classical``.
    """

    observed: Tensor
    known: Tensor
    channels: int
    size: tuple[int, ...]
    layout: Layout
    operator: Operator | None = None
    noise: float | None = None
    channel_noise: Tensor | None = None
    layers: tuple[int, ...] = ()
    objective: Callable[[Tensor, Operator, Tensor], Objective] = MeanSquaredError
    weights: Tensor | None = None
    unit: float = 1.0
    offset: float = 0.0
    signed: bool = False
    clip: bool = True
    guide: Tensor | None = None
    kept: Tensor | None = None
    final_step: Callable[[Tensor], Tensor] | None = None
    display_step: Callable[[Tensor], Tensor] | None = None
    further_results: Callable[[Operator, Tensor], Mapping[str, Tensor]] | None = None
    verdict: Callable[[Tensor], str] | None = None
    recipe_row: str = ""
    classical: Callable[[Tensor, Tensor], Tensor] | None = None
    classical_name: str = "classical"
    modelled_noise: Callable[[int], ModelledNoise] | None = None
    answer: Callable[[Tensor], Tensor] | None = None
    answer_note: Callable[[], str] | None = None
    mixes: bool = False
    settled: Callable[[], bool] | None = None
    instead: Callable[[], Tensor] | None = None
    first: Callable[[], Tensor] | None = None
    strips: tuple[Strip, ...] = ()
    notes: tuple[str, ...] = ()
    classical_notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.known.flatten(1).any(1).all():
            raise InputError("a picture has no known value at all: there is nothing to restore it from")
        if not (self.observed.isfinite() | ~self.known).all():
            raise InputError("the picture has values that are not finite although they are marked as known")

    @property
    def missing(self) -> float:
        """Share of the observed values that are unknown."""
        atlas = self.layout.atlas
        return 1 - self.known.float().mean().item() if atlas is None else atlas.missing

    def wanted(self, held: Tensor | None = None) -> Tensor | None:
        """The pixels that the network's output is used for, (N, H, W), bool; None for all of them.

        Args:
            held: the values that are held out, to compare the output with.
        """
        if self.kept is None:
            return None
        kept = self.kept if held is None else self.kept & ~held.to(self.kept.device)
        missing = ~kept
        # A classical method fills wide gaps, so the network need not.
        if self.classical is not None:
            missing &= width_classes(kept, RADII[WIDE - 1 : WIDE]) == 0
        return missing.any(1)

    @property
    def inside(self) -> Tensor | None:
        """Where the picture is no filler between strips, (H, W), bool; None for everywhere."""
        return inside(self.size, self.strips) if self.strips else None
