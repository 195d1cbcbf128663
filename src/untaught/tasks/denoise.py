"""Denoising: Gaussian, Poisson and impulse noise, independent from pixel to pixel, and what cameras make of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

from pydantic import Field

from untaught.errors import InputError, SettingError
from untaught.settings import settings
from untaught.tasks.channels import by_channels, channels_of_their_own
from untaught.tasks.modelled_noise import (
    FILTERED_ONLY,
    arrays,
    by_model,
    is_large,
    modelled,
    quickly_filtered,
    slices,
    stacked,
    with_strength,
)
from untaught.tasks.options import Number, Positive, Usage
from untaught.tasks.registry import Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.imaging.noise import Stabilised
    from untaught.tasks.signatures import DenoiseOptions

__all__ = ["DenoiseSettings", "correlation_of_noise", "denoise", "fill_in", "read", "read_normal"]

_STRONG = 0.14
"""Noise is strong from this standard deviation on, for values in [0, 1]."""

_LARGEST = 10.0
"""Noise with a larger standard deviation, of values in [0, 1], is an error of units."""

_GROWING = 1.4
"""Noise counts as that of light if it is so many times stronger in the bright parts; even noise gave 1.1 at most."""

_SMALLEST = 96
"""Side of the smallest picture, in pixels, whose noise can be modelled."""


@settings
class DenoiseSettings:
    """Options of denoising."""

    kind: Annotated[
        Literal["gaussian", "poisson", "impulse"],
        Field(
            description="kind of noise: gaussian; poisson, shot noise of few photons plus Gaussian read noise; "
            "impulse, single pixels that are lost"
        ),
    ] = "gaussian"
    noise: Annotated[
        Number | None,
        Field(
            description="standard deviation in the picture's units, such as 25 of 255; for poisson, of the read noise "
            "(default: estimated, for poisson 0)"
        ),
        Usage(metavar="S"),
    ] = None
    gain: Annotated[Positive, Field(description="for poisson: units of the picture per photon"), Usage(metavar="G")] = (
        1.0
    )
    offset: Annotated[
        Number, Field(description="for poisson: value of no light, in the picture's units"), Usage(metavar="V")
    ] = 0.0
    strength: Annotated[
        float,
        Field(
            ge=0,
            le=1.5,
            description="how much of the noise is removed: 0 nothing, 1 what is found to be noise; above 1, up to 1.5, "
            "weak detail too",
        ),
        Usage(metavar="S"),
    ] = 1.0

    def __post_init__(self) -> None:
        if self.noise is not None and not (self.noise > 0 or (self.noise == 0 and self.kind == "poisson")):
            raise SettingError(f"noise is a positive standard deviation in the picture's units: found {self.noise:g}")


def denoise(
    image: ArrayLike | Tensor, *, observers: Sequence[Observer] = (), **options: Unpack[DenoiseOptions]
) -> Restoration:
    """Remove the noise of a picture.

    Noise that neighbours share, as in a photograph that a camera has processed, and noise that grows with the
    brightness are modelled. The result then mixes the network's picture with that of a classical filter; a note says
    how.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor; with the depth
            before the height for a ``volume``. Values that are not finite are filled in.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(90, 5, (16, 16)).astype(np.uint8)
    >>> denoise(noisy, noise=5, iterations=2).picture.shape
    (16, 16)
    """
    from untaught.tasks.preparation import run_task

    return run_task("denoise", image, observers=observers, **options)


def read(picture: Tensor, layout: Layout, settings: DenoiseSettings) -> Problem:
    """Make a problem of a noisy picture, (N, C, H, W)."""
    whole, finite = fill_in(picture)
    if settings.kind == "impulse":
        problem = _impulse(picture, finite, layout)
    elif settings.kind == "poisson":
        problem = _poisson(whole, finite, layout, settings)
    else:
        problem = _gaussian(whole, finite, layout, settings)
    return with_strength(_without_fit(problem, settings), whole, settings.strength)


def _without_fit(problem: Problem, settings: DenoiseSettings) -> Problem:
    """The same problem without a network where one is not worth its time: in a large picture, and for little noise."""
    from untaught.imaging.real_noise import LITTLE

    if problem.instead is None or problem.layout.volume:
        return problem
    assert problem.noise is not None
    estimated = settings.noise is None and settings.kind == "gaussian" and problem.channel_noise is None
    if is_large(problem.size):
        why = FILTERED_ONLY
    elif estimated and problem.noise < LITTLE:
        why = "there is little noise, so a classical filter removes it and no network is fitted"
    else:
        return problem
    instead = problem.instead
    level = problem.noise if problem.channel_noise is None else problem.channel_noise
    return dataclasses.replace(
        problem,
        recipe_row="denoise-large",
        answer=functools.partial(_instead_of, filtered=instead),
        answer_note=functools.partial(str, why),
        first=functools.partial(quickly_filtered, problem.observed, level),
    )


def _instead_of(network: Tensor, *, filtered: Callable[[], Tensor]) -> Tensor:
    return filtered().to(network)


def _gaussian(whole: Tensor, finite: Tensor, layout: Layout, settings: DenoiseSettings) -> Problem:
    """Normal noise, or what a camera or a microscope makes of light, of a filled-in picture, (N, C, H, W)."""
    from untaught.imaging.noise import CALM, CORRELATED, PERHAPS_CORRELATED, SURELY_CORRELATED
    from untaught.imaging.noise_model import TOO_CALM

    correlation = correlation_of_noise(whole)
    has_model = settings.noise is None and whole.ndim == 4 and min(whole.shape[-2:]) >= _SMALLEST
    texture, level = False, 0.0
    if has_model:
        level, shared, growth, calm = by_model(whole)
        texture = calm < TOO_CALM
        # The flattest blocks of a JPEG may hold nothing at all.
        if shared > SURELY_CORRELATED or (correlation > PERHAPS_CORRELATED and calm > CALM):
            correlation = max(correlation, shared)
        if correlation > CORRELATED:
            what = f"of neighbouring pixels is correlated (by about {correlation:.1f})"
        else:
            what = f"is that of light: {growth:.1f} times stronger where it is bright" if growth > _GROWING else ""
        if what and not texture:
            return modelled(whole, finite, layout, level, what)
    problem = read_normal(whole, finite, layout, settings.noise)
    if correlation <= CORRELATED:
        return problem
    if texture:
        warning = "most of what neighbouring pixels share is texture: the noise is taken for independent"
    else:
        told = settings.noise is not None
        advice = "leave out noise, or --noise, to have it modelled" if told else "denoise larger pictures"
        found = f"the noise of neighbouring pixels is correlated (by about {correlation:.1f})"
        warning = f"{found} and its coarse part will stay: {advice}"
    return dataclasses.replace(problem, notes=(*problem.notes, warning))


def fill_in(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Fill in the values of a noisy picture, (N, C, H, W), that are not finite.

    Returns:
        The picture without them, and which values were finite.

    Raises:
        InputError: for a picture that is too small, or has no finite value.
    """
    import torch

    from untaught.priors.first_guess import pull_push

    if min(picture.shape[-2:]) < 8:
        raise InputError(f"a picture to denoise has at least 8 pixels each way: found {tuple(picture.shape[-2:])}")
    finite = picture.isfinite()
    if not finite.any():
        raise InputError("the picture has no finite value: every one is NaN or infinite")
    if finite.all():
        return picture, finite
    filled = pull_push(slices(torch.where(finite, picture, 0)), slices(finite.float()))
    return stacked(filled, picture), finite


