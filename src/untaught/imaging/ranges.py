"""The range of a picture's values: what is black and white to the network, decided from the values themselves.

A file of 16 bits often holds 10 or 12 bits of signal, or a dark picture and one bright star. Scaled by what its type
can hold, noise and detail would be a fraction of a percent, and a fit would work on nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import InputError
from untaught.imaging.noise import estimate_noise
from untaught.imaging.sentinels import suspect

__all__ = ["Range", "stated_range", "working_range"]

_WIDE = 0.25
"""A signal that spans this share of a range is fitted as well as one that spans all of it (docs/lab-notes/tasks.md)."""

_RARE = (1e-3, 1e-2)
"""Shares of the values at each end that may lie far beyond all others."""

_MOST_BEYOND = 0.03
"""Once more than this share of the values lies beyond a range, it is not made smaller."""

_MARGIN = 0.05
"""A working range goes this share of the signal's span beyond it."""

_SURE = 5.0
"""Values this many standard deviations of the noise beyond a range are no noise."""

_SAMPLES = 1 << 20
"""Quantiles are taken from at most about so many values."""

_BLOCK = 9
"""Side of the blocks whose medians show what is larger than a star, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """What is black and white.

    Attributes:
        low: the value that is 0 to the network.
        high: the value that is 1 to the network.
        stated: black and white as figures such as PSNR take them.
        tolerance: values farther beyond ``low`` and ``high`` than this are carried over as they are.
        note: a sentence for the user, where the range is not the stated one; else empty.
    """

    low: float
    high: float
    stated: tuple[float, float]
    tolerance: float = math.inf
    note: str = ""

    @property
    def span(self) -> float:
        """From black to white."""
        return self.high - self.low


def stated_range(values: NDArray[Any], given: Sequence[float] | None) -> tuple[float, float]:
    """The values of black and white: those given, or those of the type.

    Args:
        values: of any shape: uint8, uint16, float in [0, 1], or any real type with ``given``.
        given: two numbers, the lower first; None for those of the type.

    Raises:
        InputError: for an impossible range, or values of a type without one.
    """
    kind = values.dtype.kind
    if kind not in "uifb":
        raise InputError(f"found {values.dtype} values: a picture has real numbers; convert it, as by astype(float)")
    if given is not None:
        try:
            low, high = (float(end) for end in given)
        except (TypeError, ValueError):
            low = high = np.nan
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InputError(f"found value_range={given}: it is two finite numbers, the lower first")
        return low, high
    if kind == "u" and values.dtype.itemsize <= 2:
        return 0.0, float(np.iinfo(values.dtype).max)
    finite = values[np.isfinite(values)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if kind == "f" and least >= 0 and most <= 1:
        return 0.0, 1.0
    wanted = "floats are expected in [0, 1]" if kind == "f" else f"{values.dtype} has no range of its own"
    if (found := suspect(values)) is not None:
        raise InputError(f"found values from {least:g} to {most:g}: {wanted}, and {found[1]}")
    raise InputError(
        f"found values from {least:g} to {most:g}: {wanted}; say what stands for black and white, for instance "
        f"value_range=({least:g}, {most:g})"
    )


def working_range(values: NDArray[Any], given: Sequence[float] | None, valid: NDArray[np.bool_] | None = None) -> Range:
    """Decide what is black and white to the network.

    The stated range stays where the values span a quarter of it or more. Elsewhere the range is that of the values
    with a margin, without rare ones that lie far beyond all others.

    Args:
        values: (N, C, ..., H, W), of any real type.
        given: the stated range; None for that of the type.
        valid: of the same shape: which values count; None for all of them.

    Raises:
        InputError: for an impossible range, or values of a type without one.
    """
    if given is None and _is_plain(values, valid):
        stated = stated_range(values, None)
        return Range(low=stated[0], high=stated[1], stated=stated)
    counted = values.ravel() if valid is None else values[valid]
    if counted.dtype.kind == "f":
        finite = np.isfinite(counted)
        counted = counted if finite.all() else counted[finite]
    stated = stated_range(counted, given)
    if not counted.size:
        return Range(low=stated[0], high=stated[1], stated=stated)
    ends = float(counted.min()), float(counted.max())
    # Every n-th with an odd n: a sensor's colours come in twos.
    some = np.sort(counted[:: (counted.size // _SAMPLES) | 1].astype(np.float64))
    core, within = _core(values, valid, some, ends)
    if core[1] == core[0] or core[1] - core[0] >= _WIDE * (stated[1] - stated[0]):
        return _kept(values, valid, stated, ends, core)
    low, high = _around(counted, core, within, stated)
    beyond = int(((counted < low) | (counted > high)).sum())
    told = f"; {beyond} values beyond it are carried over as they are" if beyond else ""
    note = (
        f"the values span a small part of {stated[0]:g} to {stated[1]:g}: black and white are taken as {low:.6g} and "
        f"{high:.6g}{told}"
    )
    # Black and white that the user states are those of figures too. Those of a type say nothing about the signal.
    return Range(low=low, high=high, stated=stated if given is not None else (low, high), tolerance=0.0, note=note)


def _is_plain(values: NDArray[Any], valid: NDArray[np.bool_] | None) -> bool:
    """Whether some of a large picture's values show that it fills its type's range, so that the others need no look."""
    if values.dtype.kind != "u" or values.dtype.itemsize > 2 or values.size < 4 * _SAMPLES:
        return False
    step = int((values.size / _SAMPLES) ** 0.5) | 1
    some = values[..., ::step, ::step]
    some = np.sort(some.ravel() if valid is None else some[valid[..., ::step, ::step]])
    if some.size < _SAMPLES // 64:
        return False
    low, high = _between(some, _RARE[-1])
    return high - low >= _WIDE * float(np.iinfo(values.dtype).max)


def _kept(
    values: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    stated: tuple[float, float],
    ends: tuple[float, float],
    core: tuple[float, float],
) -> Range:
    """The stated range, wider if values lie beyond it that are no noise."""
    low, high = stated
    if ends[0] >= low and ends[1] <= high:
        return Range(low=low, high=high, stated=stated)
    tolerance = _SURE * _noise_of(values, valid, stated)
    if ends[0] >= low - tolerance and ends[1] <= high + tolerance:
        return Range(low=low, high=high, stated=stated)
    wide = min(low, ends[0]), max(high, ends[1])
    counted = values if valid is None else values[valid]
    if core[1] - core[0] >= _WIDE * (wide[1] - wide[0]):
        note = f"values lie beyond {low:g} and {high:g}: black and white are taken as {wide[0]:g} and {wide[1]:g}"
        return Range(low=wide[0], high=wide[1], stated=stated, note=note)
    beyond = int(((counted < low - tolerance) | (counted > high + tolerance)).sum())
    note = f"{beyond} values far beyond {low:g} and {high:g} are carried over as they are"
    return Range(low=low, high=high, stated=stated, tolerance=tolerance, note=note)


def _between(some: NDArray[Any], share: float) -> tuple[float, float]:
    """The ends of sorted values without this share at each; of few values without the last one."""
    left_out = max(1, round(share * some.size)) if some.size >= 64 else 0
    return float(some[left_out]), float(some[-1 - left_out])


def _core(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, some: NDArray[np.float64], ends: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The range of the signal, without rare values that lie far beyond it; and the ends of all that is near."""
    core, limits, rest = ends, ends, some
    while rest.size >= (1 - _MOST_BEYOND) * some.size:
        small = [inner for inner in (_between(rest, share) for share in _RARE) if _is_small(inner, limits)]
        if not small:
            break
        if len(small) < len(_RARE) and not _is_small(with_objects := _with_objects(values, valid, small[0]), limits):
            break
        core = small[0] if len(small) == len(_RARE) else with_objects
        span = core[1] - core[0]
        limits = max(limits[0], core[0] - span), min(limits[1], core[1] + span)
        rest = rest[(rest >= limits[0]) & (rest <= limits[1])]
    return core, ends if core == ends or not rest.size else (float(rest[0]), float(rest[-1]))


