"""The collaborative filter for noise that neighbours share: both steps of BM3D, at several scales.

After Mäkinen, Azzari and Foi, 2020, "Collaborative filtering of correlated noise": the variance of each coefficient
of a group follows from the noise's covariance, the places of the group's blocks and the brightness there. Coarse noise
is removed where it is fine, in the picture made smaller; of the result only what is well below the limit of the smaller
picture is taken over (after Facciolo, Pierazzo and Morel, 2017, "Conservative scale recomposition").
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import fft, ndimage, signal
from torch import Tensor

from untaught.imaging.block_groups import BLOCK, GROUP, REACH, features, reference_blocks, shrunk, similar_blocks
from untaught.imaging.noise_model import NoiseModel

__all__ = ["Strength", "filter_correlated", "picture_of", "planes_of"]

Array = NDArray[np.float64]

_RADIUS = 12
"""Search radius, in pixels."""
_DOUBT = 0.5
"""A block at that distance, in one direction, has to be so much more similar than one nearby."""
_COMPARED, _COMPARED_COLOUR = 64, 16
"""Cosine coefficients by which blocks are compared: of the first plane, and of each of the others."""
_TILE = 256
_AROUND = 8
"""Pixels that tell whether there is structure."""
_SMALLEST = 48
"""A smaller picture is not made smaller still."""


@dataclass(frozen=True)
class Strength:
    """How much is removed.

    Attributes:
        threshold: in standard deviations: coefficients below it are removed in the first step.
        excess: factor on the variance in the second step.
        scales: sizes at which the picture is filtered.
        colour: least standard deviation of the coarse colour noise, as a share of the brightness noise.
        second: whether to take the second step.
        step: pixels between two reference blocks.
        power: of the spectrum. Below 1 it is more even: a camera that smooths leaves less to neighbours' sharing on
            structure than in the flat blocks that the model was measured in.
        blur: standard deviation in pixels: noisy blocks are compared so much smoothed.
    """

    threshold: float = 3.2
    excess: float = 1.5
    scales: int = 3
    colour: float = 0.0
    second: bool = True
    step: int = 4
    power: float = 1.0
    blur: float = 0.0


def filter_correlated(picture: Array, model: NoiseModel, strength: Strength, share: Tensor | None = None) -> Array:
    """Remove the noise of a picture.

    Args:
        picture: (H, W, C), finite, in [0, 1], at least 8 pixels high and wide.
        model: of its noise.
        strength: how much to remove.
        share: (K, H, W): of the variance that is there, for each plane of the model; None for all of it.

    Returns:
        (H, W, C), in [0, 1].
    """
    spectra = model.spectra**strength.power
    model = replace(model, spectra=spectra / spectra.mean((1, 2), keepdims=True))
    if strength.colour and len(spectra) == 3:
        model = replace(model, spectra=_with_colour_noise(picture, model, strength.colour))
    covariance = model.covariance()
    planes = torch.einsum("kc,hwc->khw", torch.from_numpy(model.planes).float(), torch.from_numpy(picture).float())
    return picture_of(_at_scale(planes, covariance, model, strength, strength.scales, share), model).clip(0, 1)


def _with_colour_noise(picture: Array, model: NoiseModel, share: float) -> Array:
    """Spectra with a least share of coarse colour noise, which compression hides in flat areas."""
    side = model.spectra.shape[-1]
    diagonal = np.add.outer(np.arange(side), np.arange(side))
    coarse = (share * np.exp(-((diagonal / 4) ** 2))) ** 2
    # Every few pixels are enough for a mean.
    mean = model.variances(picture[::4, ::4]).mean((1, 2))
    spectra = model.spectra.copy()
    for plane in (1, 2):
        if mean[plane] > 1e-3 * mean[0]:
            spectra[plane] = np.maximum(spectra[plane], coarse * spectra[0] * mean[0] / mean[plane])
    return spectra


def picture_of(planes: Tensor, model: NoiseModel) -> Array:
    """The picture of a model's planes, (H, W, C)."""
    picture: Array = np.einsum("kc,khw->hwc", model.planes, planes.double().numpy())
    return picture


