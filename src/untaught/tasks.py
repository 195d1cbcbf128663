"""The tasks: read the input, choose the recipe, walk through the fit, hand the picture back as it was given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from untaught.arrays import Layout, known_values, to_tensor
from untaught.contracts import Observer, Operator, Restoration, State
from untaught.engine import choose_engine
from untaught.errors import InputError, SettingError
from untaught.fitting import MeanSquaredError, iterate
from untaught.jobs import Job, begin
from untaught.operators import Identity
from untaught.optimisers import learning_rate
from untaught.recipes import DEFAULT, RECIPES, Recipe, find_recipe

__all__ = ["Options", "fit", "inpaint", "prepare", "restore"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every task takes besides the picture.

    Attributes:
        recipe: name of a recipe of the task, or a `Recipe`.
        iterations: at most so many iterations; the recipe's own number if None.
        time_budget: seconds that the fit may take; as long as it needs if None.
        runs: fits from different seeds that are averaged; the recipe's own number if None.
        seed: what the random numbers start from: the same seed on the same machine gives the same picture.
        device: "auto", "cpu", "cuda", "xpu" or "mps".
        precision: "auto", "float32" or "bfloat16": type of the arithmetic between the layers.
        keep_known: return known values to the bit; otherwise the network's own output there too.
        value_range: the values that stand for black and white; see `untaught.arrays.to_tensor`.
    """

    recipe: str | Recipe = DEFAULT
    iterations: int | None = None
    time_budget: float | None = None
    runs: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    keep_known: bool = True
    value_range: tuple[float, float] | None = None


def inpaint(
    image: ArrayLike | Tensor, mask: ArrayLike | Tensor, *, observers: Sequence[Observer] = (), **options: Any
) -> Restoration:
    """Fill in what is missing from a picture: writing, scratches, holes.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor. What it holds
            where the mask is False is never read.
        mask: True where the picture is known, False where it is missing; (H, W), or the picture's shape.
        observers: called with each `State` of the fit.
        **options: see `Options`.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> import numpy as np
    >>> picture = np.full((16, 16), 90, np.uint8)
    >>> mask = np.ones((16, 16), bool)
    >>> mask[6:9, 6:9] = False
    >>> inpaint(picture, mask, iterations=2).picture.shape
    (16, 16)
    """
    return prepare("inpaint", image, mask, **options).run(observers)


def restore(
    image: ArrayLike | Tensor,
    mask: ArrayLike | Tensor | None = None,
    *,
    observers: Sequence[Observer] = (),
    **options: Any,
) -> Restoration:
    """Restore a picture of which scattered pixels were dropped.

    Args:
        image: as for `inpaint`.
        mask: as for `inpaint`; if None, pixels that are exactly black (zero in all channels) or not finite are taken as
            missing, and the result's notes say how many that were.
        observers: called with each `State` of the fit.
        **options: see `Options`.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.
    """
    return prepare("restore", image, mask, **options).run(observers)


