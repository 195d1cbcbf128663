"""The public names, and where each lives: read by type checkers, and by the lazy import of `untaught`."""

from .errors import (
    DivergenceError,
    InputError,
    Interrupted,
    PictureError,
    SettingError,
    UntaughtError,
)
from .fitting.optimisers import OptimiserSettings
from .fitting.state import Restoration, State, StopReason
from .imaging.inspection import inspect
from .physics.blur import Blur, blur_kernel
from .physics.features import Features
from .physics.linear import Identity, Mask
from .physics.operator import Operator
from .physics.resampling import Downsample
from .priors.encoder_decoder import EncoderDecoder, NetworkSettings
from .priors.inputs import InputSettings, PerturbationSettings
from .recipes import RECIPES, Recipe
from .tasks.activate import activate
from .tasks.deblur import deblur
from .tasks.dejpeg import dejpeg
from .tasks.demosaic import demosaic
from .tasks.denoise import denoise
from .tasks.fill import inpaint, restore
from .tasks.guide import guide
from .tasks.invert import invert
from .tasks.preparation import fit
from .tasks.separate import separate
from .tasks.upscale import upscale

__version__: str

__all__ = [
    "RECIPES",
    "Blur",
    "DivergenceError",
    "Downsample",
    "EncoderDecoder",
    "Features",
    "Identity",
    "InputError",
    "InputSettings",
    "Interrupted",
    "Mask",
    "NetworkSettings",
    "Operator",
    "OptimiserSettings",
    "PerturbationSettings",
    "PictureError",
    "Recipe",
    "Restoration",
    "SettingError",
    "State",
    "StopReason",
    "UntaughtError",
    "activate",
    "blur_kernel",
    "deblur",
    "dejpeg",
    "demosaic",
    "denoise",
    "fit",
    "guide",
    "inpaint",
    "inspect",
    "invert",
    "restore",
    "separate",
    "upscale",
]
