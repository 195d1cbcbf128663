"""A film without its noise: each frame is averaged with its neighbours as far as they agree, and what is left filtered.

The noise is measured once in each shot, so that the strength does not change from frame to frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from untaught.errors import InputError
from untaught.films.averaging import averaged
from untaught.films.frames import Frame, Values, windows
from untaught.films.motion import at, chained, with_motion
from untaught.films.shots import Strengths
from untaught.imaging.block_groups import cosines
from untaught.imaging.collaborative_filter import two_step_filter
from untaught.imaging.correlated_filter import picture_of, planes_of
from untaught.imaging.noise import declipped, estimate_noise
from untaught.imaging.noise_model import NoiseModel
from untaught.imaging.real_noise import ModelFilter, model_filter
from untaught.tasks.modelled_noise import blended
from untaught.tasks.preparation import prepare

if TYPE_CHECKING:
    from untaught.tasks.denoise import DenoiseSettings

__all__ = ["REACH", "denoised", "sentences"]

REACH = 4
"""Frames before and after that help."""
_STEP = 4
"""Pixels between two reference blocks of the filter."""
_LEAST = 1e-4
"""Noise below this standard deviation is none."""
_DUPLICATE = 0.02
"""A frame that differs from the one before by less than this share of the noise is the same frame again."""
_CLIPPED = 1e-4
"""From this share of values at black or white on, clipping is undone."""

Found = float | ModelFilter
"""The noise of a shot: its standard deviation, 0 for none; or a model where neighbouring pixels share it."""


def denoised(
    frames: Iterable[Frame], values: Values, strengths: Strengths, settings: DenoiseSettings
) -> Iterator[Frame]:
    """The frames of a film, each with its result in ``kept["result"]``.

    Args:
        frames: in order.
        values: of the film.
        strengths: what was measured before, to which is added.
        settings: of the task.
    """
    shot, found = -1, None
    for frame, before, after in windows(with_motion(frames, lambda one: one.planes), REACH):
        if frame.shot != shot or found is None:
            if str(frame.shot) not in strengths:
                strengths[str(frame.shot)] = _written(_measured([*reversed(before), frame, *after], values, settings))
            shot, found = frame.shot, _read(strengths[str(frame.shot)])
        others = list(neighbours(frame, before, after))
        picture = _even(frame, others, found) if isinstance(found, float) else _modelled(frame, others, found)
        frame.kept["result"] = blended(picture[None], frame.planes[None], settings.strength)[0]
        yield frame


def neighbours(frame: Frame, before: Sequence[Frame], after: Sequence[Frame]) -> Iterator[tuple[Frame, Tensor]]:
    """The frames around one, each with the motion to it."""
    yield from zip(before, chained(one.back for one in (frame, *before)), strict=False)
    yield from zip(after, chained(one.ahead for one in (frame, *after)), strict=False)


def _even(frame: Frame, others: Sequence[tuple[Frame, Tensor]], level: float) -> Tensor:
    """A frame without white noise of this standard deviation."""
    if level == 0:
        return frame.planes
    colours = cosines(len(frame.planes), frame.planes.device)
    planes, *moved = (torch.einsum("kc,chw->khw", colours, one.planes) for one in (frame, *(one for one, _ in others)))
    moves = [move for _, move in others]
    variances = planes.new_full((len(planes), 1, 1), level**2)
    mean, share = averaged(planes, zip(moved, moves, strict=True), variances)
    mean = torch.einsum("kc,khw->chw", colours, mean)
    made = two_step_filter(mean[None], level, share[None], _STEP)[0]
    clipped = float(((frame.planes == 0) | (frame.planes == 1)).float().mean()) > _CLIPPED
    return declipped(made, level) if clipped else made


def _modelled(frame: Frame, others: Sequence[tuple[Frame, Tensor]], found: ModelFilter) -> Tensor:
    """A frame without noise that neighbouring pixels share."""
    if found.little:
        return frame.planes
    model = found.model
    planes, variances, spectra = planes_of(_array(frame.planes), model)
    moved = [planes_of(_array(one.planes), model)[0] for one, _ in others]
    mean, share = averaged(planes, zip(moved, (move for _, move in others), strict=True), variances, spectra)
    return torch.from_numpy(np.moveaxis(found(picture_of(mean, model), share), -1, 0).copy()).float()


def _array(planes: Tensor) -> NDArray[Any]:
    return np.moveaxis(planes.numpy(), 0, -1)


# The noise of a shot ------------------------------------------------------------------------------------------------


def _measured(frames: Sequence[Frame], values: Values, settings: DenoiseSettings) -> Found:
    """The noise of a shot, from its first frames."""
    if settings.noise is not None:
        return settings.noise / values.range_.span
    first = values.pixels(frames[0].planes)
    try:
        problem = prepare("denoise", first, range_=values.range_).problem
    except InputError:
        return 0.0
    if problem.modelled_noise is not None:
        return model_filter(_array(frames[0].planes))
    # Texture comes again in the next frame, and noise does not.
    level = float(np.median([estimate_noise(_array(one.planes)) for one in frames]))
    changes = [_change(*pair) for pair in itertools.pairwise(frames)]
    changes = [one for one in changes if one > _DUPLICATE * level]
    level = min(level, float(np.median(changes))) if changes else level
    return level if level >= _LEAST else 0.0


def _change(frame: Frame, after: Frame) -> float:
    """The noise of the difference of two frames, whose texture has gone, as noise of one of them."""
    if frame.ahead is None:
        return 0.0
    height, width = frame.planes.shape[-2:]
    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).flatten(1)
    # By whole pixels: nothing is interpolated, which would remove noise.
    there = (grid + at(frame.ahead, grid.float()).round()).long()
    there[0].clamp_(0, height - 1)
    there[1].clamp_(0, width - 1)
    moved = after.planes[:, there[0], there[1]].view_as(frame.planes)
    return float(estimate_noise(_array((frame.planes - moved) / 2**0.5), _array(frame.planes)))


def _written(found: Found) -> Any:
    """As plain values."""
    if isinstance(found, float):
        return found
    model = {name: np.asarray(value).tolist() for name, value in vars(found.model).items()}
    return {"model": model, "little": bool(found.little), "brightened": bool(found.brightened)}


def _read(kept: Any) -> Found:
    if not isinstance(kept, dict):
        return float(kept)
    model: dict[str, Any] = {
        name: value if name == "level" else np.asarray(value) for name, value in kept["model"].items()
    }
    return ModelFilter(NoiseModel(**model), kept["little"], kept["brightened"])


def sentences(strengths: Strengths, values: Values) -> tuple[str, ...]:
    """What was measured, for the user."""
    told = []
    for shot, kept in strengths.items():
        found = _read(kept)
        where = f"from frame {shot} on" if len(strengths) > 1 else "in the film"
        if isinstance(found, ModelFilter):
            level = f"a standard deviation of {found.model.level * values.range_.span:.3g}"
            left = ", so little that everything stays as it is" if found.little else ""
            told.append(f"{where} neighbouring pixels share the noise, {level}{left}")
        elif found == 0:
            told.append(f"{where} there is no noise, and everything stays as it is: if there is some, say how much")
        else:
            told.append(f"{where} the noise has a standard deviation of {found * values.range_.span:.3g}")
    return tuple(told)
