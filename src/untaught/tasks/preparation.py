"""From what a user gives to a job that is ready to be fitted, and to its result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from untaught.backend.host_settings import undisturbed
from untaught.errors import InputError, SettingError
from untaught.fitting.problem import Problem
from untaught.fitting.run import Job
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout, as_values, laid_out, to_tensor
from untaught.imaging.atlas import LARGEST_PATCH, Atlas
from untaught.imaging.ranges import Range, stated_range, working_range
from untaught.imaging.sentinels import fill_values, loaded, marked_by, suspect
from untaught.recipes import RECIPES, Recipe, find_recipe
from untaught.tasks.jobs import make_job
from untaught.tasks.missing import known_by
from untaught.tasks.options import FitOptions, build
from untaught.tasks.registry import TASKS, Task, find_task
from untaught.tasks.soft_edges import faded, shares_of

__all__ = ["filled_in", "prepare", "run_task"]


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
def prepare(
    task: str,
    image: ArrayLike | Tensor | None,
    mask: ArrayLike | Tensor | None = None,
    *,
    hidden: NDArray[np.bool_] | None = None,
    nodata: Sequence[float] = (),
    range_: Range | None = None,
    **given: Any,
) -> Job:
    """Read and check everything that a task needs; nothing is fitted yet.

    Args:
        task: name of a task.
        image: the picture; see the task's own function. None for a task that starts from no picture, or where something
            else is given instead.
        mask: for the tasks that take one.
        hidden: (H, W): the pixels that are fully transparent. Their colours are not read; where the task does not fill
            them in, they come back as they were.
        nodata: values that the picture's file says are missing.
        range_: what is black and white, for a part of a larger picture; None for what suits this one.
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
    problem = _read(entry, image, settings, options, more, hidden=hidden, nodata=tuple(nodata), range_=range_)
    if not problem.recipe_row and task not in RECIPES:
        problem = dataclasses.replace(problem, recipe_row="fit")
    own = {recipe.name: recipe for recipe in entry.recipes if isinstance(recipe, Recipe)}
    if isinstance(options.recipe, str) and options.recipe in own:
        options = dataclasses.replace(options, recipe=own[options.recipe])
    return make_job(task, problem, options)


def filled_in(problem: Problem) -> NDArray[np.bool_]:
    """The pixels of a picture that its problem fills in, (H, W)."""
    layout = problem.layout
    known = problem.known if layout.carried is None else problem.known | layout.carried
    if problem.operator is not None or known.shape[1] != problem.channels:
        return np.zeros(layout.original.shape[:2], bool)
    filled: NDArray[np.bool_] = np.asarray(laid_out((~known.all(1, keepdim=True)).numpy(), _flat(layout)))
    return filled


def _flat(layout: Layout) -> Layout:
    """The layout of the picture's pixels, without channels."""
    flat = None if layout.whole is None else layout.whole[..., 0] if layout.whole.ndim == 3 else layout.whole
    original = np.zeros(layout.original.shape[: layout.dimensions], bool)
    return dataclasses.replace(layout, original=original, whole=flat, labelled=None, channel_axis=None)


def _local(
    entry: Task, image: Any, settings: Any, options: FitOptions, more: dict[str, Any]
) -> tuple[Atlas, dict[str, Any]] | None:
    """An atlas of what has to be fitted, and the input files cut in the same way; None to fit the whole picture."""
    plain = isinstance(image, np.ndarray) and not isinstance(image, np.ma.MaskedArray) and image.ndim in (2, 3)
    if entry.localise is None or options.volume or not plain:
        return None
    recipe = options.recipe if isinstance(options.recipe, Recipe) else find_recipe(entry.name, options.recipe)
    if not recipe.shows_picture or not recipe.small_patches or not _fits_strips(recipe):
        return None
    return entry.localise(image, settings, **more)


def _fits_strips(recipe: Recipe) -> bool:
    """Whether its patch fits into a strip, or will be made to."""
    return not recipe.adapted or (recipe.patch or 0) <= LARGEST_PATCH


def _read(
    entry: Task,
    image: Any,
    settings: Any,
    options: FitOptions,
    more: dict[str, Any],
    *,
    hidden: NDArray[np.bool_] | None,
    nodata: tuple[float, ...],
    range_: Range | None,
) -> Problem:
    """The problem of a picture, or of what is given instead."""
    instead = [name for name in entry.picture_alternatives if name in more]
    if entry.read is not None and not instead:
        whole = np.asarray(image) if image is None else loaded(image)
        sentinels = (*options.missing_value, *nodata, *fill_values(whole))
        return _read_picture(entry, whole, settings, options, more, hidden=hidden, sentinels=sentinels, range_=range_)
    if image is not None:
        raise InputError(f"{entry.name} starts from {' and '.join(instead) or 'nothing'}: a picture was given too")
    if len(instead) < len(entry.picture_alternatives):
        raise InputError(f"without a picture, {entry.name} needs {' and '.join(entry.picture_alternatives)}")
    for name in ("value_range", "missing_value"):
        if getattr(options, name):
            raise SettingError(f"{name} is for pictures: leave it out where there is none")
    assert entry.read_without is not None, "a task has read or read_without"
    return entry.read_without(settings, **more)


