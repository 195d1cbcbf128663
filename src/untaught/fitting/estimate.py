"""What a fit will take, told before it begins: time and memory."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untaught.backend.engine import Engine
from untaught.fitting.gaps import RADII, WIDE, width_classes
from untaught.fitting.memory import needed_memory
from untaught.fitting.problem import Problem
from untaught.fitting.recipe import Recipe
from untaught.imaging.group_completion import AGAIN, FROM_SMOOTH, GroupCompletion, Schedule
from untaught.priors.encoder_decoder import NetworkSettings
from untaught.priors.patches import patch_size

__all__ = ["Estimate", "estimate"]

_ITERATION = 4.3
"""An iteration takes so many times as long as the network alone, forward (measured at 96 to 512 pixels)."""

_TRIED = 64
"""Side of the picture by which a completion is timed, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a fit will take.

    Attributes:
        iterations: at most.
        seconds: for so many iterations on this machine as busy as it is now, or the time budget if that is less.
        memory: bytes, of the network and its arithmetic; None for a network that is not ours.
        strips: strips of the picture that are fitted; 0 for the whole picture.
    """

    iterations: int
    seconds: float
    memory: float | None
    strips: int

    def __str__(self) -> str:
        parts = [f"at most {self.iterations} iterations", f"about {_readable(self.seconds)} on this machine"]
        if self.memory is not None:
            parts.append(f"{self.memory / 1e9:.1f} GB")
        where = f" of {self.strips} strips around the damage" if self.strips else ""
        return f"the fit{where} takes {', '.join(parts)}"


def estimate(
    problem: Problem, recipe: Recipe, engine: Engine, network: nn.Module, input_channels: int, budget: float | None
) -> Estimate | None:
    """Time the network once and reckon from there; None on accelerators, whose work is not timed like that.

    Args:
        problem: what will be fitted.
        recipe: how.
        engine: how a step runs.
        network: as it will be fitted; it is not changed.
        input_channels: of the network.
        budget: seconds that the fit may take; None for no limit.
    """
    if engine.device.type != "cpu":
        return None
    shape: Sequence[int] = problem.size if recipe.patch is None else patch_size(problem.size, recipe.patch)
    pictures = len(problem.observed)
    shown = torch.linspace(0, 1, input_channels)[None, :, None].expand(pictures * recipe.runs, -1, shape[0])
    shown = shown[(..., *[None] * (len(shape) - 1))].expand(-1, -1, *shape).contiguous()
    again, seconds = copy.deepcopy(network), 0.0
    # The first time is for what is set up once. A network of the user's own may draw random numbers.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.no_grad():
        for _ in range(2):
            started = time.perf_counter()
            engine.run(again, shown)
            seconds = time.perf_counter() - started
    memory = None
    if isinstance(recipe.network, NetworkSettings):
        memory = needed_memory(recipe, pictures * max(1, len(problem.layers)), problem.size, engine)
    total = _ITERATION * seconds * recipe.iterations
    if recipe.groups and problem.classical is not None:
        total += _completion(problem.known)
    return Estimate(
        iterations=recipe.iterations,
        seconds=total if budget is None else min(total, budget),
        memory=memory,
        strips=len(problem.strips),
    )


def _completion(known: Tensor) -> float:
    """Seconds that completing a picture by groups of blocks takes, from a small one."""
    # As good as random, without a draw.
    small = (0.618034 * torch.arange(known.shape[1] * _TRIED**2) % 1).view(1, known.shape[1], _TRIED, _TRIED)
    dropped = (torch.arange(_TRIED**2) % 2 == 0).view(1, 1, _TRIED, _TRIED).expand_as(small)
    few = Schedule((*FROM_SMOOTH.fixed[:2], 2), (*FROM_SMOOTH.adaptive[:2], 3))
    seconds = 0.0
    # The first time is for what is set up once.
    for _ in range(2):
        completion, started = GroupCompletion(small, dropped, few), time.perf_counter()
        while not completion.finished:
            completion.step()
        seconds = time.perf_counter() - started
    times = (len(FROM_SMOOTH.steps) + len(AGAIN.steps)) / len(few.steps)
    gaps = (~known & (width_classes(known, RADII[WIDE : WIDE + 1]) == 0)).any(1, keepdim=True)
    touched = float(F.max_pool2d(gaps.float(), 7, 1, 3).sum()) / _TRIED**2
    return times * touched * seconds


def _readable(seconds: float) -> str:
    """A time in the largest unit that says enough."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}".replace(".0", "")
    return f"{max(1, round(seconds))} s"
