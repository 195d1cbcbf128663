"""Checks of a problem's operator: before a fit, and when a fit has diverged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import CodeType, FunctionType

import torch
from torch import Tensor, nn

from untaught.errors import DivergenceError, InputError, UserCodeError
from untaught.fitting.problem import Problem
from untaught.fitting.recipe import Recipe
from untaught.physics.operator import Operator, check_output

__all__ = ["blame_code", "blame_operator", "check_network", "check_objective", "check_operator"]


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
    if output.is_complex() != observed.is_complex():
        kinds = ["complex" if one.is_complex() else "real" for one in (output, observed)]
        raise InputError(
            f"the operator's values are {kinds[0]} and the observed ones {kinds[1]}: both must be alike; observe both "
            "parts, or return one of them, as by .real or .abs()"
        )
    if not output[known].abs().isfinite().all():
        raise InputError("the operator returns NaN or infinite values for a picture of random values in its range")
    largest, made = (float(one[known].abs().max()) for one in (observed, output))
    if excess is not None and largest > excess * max(made, 1e-12):
        raise InputError(
            f"observed has values up to {largest:.4g}, and the operator maps pictures in [0, 1] to {made:.4g} at most: "
            "say the picture's lowest and highest value by value_range=(low, high)"
        )


def check_network(recipe: Recipe, problem: Problem) -> None:
    """Call a module of the user's own once, and check its output and that it has weights.

    Args:
        recipe: how to fit.
        problem: what is fitted.

    Raises:
        InputError: if it fails, or does not give a picture.
    """
    network, channels = recipe.network, getattr(recipe.input, "channels", None)
    if not isinstance(network, nn.Module):
        return
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InputError("the network has no weights that could be fitted: give a module with parameters")
    if channels is None or recipe.shows_picture:
        return
    first = next(network.parameters())
    shape = (1, channels, *problem.size)
    try:
        with torch.no_grad():
            # A copy: its buffers, as of a normalisation, stay as they are.
            found = copy.deepcopy(network)(torch.full(shape, 0.5, device=first.device, dtype=torch.float32))
    # Any exception of the user's own code.
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"the network fails on an input of {shape}: {lines[0]}") from error
    wanted = (1, problem.channels, *problem.size)
    if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
        got = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise InputError(f"the network maps {shape} to {got}: a picture of {wanted} is wanted")


def check_objective(objective: Callable[[Tensor], Tensor], shape: tuple[int, ...], device: torch.device) -> None:
    """Evaluate a loss or a regulariser of the user's own once, before anything is fitted.

    Args:
        objective: from pictures to a loss for each.
        shape: of the pictures, (N, C, H, W).
        device: of the fit.

    Raises:
        InputError: if it fails, or its gradient does not reach the picture.
    """
    picture = torch.full(shape, 0.5, device=device, dtype=torch.float32, requires_grad=True)
    try:
        with torch.enable_grad():
            found = objective(picture)
    except InputError:
        raise
    # Any exception of the user's own code.
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"the loss or the regulariser fails on a picture of {shape}: {lines[0]}") from error
    if not found.requires_grad:
        raise InputError("no gradient comes back from the loss: compute with torch, without numpy or detach()")


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


def blame_code(error: Exception, operator: Operator, network: nn.Module, recipe: Recipe, iteration: int) -> None:
    """Find out whether an error came out of an object of the user's own.

    Args:
        error: of a fit.
        operator: of the fit.
        network: that is fitted.
        recipe: of the fit.
        iteration: the number of finished iterations.

    Raises:
        UserCodeError: if it did.
    """
    objects = {
        "operator": operator,
        "network": network if isinstance(recipe.network, nn.Module) else None,
        "loss": recipe.loss,
        "regulariser": recipe.regulariser,
        "optimiser": recipe.optimiser,
        "input scheme": recipe.input,
        "stop rule": recipe.stopping,
    }
    trace, found = error.__traceback__, None
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        code, own, module = frame.f_code, frame.f_locals.get("self"), frame.f_globals.get("__name__")
        # What an object calls, such as the backward() of a function of torch's, is known by its module.
        inside = " or ".join(name for name, one in objects.items() if _module(one) == module)
        found = next((name for name, one in objects.items() if _is_of(code, own, one)), found or inside or None)
    if found is not None:
        said = " ".join(str(error).split()) or "no message"
        raise UserCodeError(
            f"the {found} raised {type(error).__name__} after {iteration} iterations: {said[:200]}; the original error "
            "is the cause of this one"
        ) from error


def _module(one: object) -> str | None:
    """The user's module that a function or the class of an object is defined in; None for a shipped one."""
    name = getattr(one if isinstance(one, FunctionType) else type(one), "__module__", "")
    return None if name.partition(".")[0] in ("untaught", "torch", "builtins") else name


def _is_of(code: CodeType, own: object, one: object) -> bool:
    """Whether a frame with this code and this ``self`` runs an object of the user's own, or a part of it."""
    if one is None or type(one).__module__.partition(".")[0] == "untaught":
        # A part of a shipped operator may be the user's.
        return isinstance(one, nn.Module) and any(_is_of(code, own, part) for part in one.children())
    if isinstance(one, FunctionType):
        return code is one.__code__
    parts = one.modules() if isinstance(one, nn.Module) else (one,)
    return own is not None and any(own is part for part in parts)
