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
from .fitting.problem import Problem
from .fitting.state import Restoration, State, StopReason
from .imaging.inspection import inspect
from .physics.features import Features
from .physics.operator import Operator
from .physics.operators import Blur, Downsample, Identity, Mask, blur_kernel
from .priors.encoder_decoder import EncoderDecoder, NetworkSettings
from .priors.inputs import InputSettings, PerturbationSettings
from .recipes import RECIPES, Recipe
from .tasks.activate import ActivateSettings, activate
from .tasks.deblur import DeblurSettings, deblur
from .tasks.dejpeg import DejpegSettings, dejpeg
from .tasks.demosaic import DemosaicSettings, demosaic
from .tasks.denoise import DenoiseSettings, denoise
from .tasks.guide import GuideSettings, guide
from .tasks.inpaint import FillSettings, inpaint
from .tasks.invert import FeatureSettings, invert
from .tasks.options import FitOptions
from .tasks.preparation import fit, run_task
from .tasks.registry import TASKS, InputFile, Task, register_task
from .tasks.restore import restore
from .tasks.separate import SeparateSettings, separate
from .tasks.upscale import UpscaleSettings, upscale

__version__: str

__all__ = [
    "RECIPES",
    "TASKS",
    "ActivateSettings",
    "Blur",
    "DeblurSettings",
    "DejpegSettings",
    "DemosaicSettings",
    "DenoiseSettings",
    "DivergenceError",
    "Downsample",
    "EncoderDecoder",
    "FeatureSettings",
    "Features",
    "FillSettings",
    "FitOptions",
    "GuideSettings",
    "Identity",
    "InputError",
    "InputFile",
    "InputSettings",
    "Interrupted",
    "Mask",
    "NetworkSettings",
    "Operator",
    "OptimiserSettings",
    "PerturbationSettings",
    "PictureError",
    "Problem",
    "Recipe",
    "Restoration",
    "SeparateSettings",
    "SettingError",
    "State",
    "StopReason",
    "Task",
    "UntaughtError",
    "UpscaleSettings",
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
    "register_task",
    "restore",
    "run_task",
    "separate",
    "upscale",
]
