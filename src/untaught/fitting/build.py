"""Puts the parts of a fit together: networks, samplers, optimiser, objective."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import torch
from torch import Tensor, nn

from untaught.backend.engine import Engine
from untaught.errors import SettingError
from untaught.fitting.divergence import DivergenceGuard
from untaught.fitting.loop import Fit
from untaught.fitting.losses import DataLoss, Objective, Regularised
from untaught.fitting.mean_weights import MeanWeights
from untaught.fitting.optimisers import build_optimiser
from untaught.fitting.problem import Problem
from untaught.fitting.recipe import Recipe
from untaught.physics.operator import Operator
from untaught.priors.patches import patch_count
from untaught.priors.sampler import InputSampler, Measurement, SideBySide

__all__ = ["build_fit", "build_objective", "repeated"]

_RIM = 16
"""Width of the rim of a small patch whose outputs are trusted less, in pixels."""

_LAYER_SEEDS = 500_009
"""Distance of the seeds of two layers, so that their initial weights differ, and from those of every run."""


def build_fit(
    problem: Problem,
    recipe: Recipe,
    *,
    engine: Engine,
    seed: int,
    learnt: nn.Module | None = None,
    held: Tensor | None = None,
) -> Fit:
    """Build the networks, samplers and optimiser of a fit, one network for each picture, layer and run.

    Args:
        problem: what is known of the pictures.
        recipe: how to fit.
        engine: how a step runs.
        seed: of the first run; the others count on from it.
        learnt: the operator, on the engine's device, if it is learnt with the network.
        held: the values that are held out, to compare the output with; None if none are.
    """
    wanted = problem.wanted(held) if recipe.classical else None
    networks: list[nn.Module] = []
    samplers: list[InputSampler] = []
    for run in range(recipe.runs):
        for number in range(len(problem.observed)):
            # Each picture of a batch starts from the same numbers, so it gives what it would give alone.
            generator = torch.Generator(engine.device).manual_seed(seed + run)
            measurement = _measurement(problem, number, engine.device, None if wanted is None else wanted[number])
            sampler = recipe.input.build(measurement, generator)
            sampler.accelerate(engine.kernels)
            samplers.append(sampler)
            for layer, channels in enumerate(problem.layers or (problem.channels,)):
                own = seed + run + _LAYER_SEEDS * layer
                networks.append(_network(recipe, sampler.channels, channels, own, first=run == 0 and layer == 0))
    network = engine.assemble(networks, len(problem.layers) or 1)
    sampler = samplers[0] if len(samplers) == 1 else SideBySide(samplers)
    modules = [network] if learnt is None else [network, learnt]
    return Fit(
        network,
        sampler,
        build_optimiser(recipe.optimiser, *modules),
        DivergenceGuard(engine.guard_interval, jump=_jump(problem, recipe)),
        runs=recipe.runs,
        operator=learnt,
        clip=problem.clip,
        rim=_RIM if recipe.classical else 0,
        mean=MeanWeights(network) if recipe.classical and problem.classical and held is not None else None,
    )


def _jump(problem: Problem, recipe: Recipe) -> float | None:
    """The factor by which the loss may exceed its mean; None for no limit."""
    if problem.signed:
        return None
    # The losses of two patches are as different as a sky and a page of print.
    patched = recipe.patch is not None and patch_count(problem.size, recipe.patch) > 1
    return 1000.0 if patched else 10.0


def _measurement(problem: Problem, number: int, device: torch.device, wanted: Tensor | None) -> Measurement:
    """What the sampler of one picture may use."""
    one = slice(number, number + 1)
    return Measurement(
        observed=problem.observed[one].to(device),
        known=problem.known[one].to(device),
        channels=problem.channels,
        size=problem.size,
        is_picture=problem.operator is None,
        noise=problem.noise,
        channel_noise=None if problem.channel_noise is None else problem.channel_noise.to(device),
        modelled_noise=None if problem.modelled_noise is None else functools.partial(problem.modelled_noise, number),
        guide=None if problem.guide is None else problem.guide[one].to(device),
        wanted=wanted,
        strips=problem.strips,
    )


def _network(recipe: Recipe, input_channels: int, channels: int, seed: int, *, first: bool) -> nn.Module:
    """A network with the initial weights of a seed; a user's module keeps its own in the first run."""
    if isinstance(recipe.network, nn.Module):
        own = copy.deepcopy(recipe.network)
        return own if first else _reinitialised(own, seed)
    architecture: Any = recipe.network
    if dataclasses.is_dataclass(architecture):
        architecture = dataclasses.replace(recipe.network, input_channels=input_channels)
    built: nn.Module = architecture.build(channels, torch.Generator().manual_seed(seed))
    return built


def _reinitialised(network: nn.Module, seed: int) -> nn.Module:
    """The module with new initial weights, drawn by its layers' own ``reset_parameters``."""
    resettable = [module for module in network.modules() if callable(getattr(module, "reset_parameters", None))]
    if not resettable:
        raise SettingError(
            "several runs need new weights for each, and the network's layers have no reset_parameters(): use runs=1, "
            "or give the network that method"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in resettable:
            module.reset_parameters()  # type: ignore[operator]
    return network


def build_objective(problem: Problem, recipe: Recipe, observed: Tensor, operator: Operator, known: Tensor) -> Objective:
    """Build the loss of a stage of a fit.

    Args:
        problem: its own loss is used unless the recipe has one, or the problem weights.
        recipe: its loss and regulariser.
        observed: (N, ...), on the device.
        operator: on the device.
        known: the values to compare in this stage.
    """
    runs = recipe.runs
    observed, known = (repeated(one, runs) for one in (observed, known))
    if runs > 1:
        operator = _PerRun(operator, runs)
    objective: Objective
    if recipe.element_loss is not None or problem.weights is not None:
        weights = problem.weights
        if weights is not None:
            weights = repeated(weights.to(observed.device).expand(observed.shape[0] // runs, *observed.shape[1:]), runs)
        objective = DataLoss(observed, operator, known, recipe.element_loss, weights, problem.unit, problem.offset)
    else:
        objective = problem.objective(observed, operator, known)
    return objective if recipe.regulariser is None else Regularised(objective, recipe.regulariser)


class _PerRun:
    """An operator for the pictures of several runs: it sees those of one run at a time, as its own data expects."""

    def __init__(self, operator: Operator, runs: int) -> None:
        self.operator = operator
        self.runs = runs

    def __call__(self, picture: Tensor) -> Tensor:
        return torch.cat([self.operator(one) for one in picture.chunk(self.runs)])


def repeated(tensor: Tensor, runs: int) -> Tensor:
    """(N, ...) to (runs * N, ...), run after run; of one run the tensor itself."""
    return tensor if runs == 1 else tensor.repeat(runs, *[1] * (tensor.ndim - 1))
