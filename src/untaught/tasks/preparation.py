"""From what a user gives to a job that is ready to be fitted, and to its result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from untaught.backend.engine import choose_engine
from untaught.errors import InputError, SettingError
from untaught.fitting.memory import available_memory, fitted_to_memory
from untaught.fitting.problem import Problem
from untaught.fitting.run import Job, Run
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout, to_tensor
from untaught.physics.operators import Physics
from untaught.recipes import RECIPES, Recipe, find_recipe
from untaught.tasks.options import FitOptions, build
from untaught.tasks.registry import TASKS, Task, find_task

__all__ = ["fit", "prepare", "run_task"]


def run_task(
    task: str, image: ArrayLike | Tensor | None = None, *, observers: Sequence[Observer] = (), **given: Any
) -> Restoration:
    """Run a task by name.

    Args:
        task: its name, one of `untaught.TASKS`.
        image: the picture: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1], or an (N, C, H, W) tensor; None
            for a task that starts from no picture.
        observers: called with each `State` of the fit.
        **given: the task's input files by role, its own options, and those of `FitOptions`.

    Returns:
        The restoration; for most tasks, its picture has the shape and type of ``image``.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> run_task("denoise", np.full((16, 16), 90, np.uint8), noise=5, iterations=2).picture.shape
    (16, 16)
    """
    return prepare(task, image, **given).run(observers)


def prepare(task: str, image: ArrayLike | Tensor | None, mask: ArrayLike | Tensor | None = None, **given: Any) -> Job:
    """Read and check everything that a task needs; nothing is fitted yet.

    Args:
        task: name of a task.
        image: the picture; see the task's own function. None for a task that starts from no picture, or where something
            else is given instead.
        mask: for the tasks that take one.
        **given: the task's other input files by role, its own options, and those of `FitOptions`.

    Raises:
        InputError: for unusable input.
    """
    entry = find_task(task)
    if mask is not None:
        given["mask"] = mask
    if given.get("volume") and not entry.volumes:
        able = ", ".join(name for name, other in TASKS.items() if other.volumes)
        raise InputError(f"{task} is for pictures, not yet for volumes: {able} and untaught.fit take them")
    roles = (*(file.role for file in entry.files), *entry.instead)
    settings, options = build(given, entry.settings, FitOptions, more=roles)
    more = {role: given[role] for role in roles if given.get(role) is not None}
    for file in entry.files:
        if file.required and file.role not in more:
            raise InputError(f"{task} needs a {file.role}: {file.about}")
    problem = _read(entry, image, settings, options, more)
    if not problem.recipes and task not in RECIPES:
        problem = dataclasses.replace(problem, recipes="fit")
    own = {recipe.name: recipe for recipe in entry.recipes if isinstance(recipe, Recipe)}
    if isinstance(options.recipe, str) and options.recipe in own:
        options = dataclasses.replace(options, recipe=own[options.recipe])
    return _job(task, problem, options)


def _read(entry: Task, image: Any, settings: Any, options: FitOptions, more: dict[str, Any]) -> Problem:
    """The problem of a picture, or of what is given instead."""
    instead = [name for name in entry.instead if name in more]
    if entry.read is not None and not instead:
        whole = np.asarray(image) if image is None else image
        picture, layout = to_tensor(whole, options.value_range, volume=options.volume)
        return entry.read(picture, layout, settings, **more)
    if image is not None:
        raise InputError(f"{entry.name} starts from {' and '.join(instead) or 'nothing'}: a picture was given too")
    if len(instead) < len(entry.instead):
        raise InputError(f"without a picture, {entry.name} needs {' and '.join(entry.instead)}")
    if options.value_range is not None:
        raise SettingError("value_range is for pictures: leave it out where there is none")
    assert entry.read_without is not None, "a task has read or read_without"
    return entry.read_without(settings, **more)


def fit(
    observed: Tensor,
    operator: Any = None,
    *,
    channels: int | None = None,
    size: tuple[int, ...] | None = None,
    **options: Any,
) -> Run:
    """Fit a network to what was observed of a picture: the door that every task walks through.

    Args:
        observed: (N, ...), float32: what the operator made of N pictures; a volume where it is (N, C, D, H, W), or
            where ``size`` says so.
        operator: what happened to the picture, any differentiable callable, or an object with ``A`` and ``A_adjoint``;
            nothing if None.
        channels: channels of the picture, if not those of ``observed``.
        size: height and width of the picture, or depth, height and width of a volume, if not those of ``observed``.
        **options: see `FitOptions`; ``recipe`` is the name of one for "fit", or a `Recipe`.

    Returns:
        An iterable of states, to be left when you like; its ``restoration()`` is the result so far.

    >>> run = fit(torch.rand(1, 3, 32, 32), iterations=100)
    >>> for state in run:
    ...     if state.iteration == 2:
    ...         break
    >>> run.restoration().picture.shape
    torch.Size([1, 3, 32, 32])
    """
    (settings,) = build(options, FitOptions)
    if observed.ndim < 2 or 0 in observed.shape:
        raise InputError(f"what was observed is (N, ...) with at least one of each: found {tuple(observed.shape)}")
    if observed.ndim not in (4, 5) and (channels is None or size is None):
        raise InputError(
            f"what was observed is {tuple(observed.shape)} and no picture: say how many channels the picture has, and "
            "its size, by channels=... and size=(height, width)"
        )
    size = tuple(size or observed.shape[2:])
    if len(size) not in (2, 3) or (settings.volume and len(size) == 2):
        raise InputError(f"a picture's size is (height, width), a volume's (depth, height, width): found {size}")
    if operator is not None and not callable(operator):
        operator = Physics(operator)
    known: Tensor | None = getattr(operator, "known", None)
    problem = Problem(
        observed=observed,
        known=torch.ones_like(observed, dtype=torch.bool) if known is None else known.cpu().expand_as(observed),
        operator=operator,
        channels=channels or observed.shape[1],
        size=size,
        layout=Layout(observed, 0.0, 1.0, len(size) == 3),
    )
    return _job("fit", problem, settings).begin()


def _job(task: str, problem: Problem, options: FitOptions) -> Job:
    dimensions = len(problem.size)
    row = "volume" if dimensions == 3 else problem.recipes or task
    recipe = options.recipe if isinstance(options.recipe, Recipe) else find_recipe(row, options.recipe)
    recipe = dataclasses.replace(recipe, network=dataclasses.replace(recipe.network, dimensions=dimensions))
    shows = recipe.thinning is not None or recipe.recorruption is not None
    others = ", ".join(other.name for other in RECIPES[row])
    if shows and problem.operator is not None:
        raise SettingError(
            f"the recipe {recipe.name} shows the network what is known of a picture, and an operator's observation is "
            f"no picture: choose one of {others}"
        )
    if recipe.recorruption is not None and problem.noise is None:
        raise SettingError(f"the recipe {recipe.name} is for noise, and none is known of here: choose one of {others}")
    if not isinstance(options.recipe, Recipe):
        recipe = recipe.for_size(problem.size)
    if options.iterations is not None:
        recipe = dataclasses.replace(recipe, iterations=options.iterations)
    if options.runs is not None:
        recipe = dataclasses.replace(recipe, runs=options.runs)
    engine = choose_engine(options.device, options.precision)
    if dimensions == 3:
        # They are written for pictures.
        engine = dataclasses.replace(engine, kernels=None)
    if not isinstance(options.recipe, Recipe):
        # One of the user's own, or of a record that is to be repeated, is left as it is.
        drawn = len(problem.observed) * max(1, len(problem.layers))
        available = available_memory(engine.device)
        recipe, sentence = fitted_to_memory(recipe, drawn, problem.size, engine, available)
        if sentence is not None:
            problem = dataclasses.replace(problem, notes=(sentence, *problem.notes))
    return Job(
        task=task,
        problem=problem,
        recipe=recipe,
        engine=engine,
        seed=options.seed,
        time_budget=options.time_budget,
    )
