"""First guesses: missing values interpolated from the known ones, without a network.

`pull_push` is the quickest. `biharmonic` is smoother and nearer to the truth on most pictures, for a few times the
time.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.kernels import for_processor, one_thread
from untaught.priors.interpolation import doubled

__all__ = ["Guess", "biharmonic", "interpolate", "pull_push"]

Guess = Literal["pull-push", "biharmonic"]

_BLOCK = 128
"""Side of the blocks in which a large picture is solved: only those with gaps, and few enough values for the cache."""
_MARGIN = 4

_COARSEST = 8
"""From this side on, in pixels, a coarser picture is interpolated by pull-push alone."""

_TENSION = 0.3
"""Of the surface in coarser pictures, per squared pixel of theirs: without it, the surface of a hole bends far
out of the range of what is around it. Thin gaps are closed in the full size, without tension."""


def interpolate(values: Tensor, weights: Tensor, guess: Guess) -> Tensor:
    """Fill gaps in pictures, (N, C, H, W), in one of the ways of this module, as in each iteration of a fit."""
    return pull_push(values, weights) if guess == "pull-push" else biharmonic(values, weights, steps=3)


def pull_push(values: Tensor, weights: Tensor) -> Tensor:
    """Fill gaps from coarser and coarser means of the known values (pull-push: Gortler et al., 1996).

    Args:
        values: (N, C, H, W), zero where the weights are zero.
        weights: 1 where a value is known and 0 elsewhere: (N, C, H, W), or (N, 1, H, W) for all channels.

    Returns:
        (N, C, H, W): the values, with interpolated means in the gaps; zero if nothing is known at all.
    """
    return _filled(values, weights, 0, 0, 0)


def biharmonic(values: Tensor, weights: Tensor, steps: int = 20) -> Tensor:
    """Fill gaps with the surface that bends least (biharmonic inpainting: Damelin and Hoang, 2018).

    The equations are solved from coarse to fine, by conjugate gradients that begin with the coarser solution. Few steps
    smooth scattered gaps. Wide ones get most of their surface from coarser pictures, where it is under tension (splines
    in tension: Smith and Wessel, 1990), and so swings less.

    Args:
        values: (N, C, H, W), zero where the weights are zero.
        weights: 1 where a value is known and 0 elsewhere: (N, C, H, W), or (N, 1, H, W) for all channels.
        steps: of conjugate gradients at full size; coarser sizes take twice as many.

    Returns:
        (N, C, H, W): the values, with the surface in the gaps. It may leave their range a little; zero if nothing
        is known at all.
    """
    return _filled(values, weights, steps, 2 * steps, 0)


def _filled(values: Tensor, weights: Tensor, steps: int, coarser_steps: int, tension: float) -> Tensor:
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values
    share = _halved(weights)
    means = _halved(values).div_(share.clamp_min(1e-6))
    coarse = _filled(means, (share > 0).float(), coarser_steps, coarser_steps, _TENSION)
    solved = steps > 0 and min(height, width) >= _COARSEST
    if solved and max(height, width) > _BLOCK and values.device.type == "cpu":
        return _block_by_block(values, weights, coarse, steps, tension)
    filled = values + doubled(coarse)[..., :height, :width] * (1 - weights)
    if not solved:
        return filled
    with one_thread():
        return _bent_least(filled, 1 - weights, steps, tension)


def _halved(pictures: Tensor) -> Tensor:
    """Means of two by two pixels; beyond the edge there are zeros."""
    height, width = pictures.shape[-2:]
    # To pad by nothing would be a copy.
    even = pictures if height % 2 == width % 2 == 0 else F.pad(pictures, (0, width % 2, 0, height % 2))
    return F.avg_pool2d(even, 2)


def _block_by_block(values: Tensor, weights: Tensor, coarse: Tensor, steps: int, tension: float) -> Tensor:
    """`_bent_least` around the gaps of each block, whose surroundings stay as the coarse picture has them."""
    height, width = values.shape[-2:]
    free = (weights == 0).any(1)
    result = values.clone()
    corners = itertools.product(range(len(values)), range(0, height, _BLOCK), range(0, width, _BLOCK))
    # Blocks are small: threads that share one wait for each other, and beside other programs for a long time.
    with one_thread():
        for number, top, left in corners:
            gaps = free[number, top : top + _BLOCK, left : left + _BLOCK].nonzero()
            if not len(gaps):
                continue
            (first, start), (last, end) = gaps.amin(0).tolist(), gaps.amax(0).tolist()
            inner = (slice(top + first, top + last + 1), slice(left + start, left + end + 1))
            outer = tuple(
                slice(max(0, one.start - _MARGIN), min(side, one.stop + _MARGIN))
                for one, side in zip(inner, (height, width), strict=True)
            )
            part = (slice(number, number + 1), slice(None), *outer)
            gap = 1 - weights[part]
            picture = values[part] + _doubled_part(coarse[number : number + 1], *outer) * gap
            solved = _bent_least(picture, gap, steps, tension)
            rows, columns = (
                slice(one.start - other.start, one.stop - other.start) for one, other in zip(inner, outer, strict=True)
            )
            result[(number, slice(None), *inner)] = solved[0, :, rows, columns]
    return result


def _doubled_part(coarse: Tensor, rows: slice, columns: slice) -> Tensor:
    """Rows and columns of the picture of twice the size."""
    first = [max(0, one.start // 2 - 1) for one in (rows, columns)]
    near = coarse[..., first[0] : rows.stop // 2 + 2, first[1] : columns.stop // 2 + 2]
    top, left = rows.start - 2 * first[0], columns.start - 2 * first[1]
    return doubled(near)[..., top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]


def _bent_least(picture: Tensor, free: Tensor, steps: int, tension: float) -> Tensor:
    """Minimise the squared Laplacian of each channel, and ``tension`` times the squared gradient, over the free values.

    Args:
        picture: (N, C, H, W): where to begin.
        free: 1 where a value may change and 0 elsewhere; broadcasts to the picture.
        steps: of conjugate gradients.
        tension: not negative, per squared pixel.
    """
    single = picture.device.type == "cpu" and picture.dtype == free.dtype == torch.float32
    kernels = for_processor() if single else None
    if kernels is not None:
        result, free = picture.contiguous(), free.contiguous()
        result = result.clone() if result is picture else result
        for one, gap in zip(result, free, strict=True):
            kernels.bend_least(one, gap, *one.shape, steps, tension, len(gap) > 1)
        return result
    residual = -free * _bending(picture, tension)
    direction, norm = residual, _squared(residual)
    for _ in range(steps):
        image = free * _bending(direction, tension)
        # A channel without gaps has a residual of zero, and steps of length zero.
        length = norm / (direction * image).sum((-2, -1), keepdim=True).clamp_min(1e-20)
        picture = picture + length * direction
        residual = residual - length * image
        before, norm = norm, _squared(residual)
        direction = residual + norm / before.clamp_min(1e-20) * direction
    return picture


def _bending(x: Tensor, tension: float) -> Tensor:
    curvature = _laplacian(x)
    return _laplacian(curvature - tension * x if tension else curvature)


def _squared(x: Tensor) -> Tensor:
    """The squared norm of each channel, (N, C, 1, 1)."""
    return x.square().sum((-2, -1), keepdim=True)


def _laplacian(x: Tensor) -> Tensor:
    """The sum of differences to the four neighbours; there is none beyond the edge."""
    # Not by padding: torch splits that among threads however small the picture is.
    down, right = torch.diff(x, dim=-2), torch.diff(x, dim=-1)
    result = torch.zeros_like(x)
    result[..., :-1, :] += down
    result[..., 1:, :] -= down
    result[..., :-1] += right
    result[..., 1:] -= right
    return result
