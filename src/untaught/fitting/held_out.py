"""Held-out values: which known values to hide from a fit, and what the error on them says of the result."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from untaught.backend.sums import mean
from untaught.fitting.problem import Problem
from untaught.fitting.state import State
from untaught.fitting.stopping import HeldOut
from untaught.priors.masked_input import moved

__all__ = ["calibrate", "half_width", "hold_out"]

COVERAGE = 0.9

_FEWEST = 16
_BLOCK = 64
"""Side of the pieces of a missing region, in pixels."""
_PIECES = 2000
"""All pieces are taken if some have fewer pixels than this."""
_LARGEST = 2**24
"""torch.quantile takes no more values than this."""


def hold_out(problem: Problem, known: Tensor, rule: HeldOut, seed: int) -> Tensor | None:
    """Choose known values to hold out: the observation's shape, bool; None if there are too few to spare any.

    Pixels are held out in all channels together. An observation without channels, (N, M), loses single values.

    Args:
        problem: what is known of the pictures.
        known: its known values, on the device.
        rule: share and pattern.
        seed: of the random numbers.
    """
    generator = torch.Generator(known.device).manual_seed(seed)
    if rule.pattern == "shapes" and problem.operator is None:
        held = _shapes(known, rule.held_out, generator)
    elif rule.pattern == "nearby" and problem.operator is None:
        held = _nearby(known, rule.held_out, generator)
    else:
        shape = known[:, :1].shape if known.ndim > 2 else known.shape
        random = torch.rand(shape, generator=generator, device=known.device, dtype=torch.float32)
        held = random >= 1 - rule.held_out
    held = held & known
    if problem.inside is not None:
        held = held & problem.inside.to(held.device)
    enough = held.flatten(1).sum(1).min() >= _FEWEST and (known & ~held).flatten(1).any(1).all()
    return held if enough else None


def _shapes(known: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """The missing region, moved and flipped, within a box: (N, 1, H, W), bool."""
    missing = ~known.all(dim=1, keepdim=True)
    held = torch.cat([next(moved(one[None], 1, generator)) for one in missing])
    # Where much is missing, a smaller box keeps the held-out share small.
    side = min(1.0, math.sqrt(2 * share / max(missing.float().mean().item(), 1e-6)))
    top, left = torch.rand(2, generator=generator, device=held.device, dtype=torch.float32).tolist()
    height, width = held.shape[-2:]
    rows, columns = max(1, round(side * height)), max(1, round(side * width))
    first_row, first_column = round(top * (height - rows)), round(left * (width - columns))
    box = torch.zeros_like(held)
    box[..., first_row : first_row + rows, first_column : first_column + columns] = True
    return held & box


def _nearby(known: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Pieces of the missing region, all moved in the same way: (N, 1, H, W), bool."""
    missing = ~known.all(dim=1, keepdim=True)
    blocks = [-(-side // _BLOCK) for side in missing.shape[-2:]]
    # Of sparse damage a third of the pieces, so that what surrounds the rest stays known.
    chosen = min(0.35, share / max(missing.float().mean().item(), 1e-6))
    pieces = torch.rand(1, 1, *blocks, generator=generator, device=known.device, dtype=torch.float32) < chosen
    if missing.float().sum() * chosen < _PIECES:
        pieces = torch.ones_like(pieces)
    wide = pieces.repeat_interleave(_BLOCK, -2).repeat_interleave(_BLOCK, -1)
    moved_ones = missing & wide[..., : missing.shape[-2], : missing.shape[-1]]
    signs = torch.randint(2, (2,), generator=generator, device=known.device) * 2 - 1
    steps = torch.randint(8, 25, (2,), generator=generator, device=known.device)
    return moved_ones.roll((signs * steps).tolist(), (-2, -1))


def calibrate(state: State, error: Tensor, held: Tensor) -> float | None:
    """The factor by which the spread covers the error of 90 % of the held-out values.

    Args:
        state: of the fit.
        error: the absolute error of each held-out value.
        held: bool, the picture's shape: which these are.
    """
    scale = _raised(state.spread)[held]
    return float((error / scale).quantile(COVERAGE)) if error.numel() < _LARGEST else None


def half_width(state: State, factor: float) -> Tensor:
    """Half-width of the interval that covers the error of 90 % of the values: (N, C, H, W), in [0, 1]."""
    return _raised(state.spread).mul_(factor).clamp_(0, 1).cpu()


def _raised(spread: Tensor) -> Tensor:
    """The spread, which is changed, plus its mean: where all outputs agree they may still be wrong together."""
    # In one memory layout, so that the sum has the same order after resuming from a file.
    spread = spread.contiguous()
    return spread.add_(mean(spread)).add_(1e-6)
