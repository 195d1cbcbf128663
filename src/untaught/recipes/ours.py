"""Our own recipes; how each was found is in the lab notes on recipes."""

from __future__ import annotations

import dataclasses

from untaught.fitting.optimisers import OptimiserSettings
from untaught.fitting.recipe import Recipe
from untaught.fitting.stopping import HeldOut, NeverStop, ResidualPeak
from untaught.priors.encoder_decoder import NetworkSettings
from untaught.priors.inputs import NoiseInput
from untaught.priors.masked_input import MaskedInput
from untaught.priors.r2r_input import R2RInput
from untaught.recipes.published import FRESH

MUON = OptimiserSettings(name="muon", learning_rate=0.02)

HELD_OUT = HeldOut()
HELD_OUT_SHAPES = HeldOut(pattern="shapes", patience=100)


def _widths(outer: int, middle: int, inner: int = 128) -> NetworkSettings:
    """Our network: narrow where there are many pixels, and with wide skips."""
    channels = (outer, middle, inner, inner, inner)
    return NetworkSettings(down_channels=channels, up_channels=channels, skip_channels=(outer,) * 5, head="none")


def _small(*channels: int) -> NetworkSettings:
    """A network for small patches, whose first output is nearly the first guess."""
    skip = (channels[0],) * len(channels)
    return NetworkSettings(
        down_channels=channels, up_channels=channels, skip_channels=skip, head="none", head_gain=0.01
    )


# A narrow network on small patches, which corrects a good first guess: docs/lab-notes/anytime.md.
BALANCED_RESTORE = Recipe(
    name="balanced",
    source="untaught's own: docs/lab-notes/anytime.md",
    network=_small(32, 64, 64),
    input=MaskedInput(guess="biharmonic", patch=160),
    optimiser=OptimiserSettings(name="muon", learning_rate=0.01, schedule="cosine", final_share=0.05),
    classical=True,
    groups=True,
    averaging=0.98,
    # With masked input the network does not learn the damage, so patience may be long. Half of the fit is refit:
    # held-out pixels are what it misses: docs/lab-notes/quality.md.
    stopping=HeldOut(patience=200, refit=0.5),
    iterations=600,
)

FAST_RESTORE = dataclasses.replace(BALANCED_RESTORE, name="fast", iterations=100)

# A wide network comes as far in five times the time: docs/lab-notes/anytime.md.
BEST_RESTORE = dataclasses.replace(BALANCED_RESTORE, name="best", runs=2, iterations=1600)

NOISE = Recipe(
    name="noise",
    source="untaught's own for a network that draws from noise: docs/lab-notes/recipes.md",
    network=dataclasses.replace(_widths(48, 96), skip_channels=(16,) * 5, upsampling="nearest", head="sigmoid"),
    input=NoiseInput(perturbation=FRESH),
    optimiser=OptimiserSettings(name="muon", learning_rate=0.01),
    averaging=0.97,
    stopping=HELD_OUT,
    iterations=500,
)

# Bilinear at two outer scales, it is slow to take up what is fine: docs/lab-notes/recipes.md.
NOISE_INPAINT = dataclasses.replace(
    NOISE,
    stopping=HELD_OUT_SHAPES,
    network=dataclasses.replace(
        NOISE.network,
        down_channels=(32, 64, 128, 128, 128),
        up_channels=(32, 64, 128, 128, 128),
        upsampling=("bilinear", "bilinear", "nearest", "nearest", "nearest"),
    ),
)

SHAPES = dataclasses.replace(BALANCED_RESTORE.input, pattern="shapes", least=0.9, most=0.9)
NEARBY = HeldOut(pattern="nearby", patience=200, refit=0.5)

BALANCED_INPAINT = dataclasses.replace(BALANCED_RESTORE, input=SHAPES, stopping=NEARBY, iterations=200)

FAST_INPAINT = dataclasses.replace(BALANCED_INPAINT, name="fast", iterations=80)

# As for `restore`. With a wide network on large patches a scan of 900 x 900 was told to take ten hours.
BEST_INPAINT = dataclasses.replace(BALANCED_INPAINT, name="best", runs=2, iterations=800)

BALANCED_DENOISE = Recipe(
    name="balanced",
    source="untaught's own: docs/lab-notes/recipes.md",
    network=NetworkSettings(down_channels=(32, 64, 64), up_channels=(32, 64, 64), skip_channels=(32,) * 3, head="none"),
    input=R2RInput(),
    optimiser=MUON,
    averaging=0.99,
    # The best moment comes a quarter later than the peak: EarlyStopping waits that long whatever the patience is.
    stopping=ResidualPeak(patience=20, tolerance=0.0),
    iterations=400,
)

FAST_DENOISE = dataclasses.replace(BALANCED_DENOISE, name="fast", iterations=200)

BEST_DENOISE = dataclasses.replace(BALANCED_DENOISE, name="best", runs=2)

# What an operator hides is smooth more often than not, as under writing. More of bilinear has not been tried here.
BALANCED_INVERSE = dataclasses.replace(
    NOISE_INPAINT,
    name="balanced",
    source="untaught's own: docs/lab-notes/recipes.md",
    stopping=NeverStop(),
    network=dataclasses.replace(
        NOISE_INPAINT.network, upsampling=("bilinear", "nearest", "nearest", "nearest", "nearest")
    ),
)

