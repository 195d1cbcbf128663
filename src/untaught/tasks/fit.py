"""`fit`: observations, an operator, a network, a loss and a stop rule of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
from numpy.typing import ArrayLike
from pydantic import Field
from torch import Tensor, nn

from untaught.backend.host_settings import undisturbed
from untaught.errors import InputError
from untaught.fitting.checkpoint import Snapshot, load
from untaught.fitting.losses import ElementLoss
from untaught.fitting.operator_check import check_network
from untaught.fitting.optimisers import OptimiserFactory, OptimiserSettings
from untaught.fitting.problem import Problem
from untaught.fitting.recipe import Recipe
from untaught.fitting.run import Run
from untaught.fitting.stopping import Criterion, StoppingSettings
from untaught.imaging.arrays import Layout
from untaught.physics.foreign import adapt
from untaught.physics.operator import Operator
from untaught.priors.sampler import InputScheme
from untaught.settings import settings
from untaught.tasks.jobs import make_job
from untaught.tasks.options import Count, FitOptions, NotBool, Switch

__all__ = ["fit"]

_OVERSHOOT = 0.5
"""Noise may reach this far beyond a picture's range before the range is doubted, as a share of it."""

_MARGIN = 0.05
"""The middle of the observed values is at most so far beyond a picture's range."""

_LARGEST = 1e30
"""Results are float32, which ends at 3e38."""

_EXCESS = 10.0
"""Refuse observations this many times larger than the operator's outputs: their units must differ."""