def _read_picture(
    entry: Task,
    image: Any,
    settings: Any,
    options: FitOptions,
    more: dict[str, Any],
    *,
    hidden: NDArray[np.bool_] | None,
    sentinels: tuple[float, ...],
    range_: Range | None,
) -> Problem:
    """The problem of a picture: what of it is valid, its range, and what the task makes of it."""
    assert entry.read is not None
    volume = options.volume
    values, missing = as_values(image, volume=volume)
    if sentinels:
        found = marked_by(values, sentinels)
        missing = found if missing is None else found | missing
    unseen = None if hidden is None else hidden[None, None]
    shape = image if isinstance(image, Tensor) else np.asarray(image.data if np.ma.isMaskedArray(image) else image)
    given = Layout(shape, 0.0, 1.0, volume)
    notes: tuple[str, ...] = ()
    valid: NDArray[np.bool_] | None = None
    shares: NDArray[np.float32] | None = None
    if entry.finds_missing:
        mask = more.get("mask")
        marks, grow = settings.mask_marks, settings.grow
        valid, notes = known_by(mask, values, given, marks=marks, grow=grow, missing=missing, hidden=unseen)
        if settings.feather:
            shares, valid = _soft(valid, settings.feather, unseen)
        more = {**more, "mask": _as_mask(valid, given)}
    elif missing is not None and (share := float(missing.mean())):
        notes = (f"{share:.1%} of the values are masked, or stand for nothing, and are taken as missing",)
    elif missing is None and values.dtype != np.uint8 and (doubtful := suspect(values)) is not None:
        notes = (doubtful[1],)
    counted = valid
    for one in (missing, unseen):
        if one is not None:
            counted = np.broadcast_to(~one, values.shape) if counted is None else counted & ~one
    if range_ is None:
        range_ = _range(entry, values, options.value_range, counted)
        notes += (range_.note,) if range_.note else ()
    local = _local(entry, image, settings, options, more)
    if local is None:
        picture, layout = to_tensor(image, range_, volume=volume, missing=missing, hidden=unseen, valid=valid)
        problem = entry.read(picture, layout, settings, **more)
    else:
        atlas, files = local
        cut = None if hidden is None else atlas.cut(hidden)[None, None]
        there = np.moveaxis(files["mask"] if files["mask"].ndim == 3 else files["mask"][..., None], -1, 0)[None]
        picture, layout = to_tensor(atlas.cut(image), range_, hidden=cut, valid=there)
        shares = shares if shares is None else np.moveaxis(atlas.cut(np.moveaxis(shares[0], 0, -1)), -1, 0)[None]
        problem = entry.read(picture, dataclasses.replace(layout, atlas=atlas, whole=image), settings, **files)
    if shares is not None:
        problem = faded(problem, shares, picture)
    return dataclasses.replace(problem, notes=(*notes, *problem.notes)) if notes else problem


def _soft(
    known: NDArray[np.bool_], width: int, hidden: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The share of the result around what is missing, and what is known beyond it; transparent pixels stay as they are.

    Raises:
        InputError: if nothing is known beyond it.
    """
    shares = shares_of(known, width)
    if hidden is not None:
        shares[known & hidden] = 0
    if not (shares == 0).any():
        raise InputError(f"a soft edge of {width} pixels leaves nothing of the picture: make it narrower")
    return shares, shares == 0


def _range(
    entry: Task, values: NDArray[Any], given: tuple[float, float] | None, counted: NDArray[np.bool_] | None
) -> Range:
    """What is black and white."""
    if not entry.absolute:
        return working_range(values, given, counted)
    low, high = stated_range(values if counted is None else values[counted], given)
    return Range(low=low, high=high, stated=(low, high))


def _as_mask(known: NDArray[np.bool_], layout: Layout) -> NDArray[np.bool_]:
    """What is known of a picture, as a mask in its own form: (H, W) where all channels are alike."""
    if layout.is_tensor:
        return known
    alike = known.shape[1] == 1 or bool((known == known[:, :1]).all())
    mask: NDArray[np.bool_] = known[0, 0] if alike else laid_out(known, layout)
    return np.ascontiguousarray(mask)
