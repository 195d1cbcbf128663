"""A quality floor for each shipped recipe, unmodified, after a few iterations on a tiny picture.

The figures say nothing of what a recipe reaches in the end; they fall when a recipe, or what it relies on, breaks.
"""

import dataclasses
import functools
import io
import math

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize
from torch import nn

import untaught
from untaught.imaging.metrics import psnr
from untaught.recipes import RECIPES

SIZE = (48, 40)
PHOTO = resize(data.astronaut()[:256, 100:313], SIZE, anti_aliasing=True)
GUIDE = resize(data.astronaut()[:256, 100:313], SIZE, anti_aliasing=True) ** 2
DRAW = np.random.default_rng(0)
DROPPED = DRAW.random(SIZE) > 0.5
WRITING = np.ones(SIZE, bool)
WRITING[6::9, 3:36], WRITING[:, 9::10] = False, False
HOLE = np.ones(SIZE, bool)
HOLE[18:32, 14:26] = False
NOISE = DRAW.normal(0, 1, PHOTO.shape)
GRAIN = gaussian_filter(NOISE, (0.8, 0.8, 0))
GRAIN = GRAIN / GRAIN.std() * 0.1
VOLUME = np.stack([np.roll(PHOTO[:24, :24, 1], shift, 1) for shift in range(8)])
VOLUME_KNOWN = DRAW.random(VOLUME.shape) > 0.5


def network() -> nn.Module:
    """A network with fixed weights, to invert and to activate."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2))


def noisy(deviation):
    return (PHOTO + deviation * NOISE).clip(0, 1)


def filled(task, known, **options):
    result = task(np.where(known[..., None], PHOTO, 0), known, **options)
    return psnr(result.picture, PHOTO, ~known)


def inpaint(**options):
    return filled(untaught.inpaint, WRITING, **options)


def inpaint_hole(**options):
    """Of the whole picture as the network draws it: what is in a hole is a guess."""
    result = untaught.inpaint(np.where(HOLE[..., None], PHOTO, 0), HOLE, keep_known=False, **options)
    return psnr(result.picture, PHOTO)


def restore(**options):
    return filled(untaught.restore, DROPPED, **options)


def denoise(**options):
    return psnr(untaught.denoise(noisy(0.1), noise=0.1, **options).picture, PHOTO)


def denoise_strong(**options):
    return psnr(untaught.denoise(noisy(0.25), noise=0.25, **options).picture, PHOTO)


def guide(**options):
    return psnr(untaught.guide(noisy(0.1), GUIDE, noise=0.1, **options).picture, PHOTO)


def guide_correlated(**options):
    return psnr(untaught.guide((PHOTO + GRAIN).clip(0, 1), GUIDE, noise=0.1, **options).picture, PHOTO)


def upscale(**options):
    small = PHOTO.reshape(24, 2, 20, 2, 3).mean((1, 3))
    return psnr(untaught.upscale(small, factor=2, **options).picture, PHOTO)


def deblur(**options):
    return psnr(untaught.deblur(gaussian_filter(PHOTO, (1, 1, 0)), blur="gaussian", radius=1, **options).picture, PHOTO)


def dejpeg(**options):
    file = io.BytesIO()
    Image.fromarray((PHOTO * 255).round().astype(np.uint8)).save(file, "JPEG", quality=30)
    return psnr(untaught.dejpeg(np.asarray(Image.open(file)), quality=30, **options).picture / 255, PHOTO)


def demosaic(**options):
    mosaic = PHOTO[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = PHOTO[::2, ::2, 0], PHOTO[1::2, 1::2, 2]
    return psnr(untaught.demosaic(mosaic, **options).picture, PHOTO)


def volume(**options):
    result = untaught.restore(np.where(VOLUME_KNOWN, VOLUME, 0), VOLUME_KNOWN, volume=True, **options)
    return psnr(result.picture, VOLUME, ~VOLUME_KNOWN)


def separate(**options):
    """The negative decibels of the loss: the two mixtures are explained by two layers with few edges in common."""
    other = np.flip(PHOTO, (0, 1)) ** 2
    result = untaught.separate(0.7 * PHOTO + 0.3 * other, 0.3 * PHOTO + 0.7 * other, **options)
    return decibels(result.history["loss"][-1])


def invert(**options):
    """The negative decibels of the features' error."""
    return decibels(untaught.invert(PHOTO, model=network(), layer="2", **options).history["loss"][-1])


def activate(**options):
    """The activation, times ten."""
    result = untaught.activate(network(), "2", 1, SIZE, **options)
    return -10 * result.history["loss"][-1]


def fit(**options):
    known = torch.from_numpy(DROPPED)
    observed = torch.from_numpy(PHOTO).float().movedim(-1, 0)[None]
    result = untaught.fit(observed, mask=known, **options).finish()
    return psnr(result.picture[0].movedim(0, -1).numpy(), PHOTO, ~DROPPED)


def decibels(error):
    return -10 * math.log10(error)


MEASURES = {
    "inpaint": inpaint,
    "inpaint-hole": inpaint_hole,
    "restore": restore,
    "denoise": denoise,
    "denoise-strong": denoise_strong,
    "guide": guide,
    "guide-correlated": guide_correlated,
    "upscale": upscale,
    "deblur": deblur,
    "dejpeg": dejpeg,
    "demosaic": demosaic,
    "volume": volume,
    "separate": separate,
    "invert": invert,
    "activate": activate,
    "fit": fit,
}


def iterations(row, recipe):
    """Enough for a figure above that of a gray picture, 11 dB, in about a second."""
    if row in ("invert", "activate") and recipe.name.startswith("paper"):
        return 10
    if recipe.shows_picture:
        return 12 if recipe.runs > 1 else 16
    return 12 if recipe.name in ("langevin", "conv-decoder") else 16 if recipe.runs > 1 else 20


@functools.cache
def fitted(row, recipe):
    return MEASURES[row](recipe=recipe, device="cpu")


def measured(row, name):
    """The figure of a recipe; those that differ in their number of iterations alone are fitted once."""
    recipe = RECIPES[row][name]
    return fitted(row, dataclasses.replace(recipe, name="", source="", iterations=iterations(row, recipe)))
