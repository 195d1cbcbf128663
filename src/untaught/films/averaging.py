"""The mean of a frame and its neighbours, as far as they agree: the temporal part of denoising.

Each neighbour is moved as the motion says. In each block of 8 x 8, each cosine coefficient of it counts the less, the
more it differs from the frame's own beyond what noise explains (after Hasinoff et al., 2016, "Burst photography for
high dynamic range and low-light imaging on mobile cameras"). How much of the noise's variance is left is known, and
told to the filter that follows.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from untaught.films.motion import at, sampled
from untaught.imaging.block_groups import BLOCK, block_window, cosines

__all__ = ["averaged"]

_STEP = 4
"""Pixels between two blocks."""
_DOUBT = 0.15
"""How fast a coefficient's weight falls with its excess over the noise."""


def averaged(
    planes: Tensor, others: Iterable[tuple[Tensor, Tensor]], variances: Tensor, spectra: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The mean of a frame and its neighbours.

    Args:
        planes: (K, H, W): the noisy planes of the frame.
        others: those of its neighbours, each with the motion from the frame to it (`untaught.films.motion`).
        variances: (K, H, W), or (K, 1, 1): of the noise.
        spectra: (K, 64): the noise in each cosine coefficient of a block, as a share of the variance; None if it is
            white.

    Returns:
        The mean, and the share of the noise's variance that is left, both (K, H, W).
    """
    count, height, width = planes.shape
    # Whole blocks, up to the edges.
    padding = [(-(length - BLOCK)) % _STEP if length > BLOCK else BLOCK - length for length in (width, height)]
    padded = functional.pad(planes[None], (0, padding[0], 0, padding[1]), "replicate")[0]
    sides = (padded.shape[1], padded.shape[2])
    levels = functional.pad(variances.expand(-1, height, width)[None], (0, padding[0], 0, padding[1]), "replicate")
    lines = cosines(BLOCK, planes.device)
    basis = torch.einsum("ai,bj->abij", lines, lines).reshape(BLOCK**2, BLOCK**2)
    noise = functional.avg_pool2d(levels, BLOCK, _STEP)[0].flatten(1).clamp_min(1e-12)
    own = [_coefficients(plane, basis) for plane in padded]
    sums, weights = [one.clone() for one in own], [torch.ones_like(one) for one in own]
    squares = [torch.ones_like(one) for one in own]
    grid = torch.stack(torch.meshgrid(torch.arange(sides[0]), torch.arange(sides[1]), indexing="ij")).flatten(1)
    # Beyond the edge is what is at the edge.
    grid[0].clamp_(max=height - 1)
    grid[1].clamp_(max=width - 1)
    for other, move in others:
        places = grid + at(move, grid.float())
        outside = (places < -0.5).any(0) | (places[0] > height - 0.5) | (places[1] > width - 0.5)
        there = functional.max_pool2d(outside.view(1, 1, *sides).float(), BLOCK, _STEP).flatten() == 0
        moved = sampled(other, places).view(count, *sides)
        for plane in range(count):
            theirs = _coefficients(moved[plane], basis)
            variance = noise[plane] if spectra is None else noise[plane] * spectra[plane][:, None].clamp_min(1e-3)
            excess = (theirs - own[plane]).square_().div_(variance)
            whole = (excess.mean(0) - 2).clamp_min_(0)
            excess.sub_(2).clamp_min_(0).add_(whole).mul_(0.5 * _DOUBT).add_(1)
            weight = there / excess.square_()
            sums[plane].addcmul_(theirs, weight)
            weights[plane] += weight
            squares[plane].addcmul_(weight, weight)
    window = block_window(planes.device)
    made, left = [], []
    for total, weight, square in zip(sums, weights, squares, strict=True):
        share = (square / weight.square()).mean(0)
        pixels = basis.T @ (total / weight)
        # A block counts more the less noise is left in it.
        trust = window[:, None] / share
        bottom = _overlaid(trust, sides)
        made.append(_overlaid(pixels * trust, sides) / bottom)
        left.append(_overlaid(trust * share, sides) / bottom)
    return tuple(torch.stack(one)[:, :height, :width] for one in (made, left))  # type: ignore[return-value]


def _coefficients(plane: Tensor, basis: Tensor) -> Tensor:
    """The cosine coefficients of the blocks of a plane, (64, blocks)."""
    return basis @ functional.unfold(plane[None, None], BLOCK, stride=_STEP)[0]


def _overlaid(blocks: Tensor, sides: tuple[int, int]) -> Tensor:
    """Blocks, (64, blocks), added up at their places."""
    return functional.fold(blocks[None], sides, BLOCK, stride=_STEP)[0, 0]
