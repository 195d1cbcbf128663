"""Checks of a problem's operator: before a fit, and when a fit has diverged."""

from __future__ import annotations

import torch
from torch import Tensor

from untaught.errors import DivergenceError, InputError
from untaught.fitting.problem import Problem
from untaught.physics.operator import Operator, check_output

__all__ = ["blame_operator", "check_operator"]


def check_operator(problem: Problem, operator: Operator, excess: float | None = None) -> None:
    """Check an operator's output for one picture, before anything is fitted.

    Args:
        problem: its tensors are on the operator's device.
        operator: of the problem.
        excess: refuse an observation that is this many times larger than the operator's outputs; None to skip.

    Raises:
        InputError: if its shape is not the observation's, or it is not finite where the observation is known.
    """
    if problem.operator is None:
        return
    observed, known = problem.observed, problem.known
    shape = (len(observed), problem.channels, *problem.size)
    check_output(operator, shape, observed.shape, observed.device)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        output = operator(torch.rand(shape, generator=generator, dtype=torch.float32).to(observed.device))
    if not output[known].abs().isfinite().all():
        raise InputError("the operator returns NaN or infinite values for a picture of random values in its range")
    largest, made = (float(one[known].abs().max()) for one in (observed, output))
    if excess is not None and largest > excess * max(made, 1e-12):
        raise InputError(
            f"observed has values up to {largest:.4g}, and the operator maps pictures in [0, 1] to {made:.4g} at most: "
            "say the picture's lowest and highest value by value_range=(low, high)"
        )


def blame_operator(error: DivergenceError, problem: Problem, operator: Operator, picture: Tensor) -> None:
    """Find out whether a fit diverged because of its operator.

    Args:
        error: of the fit.
        problem: its tensors are on the operator's device.
        operator: of the problem.
        picture: the last finite picture, (N, C, H, W).

    Raises:
        DivergenceError: if the operator's output for that picture is not finite.
    """
    if problem.operator is None or not picture.isfinite().all():
        return
    with torch.no_grad():
        output = operator(picture)
    if not output[problem.known].abs().isfinite().all():
        raise DivergenceError(
            "the operator returns NaN or infinite values for a finite picture of this fit: correct the operator, for "
            "instance by a small constant before a division, a logarithm or a root"
        ) from error
