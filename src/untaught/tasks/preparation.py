"""From what a user gives to a job that is ready to be fitted, and to its result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from untaught.backend.ambience import undisturbed
from untaught.errors import InputError, SettingError
from untaught.fitting.problem import Problem
from untaught.fitting.run import Job
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import to_tensor, value_range_of
from untaught.imaging.atlas import LARGEST_PATCH, Atlas
from untaught.recipes import RECIPES, Recipe, find_recipe
from untaught.tasks.jobs import make_job
from untaught.tasks.options import FitOptions, build
from untaught.tasks.registry import TASKS, Task, find_task

__all__ = ["prepare", "run_task"]


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


@undisturbed()
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
    if isinstance(given.get("volume"), bool | np.bool_) and given["volume"] and not entry.volumes:
        able = ", ".join(name for name, other in TASKS.items() if other.volumes)
        raise InputError(f"{task} is for pictures, not yet for volumes: {able} and untaught.fit take them")
    roles = (*(file.role for file in entry.files), *entry.picture_alternatives)
    settings, options = build(given, entry.settings, FitOptions, more=roles)
    more = {role: given[role] for role in roles if given.get(role) is not None}
    for file in entry.files:
        if file.required and file.role not in more:
            raise InputError(f"{task} needs a {file.role}: {file.about}")
    problem = _read(entry, image, settings, options, more)
    if not problem.recipe_row and task not in RECIPES:
        problem = dataclasses.replace(problem, recipe_row="fit")
    own = {recipe.name: recipe for recipe in entry.recipes if isinstance(recipe, Recipe)}
    if isinstance(options.recipe, str) and options.recipe in own:
        options = dataclasses.replace(options, recipe=own[options.recipe])
    return make_job(task, problem, options)


def _local(
    entry: Task, image: Any, settings: Any, options: FitOptions, more: dict[str, Any]
) -> tuple[Atlas, dict[str, Any]] | None:
    """An atlas of what has to be fitted, and the input files cut in the same way; None to fit the whole picture."""
    plain = isinstance(image, np.ndarray) and not isinstance(image, np.ma.MaskedArray) and image.ndim in (2, 3)
    if entry.localise is None or options.volume or not plain:
        return None
    recipe = options.recipe if isinstance(options.recipe, Recipe) else find_recipe(entry.name, options.recipe)
    if not recipe.shows_picture or recipe.patch is None or recipe.patch > LARGEST_PATCH:
        return None
    return entry.localise(image, settings, **more)


def _read(entry: Task, image: Any, settings: Any, options: FitOptions, more: dict[str, Any]) -> Problem:
    """The problem of a picture, or of what is given instead."""
    instead = [name for name in entry.picture_alternatives if name in more]
    if entry.read is not None and not instead:
        whole = np.asarray(image) if image is None else image
        local = _local(entry, whole, settings, options, more)
        if local is None:
            picture, layout = to_tensor(whole, options.value_range, volume=options.volume)
            return entry.read(picture, layout, settings, **more)
        atlas, files = local
        picture, layout = to_tensor(atlas.cut(whole), value_range_of(whole, options.value_range))
        return entry.read(picture, dataclasses.replace(layout, atlas=atlas, whole=whole), settings, **files)
    if image is not None:
        raise InputError(f"{entry.name} starts from {' and '.join(instead) or 'nothing'}: a picture was given too")
    if len(instead) < len(entry.picture_alternatives):
        raise InputError(f"without a picture, {entry.name} needs {' and '.join(entry.picture_alternatives)}")
    if options.value_range is not None:
        raise SettingError("value_range is for pictures: leave it out where there is none")
    assert entry.read_without is not None, "a task has read or read_without"
    return entry.read_without(settings, **more)
