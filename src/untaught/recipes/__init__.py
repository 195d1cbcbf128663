"""Settings as data: how to fit for each task, each recipe written out in full beside its source."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from untaught.errors import SettingError
from untaught.fitting.optimisers import OptimiserSettings
from untaught.fitting.stopping import StoppingSettings
from untaught.priors.encoder_decoder import PRESETS, NetworkSettings
from untaught.priors.inputs import InputSettings, PerturbationSettings
from untaught.priors.masked_input import ThinningSettings
from untaught.priors.patches import count
from untaught.priors.r2r_input import RecorruptionSettings
from untaught.settings import check_names

__all__ = ["RECIPES", "Recipe", "find_recipe", "recipe_from_record"]


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
        thinning: how the known values are thinned out to be the network's input in place of ``input``; None for a
            network that draws from noise or a grid. It adds to a first guess, so its head has no sigmoid, and its
            number of input channels follows from the picture's.
        recorruption: how a noisy picture is made the network's input, in the same way.
        averaging: decay of the exponential average of outputs, in [0, 1); 0 returns the last output.
        stopping: what ends a fit before its last iteration.
        runs: fits from different seeds, side by side, whose outputs are averaged.
        iterations: when to end at the latest.
    """

    name: str
    source: str
    network: NetworkSettings
    input: InputSettings = field(default_factory=InputSettings)
    perturbation: PerturbationSettings = field(default_factory=PerturbationSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    thinning: ThinningSettings | None = None
    recorruption: RecorruptionSettings | None = None
    averaging: float = 0.99
    stopping: StoppingSettings = field(default_factory=StoppingSettings)
    runs: int = 1
    iterations: int

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise SettingError(f"a fit has at least one iteration: found {self.iterations}")
        if not 0 <= self.averaging < 1:
            raise SettingError(f"averaging lies in [0, 1): found {self.averaging}")
        if self.runs < 1:
            raise SettingError(f"at least one run is wanted: found {self.runs}")
        if self.thinning is not None and self.recorruption is not None:
            raise SettingError("the network is shown the picture by thinning or by recorruption, not by both")
        if self.thinning is not None or self.recorruption is not None:
            if self.network.head != "none":
                raise SettingError("a network that is shown the picture adds to a first guess: its head must be 'none'")
        elif self.network.input_channels != self.input.channels:
            raise SettingError(
                f"the network takes {self.network.input_channels} input channels and the input has "
                f"{self.input.channels}"
            )
        else:
            self.input.check_axes(self.network.dimensions)
        shapes = self.stopping.rule == "held-out" and self.stopping.pattern == "shapes"
        if self.network.dimensions == 3 and (self.thinning or self.recorruption or shapes):
            raise SettingError(
                f"the recipe {self.name} is for pictures only: there is no thinning, recorruption or holding out of "
                "shapes for volumes"
            )

    @property
    def window(self) -> int | None:
        """Side of the window that the network is shown of a larger picture, in pixels; None if it sees all of it."""
        shown = self.thinning or self.recorruption
        return None if shown is None else shown.window

    def for_size(self, size: Sequence[int]) -> Recipe:
        """What it is for a picture, (height, width), that the network is shown in windows; itself for a smaller one.

        Four windows take twice the iterations of one: there is more to be learnt, but not four times as much
        (docs/recipes.md). Each place is seen more rarely, so the rule looks more rarely and waits longer. The peak of a
        residual cannot be told from the windows' own ups and downs, so there that rule is left out.
        """
        windows = 1.0 if self.window is None else count(size, self.window)
        if windows == 1:
            return self
        every, patience = (round(number * windows) for number in (self.stopping.every, self.stopping.patience))
        stopping = dataclasses.replace(self.stopping, every=every, patience=patience)
        if stopping.rule == "residual-peak":
            stopping = StoppingSettings()
        return dataclasses.replace(self, stopping=stopping, iterations=round(self.iterations * math.sqrt(windows)))

    def record(self) -> dict[str, Any]:
        """The recipe as plain nested values."""
        return dataclasses.asdict(self)


_FRESH = PerturbationSettings(kind="fresh", standard_deviation=0.03)

_MUON = OptimiserSettings(name="muon", rate=0.02)

_HELD_OUT = StoppingSettings(rule="held-out")
_HELD_OUT_SHAPES = StoppingSettings(rule="held-out", pattern="shapes", patience=100)


def _widths(outer: int, middle: int, inner: int = 128) -> NetworkSettings:
    """Our network: narrow where there are many pixels, and with wide skips."""
    channels = (outer, middle, inner, inner, inner)
    return NetworkSettings(down_channels=channels, up_channels=channels, skip_channels=(outer,) * 5, head="none")


_BALANCED_RESTORE = Recipe(
    name="balanced",
    source="untaught's own: docs/recipes.md",
    network=_widths(48, 96),
    thinning=ThinningSettings(),
    optimiser=_MUON,
    averaging=0.98,
    # A thinned network takes up no damage, so there is no haste; what it lacks is what is held out (docs/quality.md).
    stopping=StoppingSettings(rule="held-out", patience=200, refit=0.5),
    iterations=800,
)

_FAST_RESTORE = dataclasses.replace(_BALANCED_RESTORE, name="fast", network=_widths(32, 64), iterations=120)

_BEST_RESTORE = dataclasses.replace(_BALANCED_RESTORE, name="best", network=_widths(64, 128), runs=2, iterations=1000)

_NOISE = Recipe(
    name="noise",
    source="untaught's own for a network that draws from noise: docs/recipes.md",
    network=dataclasses.replace(_widths(48, 96), skip_channels=(16,) * 5, upsampling="nearest", head="sigmoid"),
    perturbation=_FRESH,
    optimiser=OptimiserSettings(name="muon", rate=0.01),
    averaging=0.97,
    stopping=_HELD_OUT,
    iterations=500,
)

# Bilinear at two outer scales, it is slow to take up what is fine: docs/recipes.md.
_NOISE_INPAINT = dataclasses.replace(
    _NOISE,
    stopping=_HELD_OUT_SHAPES,
    network=dataclasses.replace(
        _NOISE.network,
        down_channels=(32, 64, 128, 128, 128),
        up_channels=(32, 64, 128, 128, 128),
        upsampling=("bilinear", "bilinear", "nearest", "nearest", "nearest"),
    ),
)

_SHAPES = ThinningSettings(pattern="shapes", least=0.7, most=0.7)

# Narrow inside too, for more iterations in its time: it is those that it lacks (docs/recipes.md).
_BALANCED_INPAINT = dataclasses.replace(
    _BALANCED_RESTORE,
    network=_widths(32, 64, 64),
    thinning=_SHAPES,
    stopping=_HELD_OUT_SHAPES,
    iterations=600,
)

# By smaller windows it learns sooner: docs/recipes.md.
_FAST_INPAINT = dataclasses.replace(
    _BALANCED_INPAINT, name="fast", thinning=dataclasses.replace(_SHAPES, window=256), iterations=520
)

_BEST_INPAINT = dataclasses.replace(_BEST_RESTORE, thinning=_SHAPES, stopping=_HELD_OUT_SHAPES)

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

_BALANCED_DENOISE = Recipe(
    name="balanced",
    source="untaught's own: docs/recipes.md",
    network=NetworkSettings(down_channels=(32, 64, 64), up_channels=(32, 64, 64), skip_channels=(32,) * 3, head="none"),
    recorruption=RecorruptionSettings(),
    optimiser=_MUON,
    averaging=0.99,
    # The best moment comes a quarter later than the peak, which Patience waits in any case.
    stopping=StoppingSettings(rule="residual-peak", patience=20, tolerance=0.0),
    iterations=400,
)

_FAST_DENOISE = dataclasses.replace(_BALANCED_DENOISE, name="fast", iterations=200)

_BEST_DENOISE = dataclasses.replace(_BALANCED_DENOISE, name="best", runs=2)

_HOLE = dataclasses.replace(
    _PAPER_HOLE,
    name="balanced",
    source="untaught's own for large holes: docs/recipes.md",
    network=dataclasses.replace(
        _PAPER_HOLE.network, down_channels=(32, 64, 128, 128, 128), up_channels=(32, 64, 128, 128, 128)
    ),
    optimiser=OptimiserSettings(name="muon", rate=0.01),
    averaging=0.97,
    iterations=500,
)

_FAST_HOLE = dataclasses.replace(_HOLE, name="fast", iterations=250)

_BEST_HOLE = dataclasses.replace(_HOLE, name="best", runs=2, iterations=1000)

# What an operator hides is smooth more often than not, as under writing. More of bilinear has not been tried here.
_BALANCED_INVERSE = dataclasses.replace(
    _NOISE_INPAINT,
    name="balanced",
    source="untaught's own: docs/recipes.md",
    stopping=StoppingSettings(),
    network=dataclasses.replace(
        _NOISE_INPAINT.network, upsampling=("bilinear", "nearest", "nearest", "nearest", "nearest")
    ),
)

_FAST_INVERSE = dataclasses.replace(_BALANCED_INVERSE, name="fast", iterations=200)

_BEST_INVERSE = dataclasses.replace(_BALANCED_INVERSE, name="best", runs=2, iterations=1000)

# What is learnt late are the blocks: docs/tasks.md.
_BALANCED_DEJPEG = dataclasses.replace(_BALANCED_INVERSE, iterations=200)

_FAST_DEJPEG = dataclasses.replace(_BALANCED_DEJPEG, name="fast", iterations=120)

_BEST_DEJPEG = dataclasses.replace(_BALANCED_DEJPEG, name="best", runs=2)

_PAPER_UPSCALE = dataclasses.replace(
    _PAPER_DROPPED,
    source="Ulyanov, Vedaldi, Lempitsky, 2018: super-resolution (figure 5), in their code's settings for 4x",
    optimiser=OptimiserSettings(rate=0.01),
    iterations=2000,
)

# Much noise is taken up sooner than little.
_BALANCED_STRONG = dataclasses.replace(_BALANCED_DENOISE, iterations=300)

_FAST_STRONG = dataclasses.replace(_FAST_DENOISE, iterations=180)

_BEST_STRONG = dataclasses.replace(_BEST_DENOISE, iterations=300, runs=2)

_BALANCED_VOLUME = Recipe(
    name="balanced",
    source="untaught's own for volumes: docs/tasks.md",
    network=NetworkSettings(
        dimensions=3,
        input_channels=16,
        down_channels=(16, 32, 64),
        up_channels=(16, 32, 64),
        skip_channels=(16,) * 3,
        upsampling="nearest",
    ),
    input=InputSettings(channels=16),
    perturbation=_FRESH,
    optimiser=_MUON,
    averaging=0.97,
    stopping=_HELD_OUT,
    iterations=400,
)

_FAST_VOLUME = dataclasses.replace(_BALANCED_VOLUME, name="fast", iterations=200)

_BEST_VOLUME = dataclasses.replace(_BALANCED_VOLUME, name="best", runs=2)

_PAPER_DENOISE = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: denoising (figure 4), in their code's settings",
    network=PRESETS["paper"],
    perturbation=PerturbationSettings(kind="fresh", standard_deviation=1 / 30),
    optimiser=OptimiserSettings(rate=0.01),
    iterations=3000,
)

