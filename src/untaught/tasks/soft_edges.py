"""Soft edges: around what is missing, the result fades into the picture."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from untaught.fitting.problem import Problem

__all__ = ["faded", "shares_of"]


def shares_of(known: NDArray[np.bool_], width: int) -> NDArray[np.float32]:
    """The share of the result in the picture that is handed back, by the distance from what is missing.

    Args:
        known: (..., H, W): True where a value is known.
        width: of the soft edge, in pixels.

    Returns:
        The same shape: 1 where a value is missing, less with each pixel beyond, and 0 farther away than ``width``.
    """
    from scipy import ndimage

    shares = np.zeros(known.shape, np.float32)
    for index in np.ndindex(known.shape[:-2]):
        missing = ~known[index]
        rows, columns = (np.flatnonzero(missing.any(axis)) for axis in (1, 0))
        if not rows.size:
            continue
        # Farther away nothing is soft, and distances of a whole photograph take long.
        box = tuple(slice(max(0, ends[0] - width), ends[-1] + width + 1) for ends in (rows, columns))
        distance = ndimage.distance_transform_edt(~missing[box])
        shares[index][box] = np.clip(1 - distance / (width + 1), 0, 1)
    return shares


def faded(problem: Problem, shares: NDArray[np.float32], picture: Tensor) -> Problem:
    """A problem whose pictures fade into the given one.

    Args:
        problem: whose known values are those with a share of 0.
        shares: (N, C, H, W), of the result.
        picture: the same shape, as it was given; only values with a share between 0 and 1 are read.
    """
    import torch

    given = torch.from_numpy(shares)
    soft = (given > 0) & (given < 1)
    step = functools.partial(
        _fade, shares=torch.where(soft, given, 1), picture=torch.where(soft, picture, 0), before=problem.display_step
    )
    return dataclasses.replace(problem, display_step=step)


def _fade(made: Tensor, *, shares: Tensor, picture: Tensor, before: Callable[[Any], Any] | None) -> Tensor:
    made = made if before is None else before(made)
    return picture.to(made).lerp(made, shares.to(made))
