"""Settings as data: how to fit for each task, each recipe written out in full beside its source."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from untaught.errors import SettingError
from untaught.inputs import InputSettings, PerturbationSettings
from untaught.networks import PRESETS, NetworkSettings
from untaught.optimisers import OptimiserSettings

__all__ = ["DEFAULT", "RECIPES", "Recipe", "find_recipe", "recipe_from_record"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a fit.

    Attributes:
        name: what it is called on the command line.
        source: where its settings come from.
        network: the architecture.
        input: what the network draws the picture from.
        perturbation: how that input is shaken.
        optimiser: how the weights follow the gradient.
        averaging: decay of the exponential average of outputs, in [0, 1); 0 returns the last output.
        iterations: when to end.
    """

    name: str
    source: str
    network: NetworkSettings
    input: InputSettings = field(default_factory=InputSettings)
    perturbation: PerturbationSettings = field(default_factory=PerturbationSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    averaging: float = 0.99
    iterations: int

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise SettingError(f"a fit has at least one iteration: found {self.iterations}")
        if not 0 <= self.averaging < 1:
            raise SettingError(f"averaging lies in [0, 1): found {self.averaging}")
        if self.network.input_channels != self.input.channels:
            raise SettingError(
                f"the network takes {self.network.input_channels} input channels and the input has "
                f"{self.input.channels}"
            )

    def record(self) -> dict[str, Any]:
        """The recipe as plain nested values."""
        return dataclasses.asdict(self)


_FRESH = PerturbationSettings(kind="fresh", standard_deviation=0.03)

_NARROW = NetworkSettings(
    down_channels=(32, 64, 128, 128, 128),
    up_channels=(32, 64, 128, 128, 128),
    skip_channels=(16,) * 5,
    upsampling="nearest",
)

_BALANCED_RESTORE = Recipe(
    name="balanced",
    source="untaught's own, chosen on boat and on the stripes of barbara: docs/recipes.md",
    network=dataclasses.replace(_NARROW, down_channels=(48, 96, 128, 128, 128), up_channels=(48, 96, 128, 128, 128)),
    perturbation=_FRESH,
    optimiser=OptimiserSettings(name="muon", rate=0.01),
    averaging=0.97,
    iterations=400,
)

_BALANCED_INPAINT = Recipe(
    name="balanced",
    source="untaught's own, chosen on kate: docs/recipes.md",
    # Bilinear where it shows: a hole is filled more smoothly. Scattered pixels are better off without.
    network=dataclasses.replace(_NARROW, upsampling=("bilinear", "nearest", "nearest", "nearest", "nearest")),
    perturbation=_FRESH,
    optimiser=OptimiserSettings(name="muon", rate=0.01),
    averaging=0.97,
    iterations=500,
)

_PRINTED = Recipe(
    name="printed",
    source="the reproduction that this project started from, as printed; it goes on to 8000 iterations",
    network=PRESETS["printed"],
    perturbation=PerturbationSettings(kind="accumulated", standard_deviation=1 / 30),
    optimiser=OptimiserSettings(rate=0.01),
    iterations=2000,
)

_PAPER_TEXT = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: inpainting of text (figure 6), in their code's settings",
    network=dataclasses.replace(PRESETS["paper"], skip_channels=(128,) * 5, upsampling="nearest"),
    perturbation=_FRESH,
    optimiser=OptimiserSettings(rate=0.01),
    iterations=6000,
)

_PAPER_HOLE = Recipe(
    name="paper-hole",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: inpainting of a large hole (figure 7), in their code's settings",
    network=dataclasses.replace(PRESETS["paper"], input_channels=2, skip_channels=(0,) * 5, upsampling="nearest"),
    input=InputSettings(kind="grid", channels=2),
    perturbation=_FRESH,
    optimiser=OptimiserSettings(rate=0.01),
    iterations=5000,
)

_PAPER_DROPPED = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: half of the pixels dropped (table 1), in their code's settings",
    network=PRESETS["paper"],
    perturbation=_FRESH,
    optimiser=OptimiserSettings(rate=0.001),
    iterations=11000,
)

DEFAULT = "balanced"
"""Name of the recipe that a task takes when none is asked for."""

RECIPES: Mapping[str, tuple[Recipe, ...]] = MappingProxyType(
    {
        "inpaint": (_BALANCED_INPAINT, _PRINTED, _PAPER_TEXT, _PAPER_HOLE),
        "restore": (_BALANCED_RESTORE, _PRINTED, _PAPER_DROPPED),
    }
)
"""The recipes of each task, the default first."""


def find_recipe(task: str, name: str) -> Recipe:
    """Look up a recipe of a task by name.

    Raises:
        SettingError: for a name that is not there, listing those that are.
    """
    recipes = {recipe.name: recipe for recipe in RECIPES[task]}
    if name in recipes:
        return recipes[name]
    near = difflib.get_close_matches(name, recipes, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise SettingError(f"{task} has no recipe {name!r}: there are {', '.join(recipes)}{hint}")


def recipe_from_record(values: Mapping[str, Any]) -> Recipe:
    """Rebuild a recipe from the plain values of a record, so that a run can be repeated.

    Raises:
        SettingError: for names that no setting has, or values that it cannot have.
    """
    parts = {
        "network": NetworkSettings,
        "input": InputSettings,
        "perturbation": PerturbationSettings,
        "optimiser": OptimiserSettings,
    }
    built = {name: _build(parts[name], value) if name in parts else value for name, value in values.items()}
    return _build(Recipe, built)  # type: ignore[no-any-return]


def _build(kind: Any, values: Mapping[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(kind)]
    if unknown := sorted(set(values) - set(known)):
        raise SettingError(f"unknown settings {', '.join(unknown)}: {kind.__name__} has {', '.join(known)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
