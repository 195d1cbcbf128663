"""A recipe: all settings of a fit as one value, to and from the plain values of a record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from untaught.errors import SettingError
from untaught.fitting.langevin import SGLD, Langevin
from untaught.fitting.losses import LOSSES, ElementLoss
from untaught.fitting.optimisers import OptimiserFactory, OptimiserSettings
from untaught.fitting.stopping import RULES, Criterion, NeverStop, OwnRule, StoppingSettings
from untaught.priors.conv_decoder import ConvDecoder
from untaught.priors.deep_decoder import DeepDecoder
from untaught.priors.encoder_decoder import NetworkSettings
from untaught.priors.inputs import CoordinateInput, NoiseInput, PerturbationSettings
from untaught.priors.masked_input import MaskedInput
from untaught.priors.patches import Strip, sweep_length
from untaught.priors.r2r_input import R2RInput
from untaught.priors.sampler import InputScheme
from untaught.priors.siren import Siren
from untaught.priors.unet import UNet
from untaught.settings import check_names, plain, settings, shown

__all__ = ["INPUTS", "NETWORKS", "Recipe", "recipe_from_record"]

NETWORKS: Mapping[str, type] = {
    "encoder-decoder": NetworkSettings,
    "deep-decoder": DeepDecoder,
    "conv-decoder": ConvDecoder,
    "siren": Siren,
    "u-net": UNet,
}
"""The shipped architectures by the kind that a record gives them."""

INPUTS: Mapping[str, type] = {
    "uniform": NoiseInput,
    "normal": NoiseInput,
    "grid": CoordinateInput,
    "fourier": CoordinateInput,
    "masked": MaskedInput,
    "r2r": R2RInput,
}
"""The shipped input schemes by the kind that a record gives them."""


_SMALL_PATCH = 256
"""A patch of a smaller side, in pixels, is one of many that are much alike."""

_STRIP_PATCH = 96
"""Side of the patches in strips around damage, in pixels."""

_WHOLE = 2.6
"""A picture of at most so many times the pixels of a small patch is shown whole: docs/lab-notes/anytime.md."""

OPTIMISERS: Mapping[str, type] = {"shipped": OptimiserSettings, "langevin": Langevin, "sgld": SGLD}
"""The shipped optimisers by the kind that a record gives them."""


@settings
class Recipe:
    """All settings of a fit. An object of the user's own stands wherever a shipped one does.

    Attributes:
        name: what the command line calls it.
        source: where its settings come from.
        network: an architecture, such as `NetworkSettings`, or any ``nn.Module`` from (N, channels, H, W) to
            (N, C, H, W); a module is copied, and its initial weights are used as they are.
        input: what the network is shown: `NoiseInput`, `CoordinateInput`, `MaskedInput`, `R2RInput`, or an object with
            ``build(measurement, generator)`` that returns an `InputSampler`.
        optimiser: `OptimiserSettings`, or a callable from a list of parameters to a ``torch.optim.Optimizer``.
        loss: a name of ``LOSSES``, or a callable (prediction, observed) -> loss; None for the task's own.
        regulariser: a callable from the picture, (N, C, H, W), to a loss that is added; None for none.
        averaging: decay of the exponential average of the outputs, in [0, 1); 0 returns the last output.
        stopping: when to stop: `HeldOut`, `VarianceValley`, ..., or an object with ``update(state)``.
        runs: number of fits from different seeds, side by side, whose outputs are averaged.
        iterations: the limit.
        classical: combine the network's picture with a classical one, where the task has such a method, by their errors
            on held-out values (`HeldOut`); with another stop rule it is the network's. Where a gap is wide, the picture
            is the classical one. Of noise that neighbours share, a classical filter removes its part.
        groups: complete the classical picture by groups of similar blocks (`untaught.imaging.group_completion`).
        adapted: whether it has been adapted to a picture's size already, as in a record.
    """

    name: str = "own"
    source: str = "the user's own"
    network: Any = NetworkSettings()
    input: Any = NoiseInput()
    optimiser: Any = OptimiserSettings()
    loss: Any = None
    regulariser: Any = None
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.99
    stopping: Any = NeverStop()
    runs: Annotated[int, Field(ge=1, le=2**63 - 1)] = 1
    iterations: Annotated[int, Field(ge=1, le=2**63 - 1)]
    classical: bool = False
    groups: bool = False
    adapted: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.stopping, StoppingSettings):
            object.__setattr__(self, "stopping", OwnRule(watch=self.stopping))
        self._check_parts()
        if isinstance(self.network, nn.Module):
            return
        if self.shows_picture:
            if getattr(self.network, "head", "none") != "none":
                raise SettingError(
                    "a network that is shown the picture corrects a first guess, so its head is 'none': found "
                    f"{self.network.head!r}"
                )
        elif self.network.input_channels != getattr(self.input, "channels", self.network.input_channels):
            raise SettingError(
                f"the network takes {self.network.input_channels} input channels and the input has "
                f"{self.input.channels}: make them equal"
            )
        shapes = getattr(self.stopping, "pattern", "pixels") == "shapes"
        if getattr(self.network, "dimensions", 2) == 3 and (self.shows_picture or shapes):
            raise SettingError(
                f"the recipe {self.name} is for pictures only: masked and R2R inputs, and holding out of shapes, "
                "do not exist for volumes"
            )

    def _check_parts(self) -> None:
        """Check that each part is a shipped one or has what an own one needs."""
        if not (isinstance(self.network, nn.Module) or callable(getattr(self.network, "build", None))):
            raise SettingError(f"network is an architecture or a torch.nn.Module: found {shown(self.network)}")
        if not isinstance(self.input, InputScheme):
            raise SettingError(f"input has a method build(measurement, generator): found {shown(self.input)}")
        if not (isinstance(self.optimiser, OptimiserSettings) or callable(self.optimiser)):
            raise SettingError(
                f"optimiser is OptimiserSettings or a callable of the parameters: found {shown(self.optimiser)}"
            )
        if isinstance(self.loss, str):
            check_names([self.loss], LOSSES, kind="loss")
        elif not (self.loss is None or callable(self.loss)):
            raise SettingError(f"loss is one of {', '.join(LOSSES)}, or a callable: found {shown(self.loss)}")
        if not (self.regulariser is None or callable(self.regulariser)):
            raise SettingError(f"regulariser is a callable of the picture: found {shown(self.regulariser)}")

    @property
    def shows_picture(self) -> bool:
        """Whether the input is made from the observed picture itself."""
        return bool(getattr(self.input, "shows_picture", False))

    @property
    def patch(self) -> int | None:
        """Side of the patches that the network is shown, in pixels; None if it always sees the whole picture."""
        return getattr(self.input, "patch", None)

    @property
    def small_patches(self) -> bool:
        """Whether a patch is one of many that are much alike."""
        return self.patch is not None and self.patch < _SMALL_PATCH

    @property
    def element_loss(self) -> ElementLoss | None:
        """The loss as a callable; None for the task's own."""
        loss: ElementLoss | None = LOSSES[self.loss] if isinstance(self.loss, str) else self.loss
        return loss

    def with_dimensions(self, dimensions: Literal[2, 3]) -> Recipe:
        """The same for pictures, 2, or volumes, 3."""
        if not isinstance(self.network, NetworkSettings) or self.network.dimensions == dimensions:
            return self
        return dataclasses.replace(self, network=dataclasses.replace(self.network, dimensions=dimensions))

    def for_size(self, size: Sequence[int], wanted: Tensor | None = None, strips: Sequence[Strip] = ()) -> Recipe:
        """Adapt it to a picture of this height and width that is larger than a patch.

        Four patches take twice the iterations of one: there is more to learn, but not four times as much (lab notes on
        recipes). Each place is seen less often, so the rule looks less often and waits longer. The peak of a residual
        drowns in the ups and downs between patches, so that rule is left out.

        Args:
            size: height and width.
            wanted: (H, W), bool: the pixels that the network's output is used for; None for all of them.
            strips: the parts of the picture that belong together (`untaught.priors.patches`).
        """
        if self.adapted or self.patch is None:
            return self
        stopping: StoppingSettings = self.stopping
        recipe = self._with_patch_for(size, strips) if self.small_patches else self
        patches = sweep_length(size, recipe.patch or self.patch, wanted, strips)
        if recipe.patch != self.patch and not strips:
            # The whole picture at once: as many pixels as in patches, in fewer iterations.
            growth = max(1.0, sweep_length(size, self.patch, wanted) ** 0.25) * self.patch**2 / math.prod(size)
            every, patience = stopping.every, max(stopping.every, round(stopping.patience * growth))
        elif patches == 1:
            return recipe
        elif self.small_patches:
            # Many small patches are much alike: one sweep between two looks, and the fourth root of their number.
            growth = max(1.0, patches**0.25)
            every, patience = max(stopping.every, round(patches)), round(stopping.patience * growth)
        else:
            growth = math.sqrt(patches)
            every, patience = (round(number * patches) for number in (stopping.every, stopping.patience))
        stopping = dataclasses.replace(stopping, every=every, patience=patience)
        if not stopping.returns_best:
            stopping = NeverStop()
        iterations = round(self.iterations * growth)
        return dataclasses.replace(recipe, stopping=stopping, iterations=iterations)

    def _with_patch_for(self, size: Sequence[int], strips: Sequence[Strip]) -> Recipe:
        """The same with a patch that suits the picture: smaller for strips, the whole of a small picture."""
        if not isinstance(self.input, MaskedInput):
            return self
        patch = self.input.patch
        if strips:
            patch = min(patch, _STRIP_PATCH)
        elif max(size) > patch and math.prod(size) <= _WHOLE * patch**2:
            patch = max(size)
        return (
            self
            if patch == self.input.patch
            else dataclasses.replace(self, input=dataclasses.replace(self.input, patch=patch))
        )

    def record(self) -> dict[str, Any]:
        """The recipe as plain nested values, as it was used; objects of the user's own by their qualified names."""
        return {**plain(self), "adapted": True}


