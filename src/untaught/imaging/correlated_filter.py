"""The collaborative filter for noise that neighbours share: both steps of BM3D, at several scales.

After Mäkinen, Azzari and Foi, 2020, "Collaborative filtering of correlated noise": the variance of each coefficient
of a group follows from the noise's covariance, the places of the group's blocks and the brightness there. Coarse noise
is removed where it is fine, in the picture made smaller; of the result only what is well below the limit of the smaller
picture is taken over (after Facciolo, Pierazzo and Morel, 2017, "Conservative scale recomposition").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import fft, ndimage, signal
from torch import Tensor

from untaught.imaging.collaborative_filter import cosines, find_groups, haar, overlaid
from untaught.imaging.noise_model import NoiseModel

__all__ = ["Strength", "filter_correlated"]

Array = NDArray[np.float64]

_BLOCK = 8
_GROUP = 16
_RADIUS = 12
"""Search radius, in pixels; beyond _NEAR every second place is looked at."""
_NEAR = 6
_TILE = 256
_REACH = 15
"""Blocks so far apart, in pixels, share no noise."""
_SMALLEST = 48
"""A smaller picture is not made smaller still."""
_CHUNK = 256
"""Groups whose variances are computed at once: what a processor keeps at hand."""


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
    """

    threshold: float = 3.2
    excess: float = 1.5
    scales: int = 3
    colour: float = 0.0
    second: bool = True
    step: int = 4


def filter_correlated(picture: Array, model: NoiseModel, strength: Strength) -> Array:
    """Remove the noise of a picture.

    Args:
        picture: (H, W, C), finite, in [0, 1], at least 8 pixels high and wide.
        model: of its noise.
        strength: how much to remove.

    Returns:
        (H, W, C), in [0, 1].
    """
    spectra = model.spectra
    if strength.colour and len(spectra) == 3:
        spectra = _with_colour_noise(picture, model, strength.colour)
    covariance = NoiseModel(model.curves, model.channels, model.planes, spectra, model.level).covariance()
    planes = torch.from_numpy(np.einsum("kc,hwc->khw", model.planes, picture)).float()
    return _picture(_at_scale(planes, covariance, model, strength, strength.scales), model).clip(0, 1)


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


def _picture(planes: Tensor, model: NoiseModel) -> Array:
    picture: Array = np.einsum("kc,khw->hwc", model.planes, planes.double().numpy())
    return picture


def _at_scale(planes: Tensor, covariance: Array, model: NoiseModel, strength: Strength, scales: int) -> Tensor:
    """Filter planes, (K, H, W), whose noise has this covariance (K, 8, 8), as a share of the model's variance."""
    height, width = planes.shape[-2:]
    if scales > 1 and min(height, width) >= _SMALLEST:
        even = F.pad(planes[None], (0, width % 2, 0, height % 2), mode="replicate")
        small = F.avg_pool2d(even, 2)
        change = _at_scale(small[0], _halved(covariance), model, strength, scales - 1) - small[0]
        soft = _softened(change)[None]
        planes = planes + F.interpolate(soft, size=even.shape[-2:], mode="bilinear")[0, :, :height, :width]
        covariance = _without_coarse(covariance)
    smooth = torch.stack([torch.from_numpy(ndimage.gaussian_filter(plane, 1.5)) for plane in planes.numpy()])
    variances = _variances(smooth, model)
    deviation = (variances.mean((1, 2)) * torch.from_numpy(covariance[:, 0, 0]).float()).sqrt()[:, None, None]
    guide = torch.stack([torch.from_numpy(ndimage.gaussian_filter(plane, 1.0)) for plane in planes.numpy()])
    tables = [_shift_table(one) for one in covariance]
    pilot = _step(planes, guide / deviation, variances, tables, strength, None)
    if not strength.second:
        return pilot
    return _step(planes, pilot / deviation, _variances(pilot, model), tables, strength, pilot)


def _variances(planes: Tensor, model: NoiseModel) -> Tensor:
    return torch.from_numpy(model.variances(_picture(planes, model))).float()


def _step(
    planes: Tensor, guide: Tensor, variances: Tensor, tables: list[Tensor], strength: Strength, pilot: Tensor | None
) -> Tensor:
    """One step over the whole picture, tile by tile, so that memory does not grow with the picture."""
    height, width = planes.shape[-2:]
    result = torch.empty_like(planes)
    margin = _RADIUS + _BLOCK
    moves = [
        (down, right)
        for down in range(-_RADIUS, _RADIUS + 1)
        for right in range(-_RADIUS, _RADIUS + 1)
        if max(abs(down), abs(right)) <= _NEAR or (down % 2 == 0 and right % 2 == 0)
    ]
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            rows = slice(max(0, top - margin), min(height, top + _TILE + margin))
            columns = slice(max(0, left - margin), min(width, left + _TILE + margin))
            groups = find_groups(guide[:, rows, columns], _GROUP, strength.step, moves)
            for plane, table in enumerate(tables):
                part = (plane, rows, columns)
                seen = None if pilot is None else pilot[part]
                filtered = _filter_groups(planes[part], variances[part], groups, table, strength, seen)
                inside = filtered[top - rows.start :, left - columns.start :][:_TILE, :_TILE]
                result[plane, top : top + _TILE, left : left + _TILE] = inside
    return result


