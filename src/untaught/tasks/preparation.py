"""The door that every task walks through: from what a user gives to a job, with nothing begun."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from untaught.errors import InputError, SettingError
from untaught.fitting.problem import Problem
from untaught.fitting.run import Job
from untaught.imaging.arrays import to_tensor
from untaught.tasks.catalogue import TASKS, Options, check_names, find_task
from untaught.tasks.jobs import make_job

__all__ = ["prepare"]

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
    return make_job(task, problem, options)