@undisturbed()
def fit(
    observed: Tensor | ArrayLike,
    operator: Callable[[Tensor], Tensor] | object | None = None,
    *,
    mask: Tensor | ArrayLike | None = None,
    weights: Tensor | ArrayLike | None = None,
    channels: int | None = None,
    size: tuple[int, ...] | None = None,
    value_range: tuple[float, float] | None = None,
    clip: bool = True,
    noise: float | None = None,
    recipe: str | Recipe = "balanced",
    network: nn.Module | Any | None = None,
    input: InputScheme | None = None,  # noqa: A002
    optimiser: OptimiserSettings | OptimiserFactory | None = None,
    loss: str | ElementLoss | None = None,
    regulariser: Callable[[Tensor], Tensor] | None = None,
    stopping: StoppingSettings | Criterion | None = None,
    iterations: int | None = None,
    time_budget: float | str | None = None,
    runs: int | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    precision: str = "auto",
    resume: str | Path | Snapshot | None = None,
    start_from: str | Path | None = None,
) -> Run:
    """Fit an untrained network to what was observed of a picture.

    Args:
        observed: (N, ...), real or complex: the operator's output for N pictures; (N, C, D, H, W), or ``size`` of three
            numbers, for a volume. NaN where it is unknown.
        operator: what happened to the picture: any differentiable callable from (N, C, H, W), in the units of
            ``value_range``, to the shape of ``observed``, or an object with ``A`` and ``A_adjoint``; None for nothing.
        mask: bool, broadcastable to ``observed``: True where it is known; default everywhere.
        weights: not negative, broadcastable to ``observed``: weights of the values in the loss, such as inverse
            variances; default equal.
        channels: of the picture; default those of ``observed``.
        size: height and width of the picture, or depth, height and width of a volume; default what the operator says,
            or that of ``observed``.
        value_range: lowest and highest value of the picture, in its own units, negative too; default 0 and 1, and for
            unsigned integers without an operator their whole range.
        clip: limit the picture to ``value_range``; False for a network without a sigmoid whose output is unbounded.
        noise: standard deviation of white normal noise in the observed picture, in its units, for R2R recipes.
        recipe: a name of ``untaught.RECIPES["fit"]``, or a `Recipe`.
        network: replaces the recipe's: an architecture, or any module (N, channels, H, W) -> (N, C, H, W).
        input: replaces the recipe's: an input scheme.
        optimiser: replaces the recipe's: settings, or a callable from a list of parameters to an optimiser.
        loss: replaces mean squares: "squared", "absolute", "poisson", or a callable (prediction, observed) -> loss, in
            the units of ``observed``.
        regulariser: a callable from the picture, in [0, 1] for the range, to a loss that is added.
        stopping: replaces the recipe's: a stop rule, or an object with ``update(state)``.
        iterations: the limit; default the recipe's.
        time_budget: seconds; default no limit.
        runs: number of fits from different seeds that are averaged; default the recipe's.
        seed: of the random numbers.
        device: "auto", "cpu", "cuda", "cuda:1", "xpu" or "mps".
        precision: "auto", "float32" or "bfloat16": of the arithmetic between layers.
        resume: a checkpoint that ``Run.save`` wrote, of the same call.
        start_from: a checkpoint of a fit of a similar picture by the same recipe, whose weights this one begins with.

    Returns:
        A run: iterate over its states and leave when you like; ``restoration()`` is the result so far, ``finish()``
        fits to the end. Pictures come back as (N, C, H, W) tensors in the units of ``value_range``.

    Raises:
        InputError: for input that cannot be used; SettingError for options. Nothing is fitted then.

    >>> run = fit(torch.rand(1, 3, 32, 32), iterations=100)
    >>> for state in run:
    ...     if state.iteration == 2:
    ...         break
    >>> run.restoration().picture.shape
    torch.Size([1, 3, 32, 32])
    """
    own_settings = _Own(channels=channels, size=size, value_range=value_range, clip=clip, noise=noise)
    channels, size, value_range, noise = (
        getattr(own_settings, name) for name in ("channels", "size", "value_range", "noise")
    )
    if not (resume is None or isinstance(resume, str | Path | Snapshot)):
        raise InputError(f"resume is the path of a checkpoint, or a snapshot: found a {type(resume).__name__}")
    given = _tensor("observed", observed)
    if given.ndim < 2 or 0 in given.shape:
        raise InputError(f"observed is (N, ...) with at least one of each: found {tuple(given.shape)}")
    if given.is_complex() and operator is None:
        raise InputError(
            "the observed picture is complex, and a picture has real channels: give an operator that joins two of "
            "them, such as lambda x: torch.complex(x[:, :1], x[:, 1:]), with channels=2"
        )
    known = _known(given, mask, operator)
    if operator is not None:
        operator = adapt(operator)
    size, channels = _picture_size(given, operator, size, channels)
    low, high = _range(given, known, operator, value_range)
    span = high - low
    values = given.to(torch.complex64 if given.is_complex() else torch.float32).cpu()
    called: Operator | None = operator
    if operator is None:
        # In double precision: values with a large offset would lose their differences.
        values = values if (low, high) == (0, 1) else ((given.cpu().double() - low) / span).float()
    elif (low, high) != (0, 1):
        called, values = _InUnits(called, low, span), values / span
    problem = Problem(
        observed=values,
        known=known.cpu(),
        operator=called,
        channels=channels,
        size=size,
        layout=Layout(given if operator is None else torch.empty(0, dtype=torch.float32), low, high, len(size) == 3),
        weights=None if weights is None else _weights(weights, given),
        unit=span,
        offset=low if operator is None else 0.0,
        clip=clip,
        notes=_range_note(values[known.cpu()]) if operator is None and clip else (),
        noise=None if noise is None else noise / span,
    )
    common: dict[str, Any] = {
        "recipe": recipe,
        "iterations": iterations,
        "time_budget": time_budget,
        "runs": runs,
        "seed": seed,
        "device": device,
        "precision": precision,
        "start_from": start_from,
    }
    own = {
        "network": network,
        "input": input,
        "optimiser": optimiser,
        "loss": loss,
        "regulariser": regulariser,
        "stopping": stopping,
    }
    job = make_job("fit", problem, FitOptions(**common), **own)
    check_network(job.recipe, problem)
    saved = load(Path(resume)) if isinstance(resume, str | Path) else resume
    run = job.begin(saved)
    run.check_operator(None if value_range is not None else _EXCESS)
    return run


@settings
class _Own:
    """The options of `fit` that are plain values."""

    channels: Count | None
    size: tuple[Annotated[int, NotBool], ...] | None
    value_range: tuple[Annotated[float, NotBool], Annotated[float, NotBool]] | None
    clip: Switch
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False), NotBool] | None


def _tensor(name: str, values: Tensor | ArrayLike) -> Tensor:
    """A tensor of what a user gives, without its graph."""
    try:
        given = (values if isinstance(values, Tensor) else torch.as_tensor(values)).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} is a tensor, or what torch makes one of: found {type(values).__name__}") from error
    if given.layout != torch.strided or given.is_quantized or given.device.type == "meta":
        raise InputError(f"{name} is a dense tensor with values: use to_dense(), dequantize(), or a device with memory")
    return given


