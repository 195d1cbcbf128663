"""What is learnt of a huge picture from parts of it, and how a tile of it is restored.

Range, noise and weights are those of the whole, the same in each tile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import SettingError

if TYPE_CHECKING:
    from untaught.fitting.checkpoint import Snapshot
    from untaught.fitting.problem import Problem
    from untaught.fitting.run import Job
    from untaught.fitting.state import State

__all__ = ["AROUND", "SIDE", "Block", "Learnt", "learn", "samples"]

SIDE, AROUND = 512, 48
"""Side of a tile, and pixels around it that are read too."""
_BLOCK, _BLOCKS = 256, 9
"""Side and number of the parts that the network learns from."""
_DRAWS = 4
"""Noisier versions of a tile that a denoising network is shown; its picture is their mean."""
_STILL = 1e-12
"""Learning rate of a network that is only shown a tile."""

Block = tuple[NDArray[Any], NDArray[Any] | None]
"""Values, (H, W), and their mask, if there is one."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What was learnt of a picture, and how a tile of it is restored.

    Attributes:
        task: its name.
        options: of the task, the same for each tile.
        range_: what is black and white in all of it.
        recipe: of the network.
        start: the network's weights; None where none was fitted.
        draws: how often the network is shown a tile; 0 for one that is weighed against a classical picture each time.
        filter: restores (H, W, C) in [0, 1]; None for a network, or the task's own filter.
        notes: on the parts that it was learnt from.
    """

    task: str
    options: Mapping[str, Any]
    range_: Any
    recipe: Any = "balanced"
    start: Any = None
    draws: int = 0
    filter: Callable[[NDArray[np.float32]], NDArray[Any]] | None = None
    notes: tuple[str, ...] = ()

    def restored(self, values: NDArray[Any], mask: NDArray[Any] | None = None) -> NDArray[Any]:
        """A tile, (H, W), of the same type.

        Raises:
            InputError: for one in which there is nothing to do, or no value to go by.
        """
        from untaught.tasks.preparation import prepare

        if self.filter is not None:
            return self._modelled(values)
        job = prepare(self.task, values, mask, range_=self.range_, recipe=self.recipe, **self.options)
        if self.start is None:
            return _filtered(job.problem)
        # Whether the network is worth its picture was decided for the whole.
        problem = dataclasses.replace(job.problem, instead=None)
        run = dataclasses.replace(job, problem=problem, start=self.start).begin()
        if not self.draws:
            return np.asarray(run.finish().picture)
        return np.asarray(run.job.picture(run.show(self.draws), polished=True))

    def _modelled(self, values: NDArray[Any]) -> NDArray[Any]:
        import torch

        from untaught.imaging.arrays import as_values, from_tensor, to_tensor
        from untaught.imaging.sentinels import marked_by
        from untaught.tasks.denoise import fill_in
        from untaught.tasks.modelled_noise import arrays, blended

        assert self.filter is not None
        missing = marked_by(as_values(values)[0], self.options.get("missing_value") or ())
        picture, layout = to_tensor(values, self.range_, missing=missing)
        whole, _ = fill_in(picture)
        made = torch.from_numpy(self.filter(arrays(whole)[0])).movedim(-1, 0)[None].float()
        made = blended(made, whole, self.options.get("strength", 1.0))
        return np.asarray(from_tensor(made, None, layout))


def learn(
    task: str,
    blocks: Sequence[Block],
    options: Mapping[str, Any],
    *,
    size: tuple[int, int] | None = None,
    kept: Path | None = None,
) -> Learnt:
    """Learn from parts of a picture.

    Args:
        task: "inpaint", "restore" or "denoise".
        blocks: a square number of parts of equal size.
        options: the task's own and those of `FitOptions`.
        size: height and width of the picture; None for that of the parts.
        kept: a file of what was learnt of the same parts before; it is written if it is not there.

    Raises:
        InputError: for what the task cannot do with the parts.
        SettingError: for options that tiles do not take.
    """
    from untaught.imaging.ranges import working_range
    from untaught.priors.r2r_input import R2RInput
    from untaught.tasks.modelled_noise import FILTERED_ONLY, is_large
    from untaught.tasks.preparation import prepare

    across = round(len(blocks) ** 0.5)
    values, masks = (_joined([one[number] for one in blocks], across) for number in range(2))
    assert values is not None
    range_ = working_range(values[None, None], options.get("value_range"), _valid(values, masks, options))
    if not np.isfinite(range_.tolerance) and values.dtype != np.uint8:
        # Elsewhere there may be values beyond what these parts have.
        range_ = dataclasses.replace(range_, tolerance=0.05 * range_.span)
    job = prepare(task, values, masks, range_=range_, **options)
    notes = (*((range_.note,) if range_.note else ()), *job.problem.notes)
    # What is for the fit is not for each tile.
    own = {
        name: value
        for name, value in options.items()
        if name not in ("recipe", "iterations", "time_budget", "start_from")
    }
    made = Learnt(task=task, options=own, range_=range_, notes=notes)
    if not job.recipe.shows_picture:
        raise SettingError(f"the recipe {job.recipe.name} draws one whole picture: choose balanced, fast or best")
    if job.problem.modelled_noise is not None:
        from untaught.imaging.real_noise import model_filter
        from untaught.tasks.modelled_noise import arrays

        return dataclasses.replace(made, filter=model_filter(arrays(job.problem.observed)[0]))
    noise = job.problem.noise
    if noise is not None:
        # A tile is treated as the whole is.
        made = dataclasses.replace(made, options={**own, "noise": noise * range_.span})
        # As with a picture in one piece.
        large = job.problem.instead is not None and is_large(size or (0, 0))
        if job.answers or large:
            return dataclasses.replace(made, notes=(*notes, FILTERED_ONLY)) if large else made
    moment = _kept(kept) or _fitted(job, kept)
    notes += tuple(one for one in moment.values["notes"] if one not in notes)
    made = dataclasses.replace(made, notes=notes)
    recipe = dataclasses.replace(job.recipe, adapted=True)
    if isinstance(recipe.input, R2RInput):
        if moment.values["unexplained"]:
            return made
        shown = dataclasses.replace(recipe.input, patch=max(2 * SIDE + 2 * AROUND, recipe.input.patch))
        return dataclasses.replace(
            made,
            recipe=dataclasses.replace(recipe, input=shown),
            start=moment,
            draws=_DRAWS,
        )
    # In the first of two iterations values are held out, which weigh the network against the classical picture.
    recipe = dataclasses.replace(
        recipe,
        optimiser=dataclasses.replace(recipe.optimiser, learning_rate=_STILL),
        stopping=dataclasses.replace(recipe.stopping, refit=0.5),
        iterations=2,
    )
    return dataclasses.replace(made, recipe=recipe, start=moment)


def _fitted(job: Job, kept: Path | None) -> Snapshot:
    """Fit the network; its weights, with notes on the fit beside them."""
    from untaught.fitting import checkpoint
    from untaught.fitting.mean_weights import MeanWeights
    from untaught.fitting.results import unexplained
    from untaught.priors.r2r_input import R2RInput

    run = job.begin()
    mean = MeanWeights(run.network)

    def follow(state: State) -> None:
        mean.update(run.network, state.iteration)

    restoration = run.finish([follow])
    assert run.last is not None
    facts: dict[str, Any] = {"notes": list(restoration.notes), "unexplained": False}
    if isinstance(job.recipe.input, R2RInput):
        facts["unexplained"] = unexplained(job.problem, run.last) is not None
        tensors = {f"now.network.{name}": one for name, one in mean.network.state_dict().items()}
        moment = checkpoint.Snapshot(tensors, facts)
    else:
        moment = run.snapshot().beside(**facts)
    if kept is not None:
        checkpoint.save(kept, moment)
    return moment


def _kept(path: Path | None) -> Snapshot | None:
    """What was learnt before it was killed; None if there is nothing."""
    from untaught.fitting import checkpoint

    return checkpoint.load(path) if path is not None and path.exists() else None


def _filtered(problem: Problem) -> NDArray[Any]:
    """A tile denoised without a network."""
    from untaught.imaging.arrays import from_tensor

    assert problem.instead is not None
    picture = problem.instead()
    picture = picture if problem.display_step is None else problem.display_step(picture)
    return np.asarray(from_tensor(picture, problem.kept, problem.layout))


def _valid(values: NDArray[Any], masks: NDArray[Any] | None, options: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which values count for black and white, (1, 1, H, W)."""
    valid = np.isfinite(values) if masks is None else masks.astype(bool) & np.isfinite(values)
    for value in options.get("missing_value") or ():
        valid = valid & (values != value)
    found: NDArray[np.bool_] = valid[None, None]
    return found


