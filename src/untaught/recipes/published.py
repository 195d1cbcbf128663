"""The published settings of each task: Ulyanov, Vedaldi, Lempitsky, 2018, and the reproduction of it as printed."""

from __future__ import annotations

import dataclasses

from untaught.fitting.optimisers import OptimiserSettings
from untaught.fitting.recipe import Recipe
from untaught.priors.encoder_decoder import PRESETS
from untaught.priors.inputs import CoordinateInput, NoiseInput, PerturbationSettings

FRESH = PerturbationSettings(kind="fresh", standard_deviation=0.03)

PRINTED = Recipe(
    name="printed",
    source="the reproduction that this project started from, as printed; it goes on to 8000 iterations",
    network=PRESETS["printed"],
    input=NoiseInput(perturbation=PerturbationSettings(kind="accumulated", standard_deviation=1 / 30)),
    optimiser=OptimiserSettings(learning_rate=0.01),
    iterations=2000,
)

PAPER_TEXT = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: inpainting of text (figure 6), in their code's settings",
    network=dataclasses.replace(PRESETS["paper"], skip_channels=(128,) * 5, upsampling="nearest"),
    input=NoiseInput(perturbation=FRESH),
    optimiser=OptimiserSettings(learning_rate=0.01),
    iterations=6000,
)

PAPER_HOLE = Recipe(
    name="paper-hole",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: inpainting of a large hole (figure 7), in their code's settings",
    network=dataclasses.replace(PRESETS["paper"], input_channels=2, skip_channels=(0,) * 5, upsampling="nearest"),
    input=CoordinateInput(kind="grid", channels=2, perturbation=FRESH),
    optimiser=OptimiserSettings(learning_rate=0.01),
    iterations=5000,
)

PAPER_DROPPED = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: half of the pixels dropped (table 1), in their code's settings",
    network=PRESETS["paper"],
    input=NoiseInput(perturbation=FRESH),
    optimiser=OptimiserSettings(learning_rate=0.001),
    iterations=11000,
)

PAPER_UPSCALE = dataclasses.replace(
    PAPER_DROPPED,
    source="Ulyanov, Vedaldi, Lempitsky, 2018: super-resolution (figure 5), in their code's settings for 4x",
    optimiser=OptimiserSettings(learning_rate=0.01),
    iterations=2000,
)

PAPER_DENOISE = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: denoising (figure 4), in their code's settings",
    network=PRESETS["paper"],
    input=NoiseInput(perturbation=PerturbationSettings(kind="fresh", standard_deviation=1 / 30)),
    optimiser=OptimiserSettings(learning_rate=0.01),
    iterations=3000,
)

PAPER_GUIDE = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: flash and no flash, the guide alone as input",
    network=dataclasses.replace(PRESETS["paper"], skip_channels=(128,) * 5),
    optimiser=OptimiserSettings(learning_rate=0.01),
    iterations=1000,
)

SIX_SCALES = (16, 32, 64, 128, 128, 128)

PAPER_INVERT = Recipe(
    name="paper",
    source="Ulyanov, Vedaldi, Lempitsky, 2018: inversion of AlexNet, the settings of their notebook",
    network=dataclasses.replace(
        PRESETS["paper"],
        down_channels=SIX_SCALES,
        up_channels=SIX_SCALES,
        skip_channels=(4,) * 6,
        down_kernel_size=(7, 7, 5, 5, 3, 3),
        up_kernel_size=(7, 7, 5, 5, 3, 3),
        downsampling="average",
        upsampling="nearest",
        padding="zero",
    ),
    optimiser=OptimiserSettings(learning_rate=0.001),
    averaging=0.0,
    iterations=3100,
)

# The noise that their notebook adds to the weights never reaches them, so there is none here.
PAPER_ACTIVATE = dataclasses.replace(
    PAPER_INVERT,
    source="Ulyanov, Vedaldi, Lempitsky, 2018: a class of AlexNet, the settings of their notebook",
    network=dataclasses.replace(
        PAPER_INVERT.network,
        skip_channels=(0, 4, 4, 4, 4, 4),
        down_kernel_size=(5, 3, 5, 5, 3, 5),
        up_kernel_size=(5, 3, 5, 3, 5, 3),
        upsampling="bilinear",
        padding="reflection",
    ),
    input=NoiseInput(perturbation=FRESH),
    optimiser=OptimiserSettings(learning_rate=0.01),
)

PAPER_CHANNEL = dataclasses.replace(
    PAPER_ACTIVATE,
    name="paper-channel",
    source="the same for a channel of a convolutional layer; they maximise it in a window, here it is all of it",
    optimiser=OptimiserSettings(learning_rate=0.001),
)
