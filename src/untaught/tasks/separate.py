"""Separation: two layers that two pictures show in different shares, as a scene and what a window reflects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from untaught.errors import InputError
from untaught.fitting.losses import ExclusiveError
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout, to_tensor
from untaught.physics.mixture import Mixture
from untaught.physics.operator import Operator
from untaught.tasks.catalogue import SeparateSettings
from untaught.tasks.preparation import prepare

__all__ = ["read", "separate"]

_ALIKE = 1e-3
"""Two pictures that differ by less, of a range of 1, root mean square, say the same."""


def separate(
    image: ArrayLike | Tensor, other: ArrayLike | Tensor, *, observers: Sequence[Observer] = (), **options: Any
) -> Restoration:
    """Take two layers apart that two pictures show in different shares.

    Each layer has a network of its own, and the shares are learnt with them; an edge in one picture is given to one
    layer rather than to both (Gandelsman, Shocher and Irani, 2019, "Double-DIP"). A layer's brightness is known only
    but for a constant.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor.
        other: of the same shape: the same two layers, with less of the first one.
        observers: called with each `State` of the fit.
        **options: see `Options`.

    Returns:
        The restoration; its picture is the layer of which ``image`` shows more, in the shape and type of ``image``, and
        ``found["layer"]`` is the other one.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> import numpy as np
    >>> first, second = np.random.default_rng(0).random((2, 16, 16))
    >>> result = separate(0.7 * first + 0.3 * second, 0.4 * first + 0.6 * second, iterations=2)
    >>> result.picture.shape, result.found["layer"].shape
    ((16, 16), (16, 16))
    """
    return prepare("separate", image, other=other, **options).run(observers)


def read(picture: Tensor, layout: Layout, settings: SeparateSettings, other: ArrayLike | Tensor) -> Problem:  # noqa: ARG001
    """What is known of two layers, of two pictures of them, (N, C, H, W)."""
    second, _ = to_tensor(other, (layout.low, layout.high))
    if second.shape != picture.shape:
        found, wanted = (" x ".join(map(str, one.shape[2:])) for one in (second, picture))
        raise InputError(
            f"the other picture is {found}, with {second.shape[1]} channels, and the picture {wanted}, with "
            f"{picture.shape[1]} (height x width): they must be alike"
        )
    both = torch.cat([picture, second], dim=1)
    known = both.isfinite()
    difference = (picture - second)[(picture - second).isfinite()]
    if difference.numel() and float(difference.square().mean().sqrt()) < _ALIKE:
        raise InputError("the two pictures are alike: they must show the layers in different shares")
    channels = picture.shape[1]
    return Problem(
        observed=torch.where(known, both, 0),
        known=known,
        operator=Mixture(),
        channels=2 * channels,
        layers=(channels, channels),
        objective=ExclusiveError,
        size=(picture.shape[2], picture.shape[3]),
        layout=layout,
        finish=_first,
        found=_second,
    )


def _first(layers: Tensor) -> Tensor:
    return layers.chunk(2, dim=1)[0]


def _second(_: Operator, layers: Tensor) -> dict[str, Tensor]:
    return {"layer": layers.chunk(2, dim=1)[1]}
