"""Values that stand for nothing: a fill value, a nodata value, and black where pixels were dropped."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.imaging.masks import is_together

__all__ = ["dropped", "fill_values", "loaded", "marked_by", "suspect"]

_LEAST = 0.001
"""A smaller share of equal values is not taken for a fill value."""

_SOLID = 5
"""A square of so many pixels each way, all black, is a solid part and not a few dropped pixels."""

_NAMES = ("_FillValue", "missing_value", "nodata", "nodatavals", "_FillValues")
"""Attributes by which an xarray.DataArray says what stands for nothing."""


def loaded(image: Any) -> Any:
    """What a lazy array holds, such as a dask array, whose chunks may be numpy masked arrays; others as they are."""
    lazy = not isinstance(image, np.ndarray) and hasattr(image, "dask") and callable(getattr(image, "compute", None))
    return image.compute() if lazy else image


def fill_values(image: Any) -> tuple[float, ...]:
    """The values that an xarray.DataArray says are missing; none for other types."""
    found: list[float] = []
    for facts in (getattr(image, "attrs", None), getattr(image, "encoding", None)):
        if not isinstance(facts, dict):
            continue
        for name in _NAMES:
            with contextlib.suppress(TypeError, ValueError):
                found += [float(value) for value in np.atleast_1d(facts[name])] if name in facts else []
    return tuple(dict.fromkeys(found))


def marked_by(values: NDArray[Any], sentinels: Sequence[float]) -> NDArray[np.bool_]:
    """Where values are missing since they are exactly one of some numbers.

    Args:
        values: (N, C, ...). Of three channels, which are colours, all have to be that number; else each is by itself.
        sentinels: the numbers; NaN is missing anyway.

    Returns:
        The same shape.
    """
    found = np.zeros(values.shape, bool)
    for sentinel in sentinels:
        # As the type holds it: -3.4e38 of a text is not quite the float32.
        same = values == (np.float32(sentinel) if values.dtype == np.float32 else sentinel)
        found |= same.all(1, keepdims=True) if values.shape[1] == 3 else same
    return found


def suspect(values: NDArray[Any]) -> tuple[float, str] | None:
    """The smallest or largest value if it looks like a fill value, and half a sentence that asks; else None.

    Many are exactly that value, and it lies farther from all others than they span.
    """
    if values.dtype.kind not in "uif":
        return None
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
    for end in (finite.min(), finite.max()) if finite.size else ():
        there = finite == end
        rest = finite[~there]
        if not rest.size or not max(8, _LEAST * finite.size) <= there.sum() < rest.size:
            continue
        least, most = float(rest.min()), float(rest.max())
        if max(least - float(end), float(end) - most) > most - least > 0:
            said = f"{float(end):.9g}"
            share = f"{there.sum() / finite.size:.1%} of the values are {said}"
            return float(end), f"{share}: if they stand for nothing, say missing_value={said}, --missing-value {said}"
    return None


def dropped(black: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Divide black pixels into scattered ones, which were dropped, and solid parts, which may be the picture's own.

    Squares of black among pixels that were dropped at random are as frequent as chance has it; solid parts are more.

    Args:
        black: (..., H, W).

    Returns:
        The scattered ones and the solid ones.
    """
    from scipy import ndimage

    def of_planes(side: int) -> NDArray[np.bool_]:
        return np.ones((*(1,) * (black.ndim - 2), side, side), bool)

    # Beyond the edge of a picture its background goes on.
    eroded = ndimage.binary_erosion(black, of_planes(_SOLID), border_value=1)
    core: NDArray[np.bool_] = ndimage.binary_dilation(eroded, of_planes(_SOLID), mask=black)
    if not core.any() or not is_together(~black, (-2, -1)):
        return black, np.zeros_like(black)
    rest = ~core
    share = float(black[rest].mean()) if rest.any() else 1.0
    squares = _SOLID**2
    if float(core.mean()) <= 2 * (1 - (1 - share**squares) ** squares):
        return black, np.zeros_like(black)
    solid = core
    for _ in range(2):
        # Their ragged edges: a dropped pixel beside a straight edge has three neighbours there.
        neighbours = ndimage.convolve(solid.astype(np.uint8), of_planes(3).astype(np.uint8), mode="constant")
        solid = solid | (black & (neighbours >= 4))
    scattered = black & ~solid
    if not (scattered & ~ndimage.binary_dilation(core, of_planes(3), iterations=_SOLID)).any():
        return np.zeros_like(black), black
    return scattered, solid