def _at_scale(
    planes: Tensor, covariance: Array, model: NoiseModel, strength: Strength, scales: int, share: Tensor | None
) -> Tensor:
    """Filter planes, (K, H, W), whose noise has this covariance (K, 8, 8), as a share of the model's variance."""
    height, width = planes.shape[-2:]
    if scales > 1 and min(height, width) >= _SMALLEST:
        even = _even(planes)
        small = F.avg_pool2d(even, 2)
        less = None if share is None else F.avg_pool2d(_even(share), 2)[0]
        change = _at_scale(small[0], _halved(covariance), model, strength, scales - 1, less) - small[0]
        soft = _softened(change)[None]
        planes = planes + F.interpolate(soft, size=even.shape[-2:], mode="bilinear")[0, :, :height, :width]
        covariance = _without_coarse(covariance)
    smooth = torch.from_numpy(ndimage.gaussian_filter(planes.numpy(), (0, 1.5, 1.5)))
    variances = _variances(smooth, model, share)
    deviation = (variances.mean((1, 2)) * torch.from_numpy(covariance[:, 0, 0]).float()).sqrt()[:, None, None]
    tables = [_shift_table(one) for one in covariance]
    guide = torch.from_numpy(ndimage.gaussian_filter(planes.numpy(), (0, strength.blur, strength.blur)))
    pilot = _step(planes, guide / deviation, variances, tables, strength, None)
    if not strength.second:
        return pilot
    return _step(planes, pilot / deviation, _variances(pilot, model, share), tables, strength, pilot)


def _even(planes: Tensor) -> Tensor:
    """Planes, (K, H, W), as (1, K, H, W) with even sides."""
    return F.pad(planes[None], (0, planes.shape[2] % 2, 0, planes.shape[1] % 2), mode="replicate")


def _variances(planes: Tensor, model: NoiseModel, share: Tensor | None) -> Tensor:
    """The noise at each value of smooth planes, some rows at a time, to spare memory."""
    found = torch.empty_like(planes)
    for top in range(0, planes.shape[1], _TILE):
        rows = slice(top, top + _TILE)
        found[:, rows] = torch.from_numpy(model.variances(picture_of(planes[:, rows], model)))
    if model.structure:
        found *= 1 + (model.structure / model.level) ** 2 * _structured(planes[0], found[0])
    return found if share is None else found * share


