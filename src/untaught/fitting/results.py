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

__all__ = ["further_results", "interval", "residual_note", "unexplained", "unexplained_note"]

_EXPLAINED = 1.5
"""A result may be this many standard deviations of the noise from the noisy picture."""


def residual_note(problem: Problem, operator: Operator, state: State) -> tuple[str, ...]:
    """How far the operator's output is from the observation, as a sentence; none without an operator."""
    if problem.operator is None:
        return ()
    with torch.no_grad():
        if problem.verdict is not None:
            return (problem.verdict(state.average),)
        difference = mean((operator(state.average) - problem.observed)[problem.known].abs().square()).sqrt()
    range_ = problem.layout.high - problem.layout.low
    return (
        f"the operator maps the result to within {float(difference) * range_:.3g} of the observation (root mean "
        f"square; white is {problem.layout.high:g})",
    )


def unexplained(problem: Problem, state: State) -> float | None:
    """How many times farther a picture is from the noisy one than its noise explains; None if that is near enough."""
    # A classical answer goes by a model of the noise that says more than its strength.
    if problem.operator is not None or problem.noise is None or problem.instead is None:
        return None
    observed, known = (one.to(state.average.device) for one in (problem.observed, problem.known))
    far = float(mean((state.average - observed)[known].square()).sqrt())
    # Observations that were transformed have units of their own.
    return None if far <= _EXPLAINED * problem.noise else far / max(problem.noise, 1e-12)


def unexplained_note(times: float) -> str:
    """A sentence on a picture that is not handed out."""
    return (
        f"the network's picture is {times:.1f} times as far from the noisy one as the noise explains, so it is not "
        f"handed out: the picture is that of a classical filter; fit longer, or say how strong the noise is"
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
        width.masked_fill_(problem.kept, 0)
    width *= problem.layout.high - problem.layout.low
    return width if problem.layout.is_tensor else laid_out(width.numpy(), problem.layout)
