"""Upscaling: a picture that was made smaller, made large again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from untaught.errors import InputError
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout
from untaught.physics.resampling import Downsample
from untaught.tasks.catalogue import UpscaleSettings
from untaught.tasks.preparation import prepare

__all__ = ["read", "upscale"]


def upscale(
    image: ArrayLike | Tensor, factor: float, *, observers: Sequence[Observer] = (), **options: Any
) -> Restoration:
    """Make a picture larger that was made smaller.

    Made smaller again, the result agrees with what was given, but for what noise and rounding leave.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor.
        factor: how many times larger each side is to be, 1.5 to 16.
        observers: called with each `State` of the fit.
        **options: see `UpscaleSettings` and `Options`.

    Returns:
        The restoration; its picture has the type of ``image`` and the larger size.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> import numpy as np
    >>> small = np.full((16, 12), 90, np.uint8)
    >>> upscale(small, 2, iterations=2).picture.shape
    (32, 24)
    """
    return prepare("upscale", image, factor=factor, **options).run(observers)


def read(picture: Tensor, layout: Layout, settings: UpscaleSettings) -> Problem:
    """What is known of the large picture, of a small one, (N, C, H, W)."""
    known = picture.isfinite()
    smaller = (picture.shape[2], picture.shape[3])
    size = (round(smaller[0] * settings.factor), round(smaller[1] * settings.factor))
    if size[0] * size[1] > 100_000_000:
        raise InputError(f"the result would have {size[1]} x {size[0]} pixels: at most 100 million are made")
    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        operator=Downsample(size, smaller, settings.kernel),
        channels=picture.shape[1],
        size=size,
        layout=layout,
    )
