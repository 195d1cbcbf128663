"""What is known of a picture: by a mask, by values that stand for nothing, or as black pixels that were dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from untaught.errors import InputError
from untaught.imaging.arrays import Layout, as_numbers, known_values
from untaught.imaging.masks import array_mask
from untaught.imaging.sentinels import dropped, suspect

__all__ = ["known_by"]

_MOSTLY = 0.5
"""A picture of which a larger share is transparent has no hole but a background."""


def known_by(
    mask: ArrayLike | Tensor | None,
    values: NDArray[Any],
    layout: Layout,
    *,
    marks: str,
    grow: int | None,
    missing: NDArray[np.bool_] | None,
    hidden: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Say what is known of a picture.

    Args:
        mask: of the picture, as the user gives it; None to tell from the values.
        values: of the picture, (N, C, H, W).
        layout: of the picture.
        marks: what True means in the mask: "known" or "missing"; "auto" means known.
        grow: pixels by which what is missing is widened.
        missing: the shape of the values: what stands for nothing; None for none.
        hidden: broadcastable to it: what is transparent; None for none.

    Returns:
        The known values, in the same shape, and notes for the user.

    Raises:
        InputError: for a mask that cannot be used, or nothing to tell from.
    """
    finite = np.isfinite(values) if values.dtype.kind == "f" else np.broadcast_to(np.True_, values.shape)
    if not finite.any():
        raise InputError("the picture has no finite value: every one is NaN or infinite")
    there = finite if missing is None else finite & ~missing
    if mask is None:
        known, notes = _told_by_values(values, finite, there, missing, hidden)
    else:
        known, notes = _marked(mask, layout, marks, grow)
        if missing is not None or values.dtype.kind == "f":
            lost = known & ~there if hidden is None else known & ~there & ~hidden
            if unknown := int((lost & ~finite).sum()):
                notes += (f"{unknown} values that the mask marks as known are not finite and are taken as missing",)
            if unknown := int((lost & finite).sum()):
                notes += (f"{unknown} values that the mask marks as known stand for nothing and are taken as missing",)
            known = known & there
    if not known.any():
        raise InputError("every value of the picture is missing: there is nothing to restore it from")
    return known, notes


def _marked(
    mask: ArrayLike | Tensor, layout: Layout, marks: str, grow: int | None
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    array = as_numbers(mask.detach().cpu().numpy() if isinstance(mask, Tensor) else mask, "mask")
    # Pictures have their rows and columns first, tensors last.
    spatial = array.ndim if layout.is_tensor else min(array.ndim, layout.dimensions)
    axes = (spatial - 2, spatial - 1) if spatial >= 2 else tuple(range(array.ndim))
    understood = array_mask(array, marks=marks, grow=grow, axes=axes)
    known = known_values(understood.known, layout).numpy()
    if known.all() or not known.any():
        which, other = ("known", "missing") if known.all() else ("missing", "known")
        held = f"each is {array.flat[0]:g}, so " if array.dtype != np.bool_ and array.min() == array.max() else ""
        white = "missing" if marks == "missing" else "known"
        raise InputError(
            f"the mask marks every value as {which}: {held}nothing is {other} (True, or white, means {white}; False, "
            "or black, the other)"
        )
    return known, understood.notes


def _told_by_values(
    values: NDArray[Any],
    finite: NDArray[np.bool_],
    there: NDArray[np.bool_],
    missing: NDArray[np.bool_] | None,
    hidden: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """What is known by what the picture says of itself, and otherwise what is not black."""
    if hidden is not None:
        share = float(hidden.mean())
        if share > _MOSTLY:
            raise InputError(
                f"{share:.0%} of the picture is transparent: give a mask of what is missing, if that is not all of it"
            )
        note = f"the transparent part of the picture, {share:.1%} of the pixels, is taken as missing"
        return there & ~hidden, (note,)
    if missing is not None or not finite.all():
        share = float(1 - there.mean())
        if share == 0:
            raise InputError("no value of the picture is one of those that stand for nothing: give a mask")
        what = "not finite" if missing is None else "masked, or stand for nothing"
        note = f"{share:.1%} of the values are {what} and are taken as missing"
        if (zero := float((there & (values == 0)).mean())) > 0:
            note += f"; {zero:.1%} are exactly 0 and are taken as known: say missing_value=0 if they are not"
        return there, (note,)
    return _not_black(values)


def _not_black(values: NDArray[Any]) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """The pixels that are not exactly black, but for solid parts, and a note about their share."""
    black = (values == 0).all(1, keepdims=True)
    if not black.any():
        found = suspect(values)
        advice = "give a mask" if found is None else f"{found[1]}; else give a mask"
        raise InputError(f"no pixel is exactly black or not finite, so none counts as missing: {advice}")
    if black.all():
        raise InputError("every pixel is black or not finite: there is nothing to restore the picture from")
    scattered, solid = dropped(black)
    all_black = "missing_value=0, --missing-value 0, "
    if not scattered.any():
        raise InputError(
            f"{black.mean():.1%} of the pixels are exactly black, in solid parts, which may be the picture's own: say "
            f"{all_black}if they are missing, or give a mask"
        )
    note = f"{scattered.mean():.1%} of the pixels are exactly black and are taken as missing"
    if solid.any():
        note += (
            f"; another {solid.mean():.1%} are black in solid parts and are taken as the picture's own: say "
            f"{all_black}if they are missing too"
        )
    return np.broadcast_to(~scattered, values.shape), (note,)