def read_normal(picture: Tensor, finite: Tensor, layout: Layout, noise: float | None) -> Problem:
    """Make a problem of a picture with Gaussian noise.

    Args:
        picture: (N, C, H, W), finite.
        finite: the same shape, bool: which values were not filled in.
        layout: of the given picture.
        noise: standard deviation in the given picture's units; estimated if None.
    """
    import numpy as np

    from untaught.fitting.problem import Problem
    from untaught.imaging.noise import declipped, estimate_noise
    from untaught.tasks.classical import fallback

    notes: tuple[str, ...] = ()
    within = None
    scale = layout.high - layout.low
    flattened = _flattened(picture, finite)
    own = channels_of_their_own(flattened, noise is not None)
    if own is not None:
        return by_channels(picture, finite, layout, own, None if noise is None else noise / scale)
    if noise is None:
        within = flattened
        deviation = float(np.mean([estimate_noise(one) for one in arrays(flattened)]))
        notes = (f"the noise is estimated to have a standard deviation of {deviation * scale:.3g}",)
        if deviation < 1e-4:
            raise InputError(
                f"no noise is found in the picture (a standard deviation of {deviation * scale:.2g}): if there is "
                "some, say how much by noise=..., or --noise"
            )
    else:
        deviation = noise / scale
        if deviation > _LARGEST:
            raise InputError(
                f"found a noise of {noise:g} in values from {layout.low:g} to {layout.high:g}: it is given in the "
                "picture's units"
            )
    return Problem(
        observed=picture,
        known=finite,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        noise=deviation,
        final_step=_final_step_of(layout, picture, deviation, within),
        display_step=functools.partial(declipped, noise=deviation) if _is_clipped(picture) else None,
        instead=functools.partial(fallback, picture, deviation, within),
        recipe_row="denoise-strong" if deviation > _STRONG else "",
        notes=notes,
    )


