"""The collaborative filter: the second step of BM3D, a Wiener filter over groups of similar blocks.

Written from the equations of Dabov, Foi, Katkovnik and Egiazarian, 2007, "Image denoising by sparse 3-D
transform-domain collaborative filtering". The network's picture takes the place of the result of BM3D's first step. A
network learns distant repetitions slowly, and groups of similar blocks are good at them. The errors of both are partly
independent, so their mean is better than either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.imaging.noise import estimate_noise

__all__ = ["collaborative_filter", "cosines", "doubting_filter", "find_groups", "haar", "overlaid"]

_BLOCK = 8
"""Side of a block, in pixels."""
_GROUP = 16
"""Blocks in a group; a power of two."""
_STEP = 3
"""Pixels between two reference blocks, each of which gets a group."""
_RADIUS = 16
"""Search radius for similar blocks, in pixels."""
_AS_STRONG = 0.85
"""What is removed is as strong as the noise was taken to be from this share on. It was 0.88 and more where the estimate
was right, and 0.8 and less where half of it or more was texture."""
_TILE = 192
"""Side of a tile, in pixels. The filter works tile by tile, so that memory does not grow with the picture."""


def collaborative_filter(pilot: Tensor, noisy: Tensor, noise: float) -> Tensor:
    """Filter a noisy picture, guided by a denoised one.

    Groups of similar blocks are transformed together. Each coefficient of the noisy blocks is multiplied by
    p² / (p² + s²), the best weight if the pilot's coefficient p is true (s is the noise).

    Args:
        pilot: (N, C, H, W), float32: the denoised picture.
        noisy: (N, C, H, W), float32: the noisy picture.
        noise: standard deviation of its independent normal noise, above 0, in the picture's units.

    Returns:
        (N, C, H, W). If a side is shorter than a block, the pilot itself.
    """
    height, width = noisy.shape[-2:]
    if min(height, width) < _BLOCK:
        return pilot
    result = torch.empty_like(noisy)
    margin = _RADIUS + _BLOCK
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            # With its margin a tile is never smaller than a block.
            rows = slice(max(0, top - margin), min(height, top + _TILE + margin))
            columns = slice(max(0, left - margin), min(width, left + _TILE + margin))
            for index in range(noisy.shape[0]):
                filtered = _tile(pilot[index, :, rows, columns], noisy[index, :, rows, columns], noise**2)
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


def _tile(pilot: Tensor, noisy: Tensor, variance: float) -> Tensor:
    """Filter one tile, (C, H, W)."""
    colours = cosines(noisy.shape[0], noisy.device)
    pilots, planes = (torch.einsum("kc,chw->khw", colours, x) for x in (pilot, noisy))
    moves = [(down, right) for down in range(-_RADIUS, _RADIUS + 1) for right in range(-_RADIUS, _RADIUS + 1)]
    groups = find_groups(pilots, _GROUP, _STEP, moves)
    together = haar(_GROUP, noisy.device)
    lines = cosines(_BLOCK, noisy.device)
    blocks = torch.einsum("ai,bj->abij", lines, lines).reshape(_BLOCK**2, 1, _BLOCK, _BLOCK)
    places = (noisy.shape[-2] - _BLOCK + 1, noisy.shape[-1] - _BLOCK + 1)
    filtered = []
    for p, y in zip(pilots, planes, strict=True):
        spectra = (F.conv2d(x[None, None], blocks)[0] for x in (p, y))
        expected, seen = (
            torch.einsum("kl,glp->gkp", together, spectrum.flatten(1).T.contiguous()[groups]) for spectrum in spectra
        )
        gain = expected.square()
        gain = gain / (gain + variance)
        # A group weighs more the less noise it passes.
        weight = 1 / gain.square().sum((1, 2)).clamp_min(1e-3)
        back = torch.einsum("kl,gkp->glp", together, seen * gain) * weight[:, None, None]
        count = places[0] * places[1]
        summed = noisy.new_zeros(count, _BLOCK**2).index_add_(0, groups.flatten(), back.flatten(0, 1))
        weights = noisy.new_zeros(count).index_add_(0, groups.flatten(), weight[:, None].expand(-1, _GROUP).flatten())
        filtered.append(overlaid(summed, weights, places))
    return torch.einsum("kc,khw->chw", colours, torch.stack(filtered))


def find_groups(guide: Tensor, size: int, step: int, moves: Sequence[tuple[int, int]]) -> Tensor:
    """Find the most similar blocks of each reference block.

    Args:
        guide: (C, H, W): what is compared.
        size: blocks in a group.
        step: pixels between two reference blocks.
        moves: where to look, in pixels down and to the right of the reference block.

    Returns:
        Corner positions, (groups, size), counted along the rows of all places of a block.
    """
    height, width = guide.shape[-2:]
    high, wide = height - _BLOCK + 1, width - _BLOCK + 1
    device = guide.device
    rows = torch.arange(0, high, step, device=device)
    columns = torch.arange(0, wide, step, device=device)
    nowhere = 1e3
    distances, steps = [], []
    for down, right in moves:
        upper, lower = max(0, -down), height - max(0, down)
        start, end = max(0, -right), width - max(0, right)
        if upper >= lower or start >= end:
            continue
        apart = torch.full((1, height, width), nowhere, device=device, dtype=guide.dtype)
        here = guide[:, upper:lower, start:end]
        there = guide[:, upper + down : lower + down, start + right : end + right]
        apart[0, upper:lower, start:end] = (here - there).square().sum(0)
        mean = F.avg_pool2d(F.avg_pool2d(apart, (_BLOCK, 1), (step, 1)), (1, _BLOCK), (1, step))
        distances.append(mean.flatten())
        steps.append(down * wide + right)
    least, which = torch.stack(distances).topk(min(size, len(steps)), dim=0, largest=False)
    move = torch.tensor(steps, device=device)[which]
    # If there are too few partners, the block is its own partner.
    move = torch.where(least < nowhere / _BLOCK**2, move, 0)
    home = (rows[:, None] * wide + columns).flatten()
    found = home + move
    if len(found) < size:
        found = torch.cat([found, home.expand(size - len(found), -1)])
    # Blocks beyond the last step, at the right and at the bottom, are groups of themselves.
    bottom = (high - 1) * wide + torch.arange(wide, device=device)
    right_edge = torch.arange(high, device=device) * wide + wide - 1
    last = torch.cat([bottom, right_edge])
    return torch.cat([found.T, last[:, None].expand(-1, size)])


def overlaid(spectra: Tensor, weights: Tensor, places: tuple[int, int]) -> Tensor:
    """Put blocks back to their places, where each pixel is the weighted mean of the blocks that hold it.

    Args:
        spectra: (places, 64): the sum of the cosine coefficients of all blocks at a place, each times its weight.
        weights: (places,): the sum of these weights.
        places: rows and columns of places.

    Returns:
        The picture, 7 pixels higher and wider than there are places.
    """
    (high, wide), lines = places, cosines(_BLOCK, spectra.device)
    # Blocks fade out towards their edges, so that the edges do not show.
    window = torch.kaiser_window(_BLOCK, periodic=False, beta=2.0, device=spectra.device, dtype=torch.float32)
    across = torch.einsum("pab,bj->jpa", spectra.view(-1, _BLOCK, _BLOCK), lines * window)
    half = spectra.new_zeros(high, wide + _BLOCK - 1, _BLOCK)
    for right, part in enumerate(across):
        half[:, right : right + wide] += part.view(high, wide, _BLOCK)
    down = torch.einsum("hwa,ai->ihw", half, lines * window)
    top = spectra.new_zeros(high + _BLOCK - 1, wide + _BLOCK - 1)
    for below, part in enumerate(down):
        top[below : below + high] += part
    padded = F.pad(weights.view(1, 1, high, wide), (_BLOCK - 1,) * 4)
    bottom = F.conv2d(F.conv2d(padded, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))[0, 0]
    return top / bottom.clamp_min(1e-30)


def cosines(size: int, device: torch.device) -> Tensor:
    """Return the orthonormal discrete cosine transform, (size, size). Its first row is the mean."""
    k = torch.arange(size, dtype=torch.float64, device=device)
    lines = torch.cos(math.pi * (k + 0.5) * k[:, None] / size) * math.sqrt(2 / size)
    lines[0] /= math.sqrt(2)
    return lines.float()


def haar(size: int, device: torch.device) -> Tensor:
    """Return the orthonormal Haar transform, (size, size), size a power of two."""
    if size == 1:
        return torch.ones(1, 1, device=device, dtype=torch.float32)
    half = haar(size // 2, device)
    sums = torch.kron(half, half.new_tensor([[1.0, 1.0]]))
    differences = torch.kron(torch.eye(size // 2, device=device, dtype=torch.float32), half.new_tensor([[1.0, -1.0]]))
    return torch.cat([sums, differences]) / math.sqrt(2)
