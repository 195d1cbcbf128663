"""Groups of similar blocks: how they are found, and a picture without the noise in them.

By compiled kernels (kernels/groups.h, kernels/shrinkage.h) where there are some, otherwise by torch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.kernels import Kernels, for_processor

__all__ = [
    "BLOCK",
    "GROUP",
    "REACH",
    "block_window",
    "cosines",
    "features",
    "haar",
    "reference_blocks",
    "shrunk",
    "similar_blocks",
    "transform",
]

BLOCK = 8
"""Side of a block, in pixels."""
GROUP = 16
"""Blocks in a group that is transformed by cosines and Haar; a power of two."""
REACH = 15
"""Blocks so far apart, in pixels, share no noise."""
_CHUNK = 256
"""Groups whose variances are computed at once: what a processor keeps at hand."""


def features(planes: Tensor, counts: Sequence[int]) -> Tensor:
    """What blocks are compared by: of each plane of (K, H, W) so many of the lowest cosine coefficients.

    Returns:
        (sum of counts, H - 7, W - 7): of the block that begins at each place.
    """
    every = transform(planes.device).view(-1, 1, BLOCK, BLOCK)
    return torch.cat([F.conv2d(one[None, None], every[:count])[0] for one, count in zip(planes, counts, strict=True)])


def reference_blocks(features: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the reference blocks, ``step`` apart; the last place each way is always one."""
    lines = [[*range(0, size - 1, step), size - 1] for size in features.shape[1:]]
    grid = torch.meshgrid(*(torch.tensor(line, device=features.device) for line in lines), indexing="ij")
    return grid[0].flatten(), grid[1].flatten()


def similar_blocks(
    features: Tensor, rows: Tensor, columns: Tensor, size: int, radius: int, doubt: float = 0.0
) -> Tensor:
    """The blocks that are most similar to each reference block, the most similar first.

    Args:
        features: (F, high, wide).
        rows: (groups,): of the reference blocks.
        columns: the same.
        size: blocks in a group. Where there are too few partners, a block is its own partner.
        radius: how far to look, in pixels.
        doubt: a block at that distance, in one direction, has to be so much more similar than one nearby.

    Returns:
        (groups, size): places, counted along the rows of the map of features.
    """
    count, high, wide = features.shape
    home = rows * wide + columns
    kernels = _kernels_for(features)
    if kernels is not None:
        members = torch.empty(len(home), size, dtype=torch.int32)
        padded = F.pad(features.flatten(), (0, 16))  # which the kernel may read, too
        kernels.similar_blocks(members, size, home.int(), len(home), padded, count, high, wide, radius, doubt)
        return members
    keys = features.flatten(1).T.contiguous()
    own = keys[home]
    right = torch.arange(-radius, radius + 1, device=features.device)[:, None]
    distances, moves = [], []
    for down in range(-radius, radius + 1):
        outside = (rows + down < 0) | (rows + down >= high) | (columns + right < 0) | (columns + right >= wide)
        there = torch.where(outside, home, home + down * wide + right)
        doubts = 1 + doubt * ((down / radius) ** 2 + (right / radius) ** 2)
        distances.append((keys[there] - own).square_().sum(2).mul_(doubts).masked_fill_(outside, torch.inf))
        moves.append(down * wide + right[:, 0])
    least, which = torch.cat(distances).topk(size, dim=0, largest=False)
    move = torch.where(least.isfinite(), torch.cat(moves)[which], 0)
    return (home + move).T.contiguous()


