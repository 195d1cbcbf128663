"""The door that every task walks through: from what a user gives to a job, with nothing begun."""

from __future__ import annotations

import dataclasses
import importlib
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
from untaught.imaging.arrays import Layout, to_tensor
from untaught.physics.foreign import adapt
from untaught.recipes import RECIPES, Recipe, find_recipe
from untaught.tasks.catalogue import TASKS, Options, check_names, find_task

__all__ = ["fit", "prepare"]

_COMMON = tuple(field.name for field in dataclasses.fields(Options))


def prepare(task: str, image: ArrayLike | Tensor | None, mask: ArrayLike | Tensor | None = None, **given: Any) -> Job:
    """Read and check everything that a task needs, and begin nothing.

    Args:
        task: name of a task.
        image: the picture; see the task's own function. None for a task that starts from none, or where something
            else is given in its place.
        mask: for the tasks that take one.
        **given: what else the task takes, its settings, and `Options`.

    Raises:
        InputError: for input that cannot be worked on.
    """
    entry = find_task(task)
    if mask is not None:
        given["mask"] = mask
    roles = [*(file.role for file in entry.files), *entry.instead]
    own = [setting.name for setting in entry.own_settings]
    check_names(given, [*roles, *own, *_COMMON], kind="option")
    options = Options(**{name: given[name] for name in _COMMON if name in given})
    if options.volume and not entry.volumes:
        able = ", ".join(name for name, other in TASKS.items() if other.volumes)
        raise InputError(f"{task} is for pictures, not yet for volumes: {able} and untaught.fit take them")
    settings = entry.settings(**{name: given[name] for name in own if name in given})
    pictures = {role: given[role] for role in roles if given.get(role) is not None}
    for file in entry.files:
        if file.required and file.role not in pictures:
            raise InputError(f"{task} needs a {file.role}: {file.about}")
    module = importlib.import_module(f"untaught.tasks.{entry.module}")
    problem: Problem
    instead = [name for name in entry.instead if name in pictures]
    if not entry.picture or instead:
        if image is not None:
            raise InputError(f"{task} starts from {' and '.join(instead) or 'nothing'}: a picture was given too")
        if len(instead) < len(entry.instead):
            raise InputError(f"without a picture, {task} needs {' and '.join(entry.instead)}")
        if options.value_range is not None:
            raise SettingError("without a picture there are no values that a value_range could be of")
        problem = module.read_without(settings, **pictures)
    else:
        whole = np.asarray(image) if image is None else image
        picture, layout = to_tensor(whole, options.value_range, volume=options.volume)
        problem = module.read(picture, layout, settings, **pictures)
    return _job(task, problem, options)


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
        **options: see `Options`; ``recipe`` is the name of one for "fit", or a `Recipe`.

    Returns:
        An iterable of states, to be left when you like; its ``restoration()`` is the result so far.

    >>> run = fit(torch.rand(1, 3, 32, 32), iterations=100)
    >>> for state in run:
    ...     if state.iteration == 2:
    ...         break
    >>> run.restoration().picture.shape
    torch.Size([1, 3, 32, 32])
    """
    check_names(options, _COMMON, kind="option")
    if observed.ndim < 2 or 0 in observed.shape:
        raise InputError(f"what was observed is (N, ...) with at least one of each: found {tuple(observed.shape)}")
    if observed.ndim not in (4, 5) and (channels is None or size is None):
        raise InputError(
            f"what was observed is {tuple(observed.shape)} and no picture: say how many channels the picture has, and "
            "its size, by channels=... and size=(height, width)"
        )
    settings, size = Options(**options), tuple(size or observed.shape[2:])
    if len(size) not in (2, 3) or (settings.volume and len(size) == 2):
        raise InputError(f"a picture's size is (height, width), a volume's (depth, height, width): found {size}")
    if operator is not None:
        operator = adapt(operator)
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


def _job(task: str, problem: Problem, options: Options) -> Job:
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