_PAPER_GUIDE = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: flash and no flash, the guide alone as input",
    network=dataclasses.replace(PRESETS["paper"], skip_channels=(128,) * 5),
    optimiser=OptimiserSettings(rate=0.01),
    iterations=1000,
)

# A network that sees the guide alone has its shapes for free, and a small one is slow to take up the noise.
_BALANCED_GUIDE = dataclasses.replace(
    _BALANCED_INVERSE,
    network=dataclasses.replace(
        _BALANCED_INVERSE.network,
        down_channels=(32, 64),
        up_channels=(32, 64),
        skip_channels=(16, 16),
        upsampling="bilinear",
    ),
    iterations=170,
)

_FAST_GUIDE = dataclasses.replace(_BALANCED_GUIDE, name="fast", iterations=150)

_BEST_GUIDE = dataclasses.replace(_BALANCED_GUIDE, name="best", runs=2)

_BALANCED_SEPARATE = dataclasses.replace(_BALANCED_INVERSE, iterations=500)

_FAST_SEPARATE = dataclasses.replace(_BALANCED_SEPARATE, name="fast", iterations=250)

_BEST_SEPARATE = dataclasses.replace(_BALANCED_SEPARATE, name="best", iterations=1000)
# Shallow features come nearer for as long as the fit goes on, and deep ones as nearly by then: docs/tasks.md.
_BALANCED_INVERT = dataclasses.replace(
    _BALANCED_INVERSE, network=dataclasses.replace(_BALANCED_INVERSE.network, upsampling="nearest"), iterations=400
)

