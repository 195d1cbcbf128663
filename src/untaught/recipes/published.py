"""Published settings: Ulyanov, Vedaldi, Lempitsky, 2018; its reproduction as printed; other untrained networks.

Where a paper's code says more than its text, the settings are those of the code.
"""

from __future__ import annotations

import dataclasses

from untaught.fitting.langevin import Langevin
from untaught.fitting.optimisers import OptimiserSettings
from untaught.fitting.recipe import Recipe
from untaught.priors.conv_decoder import ConvDecoder
from untaught.priors.deep_decoder import DeepDecoder
from untaught.priors.encoder_decoder import PRESETS
from untaught.priors.inputs import CoordinateInput, NoiseInput, PerturbationSettings
from untaught.priors.siren import Siren
from untaught.priors.unet import UNet

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

DEEP_DECODER = Recipe(
    name="deep-decoder",
    source="Heckel and Hand, 2019, in the settings of their denoising notebook",
    network=DeepDecoder(),
    input=NoiseInput(channels=128),
    optimiser=OptimiserSettings(learning_rate=0.01),
    averaging=0.0,
    iterations=1900,
)

CONV_DECODER = Recipe(
    name="conv-decoder",
    source="Darestani and Heckel, 2021, in the settings of their multi-coil notebook",
    network=ConvDecoder(head="sigmoid"),
    input=NoiseInput(channels=160, scale=1.0),
    optimiser=OptimiserSettings(learning_rate=0.008),
    averaging=0.0,
    iterations=20000,
)

SIREN = Recipe(
    name="siren",
    source="Sitzmann, Martel, Bergman, Lindell and Wetzstein, 2020, in the settings of their image experiment",
    network=Siren(head="sigmoid"),
    input=CoordinateInput(),
    optimiser=OptimiserSettings(learning_rate=0.0001),
    averaging=0.0,
    iterations=10000,
)

U_NET = Recipe(
    name="u-net",
    source="the U-Net of Ulyanov, Vedaldi, Lempitsky's code, with the learning rate of their figure 8",
    network=UNet(),
    optimiser=OptimiserSettings(learning_rate=0.001),
    averaging=0.0,
    iterations=3000,
)

# Their mean is over all samples after 7000 iterations: PosteriorMean; this average spans about as many.
LANGEVIN = Recipe(
    name="langevin",
    source="Cheng, Gadelha, Maji and Sheldon, 2019, in the settings of their denoising notebook",
    network=PRESETS["paper"],
    input=NoiseInput(perturbation=PerturbationSettings(kind="fresh", standard_deviation=1 / 30)),
    optimiser=Langevin(),
    averaging=0.9999,
    iterations=20000,
)
