"""Demosaicing: the colours of a raw picture, of which a sensor has seen one at each pixel."""

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
from untaught.tasks.catalogue import DemosaicSettings
from untaught.tasks.preparation import prepare

__all__ = ["demosaic", "read"]


def demosaic(image: ArrayLike | Tensor, *, observers: Sequence[Observer] = (), **options: Any) -> Restoration:
    """Fill in the colours that a sensor with a mosaic of filters has not seen.

    Args:
        image: (H, W) array, uint8, uint16 or float in [0, 1]; or an (N, 1, H, W) tensor: the raw picture.
        observers: called with each `State` of the fit.
        **options: see `DemosaicSettings` and `Options`.

    Returns:
        The restoration; its picture is (H, W, 3), or (N, 3, H, W), in the type of ``image``, and holds what was
        seen to the bit.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> import numpy as np
    >>> demosaic(np.full((16, 12), 90, np.uint8), iterations=2).picture.shape
    (16, 12, 3)
    """
    return prepare("demosaic", image, **options).run(observers)


def read(picture: Tensor, layout: Layout, settings: DemosaicSettings) -> Problem:
    """What is known of the colours, of a raw picture, (N, 1, H, W)."""
    if picture.shape[1] != 1:
        raise InputError(f"a raw mosaic has one channel: found {picture.shape[1]}")
    height, width = picture.shape[2:]
    seen = torch.zeros(1, 3, height, width, dtype=torch.bool)
    for place, colour in enumerate(settings.pattern):
        seen[:, "RGB".index(colour), place // 2 :: 2, place % 2 :: 2] = True
    known = seen & picture.isfinite()
    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        channels=3,
        size=(height, width),
        layout=layout,
        kept=known,
    )
