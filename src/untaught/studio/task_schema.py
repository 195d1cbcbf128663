"""The tasks and options that the studio's page offers, and the check of what the page sends back.

Both come from the settings classes of the tasks: the form from their JSON schema, the check from the classes.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from untaught.errors import SettingError
from untaught.settings import check_names
from untaught.tasks.options import FitOptions, Option, build
from untaught.tasks.registry import TASKS, InputFile, Task, find_task

__all__ = ["check_settings", "command_line", "describe", "find_offer", "mask_need", "offers", "second_files"]

_QUALITIES = ("fast", "balanced", "best")
"""Recipes that the page offers at once; the others are in a list, or offered where a note names them."""

# The page shows these common options; the rest is for the command line. White always means known here.
_SHOWN = (
    *("volume", "recipe", "time_budget", "iterations", "runs", "seed", "value_range", "missing_value", "device"),
    "precision",
)
_NOT_SHOWN = ("mask_marks",)
# What is asked first; the rest is under "More settings".
_FIRST = ("volume", "recipe", "strength", "factor", "blur", "radius", "pattern")
_OF_MARKS = ("feather",)
"""What is set beside the marks."""
_WHERE = {"volume": "pages", "value_range": "depth"}
"""Options that mean something for some pictures only: of several pages, or of more than 8 bits."""
_LARGEST_SLIDER = 100

_SECOND = ("guide", "other", "kernel")


def offers() -> list[Task]:
    """The tasks that need only pictures and a mask."""
    return [
        task
        for task in TASKS.values()
        if task.picture
        and all(file.role in ("mask", *_SECOND) or not file.required for file in task.files)
        and not any(option.required for option in task.own_options)
    ]


def find_offer(name: str) -> Task:
    """Look up one of them.

    Raises:
        SettingError: for an unknown name.
    """
    task = find_task(name)
    if task not in offers():
        raise SettingError(f"{name} needs more than pictures and a mask: use the command line")
    return task


def mask_need(task: Task) -> str:
    """Whether a mask is "needed", "optional", or of no use, "none"."""
    masks = [file for file in task.files if file.role == "mask"]
    return "none" if not masks else "needed" if masks[0].required else "optional"


def second_files(task: Task) -> list[InputFile]:
    """The pictures that a task takes besides the first one."""
    return [file for file in task.files if file.role in _SECOND]


def describe(task: Task, devices: Sequence[str] = ()) -> dict[str, Any]:
    """A task as plain values; "settings" are the options that can be sent with a job.

    Args:
        task: the task.
        devices: of this machine, to choose from; empty while they are not known.
    """
    return {
        "name": task.name,
        "about": task.about,
        "mask": mask_need(task),
        "files": [{"role": file.role, "about": file.about, "required": file.required} for file in second_files(task)],
        "settings": [_describe(option, task, devices) for option in _options(task)],
    }


def _options(task: Task) -> list[Option]:
    """The options that the page shows; of those of several values its form has only the value range."""
    common = [option for option in task.common_options if option.name in _SHOWN]
    own = [option for option in task.own_options if option.name not in _NOT_SHOWN]
    return [*(option for option in own if not isinstance(option.usage.metavar, tuple)), *common]


def _describe(option: Option, task: Task, devices: Sequence[str]) -> dict[str, Any]:
    is_recipe = option.name == "recipe"
    choices = option.choices
    rare: tuple[str, ...] = ()
    if is_recipe:
        first = tuple(name for name in _QUALITIES if name in task.recipe_names) or task.recipe_names
        rare = tuple(name for name in task.recipe_names if name not in first)
        choices = first + rare
    elif option.name == "device":
        choices = tuple(devices) or (str(option.default),)
    return {
        "name": option.name,
        "about": option.text,
        "kind": _kind(option, choices),
        "default": option.default,
        "choices": choices,
        "rare": rare,
        "least": option.schema.get("minimum"),
        "most": option.schema.get("maximum"),
        "step": 1 if option.schema.get("type") == "integer" else 0.05,
        "place": "marks" if option.name in _OF_MARKS else "first" if option.name in _FIRST else "more",
        "where": _WHERE.get(option.name, ""),
    }


def _kind(option: Option, choices: Sequence[str]) -> str:
    if isinstance(option.usage.metavar, tuple):
        return "ends"
    if choices:
        return "choice"
    kind, least, most = (option.schema.get(name) for name in ("type", "minimum", "maximum"))
    if kind in ("number", "integer") and least == 0 and most is not None and most <= _LARGEST_SLIDER:
        return "range"
    if kind == "array":
        return "words"
    return "flag" if option.is_switch else "word"


def check_settings(task: Task, given: Mapping[str, object]) -> dict[str, Any]:
    """Check the options of a job.

    Args:
        task: the task.
        given: its options by name; a null or empty one keeps its default.

    Returns:
        The recipe and the other options given, as plain values.

    Raises:
        SettingError: for an option that the task does not have, or an impossible value.
    """
    check_names(given, [option.name for option in _options(task)], kind=f"option of {task.name}:")
    chosen = {name: value for name, value in given.items() if value is not None and value != ""}
    recipe = chosen.setdefault("recipe", task.recipe_names[0])
    check_names([str(recipe)], task.recipe_names, kind=f"recipe for {task.name}:")
    built = build(chosen, task.settings, FitOptions)
    values = {field.name: getattr(part, field.name) for part in built for field in dataclasses.fields(part)}
    return {name: values[name] for name in chosen}


def command_line(
    task: Task,
    settings: Mapping[str, Any],
    names: Mapping[str, str],
    continue_for: Sequence[int] = (),
    page: int | None = None,
    more: Sequence[str] = (),
) -> str:
    """The command line that gives the same picture.

    Args:
        task: the task.
        settings: as `check_settings` returned them.
        names: of the files: "picture", "result", and other input files by role.
        continue_for: iterations that were added after the end, once for each time.
        page: of the picture's file; None for its only one.
        more: further words.
    """
    words = ["untaught", task.name, names["picture"], *([] if page is None else ["--page", str(page)])]
    for file in task.files:
        if file.role in names:
            words += [f"--{file.role}", names[file.role]]
    words += more
    words += ["-o", names["result"]]
    for option in _options(task):
        value = settings.get(option.name, option.default)
        if option.is_switch:
            words += [option.usage.negative if option.default else option.flag] if value != option.default else []
        elif option.name in settings:
            words += _words(option, value)
    checkpoint = f"{names['result']}.checkpoint"
    if continue_for:
        words += ["--checkpoint", checkpoint]
    resumed = [["untaught", "resume", checkpoint, "--continue-for", str(iterations)] for iterations in continue_for]
    return " && ".join(shlex.join(line) for line in [words, *resumed])


def _words(option: Option, value: Any) -> list[str]:
    """An option of the command line: with its values behind it, or once for each of several."""
    if not isinstance(value, list | tuple):
        return [option.flag, str(value)]
    values = [f"{one:.12g}" for one in value]
    if isinstance(option.usage.metavar, tuple):
        return [option.flag, *values]
    return [word for one in values for word in (option.flag, one)]
