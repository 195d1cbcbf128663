"""The tasks: read the input, choose the recipe, walk through the fit, hand the picture back as it was given.

Each module has one task, or one family: its public functions, and ``read``, which makes a `Problem` of a picture, or
``read_without``, which makes one of none.
"""

from untaught.tasks.activate import activate
from untaught.tasks.deblur import deblur
from untaught.tasks.dejpeg import dejpeg
from untaught.tasks.demosaic import demosaic
from untaught.tasks.denoise import denoise
from untaught.tasks.fill import inpaint, restore
from untaught.tasks.guide import guide
from untaught.tasks.invert import invert
from untaught.tasks.preparation import fit, prepare
from untaught.tasks.separate import separate
from untaught.tasks.upscale import upscale

__all__ = [
    "activate",
    "deblur",
    "dejpeg",
    "demosaic",
    "denoise",
    "fit",
    "guide",
    "inpaint",
    "invert",
    "prepare",
    "restore",
    "separate",
    "upscale",
]