def _filter_groups(
    plane: Tensor, variance: Tensor, groups: Tensor, table: Tensor, strength: Strength, pilot: Tensor | None
) -> Tensor:
    """Filter the groups of one plane, (H, W): by a threshold, or guided by a pilot."""
    together, lines = haar(_GROUP, plane.device), cosines(_BLOCK, plane.device)
    blocks = torch.einsum("ai,bj->abij", lines, lines).reshape(_BLOCK**2, 1, _BLOCK, _BLOCK)
    places = (plane.shape[0] - _BLOCK + 1, plane.shape[1] - _BLOCK + 1)
    count = places[0] * places[1]
    spectra = [F.conv2d(x[None, None], blocks)[0].flatten(1).T.contiguous() for x in (plane, pilot) if x is not None]
    here = F.avg_pool2d(variance[None, None], _BLOCK, 1).flatten()[groups].mean(1)
    summed, weights = plane.new_zeros(count, _BLOCK**2), plane.new_zeros(count)
    for start in range(0, len(groups), _CHUNK):
        group, level = groups[start : start + _CHUNK], here[start : start + _CHUNK]
        noise = _group_variances(group, places[1], table, together) * level[:, None, None]
        seen, *expected = (torch.einsum("kl,glp->gkp", together, one[group]) for one in spectra)
        if expected:
            power = expected[0].square()
            gain = power / (power + strength.excess * noise)
        else:
            gain = (seen.square() > strength.threshold**2 * noise).float()
            # The mean of the blocks stays.
            gain[:, 0, 0] = 1
        # A group weighs more the less noise it passes.
        weight = 1 / (gain.square() * noise).sum((1, 2)).clamp_min(1e-9)
        back = torch.einsum("kl,gkp->glp", together, seen * gain) * weight[:, None, None]
        summed.index_add_(0, group.flatten(), back.flatten(0, 1))
        weights.index_add_(0, group.flatten(), weight[:, None].expand(-1, _GROUP).flatten())
    return overlaid(summed, weights, places)


def _group_variances(groups: Tensor, wide: int, table: Tensor, together: Tensor) -> Tensor:
    """The variance of the noise in each coefficient of each group, (groups, _GROUP, _BLOCK²), for a variance of 1."""
    first, second = torch.triu_indices(_GROUP, _GROUP)
    weights = together[:, first] * together[:, second] * torch.where(first == second, 1.0, 2.0)
    rows, columns = groups // wide, groups % wide
    down, right = rows[:, first] - rows[:, second], columns[:, first] - columns[:, second]
    index = (down + _REACH) * (2 * _REACH + 1) + right + _REACH
    far = (down.abs() > _REACH) | (right.abs() > _REACH)
    index = torch.where(far, len(table) - 1, index)
    # Most coefficients compare a few blocks only, so what weighs nothing is left out of the sums.
    coefficient, pair = weights.nonzero(as_tuple=True)
    ends = torch.bincount(coefficient, minlength=_GROUP).repeat(len(groups)).cumsum(0)
    noise = F.embedding_bag(
        index[:, pair].flatten(),
        table,
        F.pad(ends, (1, 0)),
        mode="sum",
        per_sample_weights=weights[coefficient, pair].repeat(len(groups)),
        include_last_offset=True,
    ).view(-1, _GROUP, _BLOCK**2)
    # Nothing is free of noise: rounding alone leaves some.
    alone = table[(len(table) - 1) // 2]
    return torch.maximum(noise, 0.03 * alone.clamp_min(1e-4))


def _shift_table(covariance: Array) -> Tensor:
    """The covariance of the coefficients of two blocks, by their distance; the last row is for blocks far apart.

    Args:
        covariance: (8, 8): of the pixels.

    Returns:
        (31 * 31 + 1, 64).
    """
    lines = np.asarray(fft.dct(np.eye(_BLOCK), axis=0, norm="ortho"))
    overlap = np.zeros((_BLOCK, 2 * _BLOCK - 1))
    for shift in range(1 - _BLOCK, _BLOCK):
        low, high = max(0, -shift), min(_BLOCK, _BLOCK - shift)
        overlap[:, shift + _BLOCK - 1] = (lines[:, low:high] * lines[:, low + shift : high + shift]).sum(1)
    reach = _REACH + _BLOCK
    whole = np.zeros((2 * reach + 1,) * 2)
    middle = slice(reach - len(covariance) + 1, reach + len(covariance))
    whole[middle, middle] = _mirrored(covariance)
    moved = np.zeros((_BLOCK, 2 * _REACH + 1, 2 * reach + 1))
    for shift in range(-_REACH, _REACH + 1):
        start = shift + reach - _BLOCK + 1
        moved[:, shift + _REACH, start : start + 2 * _BLOCK - 1] = overlap
    table = np.einsum("udy,yx,vex->deuv", moved, whole, moved, optimize=True).reshape(-1, _BLOCK**2)
    return torch.from_numpy(np.concatenate([table, np.zeros((1, _BLOCK**2))])).float()


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
