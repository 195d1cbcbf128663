"""Denoising: normal, Poisson and impulse noise, independent from pixel to pixel."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from untaught.errors import InputError
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout
from untaught.imaging.collaborative_filter import collaborate
from untaught.imaging.noise import Stabilised, declipped, estimate_noise, impulses, noise_correlation
from untaught.priors.masked_input import pull_push
from untaught.tasks.catalogue import DenoiseSettings
from untaught.tasks.preparation import prepare

__all__ = ["CORRELATED", "correlation_of_noise", "denoise", "fill_in", "read", "read_normal"]

_STRONG = 0.14
"""From this standard deviation on, of a range of 1, noise counts as strong."""

CORRELATED = 0.2
"""From this correlation of neighbours on, noise is told to be correlated."""


def denoise(image: ArrayLike | Tensor, *, observers: Sequence[Observer] = (), **options: Any) -> Restoration:
    """Take the noise off a picture.

    The noise has to be independent from pixel to pixel; where it is not, as in a photograph that a camera has
    developed, the result's notes say so, and coarse grain stays.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor; with a depth
            before the height for a ``volume``. Values that are not finite are filled in.
        observers: called with each `State` of the fit.
        **options: see `DenoiseSettings` and `Options`.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(90, 5, (16, 16)).astype(np.uint8)
    >>> denoise(noisy, noise=5, iterations=2).picture.shape
    (16, 16)
    """
    return prepare("denoise", image, **options).run(observers)


def read(picture: Tensor, layout: Layout, settings: DenoiseSettings) -> Problem:
    """What is known of a noisy picture, (N, C, H, W), and of its noise."""
    whole, finite = fill_in(picture)
    if settings.kind == "impulse":
        return _impulse(picture, finite, layout)
    if settings.kind == "poisson":
        return _poisson(whole, finite, layout, settings)
    problem = read_normal(whole, finite, layout, settings.noise)
    correlation = correlation_of_noise(whole)
    if correlation <= CORRELATED:
        return problem
    warning = (
        f"the noise of neighbouring pixels is correlated (by about {correlation:.1f}), and what is coarse of it will "
        "stay: make the picture smaller by 2 first, or take the raw one"
    )
    return dataclasses.replace(problem, notes=(*problem.notes, warning))


def fill_in(picture: Tensor) -> tuple[Tensor, Tensor]:
    """A noisy picture, (N, C, H, W), with values in place of those that are not finite, and which are.

    Raises:
        InputError: for a picture that is too small, or has no finite value.
    """
    if min(picture.shape[-2:]) < 8:
        raise InputError(f"a picture to be denoised has at least 8 pixels each way: found {tuple(picture.shape[-2:])}")
    finite = picture.isfinite()
    if not finite.any():
        raise InputError("the picture has no finite value: every one is NaN or infinite")
    if finite.all():
        return picture, finite
    filled = pull_push(_slices(torch.where(finite, picture, 0)), _slices(finite.float()))
    return _stacked(filled, picture), finite


def read_normal(picture: Tensor, finite: Tensor, layout: Layout, noise: float | None) -> Problem:
    """What is known of a picture with normal noise.

    Args:
        picture: (N, C, H, W), finite.
        finite: the same shape, bool: what was not filled in.
        layout: of what was given.
        noise: standard deviation in the units of what was given; estimated if None.
    """
    notes: tuple[str, ...] = ()
    scale = layout.high - layout.low
    if noise is None:
        deviation = float(np.mean([estimate_noise(one) for one in _arrays(picture)]))
        notes = (f"the noise is estimated to have a standard deviation of {deviation * scale:.3g}",)
        if deviation < 1e-4:
            raise InputError(
                f"no noise can be told in the picture (a standard deviation of {deviation * scale:.2g}): if there is "
                "some, say how much by noise=..., or --noise"
            )
    else:
        deviation = noise / scale
    return Problem(
        observed=picture,
        known=finite,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        noise=deviation,
        polish=_polish_of(layout, picture, deviation),
        finish=functools.partial(declipped, noise=deviation) if _is_clipped(picture) else None,
        recipes="denoise-strong" if deviation > _STRONG else "",
        notes=notes,
    )


def correlation_of_noise(picture: Tensor) -> float:
    """Correlation of the noise of neighbouring pixels of (N, C, H, W), -1 to 1; from `CORRELATED` on it counts."""
    return float(np.mean([noise_correlation(one) for one in _arrays(picture)]))


def _arrays(picture: Tensor) -> NDArray[np.float32]:
    """The pictures, or the slices of the volumes, as (N, H, W, C)."""
    return np.moveaxis(_slices(picture).numpy(), 1, -1)


def _polish_of(layout: Layout, noisy: Tensor, noise: float) -> Callable[[Tensor], Tensor] | None:
    """What is done at the very end: nothing for a volume, whose network sees more than one slice (docs/tasks.md)."""
    return None if layout.volume else functools.partial(_polish, noisy=noisy, noise=noise)


def _polish(average: Tensor, *, noisy: Tensor, noise: float) -> Tensor:
    """The mean of what the network has drawn and of what it helps to find in the noisy picture."""
    return ((average + collaborate(average, noisy.to(average.device), noise)) / 2).clamp(0, 1)


def _slices(volume: Tensor) -> Tensor:
    """The slices of (N, C, D, H, W) as pictures, (N D, C, H, W); pictures as they are."""
    return volume if volume.ndim == 4 else volume.transpose(1, 2).flatten(0, 1)


def _stacked(slices: Tensor, like: Tensor) -> Tensor:
    """What `_slices` made of a volume of the size of ``like``, put together again."""
    return slices if like.ndim == 4 else slices.view(like.shape[0], like.shape[2], *slices.shape[1:]).transpose(1, 2)


def _is_clipped(picture: Tensor) -> bool:
    """Whether values were cut off at black and white: then some are exactly there, and none beyond."""
    share = ((picture == 0) | (picture == 1)).float().mean()
    return bool(share > 1e-4 and picture.min() >= 0 and picture.max() <= 1)


def _poisson(picture: Tensor, finite: Tensor, layout: Layout, settings: DenoiseSettings) -> Problem:
    scale = layout.high - layout.low
    photons = (picture.double() * scale + layout.low - settings.offset) / settings.gain
    stabilised = Stabilised(photons, (settings.noise or 0.0) / settings.gain)

    def finish(average: Tensor) -> Tensor:
        units = stabilised.counts(average) * settings.gain + settings.offset
        return ((units - layout.low) / scale).float()

    return Problem(
        observed=stabilised.values,
        known=finite,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        noise=stabilised.noise,
        polish=_polish_of(layout, stabilised.values, stabilised.noise),
        finish=finish,
        recipes="denoise-strong" if stabilised.noise > _STRONG else "",
    )


def _impulse(picture: Tensor, finite: Tensor, layout: Layout) -> Problem:
    """Pixels that were hit are missing, and the others known: what is left to do is to restore."""
    hit = np.stack([impulses(np.moveaxis(np.nan_to_num(one), 0, -1)) for one in _slices(picture).numpy()])
    known = finite & ~_stacked(torch.from_numpy(hit)[:, None], picture)
    share = 1 - known.float().mean().item()
    if share == 0:
        raise InputError("no pixel differs from its surroundings as one that was hit by an impulse would")
    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        kept=known,
        recipes="restore",
        notes=(f"{share:.1%} of the pixels have nothing to do with their surroundings and are replaced",),
    )