def recipe_from_record(
    values: Mapping[str, Any],
    *,
    network: nn.Module | None = None,
    input: InputScheme | None = None,  # noqa: A002
    optimiser: OptimiserFactory | None = None,
    loss: ElementLoss | None = None,
    regulariser: Callable[[Tensor], Tensor] | None = None,
    stopping: Criterion | None = None,
) -> Recipe:
    """Rebuild a recipe from the plain values of a record, to repeat a run. Records of version 0.1 are migrated.

    Args:
        values: as `Recipe.record` gives them.
        network: replaces that of the record: a record names an own object but cannot hold it; so do the others.
        input: see ``network``.
        optimiser: see ``network``.
        loss: see ``network``.
        regulariser: see ``network``.
        stopping: see ``network``.

    Raises:
        SettingError: for unknown names, impossible values, or an own object that is not passed again.
    """
    given = {
        "network": network,
        "input": input,
        "optimiser": optimiser,
        "loss": loss,
        "regulariser": regulariser,
        "stopping": stopping,
    }
    own_parts = {name: value for name, value in given.items() if value is not None}
    try:
        return _from_values(dict(values), own_parts)
    except SettingError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise SettingError("the recipe is damaged: it has parts of the wrong kind") from error


def _from_values(values: dict[str, Any], given: dict[str, Any]) -> Recipe:
    built = _migrated(values) | given
    parts: Mapping[str, Callable[[dict[str, Any]], Any]] = {
        "network": lambda part: _by_tag(part, "kind", NETWORKS, default="encoder-decoder"),
        "input": lambda part: _by_tag(part, "kind", INPUTS),
        "optimiser": lambda part: _by_tag(part, "kind", OPTIMISERS, default="shipped"),
        "stopping": lambda part: _by_tag(part, "rule", RULES),
        "loss": lambda part: part,
        "regulariser": lambda part: part,
    }
    for name, build in parts.items():
        part = built.get(name)
        if isinstance(part, dict):
            # An object is the part itself, or within it: a criterion to watch, a schedule.
            inner = (value for value in part.values() if isinstance(value, dict))
            own = next((one["object"] for one in (part, *inner) if "object" in one), None)
            if own is not None:
                raise SettingError(
                    f"the recipe's {name} is an object of its author's, {own}: pass it again, {name}=..."
                )
            built[name] = build(part)
    return _made(Recipe, built)  # type: ignore[no-any-return]