_FAST_INVERT = dataclasses.replace(_BALANCED_INVERT, name="fast", iterations=200)

_BEST_INVERT = dataclasses.replace(_BALANCED_INVERT, name="best", runs=2, iterations=1000)

_SIX_SCALES = (16, 32, 64, 128, 128, 128)

_PAPER_INVERT = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: inversion of AlexNet, the settings of their notebook",
    network=dataclasses.replace(
        PRESETS["paper"],
        down_channels=_SIX_SCALES,
        up_channels=_SIX_SCALES,
        skip_channels=(4,) * 6,
        down_kernel_size=(7, 7, 5, 5, 3, 3),
        up_kernel_size=(7, 7, 5, 5, 3, 3),
        downsampling="average",
        upsampling="nearest",
        padding="zero",
    ),
    optimiser=OptimiserSettings(rate=0.001),
    averaging=0.0,
    iterations=3100,
)

# There is no right activation to come to, and what a longer fit adds is contrast.
_BALANCED_ACTIVATE = dataclasses.replace(_BALANCED_INVERSE, iterations=200)

_FAST_ACTIVATE = dataclasses.replace(_BALANCED_ACTIVATE, name="fast", iterations=100)

_BEST_ACTIVATE = dataclasses.replace(_BALANCED_ACTIVATE, name="best", iterations=500)