def shrunk(
    plane: Tensor,
    groups: Tensor,
    variance: Tensor,
    *,
    table: Tensor | None = None,
    pilot: Tensor | None = None,
    threshold: float = 0.0,
    excess: float = 1.0,
) -> Tensor:
    """A plane without the noise in its groups.

    Args:
        plane: (H, W), float32.
        groups: (groups, 16): places of blocks. Every pixel is in one of them.
        variance: (groups,): of the noise, around each group.
        table: (31 * 31 + 1, 64): the covariance of the coefficients of two blocks by their distance, for a variance of
            1, and a row of zeros; None for white noise.
        pilot: (H, W): the denoised picture, as well as it is known. Each coefficient is multiplied by p² / (p² + v),
            the best weight if the pilot's coefficient p is true.
        threshold: without a pilot: coefficients of so many standard deviations stay.
        excess: with a pilot: factor on the variance.

    Returns:
        (H, W).
    """
    kernels = _kernels_for(plane)
    if kernels is None:
        return _shrunk(plane, groups, variance, table, pilot, threshold, excess)
    (height, width), result = plane.shape, torch.empty_like(plane, memory_format=torch.contiguous_format)
    members = (groups + groups // (width - BLOCK + 1) * (BLOCK - 1)).int().contiguous()
    kernels.shrink_groups(
        result,
        plane.contiguous(),
        None if pilot is None else pilot.contiguous(),
        height,
        width,
        members,
        len(members),
        variance.contiguous(),
        table,
        REACH,
        block_window(plane.device),
        threshold,
        excess,
    )
    return result


def _kernels_for(tensor: Tensor) -> Kernels | None:
    return for_processor() if tensor.device.type == "cpu" else None


def _shrunk(
    plane: Tensor,
    groups: Tensor,
    variance: Tensor,
    table: Tensor | None,
    pilot: Tensor | None,
    threshold: float,
    excess: float,
) -> Tensor:
    """The same by torch."""
    device, groups = plane.device, groups.long()
    together, lines = haar(GROUP, device), cosines(BLOCK, device)
    blocks = torch.einsum("ai,bj->abij", lines, lines).reshape(BLOCK**2, 1, BLOCK, BLOCK)
    places = (plane.shape[0] - BLOCK + 1, plane.shape[1] - BLOCK + 1)
    count = places[0] * places[1]
    spectra = [F.conv2d(x[None, None], blocks)[0].flatten(1).T.contiguous() for x in (plane, pilot) if x is not None]
    summed, weights = plane.new_zeros(count, BLOCK**2), plane.new_zeros(count)
    for start in range(0, len(groups), _CHUNK):
        group, noise = groups[start : start + _CHUNK], variance[start : start + _CHUNK, None, None]
        if table is not None:
            noise = _group_variances(group, places[1], table, together) * noise
        seen, *expected = (torch.einsum("kl,glp->gkp", together, one[group]) for one in spectra)
        if expected:
            power = expected[0].square()
            gain = power / (power + excess * noise)
        else:
            gain = (seen.square() > threshold**2 * noise).float()
            # The mean of the blocks stays.
            gain[:, 0, 0] = 1
        # A group weighs more the less noise it passes.
        weight = 1 / (gain.square() * noise).sum((1, 2)).clamp_min(1e-9)
        back = torch.einsum("kl,gkp->glp", together, seen * gain) * weight[:, None, None]
        summed.index_add_(0, group.flatten(), back.flatten(0, 1))
        weights.index_add_(0, group.flatten(), weight[:, None].expand(-1, GROUP).flatten())
    return _overlaid(summed, weights, places)


def _group_variances(groups: Tensor, wide: int, table: Tensor, together: Tensor) -> Tensor:
    """The variance of the noise in each coefficient of each group, (groups, 16, 64), for a variance of 1."""
    first, second = torch.triu_indices(GROUP, GROUP)
    weights = together[:, first] * together[:, second] * torch.where(first == second, 1.0, 2.0)
    rows, columns = groups // wide, groups % wide
    down, right = rows[:, first] - rows[:, second], columns[:, first] - columns[:, second]
    index = (down + REACH) * (2 * REACH + 1) + right + REACH
    far = (down.abs() > REACH) | (right.abs() > REACH)
    index = torch.where(far, len(table) - 1, index)
    # Most coefficients compare a few blocks only, so what weighs nothing is left out of the sums.
    coefficient, pair = weights.nonzero(as_tuple=True)
    ends = torch.bincount(coefficient, minlength=GROUP).repeat(len(groups)).cumsum(0)
    noise = F.embedding_bag(
        index[:, pair].flatten(),
        table,
        F.pad(ends, (1, 0)),
        mode="sum",
        per_sample_weights=weights[coefficient, pair].repeat(len(groups)),
        include_last_offset=True,
    ).view(-1, GROUP, BLOCK**2)
    # Nothing is free of noise: rounding alone leaves some.
    alone = table[(len(table) - 1) // 2]
    return torch.maximum(noise, 0.03 * alone.clamp_min(1e-4))


def _overlaid(spectra: Tensor, weights: Tensor, places: tuple[int, int]) -> Tensor:
    """Put blocks back to their places, where each pixel is the weighted mean of the blocks that hold it.

    Args:
        spectra: (places, 64): the sum of the cosine coefficients of all blocks at a place, each times its weight.
        weights: (places,): the sum of these weights.
        places: rows and columns of places.

    Returns:
        The picture, 7 pixels higher and wider than there are places.
    """
    (high, wide), lines = places, cosines(BLOCK, spectra.device)
    window = _fading(spectra.device)
    across = torch.einsum("pab,bj->jpa", spectra.view(-1, BLOCK, BLOCK), lines * window)
    half = spectra.new_zeros(high, wide + BLOCK - 1, BLOCK)
    for right, part in enumerate(across):
        half[:, right : right + wide] += part.view(high, wide, BLOCK)
    down = torch.einsum("hwa,ai->ihw", half, lines * window)
    top = spectra.new_zeros(high + BLOCK - 1, wide + BLOCK - 1)
    for below, part in enumerate(down):
        top[below : below + high] += part
    padded = F.pad(weights.view(1, 1, high, wide), (BLOCK - 1,) * 4)
    bottom = F.conv2d(F.conv2d(padded, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))[0, 0]
    return top / bottom.clamp_min(1e-30)


def _fading(device: torch.device) -> Tensor:
    """The weights of a block's lines, (8,): blocks fade out towards their edges, so that the edges do not show."""
    return torch.kaiser_window(BLOCK, periodic=False, beta=2.0, device=device, dtype=torch.float32)


def block_window(device: torch.device) -> Tensor:
    """The weights of a block's pixels, (64,)."""
    return torch.outer(_fading(device), _fading(device)).flatten()


@functools.cache
def transform(device: torch.device) -> Tensor:
    """The cosine transform of a block, (64, 64): from its pixels to its coefficients, the lowest first."""
    lines = cosines(BLOCK, device)
    first, second = torch.meshgrid(torch.arange(BLOCK), torch.arange(BLOCK), indexing="ij")
    order = (first + second).flatten().argsort(stable=True)
    return torch.einsum("ai,bj->abij", lines, lines).reshape(BLOCK**2, BLOCK**2)[order.to(device)]


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
