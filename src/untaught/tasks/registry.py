"""What a task is, and the list of all tasks.

A task is one file of this folder: its settings class, how it reads its input, and a call of `register`. The command
line, the studio, the record and the docs find it in `TASKS`. A package of somebody else adds tasks by an entry point of
the group ``untaught.tasks``, and a script by calling `register` or `register_task`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import inspect
import pkgutil
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic.dataclasses
from pydantic import ConfigDict

from untaught.errors import SettingError
from untaught.settings import check_names, settings
from untaught.tasks.options import FitOptions, Option, list_options

if TYPE_CHECKING:
    from untaught.fitting.problem import Problem
    from untaught.imaging.atlas import Atlas
    from untaught.recipes import Recipe

__all__ = ["FIT_RECIPES", "RESERVED", "TASKS", "InputFile", "Task", "find_task", "register", "register_task"]

_MACHINERY = {
    "bayer",
    "channels",
    "classical",
    "fit",
    "from_files",
    "jobs",
    "missing",
    "modelled_noise",
    "options",
    "preparation",
    "registry",
    "signatures",
    "soft_edges",
    "write_signatures",
}
"""Modules of this folder that are no tasks."""

RESERVED = {
    *("checkpoint", "checkpoint_every", "continue_for", "help", "image", "json", "observers", "output", "overwrite"),
    *("picture", "preset", "preview_every", "quiet", "record", "reference", "task", "uncertainty", "version"),
}
"""Names that the options of a task cannot have: the command line or Python uses them."""

FIT_RECIPES = ("balanced", "printed", "paper", "deep-decoder", "conv-decoder", "siren", "u-net", "langevin")
"""Names of the recipes of `untaught.fit`; a test compares them with `untaught.recipes.RECIPES`."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A picture that a task takes besides the first.

    Attributes:
        role: its name in Python, on the command line and in the record.
        about: what it is.
        kind: how it is read, a key of ``untaught.imaging.reading.INPUT_KINDS``: mask, guide, other, kernel, compression
            or picture.
        required: whether the task needs it.
        in_picture_file: whether it is read from the picture's own file where none is given.
    """

    role: str
    about: str
    kind: str
    required: bool = False
    in_picture_file: bool = False


@settings
class _NoSettings:
    """No settings of its own."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, as Python, the command line and the studio show it.

    Attributes:
        name: in Python, on the command line and in the record.
        about: what it does, in a sentence.
        example: a command line to copy.
        settings: the class of its own settings: a dataclass, whose fields are validated by pydantic and described by
            ``Annotated[type, pydantic.Field(description=...)]``.
        read: makes a `Problem` of the picture, (N, C, H, W), its `Layout`, the settings, and each input file by its
            role; None for a task that starts from no picture.
        read_without: makes a `Problem` of the settings and of what Python gives instead of a picture; None for a task
            that always starts from one.
        localise: plans an `Atlas` of the picture, an array, from the same as ``read``, for recipes with small patches,
            and cuts the input files in the same way; it returns None to fit the whole. None for a task that always
            fits the whole.
        absolute: whether black and white are always those of the picture's type, as for the tables of a JPEG.
        finds_missing: whether it fills in what is missing: its settings are `untaught.tasks.inpaint.FillSettings`, and
            its ``read`` gets the mask as bool, True where a value is known.
        picture_alternatives: keyword arguments that may replace the picture, in Python only.
        recipes: its recipes, the default first: names of its row in `untaught.recipes.RECIPES`, or `Recipe` objects. A
            task without a row of its own has those of `untaught.fit`.
        files: what it takes besides the picture.
        volumes: whether it takes volumes too.
        function: its public function, whose docstring gets a list of the options.
        order: its place in lists; tasks with the same place are in alphabetical order.
    """

    name: str
    about: str
    example: str
    settings: type = _NoSettings
    read: Callable[..., Problem] | None = None
    read_without: Callable[..., Problem] | None = None
    localise: Callable[..., tuple[Atlas, dict[str, Any]] | None] | None = None
    absolute: bool = False
    finds_missing: bool = False
    picture_alternatives: tuple[str, ...] = ()
    recipes: tuple[str | Recipe, ...] = FIT_RECIPES
    files: tuple[InputFile, ...] = ()
    volumes: bool = False
    function: Callable[..., Any] | None = None
    order: int = 100

    @property
    def picture(self) -> bool:
        """Whether it starts from a picture."""
        return self.read is not None

    @property
    def recipe_names(self) -> tuple[str, ...]:
        """The names of its recipes, the default first."""
        return tuple(recipe if isinstance(recipe, str) else recipe.name for recipe in self.recipes)

    @property
    def own_options(self) -> tuple[Option, ...]:
        """The options that are its own."""
        return list_options(self.settings)

    @property
    def common_options(self) -> tuple[Option, ...]:
        """The options that it shares with all tasks; without a picture, its values have no range."""
        named = f" ({', '.join(self.recipe_names)})"
        return tuple(
            dataclasses.replace(option, about=option.about + named) if option.name == "recipe" else option
            for option in list_options(FitOptions)
            if (self.picture or option.name not in ("value_range", "missing_value"))
            and (self.volumes or option.name != "volume")
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """The input files, by role."""
        return (*(["picture"] if self.picture else []), *(file.role for file in self.files))


class _Tasks(Mapping[str, Task]):
    """Every task by its name. The modules that define them are imported when it is first read."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._complete = False

    def __getitem__(self, name: str) -> Task:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all(), key=lambda name: (self._tasks[name].order, name)))

    def __len__(self) -> int:
        return len(self._all())

    def add(self, task: Task) -> None:
        """Add a task, or put it in the place of one of that name, as when its module is loaded again."""
        self._tasks[task.name] = task

    def remove(self, name: str) -> None:
        """Remove a task."""
        del self._tasks[name]

    def _all(self) -> dict[str, Task]:
        if not self._complete:
            self._complete = True  # a task that looks up others while it is imported must not start this again
            try:
                self._discover()
            except BaseException:
                self._complete = False
                raise
        return self._tasks

    def _discover(self) -> None:
        package = importlib.import_module("untaught.tasks")
        for module in pkgutil.iter_modules(package.__path__):
            if module.name not in _MACHINERY:
                importlib.import_module(f"{package.__name__}.{module.name}")
        for entry in importlib.metadata.entry_points(group="untaught.tasks"):
            try:
                entry.load()
            # A broken package of somebody else must not take all other tasks along.
            except Exception as error:  # noqa: BLE001
                warnings.warn(f"the tasks of {entry.value} cannot be loaded: {error}", stacklevel=2)


