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

from untaught.arrays import Layout, from_tensor, known_values, to_tensor
from untaught.contracts import Observer, Operator, Restoration, State, StopReason
from untaught.engine import Engine, choose_engine
from untaught.errors import DivergenceError, InputError, Interrupted, SettingError
from untaught.fitting import Guard, MeanSquaredError, iterate
from untaught.inputs import PerturbedInput, make_input
from untaught.networks import EncoderDecoder, Independent
from untaught.operators import Identity, Mask
from untaught.optimisers import build_optimiser, learning_rate
from untaught.recipes import DEFAULT, Recipe, find_recipe

__all__ = ["Job", "Options", "fit", "inpaint", "prepare", "restore"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every task takes besides the picture.

    Attributes:
        recipe: name of a recipe of the task, or a `Recipe`.
        iterations: how many iterations to fit; the recipe's own number if None.
        seed: what the random numbers start from: the same seed on the same machine gives the same picture.
        device: "auto", "cpu", "cuda", "xpu" or "mps".
        precision: "auto", "float32" or "bfloat16": type of the arithmetic between the layers.
        keep_known: return known values to the bit; otherwise the network's own output there too.
        value_range: the values that stand for black and white; see `untaught.arrays.to_tensor`.
    """

    recipe: str | Recipe = DEFAULT
    iterations: int | None = None
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
        recipe: name of a recipe of "restore", or a `Recipe`.
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
    chosen = find_recipe("restore", recipe) if isinstance(recipe, str) else recipe
    if observed.ndim != 4 or 0 in observed.shape:
        raise InputError(f"what was observed is (N, C, H, W) with at least one of each: found {tuple(observed.shape)}")
    return _iterate(
        observed,
        Identity() if operator is None else operator,
        channels=channels or observed.shape[1],
        size=size or (observed.shape[2], observed.shape[3]),
        recipe=_with_iterations(chosen, iterations),
        seed=seed,
        engine=choose_engine(device, precision),
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
    recipe = find_recipe(task, chosen.recipe) if isinstance(chosen.recipe, str) else chosen.recipe
    picture, layout = to_tensor(image, chosen.value_range)
    known, notes = _known(picture, layout, mask)
    return Job(
        task=task,
        recipe=_with_iterations(recipe, chosen.iterations),
        engine=choose_engine(chosen.device, chosen.precision),
        seed=chosen.seed,
        keep_known=chosen.keep_known,
        observed=torch.where(known, picture, 0),
        known=known,
        layout=layout,
        notes=notes,
    )


@dataclass(frozen=True, kw_only=True)
class Job:
    """A task that has been read and checked, ready to be fitted; made by `prepare`.

    Attributes:
        task: name of the task.
        recipe: how to fit.
        engine: how a step runs.
        seed: what the random numbers start from.
        keep_known: whether known values are returned to the bit.
        observed: (N, C, H, W), float32 in [0, 1], zero where unknown.
        known: (N, C, H, W), bool.
        layout: how the picture was given.
        notes: sentences that the user should read.
    """

    task: str
    recipe: Recipe
    engine: Engine
    seed: int
    keep_known: bool
    observed: Tensor
    known: Tensor
    layout: Layout
    notes: tuple[str, ...]

    def states(self) -> Iterator[State]:
        """Begin to fit: a stream of states."""
        return _iterate(
            self.observed,
            Mask(self.known.to(self.engine.device)),
            channels=self.observed.shape[1],
            size=(self.observed.shape[2], self.observed.shape[3]),
            recipe=self.recipe,
            seed=self.seed,
            engine=self.engine,
        )

    def picture(self, state: State) -> NDArray[Any] | Tensor:
        """The picture that would be returned now, in the shape and type of what was given."""
        return from_tensor(state.average, self.known if self.keep_known else None, self.layout)

    def run(self, observers: Sequence[Observer] = ()) -> Restoration:
        """Fit to the end.

        Raises:
            Interrupted: on Ctrl-C, with the best result so far in it.
        """
        last: State | None = None
        reason = StopReason.ITERATIONS
        points: list[tuple[int, Tensor, float]] = []
        try:
            for state in self.states():
                last = state
                points.append((state.iteration, state.loss, state.elapsed))
                for observer in observers:
                    observer(state)
        except DivergenceError:
            if last is None:
                raise
            reason = StopReason.DIVERGED
        except KeyboardInterrupt:
            done = None if last is None else self._restoration(last, StopReason.INTERRUPTED, points)
            raise Interrupted(done) from None
        assert last is not None, "a fit has at least one iteration"
        return self._restoration(last, reason, points)

    def _restoration(self, last: State, reason: StopReason, points: Sequence[tuple[int, Tensor, float]]) -> Restoration:
        iterations, losses, elapsed = zip(*points, strict=True)
        history = {
            "iteration": [float(iteration) for iteration in iterations],
            # The losses come over from the device all at once.
            "loss": torch.stack(losses).tolist(),
            "elapsed": list(elapsed),
        }
        return Restoration(
            picture=self.picture(last),
            stop_reason=reason,
            iterations=last.iteration,
            seconds=last.elapsed,
            history=history,
            seed=self.seed,
            task=self.task,
            recipe=self.recipe.record(),
            engine=self.engine.record(),
            rollbacks=last.rollbacks,
            missing=1 - self.known.float().mean().item(),
            notes=self.notes,
        )


def _iterate(
    observed: Tensor,
    operator: Operator,
    *,
    channels: int,
    size: tuple[int, int],
    recipe: Recipe,
    seed: int,
    engine: Engine,
) -> Iterator[State]:
    """Put the parts of a fit together."""
    objective = MeanSquaredError(observed.to(engine.device), operator)

    def network() -> EncoderDecoder:
        # Every picture of a batch starts from the same weights, so that it gives what it would have given alone.
        return EncoderDecoder(recipe.network, channels, torch.Generator().manual_seed(seed))

    count = observed.shape[0]
    placed = engine.place(network() if count == 1 else Independent([network() for _ in range(count)]))
    noise = torch.Generator(engine.device).manual_seed(seed)
    return iterate(
        network=placed,
        network_input=PerturbedInput(make_input(recipe.input, *size, noise), recipe.perturbation, noise),
        objective=objective,
        optimiser=build_optimiser(recipe.optimiser, placed),
        rate=lambda iteration: learning_rate(recipe.optimiser, iteration, recipe.iterations),
        iterations=recipe.iterations,
        averaging=recipe.averaging,
        engine=engine,
        guard=Guard(engine.guard_interval),
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