def _by_tag(values: Mapping[str, Any], tag: str, kinds: Mapping[str, type], default: str = "") -> Any:
    kind = str(values.get(tag, default))
    check_names([kind], kinds, kind=tag)
    known = [field.name for field in dataclasses.fields(kinds[kind])]
    return _made(kinds[kind], {name: value for name, value in values.items() if name != tag or tag in known})


def _made(kind: Any, values: Mapping[str, Any]) -> Any:
    if kind is not Recipe and "perturbation" in values:
        values = {**values, "perturbation": _made(PerturbationSettings, values["perturbation"])}
    check_names(values, [field.name for field in dataclasses.fields(kind)], kind=f"setting of {kind.__name__}:")
    # JSON has lists where settings have tuples.
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _migrated(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a record of version 0.1 in today's form: one input, named rules, and today's names."""
    if "thinning" not in values:
        return values
    masked, r2r, perturbation = (values.pop(name) for name in ("thinning", "recorruption", "perturbation"))
    shown = masked or r2r
    if shown is not None:
        kind = "masked" if masked is not None else "r2r"
        values["input"] = {"kind": kind, **{"patch" if name == "window" else name: v for name, v in shown.items()}}
    else:
        scheme = INPUTS[values["input"]["kind"]]
        known = [field.name for field in dataclasses.fields(scheme)]
        kept = {name: value for name, value in values["input"].items() if name in known}
        values["input"] = {**kept, "perturbation": perturbation}
    renamed = {"rate": "learning_rate", "final_rate": "final_share"}
    values["optimiser"] = {renamed.get(name, name): value for name, value in values["optimiser"].items()}
    rule = RULES[values["stopping"]["rule"]]
    known = [field.name for field in dataclasses.fields(rule)]
    values["stopping"] = {name: value for name, value in values["stopping"].items() if name in known}
    return {**values, "adapted": True}
