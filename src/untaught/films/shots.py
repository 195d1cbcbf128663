"""Where a film is cut: nothing is taken from one shot into another."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["Cuts", "Strengths", "difference"]

Strengths = MutableMapping[str, Any]
"""What was measured in a shot, by the number of its first frame: plain values, which are kept with the film."""

CUT = 0.5
"""Frames that differ by this share of their contrast belong to two shots: docs/lab-notes/films.md."""

_COLUMNS = 80
"""Columns of the small pictures that are compared, at most."""
_SHIFT = 4
"""They are shifted by so many of their pixels against each other, as a camera moves."""


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How much two small pictures, (C, h, w), differ, as a share of their contrast: 0 to about 1.4.

    The least mean difference over all shifts by a few pixels, so that a moving camera is no cut.
    """
    reach = min(_SHIFT, min(one.shape[-2:]) // 4)
    inner = slice(reach, one.shape[1] - reach), slice(reach, one.shape[2] - reach)
    middle = one[(slice(None), *inner)]
    contrast = min(float(np.abs(each - each.mean((1, 2), keepdims=True)).mean()) for each in (one, other))
    least = min(
        float(
            np.abs(
                middle
                - other[:, reach + down : other.shape[1] - reach + down, reach + right :][:, :, : middle.shape[2]]
            ).mean()
        )
        for down in range(-reach, reach + 1)
        for right in range(-reach, reach + 1)
    )
    return least / max(contrast, 0.02)


class Cuts:
    """Finds the cuts of a film whose frames come one after the other."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None

    def begins(self, planes: Tensor) -> bool:
        """Whether a shot begins with this frame, (C, H, W), in [0, 1]."""
        step = max(1, -(-planes.shape[2] // _COLUMNS))
        step = min(step, *planes.shape[1:])
        small = functional.avg_pool2d(planes[None].nan_to_num(), step)[0].numpy()
        before, self._before = self._before, small
        return before is None or before.shape != small.shape or difference(before, small) > CUT
