"""What the studio offers of the catalogue of tasks: what a page has to know, and what it sends back, checked."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from untaught.errors import SettingError
from untaught.tasks.catalogue import TASKS, Options, Setting, Task, find_task, settings_of

__all__ = ["check_settings", "command_line", "describe", "find_offer", "mask_need", "offers", "title"]

_TITLES = {
    "inpaint": "Fill in what is painted over",
    "restore": "Fill in scattered pixels",
    "denoise": "Take the noise off",
    "upscale": "Make it larger",
    "deblur": "Sharpen a blur",
    "demosaic": "Fill in a sensor's mosaic",
}
_QUALITIES = ("fast", "balanced", "best")
# The common settings that a page shows; the rest is for the command line. Masks are always white for known here.
_SHOWN = ("recipe", "time_budget", "iterations", "runs", "seed", "device")
_NOT_SHOWN = ("mask_marks",)


def offers() -> list[Task]:
    """The tasks that need nothing besides a picture and a mask."""
    return [
        task
        for task in TASKS.values()
        if task.picture
        and all(file.role == "mask" or not file.required for file in task.files)
        and not any(setting.required for setting in task.own_settings)
    ]


def find_offer(name: str) -> Task:
    """Look up one of them.

    Raises:
        SettingError: for a name that is not there.
    """
    task = find_task(name)
    if task not in offers():
        raise SettingError(f"{name} needs more, or less, than a picture and a mask: it is for the command line")
    return task


def mask_need(task: Task) -> str:
    """Whether a mask is "needed", "optional" or of no use, "none"."""
    masks = [file for file in task.files if file.role == "mask"]
    return "none" if not masks else "needed" if masks[0].required else "optional"


def title(task: Task) -> str:
    """What a page calls a task."""
    return _TITLES.get(task.name, task.name.capitalize())


def describe(task: Task) -> dict[str, Any]:
    """A task as plain values: "settings" are those that can be sent with a job."""
    return {
        "name": task.name,
        "title": title(task),
        "about": task.about,
        "mask": mask_need(task),
        "settings": [_describe(setting) for setting in _settings(task)],
    }


def _settings(task: Task) -> list[Setting]:
    common = [setting for setting in settings_of(Options) if setting.name in _SHOWN]
    own = [setting for setting in task.own_settings if setting.name not in _NOT_SHOWN]
    return [*(setting for setting in own if not isinstance(setting.metavar, tuple)), *common]


def _describe(setting: Setting) -> dict[str, Any]:
    choices = _QUALITIES if setting.name == "recipe" else setting.choices
    kind = "choice" if choices else "flag" if isinstance(setting.default, bool) else "word"
    return {
        "name": setting.name,
        "title": {"recipe": "quality"}.get(setting.name, setting.name.replace("_", " ")).capitalize(),
        "about": "Fast is a usable picture, best takes longer." if setting.name == "recipe" else setting.about,
        "kind": kind,
        "default": setting.default,
        "choices": choices or (),
        "common": setting.name not in (*_SHOWN[1:], "keep_known"),
    }


def check_settings(task: Task, given: Mapping[str, object]) -> dict[str, Any]:
    """The settings of a job, read as the command line reads them; what is null or empty is left as it is there.

    Raises:
        SettingError: for a setting that the task does not have, or a value that it cannot have.
    """
    known = {setting.name: setting for setting in _settings(task)}
    chosen: dict[str, Any] = {"recipe": task.recipes[0]}
    for name, value in given.items():
        if name not in known:
            raise SettingError(f"{task.name} has the settings {', '.join(known)}")
        setting = known[name]
        if value is None or value == "":
            continue
        if isinstance(setting.default, bool) != isinstance(value, bool):
            raise SettingError(f"{name} is {'true or false' if isinstance(setting.default, bool) else 'not a switch'}")
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        chosen[name] = value if isinstance(value, bool) else setting.read(str(value))
        allowed = task.recipes if name == "recipe" else setting.choices
        if allowed and chosen[name] not in allowed:
            raise SettingError(f"{name} is one of {', '.join(allowed)}")
    # The classes of settings check what one word alone cannot tell.
    own = {setting.name for setting in task.own_settings}
    task.settings(**{name: value for name, value in chosen.items() if name in own})
    Options(**{name: value for name, value in chosen.items() if name not in own})
    return chosen


def command_line(
    task: Task, settings: Mapping[str, Any], names: Mapping[str, str], continue_for: Sequence[int] = ()
) -> str:
    """What to type to get the same picture.

    Args:
        task: the task.
        settings: as `check_settings` gave them.
        names: of the files: "picture", "result", and by their roles others that go in.
        continue_for: iterations that were fitted on after the end, each time that they were.
    """
    words = ["untaught", task.name, names["picture"]]
    for file in task.files:
        if file.role in names:
            words += [f"--{file.role}", names[file.role]]
    words += ["-o", names["result"]]
    for setting in _settings(task):
        value = settings.get(setting.name, setting.default)
        if isinstance(value, bool):
            words += [setting.flag] if value != setting.default else []
        elif setting.name in settings:
            words += [setting.flag, str(value)]
    checkpoint = f"{names['result']}.checkpoint"
    if continue_for:
        words += ["--checkpoint", checkpoint]
    more = [["untaught", "resume", checkpoint, "--continue-for", str(iterations)] for iterations in continue_for]
    return " && ".join(shlex.join(line) for line in [words, *more])