def _known(observed: Tensor, mask: Tensor | ArrayLike | None, operator: object) -> Tensor:
    """Which observed values are known: finite ones that neither the mask nor the operator excludes."""
    known = torch.view_as_real(observed).isfinite().all(-1) if observed.is_complex() else observed.isfinite()
    for name, one in (("mask", mask), ("operator.known", getattr(operator, "known", None))):
        if one is None:
            continue
        given = _tensor(name, one).to(observed.device)
        if given.dtype != torch.bool:
            raise InputError(f"{name} is bool, True where a value is known: found {given.dtype}")
        try:
            known = known & given.expand_as(observed)
        except RuntimeError as error:
            raise InputError(
                f"{name} is {tuple(given.shape)} and does not broadcast to observed, {tuple(observed.shape)}"
            ) from error
    return known


def _weights(weights: Tensor | ArrayLike, observed: Tensor) -> Tensor:
    given = _tensor("weights", weights)
    if given.is_complex():
        raise InputError("weights are real numbers: found complex ones")
    given = given.float()
    try:
        given = given.expand(observed.shape)
    except RuntimeError as error:
        raise InputError(
            f"weights are {tuple(given.shape)} and do not broadcast to observed, {tuple(observed.shape)}"
        ) from error
    if not (given.isfinite().all() and (given >= 0).all() and given.any()):
        raise InputError("weights are finite and not negative, and not all are zero")
    return given


def _picture_size(
    observed: Tensor, operator: object, size: tuple[int, ...] | None, channels: int | None
) -> tuple[tuple[int, ...], int]:
    if size is None:
        input_size = getattr(operator, "input_size", None)
        if input_size is not None and observed.ndim == 4:
            size = input_size(tuple(observed.shape[2:]))
        elif observed.ndim in (4, 5):
            size = tuple(observed.shape[2:])
    if size is None or (channels is None and observed.ndim not in (4, 5)):
        raise InputError(
            f"observed is {tuple(observed.shape)} and no picture: say how many channels the picture has, and its size, "
            "by channels=... and size=(height, width)"
        )
    if len(size) not in (2, 3) or min(size) < 1:
        raise InputError(f"a picture's size is (height, width), a volume's (depth, height, width): found {size}")
    channels = channels or observed.shape[1]
    if operator is None and (channels, *size) != tuple(observed.shape[1:]):
        raise InputError(
            f"without an operator the picture itself was observed, {tuple(observed.shape)}: found channels={channels} "
            f"and size={tuple(size)}; leave them out, or give the operator"
        )
    return size, channels


def _range(
    observed: Tensor, known: Tensor, operator: object, value_range: tuple[float, float] | None
) -> tuple[float, float]:
    """The values of the picture that are 0 and 1 to the network."""
    if value_range is not None:
        low, high = value_range
        if not (low < high and max(-low, high) <= _LARGEST):
            raise InputError(
                f"value_range is two finite numbers, the lower first, up to {_LARGEST:g}: found {value_range}"
            )
        return low, high
    if operator is not None:
        return 0.0, 1.0
    if not observed.is_floating_point():
        if observed.dtype in (torch.uint8, torch.uint16):
            return 0.0, float(torch.iinfo(observed.dtype).max)
        raise InputError(
            f"{observed.dtype} has no range of its own: say what is black and white by value_range=(0, ...)"
        )
    values = observed[known]
    least, most = (float(values.min()), float(values.max())) if values.numel() else (0.0, 1.0)
    if least < -_OVERSHOOT or most > 1 + _OVERSHOOT:
        raise InputError(
            f"the observed values go from {least:g} to {most:g}, and a picture is expected in [0, 1]: say its lowest "
            f"and highest value, for instance value_range=({min(least, 0):g}, {most:g})"
        )
    return 0.0, 1.0


def _range_note(known: Tensor) -> tuple[str, ...]:
    """What to say if the known values, 0 and 1 for the range, lie beyond it for more than noise; nothing otherwise."""
    middle = float(known.median()) if known.numel() else 0.5
    if -_MARGIN <= middle <= 1 + _MARGIN:
        return ()
    side = "above" if middle > 1 else "below"
    return (
        f"half of the observed values are {side} the picture's range, which the result is limited to: say its lowest "
        "and highest value by value_range=(low, high), or allow others by clip=False",
    )


class _InUnits(nn.Module):
    """A user's operator, which takes pictures in the user's units, for pictures in [0, 1].

    Args:
        operator: from a picture in the user's units to the observation.
        low: the value that is 0 here.
        span: the distance from there to the value that is 1.
    """

    def __init__(self, operator: Operator | None, low: float, span: float) -> None:
        super().__init__()
        assert operator is not None
        self.operator = operator
        self.low = low
        self.span = span

    def forward(self, picture: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to the observation, divided by the span."""
        return self.operator(self.low + self.span * picture) / self.span
