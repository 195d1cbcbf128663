"""Held-out values: which known values to hide from a fit, and what the error on them says of the result."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from untaught.fitting.problem import Problem
from untaught.fitting.state import State
from untaught.fitting.stopping import HeldOut
from untaught.priors.masked_input import moved

__all__ = ["calibrate", "half_width", "hold_out"]

COVERAGE = 0.9

_FEWEST = 16
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
    else:
        shape = known[:, :1].shape if known.ndim > 2 else known.shape
        random = torch.rand(shape, generator=generator, device=known.device, dtype=torch.float32)
        held = random >= 1 - rule.held_out
    held = held & known
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


def calibrate(state: State, observed: Tensor, held: Tensor) -> float | None:
    """The factor by which the spread covers the error of 90 % of the held-out values."""
    error = (state.average - observed).abs()[held]
    scale = _raised(state.spread)[held]
    return float((error / scale).quantile(COVERAGE)) if error.numel() < _LARGEST else None


def half_width(state: State, factor: float) -> Tensor:
    """Half-width of the interval that covers the error of 90 % of the values: (N, C, H, W), in [0, 1]."""
    return (_raised(state.spread) * factor).clamp(0, 1).cpu()


def _raised(spread: Tensor) -> Tensor:
    """The spread plus its mean: where all outputs agree they may still be wrong together."""
    # In one memory layout, so that the sum has the same order after resuming from a file.
    spread = spread.contiguous()
    return spread + spread.mean() + 1e-6