def fit(
    observed: Tensor,
    operator: Operator | None = None,
    *,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    recipe: str | Recipe = DEFAULT,
    iterations: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> Iterator[State]:
    """Fit a network to what was observed of a picture: the door that every task walks through.

    Args:
        observed: (N, C, H, W), float32: what the operator made of the picture.
        operator: what happened to the picture; nothing if None.
        channels: channels of the picture, if not those of ``observed``.
        size: height and width of the picture, if not those of ``observed``.
        recipe: name of a recipe of "fit", or a `Recipe`.
        iterations: how many iterations to fit; the recipe's own number if None.
        seed: what the random numbers start from.
        device: see `Options`.
        precision: see `Options`.

    Returns:
        An iterator of states. Stop by leaving the loop.

    >>> for state in fit(torch.rand(1, 3, 32, 32), iterations=100):
    ...     if state.iteration == 2:
    ...         break
    >>> state.average.shape
    torch.Size([1, 3, 32, 32])
    """
    chosen = _with_iterations(find_recipe("fit", recipe) if isinstance(recipe, str) else recipe, iterations)
    if observed.ndim != 4 or 0 in observed.shape:
        raise InputError(f"what was observed is (N, C, H, W) with at least one of each: found {tuple(observed.shape)}")
    if chosen.thinning is not None:
        raise SettingError(
            f"the recipe {chosen.name} shows the network what is known of a picture, and an operator's observation is "
            f"no picture: choose one of {', '.join(other.name for other in RECIPES['fit'])}"
        )
    engine = choose_engine(device, precision)
    objective = MeanSquaredError(observed.to(engine.device), Identity() if operator is None else operator)
    parts = begin(
        observed,
        objective.known,
        channels=channels or observed.shape[1],
        size=size or (observed.shape[2], observed.shape[3]),
        recipe=chosen,
        seed=seed,
        engine=engine,
    )
    return iterate(
        parts,
        objective=objective,
        rate=lambda iteration: learning_rate(chosen.optimiser, iteration, chosen.iterations),
        iterations=chosen.iterations,
        averaging=chosen.averaging,
        engine=engine,
    )


def prepare(task: str, image: ArrayLike | Tensor, mask: ArrayLike | Tensor | None = None, **options: Any) -> Job:
    """Read and check everything that a task needs, and begin nothing.

    Args:
        task: name of a task that fills in what is missing, "inpaint" or "restore".
        image: see `inpaint`.
        mask: see `inpaint` and `restore`.
        **options: see `Options`.

    Raises:
        InputError: for input that cannot be worked on.
    """
    names = [field.name for field in dataclasses.fields(Options)]
    if unknown := sorted(set(options) - set(names)):
        raise SettingError(f"unknown options {', '.join(unknown)}: there are {', '.join(names)}")
    chosen = Options(**options)
    if chosen.time_budget is not None and not chosen.time_budget > 0:
        raise SettingError(f"a time budget is a positive number of seconds: found {chosen.time_budget}")
    recipe = find_recipe(task, chosen.recipe) if isinstance(chosen.recipe, str) else chosen.recipe
    picture, layout = to_tensor(image, chosen.value_range)
    known, notes = _known(picture, layout, mask)
    recipe = _with_iterations(recipe, chosen.iterations)
    if chosen.runs is not None:
        recipe = dataclasses.replace(recipe, runs=chosen.runs)
    return Job(
        task=task,
        recipe=recipe,
        engine=choose_engine(chosen.device, chosen.precision),
        seed=chosen.seed,
        time_budget=chosen.time_budget,
        keep_known=chosen.keep_known,
        observed=torch.where(known, picture, 0),
        known=known,
        layout=layout,
        notes=notes,
    )


def _with_iterations(recipe: Recipe, iterations: int | None) -> Recipe:
    return recipe if iterations is None else dataclasses.replace(recipe, iterations=iterations)


def _known(picture: Tensor, layout: Layout, mask: ArrayLike | Tensor | None) -> tuple[Tensor, tuple[str, ...]]:
    """What is known of a picture, (N, C, H, W) bool, and what to tell the user about it."""
    notes = []
    finite = picture.isfinite()
    if not finite.any():
        raise InputError("the picture has no finite value: every one is NaN or infinite")
    if mask is None:
        black = _exactly_zero(layout.original)
        known = ~(black | ~finite.all(1, keepdim=True)).expand_as(picture)
        share = 1 - known.float().mean().item()
        if share == 0:
            raise InputError(
                "no pixel is exactly black or not finite, so none can be told to be missing: give a mask that marks "
                "them"
            )
        if share == 1:
            raise InputError("every pixel is black or not finite: there is nothing to restore the picture from")
        notes.append(f"{share:.1%} of the pixels are exactly black or not finite and are taken as missing")
    else:
        marked = known_values(mask, tuple(layout.original.shape))
        if marked.all():
            raise InputError("the mask marks every value as known: nothing is missing (True is known, False missing)")
        if not marked.any():
            raise InputError("the mask marks every value as missing: nothing is known (True is known, False missing)")
        known = marked & finite
        if unknown := int((marked & ~finite).sum()):
            notes.append(f"{unknown} values that the mask marks as known are not finite and are taken as missing")
    if not known.flatten(1).any(1).all():
        raise InputError("a picture has no known value at all: there is nothing to restore it from")
    return known, tuple(notes)


def _exactly_zero(original: NDArray[Any] | Tensor) -> Tensor:
    """Pixels whose every channel is zero, (N, 1, H, W) bool; asked of the original, not of rounded values."""
    if isinstance(original, Tensor):
        return (original == 0).all(1, keepdim=True).cpu()
    zero = (original == 0).all(-1) if original.ndim == 3 else original == 0
    return torch.from_numpy(np.ascontiguousarray(zero))[None, None]