FAST_INVERSE = dataclasses.replace(BALANCED_INVERSE, name="fast", iterations=200)

BEST_INVERSE = dataclasses.replace(BALANCED_INVERSE, name="best", runs=2, iterations=1000)

# What is learnt late are the blocks: docs/lab-notes/tasks.md.
BALANCED_DEJPEG = dataclasses.replace(BALANCED_INVERSE, iterations=200)

FAST_DEJPEG = dataclasses.replace(BALANCED_DEJPEG, name="fast", iterations=120)

BEST_DEJPEG = dataclasses.replace(BALANCED_DEJPEG, name="best", runs=2)

# Much noise is taken up sooner than little.
BALANCED_STRONG = dataclasses.replace(BALANCED_DENOISE, iterations=300)

FAST_STRONG = dataclasses.replace(FAST_DENOISE, iterations=180)

BEST_STRONG = dataclasses.replace(BEST_DENOISE, iterations=300, runs=2)

# Noise that is not white: docs/lab-notes/noise.md.
BALANCED_CORRELATED = dataclasses.replace(
    BALANCED_DENOISE,
    source="untaught's own: docs/lab-notes/noise.md",
    input=R2RInput(patch=128),
    classical=True,
    stopping=NeverStop(),
    iterations=300,
)

FAST_CORRELATED = dataclasses.replace(BALANCED_CORRELATED, name="fast", iterations=150)

BEST_CORRELATED = dataclasses.replace(BALANCED_CORRELATED, name="best", runs=2)

# In a large picture a classical filter removes it, and the network, of one step, has no share in it.
BALANCED_FILTERED = dataclasses.replace(
    BALANCED_CORRELATED,
    source="untaught's own, without a fit: docs/lab-notes/noise.md",
    network=_small(8),
    input=R2RInput(patch=96),
    iterations=1,
)

FAST_FILTERED = dataclasses.replace(BALANCED_FILTERED, name="fast")

BEST_FILTERED = dataclasses.replace(BALANCED_FILTERED, name="best")

# A random mask never hides what the filter mosaic hides, green at a red pixel, so held-out values say nothing of it.
# No network was better than interpolation: docs/lab-notes/tasks.md.
BALANCED_MOSAIC = dataclasses.replace(
    BALANCED_FILTERED,
    source="untaught's own, without a fit: docs/lab-notes/tasks.md",
    input=MaskedInput(patch=96),
)

FAST_MOSAIC = dataclasses.replace(BALANCED_MOSAIC, name="fast")

BEST_MOSAIC = dataclasses.replace(BALANCED_MOSAIC, name="best")

BALANCED_VOLUME = Recipe(
    name="balanced",
    source="untaught's own for volumes: docs/lab-notes/tasks.md",
    network=NetworkSettings(
        dimensions=3,
        input_channels=16,
        down_channels=(16, 32, 64),
        up_channels=(16, 32, 64),
        skip_channels=(16,) * 3,
        upsampling="nearest",
    ),
    input=NoiseInput(channels=16, perturbation=FRESH),
    optimiser=MUON,
    averaging=0.97,
    stopping=HELD_OUT,
    iterations=400,
)

FAST_VOLUME = dataclasses.replace(BALANCED_VOLUME, name="fast", iterations=200)

BEST_VOLUME = dataclasses.replace(BALANCED_VOLUME, name="best", runs=2)

# A network that sees the guide alone has its shapes for free, and a small one is slow to take up the noise.
BALANCED_GUIDE = dataclasses.replace(
    BALANCED_INVERSE,
    network=dataclasses.replace(
        BALANCED_INVERSE.network,
        down_channels=(32, 64),
        up_channels=(32, 64),
        skip_channels=(16, 16),
        upsampling="bilinear",
    ),
    iterations=170,
)

FAST_GUIDE = dataclasses.replace(BALANCED_GUIDE, name="fast", iterations=150)

BEST_GUIDE = dataclasses.replace(BALANCED_GUIDE, name="best", runs=2)

BALANCED_SEPARATE = dataclasses.replace(BALANCED_INVERSE, iterations=500)

FAST_SEPARATE = dataclasses.replace(BALANCED_SEPARATE, name="fast", iterations=250)

BEST_SEPARATE = dataclasses.replace(BALANCED_SEPARATE, name="best", iterations=1000)
# Shallow features come nearer for as long as the fit goes on, and deep ones as nearly by then: docs/lab-notes/tasks.md.
BALANCED_INVERT = dataclasses.replace(
    BALANCED_INVERSE, network=dataclasses.replace(BALANCED_INVERSE.network, upsampling="nearest"), iterations=400
)

FAST_INVERT = dataclasses.replace(BALANCED_INVERT, name="fast", iterations=200)

BEST_INVERT = dataclasses.replace(BALANCED_INVERT, name="best", runs=2, iterations=1000)

# There is no right activation to come to, and what a longer fit adds is contrast.
BALANCED_ACTIVATE = dataclasses.replace(BALANCED_INVERSE, iterations=200)

FAST_ACTIVATE = dataclasses.replace(BALANCED_ACTIVATE, name="fast", iterations=100)

BEST_ACTIVATE = dataclasses.replace(BALANCED_ACTIVATE, name="best", iterations=500)

BALANCED_FIT = dataclasses.replace(NOISE, name="balanced", stopping=NeverStop())