def _joined(blocks: Sequence[NDArray[Any] | None], across: int) -> NDArray[Any] | None:
    """Parts of equal size, side by side."""
    there = [one for one in blocks if one is not None]
    return np.block([there[start : start + across] for start in range(0, len(there), across)]) if there else None


def samples(
    task: str,
    places: Sequence[Sequence[int]],
    size: tuple[int, int],
    cut: Callable[[Sequence[int], slice, slice], Block],
    options: Mapping[str, Any],
) -> list[Block]:
    """Parts from all over, of those that were looked at the ones that tell most."""
    side = tuple(min(_BLOCK, length) for length in size)
    many = 1 if size == side else _BLOCKS
    random = np.random.default_rng(options.get("seed", 0))
    found: list[tuple[float, Block]] = []
    for number in range(1 if many == 1 else 4 * many):
        corner = [int(random.integers(0, length - one + 1)) for length, one in zip(size, side, strict=True)]
        rows, columns = (slice(start, start + one) for start, one in zip(corner, side, strict=True))
        block = cut(places[number % len(places)], rows, columns)
        found.append((_worth(task, *block), block))
        if sum(worth == 1 for worth, _ in found) == many:
            break
    best = sorted(range(len(found)), key=lambda one: -found[one][0])[:many]
    return [found[one][1] for one in best]


def _worth(task: str, values: NDArray[Any], mask: NDArray[Any] | None) -> float:
    """How much a part tells: 1 if it is all it can be."""
    finite = np.isfinite(values)
    if task == "denoise":
        return float(bool(finite.any()) and len(np.unique(values[::3, ::3])) > 8)
    missing = ~finite | ((values == 0) if mask is None else (mask == 0))
    return 1.0 if 0 < missing.mean() < 0.7 else 0.5 if not missing.any() else 0.0
