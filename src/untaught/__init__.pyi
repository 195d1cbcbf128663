"""The public names, and where each lives: read by type checkers, and by the lazy import of `untaught`."""

from .errors import (
    DivergenceError,
    InputError,
    Interrupted,
    ObserverError,
    PictureError,
    SettingError,
    StopFit,
    UntaughtError,
)
from .fitting.langevin import SGLD, Langevin, PosteriorMean
from .fitting.losses import LOSSES, total_variation
from .fitting.observers import ReferenceMeter
from .fitting.optimisers import Muon, OptimiserSettings
from .fitting.recipe import Recipe
from .fitting.run import Progress, Run
from .fitting.state import Observer, Restoration, State, StopReason
from .fitting.stopping import (
    Criterion,
    Discrepancy,
    EarlyStopping,
    HeldOut,
    NeverStop,
    ResidualPeak,
    StoppingSettings,
    VarianceValley,
    WindowedVarianceValley,
)
from .imaging.inspection import inspect
from .physics.blur import Blur, blur_kernel
from .physics.features import Features
from .physics.linear import Identity, Mask
from .physics.operator import Operator
from .physics.resampling import Downsample
from .priors.conv_decoder import ConvDecoder
from .priors.deep_decoder import DeepDecoder
from .priors.encoder_decoder import EncoderDecoder, NetworkSettings
from .priors.inputs import CoordinateInput, NoiseInput, PerturbationSettings
from .priors.masked_input import MaskedInput
from .priors.r2r_input import R2RInput
from .priors.sampler import Batch, InputSampler, InputScheme, Measurement
from .priors.siren import Siren
from .priors.unet import UNet
from .recipes import RECIPES, find_recipe, recipe_from_record
from .tasks.activate import activate
from .tasks.deblur import deblur
from .tasks.dejpeg import dejpeg
from .tasks.demosaic import demosaic
from .tasks.denoise import denoise
from .tasks.fill import inpaint, restore
from .tasks.fit import fit
from .tasks.guide import guide
from .tasks.invert import invert
from .tasks.separate import separate
from .tasks.upscale import upscale

__version__: str

__all__ = [
    "LOSSES",
    "RECIPES",
    "SGLD",
    "Batch",
    "Blur",
    "ConvDecoder",
    "CoordinateInput",
    "Criterion",
    "DeepDecoder",
    "Discrepancy",
    "DivergenceError",
    "Downsample",
    "EarlyStopping",
    "EncoderDecoder",
    "Features",
    "HeldOut",
    "Identity",
    "InputError",
    "InputSampler",
    "InputScheme",
    "Interrupted",
    "Langevin",
    "Mask",
    "MaskedInput",
    "Measurement",
    "Muon",
    "NetworkSettings",
    "NeverStop",
    "NoiseInput",
    "Observer",
    "ObserverError",
    "Operator",
    "OptimiserSettings",
    "PerturbationSettings",
    "PictureError",
    "PosteriorMean",
    "Progress",
    "R2RInput",
    "Recipe",
    "ReferenceMeter",
    "ResidualPeak",
    "Restoration",
    "Run",
    "SettingError",
    "Siren",
    "State",
    "StopFit",
    "StopReason",
    "StoppingSettings",
    "UNet",
    "UntaughtError",
    "VarianceValley",
    "WindowedVarianceValley",
    "activate",
    "blur_kernel",
    "deblur",
    "dejpeg",
    "demosaic",
    "denoise",
    "find_recipe",
    "fit",
    "guide",
    "inpaint",
    "inspect",
    "invert",
    "recipe_from_record",
    "restore",
    "separate",
    "total_variation",
    "upscale",
]
