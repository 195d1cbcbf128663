"""Denoising with a guide: a dark, noisy picture, and another of the same scene that has little noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor

from untaught.errors import InputError
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout, to_tensor
from untaught.tasks.catalogue import GuideSettings
from untaught.tasks.denoise import CORRELATED, correlation_of_noise, fill_in, read_normal
from untaught.tasks.preparation import prepare

__all__ = ["guide", "read"]


def guide(
    image: ArrayLike | Tensor, guide: ArrayLike | Tensor, *, observers: Sequence[Observer] = (), **options: Any
) -> Restoration:
    """Take the noise off a picture with the help of another of the same scene.

    The colours and the light are the picture's, and the guide only shows where edges and textures are. What it shows
    and the picture does not, such as the shadows of a flash, may be taken over faintly. Where the noise of neighbouring
    pixels is correlated, as in a photograph that a camera has developed, the network sees the guide alone, and is
    stopped before it takes up the noise (Ulyanov, Vedaldi, Lempitsky, 2018).

    Args:
        image: the noisy picture: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W)
            tensor. Values that are not finite are filled in.
        guide: of the same height and width, finite; any number of channels.
        observers: called with each `State` of the fit.
        **options: see `GuideSettings` and `Options`.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> import numpy as np
    >>> dark = np.random.default_rng(0).normal(40, 5, (16, 16)).astype(np.uint8)
    >>> flash = np.full((16, 16, 3), 200, np.uint8)
    >>> guide(dark, flash, noise=5, iterations=2).picture.shape
    (16, 16)
    """
    return prepare("guide", image, guide=guide, **options).run(observers)


def read(picture: Tensor, layout: Layout, settings: GuideSettings, guide: ArrayLike | Tensor) -> Problem:
    """What is known of a noisy picture, (N, C, H, W), of its noise, and of a guide of the same size."""
    shown, _ = to_tensor(guide)
    if shown.shape[2:] != picture.shape[2:] or len(shown) not in (1, len(picture)):
        (height, width), (wanted_height, wanted_width) = shown.shape[2:], picture.shape[2:]
        raise InputError(
            f"the guide is {width} x {height} pixels and the picture {wanted_width} x {wanted_height} (width x "
            "height): a guide has the size of its picture"
        )
    if not shown.isfinite().all():
        raise InputError("the guide has values that are not finite: fill them in first")
    whole, finite = fill_in(picture)
    problem = read_normal(whole, finite, layout, settings.noise)
    problem = dataclasses.replace(problem, guide=shown.expand(len(picture), -1, -1, -1), recipes="")
    correlation = correlation_of_noise(whole)
    if correlation <= CORRELATED:
        return problem
    # Its level is not known then, as it is estimated from what is finest.
    return dataclasses.replace(
        problem,
        polish=None,
        finish=None,
        recipes="guide-correlated",
        notes=(
            f"the noise of neighbouring pixels is correlated (by about {correlation:.1f}): the network sees the guide "
            "alone, and is stopped before it takes up the noise",
        ),
    )
