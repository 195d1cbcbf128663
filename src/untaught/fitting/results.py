"""What a result says besides its picture: the distance from the observation, further results, the uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from untaught.backend.sums import mean
from untaught.fitting.held_out import half_width
from untaught.fitting.problem import Problem
from untaught.fitting.state import State
from untaught.imaging.arrays import from_tensor, laid_out
from untaught.physics.operator import Operator

__all__ = ["further_results", "interval", "residual_note"]

_EXPLAINED = 1.5
"""A result may be this many standard deviations of the noise from the noisy picture."""


def residual_note(problem: Problem, operator: Operator, state: State) -> tuple[str, ...]:
    """How far the operator's output, or a denoised picture, is from the observation, as a sentence; none if unknown."""
    if problem.operator is None:
        return _excess_note(problem, state)
    with torch.no_grad():
        if problem.verdict is not None:
            return (problem.verdict(state.average),)
        difference = mean((operator(state.average) - problem.observed)[problem.known].abs().square()).sqrt()
    range_ = problem.layout.high - problem.layout.low
    return (
        f"the operator maps the result to within {float(difference) * range_:.3g} of the observation (root mean "
        f"square; white is {problem.layout.high:g})",
    )


def _excess_note(problem: Problem, state: State) -> tuple[str, ...]:
    """A warning that a picture is farther from the noisy one than the noise explains."""
    # A classical answer goes by a model of the noise that says more than its strength.
    if problem.noise is None or problem.answer is not None:
        return ()
    far = float(mean((state.average - problem.observed)[problem.known].square()).sqrt())
    if far <= _EXPLAINED * problem.noise:
        return ()
    # Observations that were transformed have units of their own.
    times = far / max(problem.noise, 1e-12)
    return (
        f"the network's picture is {times:.1f} times as far from the noisy one as the noise explains, so it is not "
        "restored yet or the noise is stronger: fit longer, or say how strong the noise is",
    )


def further_results(problem: Problem, operator: Operator, state: State) -> dict[str, Any]:
    """Further results by name, as they are handed back."""
    if problem.further_results is None:
        return {}
    with torch.no_grad():
        found = problem.further_results(operator, state.average)
    return {name: from_tensor(one, None, problem.layout) for name, one in found.items()}


def interval(problem: Problem, state: State, factor: float) -> NDArray[np.float32] | Tensor:
    """Half-width of the 90 % interval, in the picture's units and shape; zero where a known value is kept.

    Args:
        problem: of the fit.
        state: whose outputs were calibrated.
        factor: from that calibration.
    """
    width = half_width(state, factor)
    if problem.kept is not None:
        width = torch.where(problem.kept, 0, width)
    width = width * (problem.layout.high - problem.layout.low)
    return width if problem.layout.is_tensor else laid_out(width.numpy(), problem.layout)
