"""The public names, and where each lives: read by type checkers, and by the lazy import of `untaught`."""

from .contracts import Operator, Restoration, State, StopReason
from .errors import (
    DivergenceError,
    InputError,
    Interrupted,
    PictureError,
    SettingError,
    UntaughtError,
)
from .features import Features
from .inputs import InputSettings, PerturbationSettings
from .inspection import inspect
from .networks import EncoderDecoder, NetworkSettings
from .operators import Blur, Downsample, Identity, Mask, blur_kernel
from .optimisers import OptimiserSettings
from .recipes import RECIPES, Recipe
from .tasks import activate, deblur, dejpeg, demosaic, denoise, fit, guide, inpaint, invert, restore, separate, upscale

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