def planes_of(picture: Array, model: NoiseModel) -> tuple[Tensor, Tensor, Tensor]:
    """What a filter knows of a picture.

    Args:
        picture: (H, W, C), in [0, 1].
        model: of its noise.

    Returns:
        Its planes, (K, H, W); the variance of their noise, the same shape; and the share of it in each cosine
        coefficient of a block, (K, 64).
    """
    planes = torch.einsum("kc,hwc->khw", torch.from_numpy(model.planes).float(), torch.from_numpy(picture).float())
    smooth = torch.from_numpy(ndimage.gaussian_filter(planes.numpy(), (0, 1.5, 1.5)))
    tables = [_shift_table(one) for one in model.covariance()]
    return planes, _variances(smooth, model, None), torch.stack([one[(len(one) - 1) // 2] for one in tables])


def _structured(plane: Tensor, variance: Tensor) -> Tensor:
    """How much of what a plane varies by, within some pixels, is structure: 0 to 1, (H, W)."""
    mean, square = (torch.from_numpy(ndimage.uniform_filter(one.numpy(), _AROUND)) for one in (plane, plane.square()))
    varies = (square - mean.square()).clamp_min_(0)
    return varies / (varies + variance)


def _step(
    planes: Tensor, guide: Tensor, variances: Tensor, tables: list[Tensor], strength: Strength, pilot: Tensor | None
) -> Tensor:
    """One step over the whole picture, tile by tile, so that memory does not grow with the picture."""
    height, width = planes.shape[-2:]
    result = torch.empty_like(planes)
    margin = _RADIUS + BLOCK
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            rows = slice(max(0, top - margin), min(height, top + _TILE + margin))
            columns = slice(max(0, left - margin), min(width, left + _TILE + margin))
            compared = features(guide[:, rows, columns], [_COMPARED, *[_COMPARED_COLOUR] * (len(guide) - 1)])
            places = reference_blocks(compared, strength.step)
            groups = similar_blocks(compared, *places, GROUP, _RADIUS, _DOUBT)
            levels = F.avg_pool2d(variances[:, None, rows, columns], BLOCK, 1).flatten(1)
            for plane, table in enumerate(tables):
                part = (plane, rows, columns)
                seen = None if pilot is None else pilot[part]
                filtered = shrunk(
                    planes[part],
                    groups,
                    levels[plane][groups].mean(1),
                    table=table,
                    pilot=seen,
                    threshold=strength.threshold,
                    excess=strength.excess,
                )
                inside = filtered[top - rows.start :, left - columns.start :][:_TILE, :_TILE]
                result[plane, top : top + _TILE, left : left + _TILE] = inside
    return result


def _shift_table(covariance: Array) -> Tensor:
    """The covariance of the coefficients of two blocks, by their distance; the last row is for blocks far apart.

    Args:
        covariance: (8, 8): of the pixels.

    Returns:
        (31 * 31 + 1, 64).
    """
    lines = np.asarray(fft.dct(np.eye(BLOCK), axis=0, norm="ortho"))
    overlap = np.zeros((BLOCK, 2 * BLOCK - 1))
    for shift in range(1 - BLOCK, BLOCK):
        low, high = max(0, -shift), min(BLOCK, BLOCK - shift)
        overlap[:, shift + BLOCK - 1] = (lines[:, low:high] * lines[:, low + shift : high + shift]).sum(1)
    reach = REACH + BLOCK
    whole = np.zeros((2 * reach + 1,) * 2)
    middle = slice(reach - len(covariance) + 1, reach + len(covariance))
    whole[middle, middle] = _mirrored(covariance)
    moved = np.zeros((BLOCK, 2 * REACH + 1, 2 * reach + 1))
    for shift in range(-REACH, REACH + 1):
        start = shift + reach - BLOCK + 1
        moved[:, shift + REACH, start : start + 2 * BLOCK - 1] = overlap
    table = np.einsum("udy,yx,vex->deuv", moved, whole, moved, optimize=True).reshape(-1, BLOCK**2)
    return torch.from_numpy(np.concatenate([table, np.zeros((1, BLOCK**2))])).float()


def _mirrored(covariance: Array) -> Array:
    """From the distances down and to the right to those in all directions, (15, 15)."""
    half = np.concatenate([covariance[:0:-1], covariance])
    return np.concatenate([half[:, :0:-1], half], axis=1)


def _halved(covariance: Array) -> Array:
    """The covariance after each 2 x 2 pixels became one, (K, 8, 8)."""
    kernel = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    reach = covariance.shape[1]
    result = np.zeros_like(covariance)
    for before, after in zip(covariance, result, strict=True):
        averaged = signal.convolve2d(_mirrored(before), kernel, mode="same")[reach - 1 :: 2, reach - 1 :: 2]
        after[: averaged.shape[0], : averaged.shape[1]] = averaged
    return result


def _without_coarse(covariance: Array) -> Array:
    """The covariance of the noise that is left after its coarse part was removed, (K, 8, 8)."""
    # Averaging 2 x 2, softening at half the size, and enlarging, as one kernel.
    line = np.convolve(np.convolve([1, 3, 3, 1], [1, 1]) / 16, [0.25, 0, 0.5, 0, 0.25])
    kernel = -np.outer(line, line)
    kernel[len(line) // 2, len(line) // 2] += 1
    kernel = signal.fftconvolve(kernel, kernel[::-1, ::-1])
    reach = covariance.shape[1]
    return np.stack(
        [signal.fftconvolve(_mirrored(one), kernel, mode="same")[reach - 1 :, reach - 1 :] for one in covariance]
    )


def _softened(planes: Tensor) -> Tensor:
    """Planes, (K, H, W), smoothed a little."""
    line = planes.new_tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(len(planes), 1, 3, 3)
    return F.conv2d(F.pad(planes[None], (1, 1, 1, 1), mode="replicate"), kernel, groups=len(planes))[0]
