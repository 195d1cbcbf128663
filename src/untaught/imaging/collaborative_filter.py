"""The collaborative filter, BM3D: a threshold and a Wiener filter over groups of similar blocks.

Written from the equations of Dabov, Foi, Katkovnik and Egiazarian, 2007, "Image denoising by sparse 3-D
transform-domain collaborative filtering". A network's picture may take the place of the result of the first step. A
network learns distant repetitions slowly, and groups of similar blocks are good at them. The errors of both are partly
independent, so their mean is better than either.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.imaging.block_groups import BLOCK, GROUP, cosines, features, reference_blocks, shrunk, similar_blocks
from untaught.imaging.noise import estimate_noise

__all__ = ["collaborative_filter", "doubting_filter", "two_step_filter"]

_STEP = 3
"""Pixels between two reference blocks, each of which gets a group."""
_RADIUS = 16
"""Search radius for similar blocks, in pixels."""
_COMPARED, _COMPARED_COLOUR = 64, 16
"""Cosine coefficients by which blocks are compared: of the mean of the channels, and of each difference."""
_THRESHOLD = 3.0
"""In standard deviations of the noise: weaker coefficients are removed in the first step."""
_AS_STRONG = 0.9
"""What is removed is as strong as the noise was taken to be from this share on. It was 0.91 and more where the estimate
was right, and 0.86 and less where half of it or more was texture."""
_TILE = 192
"""Side of a tile, in pixels. The filter works tile by tile, so that memory does not grow with the picture."""


def two_step_filter(noisy: Tensor, noise: float, share: Tensor | None = None, step: int = _STEP) -> Tensor:
    """Filter a noisy picture by both steps.

    Args:
        noisy: (N, C, H, W), float32: the noisy picture.
        noise: standard deviation of its independent normal noise, above 0, in the picture's units.
        share: (N, C, H, W): of the noise's variance that is there, for each plane of `cosines` over the channels; None
            for all of it.
        step: pixels between two reference blocks.

    Returns:
        (N, C, H, W). If a side is shorter than a block, the noisy picture itself.
    """
    pilot = _filtered(None, noisy, noise**2, share, step)
    return _filtered(pilot, noisy, noise**2, share, step)


def collaborative_filter(pilot: Tensor, noisy: Tensor, noise: float) -> Tensor:
    """Filter a noisy picture by the second step, guided by a denoised one.

    Groups of similar blocks are transformed together. Each coefficient of the noisy blocks is multiplied by
    p² / (p² + s²), the best weight if the pilot's coefficient p is true (s is the noise).

    Args:
        pilot: (N, C, H, W), float32: the denoised picture.
        noisy: see `two_step_filter`.
        noise: too.

    Returns:
        (N, C, H, W). If a side is shorter than a block, the pilot itself.
    """
    return _filtered(pilot, noisy, noise**2)


def _filtered(
    pilot: Tensor | None, noisy: Tensor, variance: float, share: Tensor | None = None, step: int = _STEP
) -> Tensor:
    """One step, tile by tile: the first one without a pilot."""
    height, width = noisy.shape[-2:]
    if min(height, width) < BLOCK:
        return noisy if pilot is None else pilot
    result = torch.empty_like(noisy)
    margin = _RADIUS + BLOCK
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            # With its margin a tile is never smaller than a block.
            rows = slice(max(0, top - margin), min(height, top + _TILE + margin))
            columns = slice(max(0, left - margin), min(width, left + _TILE + margin))
            for index in range(noisy.shape[0]):
                part = (index, slice(None), rows, columns)
                near, left_over = (None if one is None else one[part] for one in (pilot, share))
                filtered = _tile(near, noisy[part], variance, left_over, step)
                inside = filtered[:, top - rows.start :, left - columns.start :][:, :_TILE, :_TILE]
                result[index, :, top : top + _TILE, left : left + _TILE] = inside
    return result


def doubting_filter(
    pilot: Tensor, noisy: Tensor, noise: float, within: Tensor, rounds: int = 5
) -> tuple[Tensor, float]:
    """Filter with a strength that was estimated, and may be texture in part.

    The filter leaves most of the texture, so what it removes tells the noise better. Where that is much weaker than the
    strength said, it is the strength of the next filter, and the filtered picture its pilot. Where noise cannot be told
    from texture this ends at the noisy picture itself.

    Args:
        pilot: see `collaborative_filter`.
        noisy: too.
        noise: the estimated strength.
        within: (N, C, H, W): what it was estimated from.
        rounds: how often it is estimated again.

    Returns:
        The filtered picture and the strength at last, which is ``noise`` itself where there is no doubt.
    """
    filtered = collaborative_filter(pilot, noisy, noise)
    flat = np.moveaxis(within.cpu().numpy(), 1, -1)
    for _ in range(rounds):
        removed = np.moveaxis((noisy - filtered).cpu().numpy(), 1, -1)
        found = float(np.mean([estimate_noise(*both) for both in zip(removed, flat, strict=True)]))
        if found >= _AS_STRONG * noise or found == 0:
            break
        noise, filtered = found, collaborative_filter(filtered, noisy, found)
    return filtered, noise


def _tile(pilot: Tensor | None, noisy: Tensor, variance: float, share: Tensor | None, step: int) -> Tensor:
    """Filter one tile, (C, H, W)."""
    colours = cosines(noisy.shape[0], noisy.device)
    planes = torch.einsum("kc,chw->khw", colours, noisy)
    pilots = None if pilot is None else torch.einsum("kc,chw->khw", colours, pilot)
    compared = features(planes if pilots is None else pilots, [_COMPARED, *[_COMPARED_COLOUR] * (len(planes) - 1)])
    groups = similar_blocks(compared, *reference_blocks(compared, step), GROUP, _RADIUS)
    levels = noisy.new_full((len(planes), len(groups)), variance)
    if share is not None:
        around = F.avg_pool2d(share[:, None], BLOCK, 1).flatten(1)
        levels = levels * torch.stack([one[groups.long()].mean(1) for one in around])
    filtered = [
        shrunk(plane, groups, levels[number], pilot=None if pilots is None else pilots[number], threshold=_THRESHOLD)
        for number, plane in enumerate(planes)
    ]
    return torch.einsum("kc,khw->chw", colours, torch.stack(filtered))