def _flattened(picture: Tensor, finite: Tensor) -> Tensor:
    """A picture that is exactly flat inside what was filled in, so that it does not count as free of noise."""
    from torch.nn import functional

    if finite.all():
        return picture
    known = functional.max_pool2d(slices(finite.float()), 3, stride=1, padding=1)
    return picture * (stacked(known, picture) > 0)


def correlation_of_noise(picture: Tensor) -> float:
    """Correlation of the noise of neighbouring pixels of (N, C, H, W), -1 to 1."""
    import numpy as np

    from untaught.imaging.noise import noise_correlation

    return float(np.mean([noise_correlation(one) for one in arrays(picture)]))


def _final_step_of(
    layout: Layout, noisy: Tensor, noise: float, within: Tensor | None = None
) -> Callable[[Tensor], Tensor] | None:
    """The last step for a picture; None for a volume, whose network sees more slices: docs/lab-notes/tasks.md."""
    from untaught.tasks.classical import polished

    return None if layout.volume else functools.partial(polished, noisy=noisy, noise=noise, within=within)


def _is_clipped(picture: Tensor) -> bool:
    """Whether values were clipped to black and white: some are exactly there, and none beyond."""
    share = ((picture == 0) | (picture == 1)).float().mean()
    return bool(share > 1e-4 and picture.min() >= 0 and picture.max() <= 1)


def _poisson(picture: Tensor, finite: Tensor, layout: Layout, settings: DenoiseSettings) -> Problem:
    """Shot noise and read noise, made Gaussian by a variance-stabilising transform."""
    from untaught.fitting.problem import Problem
    from untaught.imaging.noise import Stabilised
    from untaught.tasks.classical import by_blocks

    scale = layout.high - layout.low
    photons = (picture.double() * scale + layout.low - settings.offset) / settings.gain
    stabilised = Stabilised(photons, (settings.noise or 0.0) / settings.gain)
    return Problem(
        observed=stabilised.values,
        known=finite,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        noise=stabilised.noise,
        final_step=_final_step_of(layout, stabilised.values, stabilised.noise),
        display_step=functools.partial(_in_units, stabilised=stabilised, settings=settings, layout=layout),
        instead=functools.partial(by_blocks, stabilised.values, stabilised.noise),
        recipe_row="denoise-strong" if stabilised.noise > _STRONG else "",
    )


def _in_units(average: Tensor, *, stabilised: Stabilised, settings: DenoiseSettings, layout: Layout) -> Tensor:
    """Stabilised values as a picture again."""
    units = stabilised.counts(average) * settings.gain + settings.offset
    return ((units - layout.low) / (layout.high - layout.low)).float()


def _impulse(picture: Tensor, finite: Tensor, layout: Layout) -> Problem:
    """Pixels hit by an impulse are missing, the others known: a problem of restoring."""
    import numpy as np
    import torch

    from untaught.fitting.problem import Problem
    from untaught.imaging.noise import impulses

    hit: Any = np.stack([impulses(np.moveaxis(np.nan_to_num(one), 0, -1)) for one in slices(picture).numpy()])
    known = finite & ~stacked(torch.from_numpy(hit)[:, None], picture)
    # A lone value far beyond all others is an impulse too.
    layout = layout.without_beyond()
    share = 1 - known.float().mean().item()
    if share == 0:
        raise InputError("no pixel differs from its surroundings as an impulse would: nothing is to be replaced")
    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        kept=known,
        recipe_row="restore",
        notes=(f"{share:.1%} of the pixels do not fit their surroundings and are replaced",),
    )


register(
    Task(
        name="denoise",
        about="Remove the noise of a picture.",
        example="untaught denoise night.png -o clean.png",
        settings=DenoiseSettings,
        read=read,
        function=denoise,
        recipes=("balanced", "fast", "best", "printed", "paper", "deep-decoder", "u-net", "langevin"),
        volumes=True,
        order=3,
    )
)
