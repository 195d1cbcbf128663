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

CUT = 0.8
"""Frames that differ by this share of their contrast belong to two shots: docs/lab-notes/films.md."""

_ALONE = 2.0
"""And by so many times as much as the next two frames."""

_COLUMNS, _LEAST = 80, 4
"""Columns of the small pictures that are compared, at most; and how many pixels each way become one, at least, so that
noise is no difference."""
_FAINT = 0.04
"""A weaker contrast than this counts as it."""
_SHIFT = 4
"""They are shifted by so many of their pixels against each other, as a camera moves."""


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How much two small pictures, (C, h, w), differ, as a share of their contrast; 0 for not at all.

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
    return least / max(contrast, _FAINT)


class Cuts:
    """Finds the cuts of a film whose frames come one after the other.

    A cut is a change that stands alone: noise and a fast camera change each frame.
    """

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._here: NDArray[np.float32] | None = None
        self._change = 0.0

    def begins(self, planes: Tensor, after: Tensor | None) -> bool:
        """Whether a shot begins with this frame.

        Args:
            planes: (C, H, W), in [0, 1].
            after: those of the next frame; None after the last one.
        """
        here = _small(planes) if self._here is None else self._here
        before, self._before = self._before, here
        self._here = None if after is None else _small(after)
        if before is None:
            return True
        last, self._change = self._change, difference(before, here)
        if self._change <= CUT:
            return False
        return self._change > _ALONE * (last if self._here is None else difference(here, self._here))


def _small(planes: Tensor) -> NDArray[np.float32]:
    """The small picture of a frame."""
    step = min(max(_LEAST, -(-planes.shape[2] // _COLUMNS)), *planes.shape[1:])
    made: NDArray[np.float32] = functional.avg_pool2d(planes[None], step)[0].numpy()
    return made