def _is_small(inner: tuple[float, float], limits: tuple[float, float]) -> bool:
    """Whether a range is too small a part of another."""
    return 0 < inner[1] - inner[0] < _WIDE * (limits[1] - limits[0])


def _with_objects(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, inner: tuple[float, float]
) -> tuple[float, float]:
    """A range that also holds what is larger than a star: the medians of blocks."""
    height, width = (side // _BLOCK * _BLOCK for side in values.shape[-2:])
    if not height or not width:
        return inner
    cut = values[..., :height, :width].astype(np.float32)
    if valid is not None:
        cut = np.where(valid[..., :height, :width], cut, np.nan)
    blocks = cut.reshape(*cut.shape[:-2], height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).swapaxes(-3, -2)
    blocks = blocks.reshape(-1, _BLOCK * _BLOCK)
    blocks = blocks[np.isfinite(blocks).all(1)]
    if not len(blocks):
        return inner
    medians = np.median(blocks, axis=1)
    return min(inner[0], float(medians.min())), max(inner[1], float(medians.max()))


def _around(
    counted: NDArray[Any], core: tuple[float, float], ends: tuple[float, float], stated: tuple[float, float]
) -> tuple[float, float]:
    """A working range around the signal and the ends of what is near it, within the stated one."""
    span = core[1] - core[0]
    low, high = ends[0] - _MARGIN * span, ends[1] + _MARGIN * span
    # Where many values are at the end, they were clipped there, and the end is black or white.
    often = max(8, 1e-3 * counted.size)
    if (counted == ends[0]).sum() > often:
        low = ends[0]
    if (counted == ends[1]).sum() > often:
        high = ends[1]
    low, high = max(low, core[0] - span), min(high, core[1] + span)
    return (
        max(low, stated[0]) if ends[0] >= stated[0] else low,
        min(high, stated[1]) if ends[1] <= stated[1] else high,
    )


def _noise_of(values: NDArray[Any], valid: NDArray[np.bool_] | None, stated: tuple[float, float]) -> float:
    """Standard deviation of the noise of one picture or slice; 0 if it is too small to tell."""
    plane = values.reshape(-1, *values.shape[-2:])
    middle = plane[len(plane) // 2].astype(np.float64)
    if min(middle.shape) < 8:
        return 0.0
    there = np.isfinite(middle)
    if valid is not None:
        there &= valid.reshape(plane.shape)[len(plane) // 2]
    return float(np.mean(estimate_noise(np.where(there, middle, stated[0]).clip(*stated))))
