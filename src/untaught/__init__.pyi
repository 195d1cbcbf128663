"""The public names, and where each lives: read by type checkers, and by the lazy import of `untaught`."""

from .batches.driver import BatchReport, batch
from .batches.tiles import TilesReport, tiles
from .errors import (
    DivergenceError,
    InputError,
    Interrupted,
    ObserverError,
    PictureError,
    SettingError,
    StopFit,
    UntaughtError,
    UserCodeError,
)
from .films.driver import FilmReport, film
from .fitting.langevin import SGLD, Langevin, PosteriorMean
from .fitting.losses import LOSSES, total_variation
from .fitting.observers import ReferenceMeter
from .fitting.optimisers import Muon, OptimiserSettings
from .fitting.problem import Problem
from .fitting.recipe import Recipe
from .fitting.run import Progress, Run
from .fitting.state import Observer, Restoration, State, StopReason
from .fitting.stopping import (
    Criterion,
    Discrepancy,
    HeldOut,
    NeverStop,
    OwnRule,
    ResidualPeak,
    StoppingSettings,
    VarianceValley,
    WindowedVarianceValley,
)
from .imaging.detection.proposal import propose_mask
from .imaging.inspection import inspect
from .physics.blur import Blur, blur_kernel
from .physics.features import Features
from .physics.foreign import adapt
from .physics.fourier import Fourier
from .physics.laws import check_laws
from .physics.linear import Identity, LinearOperator, Mask
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
from .tasks.activate import ActivateSettings, activate
from .tasks.deblur import DeblurSettings, deblur
from .tasks.dejpeg import DejpegSettings, dejpeg
from .tasks.demosaic import DemosaicSettings, demosaic
from .tasks.denoise import DenoiseSettings, denoise
from .tasks.fit import fit
from .tasks.guide import GuideSettings, guide
from .tasks.inpaint import FillSettings, inpaint
from .tasks.invert import FeatureSettings, invert
from .tasks.options import FitOptions
from .tasks.preparation import run_task
from .tasks.registry import TASKS, InputFile, Task, register_task
from .tasks.restore import restore
from .tasks.separate import separate
from .tasks.upscale import UpscaleSettings, upscale

__version__: str

__all__ = [
    "LOSSES",
    "RECIPES",
    "SGLD",
    "TASKS",
    "ActivateSettings",
    "Batch",
    "BatchReport",
    "Blur",
    "ConvDecoder",
    "CoordinateInput",
    "Criterion",
    "DeblurSettings",
    "DeepDecoder",
    "DejpegSettings",
    "DemosaicSettings",
    "DenoiseSettings",
    "Discrepancy",
    "DivergenceError",
    "Downsample",
    "EncoderDecoder",
    "FeatureSettings",
    "Features",
    "FillSettings",
    "FilmReport",
    "FitOptions",
    "Fourier",
    "GuideSettings",
    "HeldOut",
    "Identity",
    "InputError",
    "InputFile",
    "InputSampler",
    "InputScheme",
    "Interrupted",
    "Langevin",
    "LinearOperator",
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
    "OwnRule",
    "PerturbationSettings",
    "PictureError",
    "PosteriorMean",
    "Problem",
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
    "Task",
    "TilesReport",
    "UNet",
    "UntaughtError",
    "UpscaleSettings",
    "UserCodeError",
    "VarianceValley",
    "WindowedVarianceValley",
    "activate",
    "adapt",
    "batch",
    "blur_kernel",
    "check_laws",
    "deblur",
    "dejpeg",
    "demosaic",
    "denoise",
    "film",
    "find_recipe",
    "fit",
    "guide",
    "inpaint",
    "inspect",
    "invert",
    "propose_mask",
    "recipe_from_record",
    "register_task",
    "restore",
    "run_task",
    "separate",
    "tiles",
    "total_variation",
    "upscale",
]