TASKS = _Tasks()
"""Every task by its name."""


def find_task(name: str) -> Task:
    """Look up a task by name.

    Raises:
        SettingError: for an unknown name; it lists the known ones.
    """
    check_names([name], TASKS, kind="task")
    return TASKS[name]


def register(task: Task) -> None:
    """Add a task to `TASKS`; its settings class becomes a pydantic dataclass.

    Raises:
        SettingError: for a task that cannot be read, or names that are taken.
    """
    if task.read is None and task.read_without is None:
        raise SettingError(f"the task {task.name} has no read: give a function that makes a Problem of a picture")
    if not pydantic.dataclasses.is_pydantic_dataclass(task.settings):
        task = dataclasses.replace(task, settings=_validated(task.settings))
    own = [field.name for field in dataclasses.fields(task.settings)]
    names = [*(file.role for file in task.files), *task.picture_alternatives, *own]
    taken = RESERVED | {field.name for field in dataclasses.fields(FitOptions)}
    if clash := sorted({name for name in names if name in taken or names.count(name) > 1}):
        raise SettingError(f"the task {task.name} has options whose names are taken: {', '.join(clash)}")
    if task.function is not None:
        _list_options_in_docstring(task.function, task)
    TASKS.add(task)


def _validated(cls: Any) -> type:
    """A pydantic dataclass of a class of somebody else, a standard dataclass or a plain one."""
    frozen = bool(getattr(getattr(cls, "__dataclass_params__", None), "frozen", False))
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    made: type = pydantic.dataclasses.dataclass(config=config, frozen=frozen)(cls)
    return made


def register_task(**attributes: Any) -> Callable[[F], F]:
    """Register the decorated function as the ``read`` of a task.

    Args:
        **attributes: of `Task`.

    >>> import numpy as np
    >>> import torch
    >>> import untaught
    >>> @untaught.register_task(name="copy", about="Copy a picture.", example="untaught copy a.png -o b.png")
    ... def read(picture, layout, settings):
    ...     known = torch.ones_like(picture, dtype=torch.bool)
    ...     return untaught.Problem(
    ...         observed=picture, known=known, channels=picture.shape[1], size=picture.shape[2:], layout=layout
    ...     )
    >>> untaught.run_task("copy", np.full((16, 16), 90, np.uint8), iterations=2).picture.shape
    (16, 16)
    >>> untaught.TASKS.remove("copy")
    """

    def decorated(read: F) -> F:
        register(Task(read=read, **attributes))
        return read

    return decorated


def _list_options_in_docstring(function: Callable[..., Any], task: Task) -> None:
    """Add a section of the options to a docstring, before ``Returns``; options that are arguments are left out."""
    before, returns, after = inspect.cleandoc(function.__doc__ or "").partition("\nReturns:")
    arguments = inspect.signature(function).parameters
    lines = [
        textwrap.fill(
            f"{option.name}: {option.text}" + (f" (default: {option.default})" if option.is_switch else ""),
            100,
            initial_indent="    ",
            subsequent_indent="        ",
        )
        for option in (*task.own_options, *task.common_options)
        if option.name not in arguments
    ]
    function.__doc__ = "\n".join([before.rstrip(), "", "Options:", *lines, ""]) + returns + after
