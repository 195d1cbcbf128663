"""Guided denoising: a dark, noisy picture, and a second picture of the same scene with little noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Unpack

from pydantic import Field

from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.denoise import correlation_of_noise, fill_in, read_normal
from untaught.tasks.options import Positive, Usage
from untaught.tasks.registry import InputFile, Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.tasks.signatures import GuideOptions

__all__ = ["GuideSettings", "guide", "read"]


@settings
class GuideSettings:
    """Options of guided denoising."""

    noise: Annotated[
        Positive | None,
        Field(
            description="standard deviation of the picture's noise, in its own units, such as 25 of 255 (default: "
            "estimated)"
        ),
        Usage(metavar="S"),
    ] = None


def guide(
    image: ArrayLike | Tensor,
    guide: ArrayLike | Tensor,
    *,
    observers: Sequence[Observer] = (),
    **options: Unpack[GuideOptions],
) -> Restoration:
    """Remove the noise of a picture with the help of a second picture of the same scene.

    Colours and brightness come from the picture; the guide shows only where edges and textures are. What only the guide
    shows, such as the shadows of a flash, may appear faintly. If the noise of neighbouring pixels is correlated, as in
    a photograph that a camera has processed, the network sees the guide alone and stops before it fits the noise
    (Ulyanov, Vedaldi, Lempitsky, 2018).

    Args:
        image: the noisy picture: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W)
            tensor. Values that are not finite are filled in.
        guide: of the same height and width, finite; any number of channels.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import numpy as np
    >>> dark = np.random.default_rng(0).normal(40, 5, (16, 16)).astype(np.uint8)
    >>> flash = np.full((16, 16, 3), 200, np.uint8)
    >>> guide(dark, flash, noise=5, iterations=2).picture.shape
    (16, 16)
    """
    from untaught.tasks.preparation import run_task

    return run_task("guide", image, guide=guide, observers=observers, **options)


def read(picture: Tensor, layout: Layout, settings: GuideSettings, guide: ArrayLike | Tensor) -> Problem:
    """Make a problem of a noisy picture, (N, C, H, W), and a guide of the same size."""
    from untaught.imaging.arrays import as_values, to_tensor, with_ends
    from untaught.imaging.ranges import working_range

    shown, own = to_tensor(guide, working_range(as_values(guide)[0], None))
    shown = with_ends(shown, own)
    if shown.shape[2:] != picture.shape[2:] or len(shown) not in (1, len(picture)):
        (height, width), (wanted_height, wanted_width) = shown.shape[2:], picture.shape[2:]
        raise InputError(
            f"the guide is {width} x {height} pixels and the picture {wanted_width} x {wanted_height} (width x "
            "height): a guide has the size of its picture"
        )
    if not shown.isfinite().all():
        raise InputError("the guide has values that are not finite: fill them in first")
    from untaught.imaging.noise import CORRELATED

    whole, finite = fill_in(picture)
    problem = read_normal(whole, finite, layout, settings.noise)
    problem = dataclasses.replace(problem, guide=shown.expand(len(picture), -1, -1, -1), recipe_row="")
    correlation = correlation_of_noise(whole)
    if correlation <= CORRELATED:
        return problem
    # The level of correlated noise is not known: it is estimated from the finest detail.
    return dataclasses.replace(
        problem,
        final_step=None,
        display_step=None,
        instead=None,
        recipe_row="guide-correlated",
        notes=(
            f"the noise of neighbouring pixels is correlated (by about {correlation:.1f}): the network sees the guide "
            "alone, and stops before it fits the noise",
        ),
    )


register(
    Task(
        name="guide",
        about="Remove the noise of a picture with the help of another of the same scene, such as one with flash.",
        example="untaught guide dark.png --guide flash.png -o clean.png",
        settings=GuideSettings,
        read=read,
        function=guide,
        recipes=("balanced", "fast", "best", "printed", "paper"),
        files=(
            InputFile(
                role="guide",
                about="a picture of the same scene and size, with little noise and in any light",
                kind="guide",
                required=True,
            ),
        ),
        order=4,
    )
)