# The noise that their notebook adds to the weights never reaches them, so there is none here.
_PAPER_ACTIVATE = dataclasses.replace(
    _PAPER_INVERT,
    source="Ulyanov, Vedaldi, Lempitsky, 2018: a class of AlexNet, the settings of their notebook",
    network=dataclasses.replace(
        _PAPER_INVERT.network,
        skip_channels=(0, 4, 4, 4, 4, 4),
        down_kernel_size=(5, 3, 5, 5, 3, 5),
        up_kernel_size=(5, 3, 5, 3, 5, 3),
        upsampling="bilinear",
        padding="reflection",
    ),
    perturbation=_FRESH,
    optimiser=OptimiserSettings(rate=0.01),
)

_PAPER_CHANNEL = dataclasses.replace(
    _PAPER_ACTIVATE,
    name="paper-channel",
    source="the same for a channel of a convolutional layer; they maximise it in a window, here it is all of it",
    optimiser=OptimiserSettings(rate=0.001),
)

RECIPES: Mapping[str, tuple[Recipe, ...]] = MappingProxyType(
    {
        "inpaint": (
            _BALANCED_INPAINT,
            _FAST_INPAINT,
            _BEST_INPAINT,
            _NOISE_INPAINT,
            _PRINTED,
            _PAPER_TEXT,
            _PAPER_HOLE,
        ),
        "inpaint-hole": (_HOLE, _FAST_HOLE, _BEST_HOLE, _NOISE_INPAINT, _PRINTED, _PAPER_TEXT, _PAPER_HOLE),
        "restore": (_BALANCED_RESTORE, _FAST_RESTORE, _BEST_RESTORE, _NOISE, _PRINTED, _PAPER_DROPPED),
        "denoise": (_BALANCED_DENOISE, _FAST_DENOISE, _BEST_DENOISE, _PRINTED, _PAPER_DENOISE),
        "denoise-strong": (_BALANCED_STRONG, _FAST_STRONG, _BEST_STRONG, _PRINTED, _PAPER_DENOISE),
        "guide": (_BALANCED_DENOISE, _FAST_DENOISE, _BEST_DENOISE, _PRINTED, _PAPER_GUIDE),
        "guide-correlated": (_BALANCED_GUIDE, _FAST_GUIDE, _BEST_GUIDE, _PRINTED, _PAPER_GUIDE),
        "upscale": (_BALANCED_INVERSE, _FAST_INVERSE, _BEST_INVERSE, _PRINTED, _PAPER_UPSCALE),
        "deblur": (_BALANCED_INVERSE, _FAST_INVERSE, _BEST_INVERSE, _PRINTED, _PAPER_UPSCALE),
        "dejpeg": (_BALANCED_DEJPEG, _FAST_DEJPEG, _BEST_DEJPEG, _PRINTED, _PAPER_UPSCALE),
        # No thinning: what is hidden from the network is never what a filter has hidden, green at a red pixel.
        "demosaic": (_BALANCED_INVERSE, _FAST_INVERSE, _BEST_INVERSE, _NOISE, _PRINTED, _PAPER_DROPPED),
        "volume": (_BALANCED_VOLUME, _FAST_VOLUME, _BEST_VOLUME),
        "separate": (_BALANCED_SEPARATE, _FAST_SEPARATE, _BEST_SEPARATE),
        "invert": (_BALANCED_INVERT, _FAST_INVERT, _BEST_INVERT, _PAPER_INVERT),
        "activate": (_BALANCED_ACTIVATE, _FAST_ACTIVATE, _BEST_ACTIVATE, _PAPER_ACTIVATE, _PAPER_CHANNEL),
        "fit": (dataclasses.replace(_NOISE, name="balanced", stopping=StoppingSettings()), _PRINTED, _PAPER_DROPPED),
    }
)
"""The recipes of each task, its default first; those of "fit" are for operators of the user's own, and those of
"volume" for the volumes of every task."""


def find_recipe(row: str, name: str) -> Recipe:
    """Look up a recipe by its row and name.

    Raises:
        SettingError: for a name that is not there, listing those that are.
    """
    recipes = {recipe.name: recipe for recipe in RECIPES[row]}
    check_names([name], recipes, kind=f"recipe for {row}:")
    return recipes[name]


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
        "thinning": ThinningSettings,
        "recorruption": RecorruptionSettings,
        "stopping": StoppingSettings,
    }
    built = {
        name: _build(parts[name], value) if name in parts and value is not None else value
        for name, value in values.items()
    }
    return _build(Recipe, built)  # type: ignore[no-any-return]


def _build(kind: Any, values: Mapping[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(kind)]
    if unknown := sorted(set(values) - set(known)):
        raise SettingError(f"unknown settings {', '.join(unknown)}: {kind.__name__} has {', '.join(known)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
