"""How much of one picture to mix into another, in gaps of each width, by their errors on held-out values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from untaught.fitting.gaps import RADII, WIDE

__all__ = ["best_weights", "decibels"]

_PRIOR = 50
"""A class trusts its own held-out values as much as its neighbour's weight if it has so many independent ones."""


def decibels(one: Tensor, other: Tensor, where: Tensor) -> float | None:
    """How much larger one error is than another, in dB; None where too few values tell it."""
    if int(where.sum()) < _PRIOR:
        return None
    squares = [max(float(error[where].square().sum()), 1e-30) for error in (one, other)]
    return 10 * math.log10(squares[0] / squares[1])


def best_weights(step: Tensor, wanted: Tensor, classes: Tensor, *, together: float) -> Tensor:
    """How much of a step to take in each width class, from 0 to 1, by the least squared error on held-out values.

    Args:
        step: (values,), float64: from one picture to the other.
        wanted: from the one to the truth.
        classes: of each value.
        together: the errors of so many values go together. A gain that may be chance is no reason for the step, then;
            0 for the best guess.
    """
    groups = len(RADII) + 1
    weights = torch.zeros(groups, dtype=torch.float64)
    products = torch.zeros(groups, dtype=torch.float64).index_add_(0, classes, (step * wanted).cpu())
    squares = torch.zeros(groups, dtype=torch.float64).index_add_(0, classes, step.square().cpu())
    # The best weight of all is the prior of the thinnest gaps, and so on from each class to the next wider one.
    weight = float((products.sum() / squares.sum().clamp_min(1e-30)).clamp(0, 1))
    chance = _chance(step, wanted - weight * step, together)
    weight = float(((products.sum() - chance) / squares.sum().clamp_min(1e-30)).clamp(0, 1))
    prior = _PRIOR * float(squares.sum()) / max(1, len(classes))
    # Wide gaps stay as they are: the other picture may be far off there, and one gap tells little of another.
    for group, radius in enumerate((0, *RADII[: WIDE - 1])):
        # The errors in one gap go together.
        independent = 1 / (2 * radius + 1) ** 2
        inside = (classes == group).to(step.device)
        chance = _chance(step[inside], (wanted - weight * step)[inside], together)
        product, square = independent * (float(products[group]) - chance), independent * float(squares[group])
        weight = min(max((product + prior * weight) / max(square + prior, 1e-30), 0.0), 1.0)
        weights[group] = weight
    return weights


def _chance(step: Tensor, rest: Tensor, together: float) -> float:
    """The standard deviation of the sum of their products, if there is nothing in common."""
    return math.sqrt(together * float((step * rest).square().sum()))
