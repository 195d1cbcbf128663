"""Filling in what is missing: writing, scratches and holes under a mask, and scattered pixels that were dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import ndimage
from torch import Tensor

from untaught.errors import InputError
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout, known_values
from untaught.tasks.catalogue import FillSettings
from untaught.tasks.preparation import prepare

__all__ = ["inpaint", "read", "restore"]

_DEEP = 12
"""From this distance of a missing pixel to the nearest known one on, in pixels, a hole counts as large."""


def inpaint(
    image: ArrayLike | Tensor, mask: ArrayLike | Tensor, *, observers: Sequence[Observer] = (), **options: Any
) -> Restoration:
    """Fill in what is missing from a picture: writing, scratches, holes.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor; with a depth
            before the height for a ``volume``. What it holds where the mask is False is never read.
        mask: True where the picture is known, False where it is missing; (H, W), (D, H, W) for a volume, or the
            picture's shape.
        observers: called with each `State` of the fit.
        **options: see `FillSettings` and `Options`.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> import numpy as np
    >>> picture = np.full((16, 16), 90, np.uint8)
    >>> mask = np.ones((16, 16), bool)
    >>> mask[6:9, 6:9] = False
    >>> inpaint(picture, mask, iterations=2).picture.shape
    (16, 16)
    """
    return prepare("inpaint", image, mask, **options).run(observers)


def restore(
    image: ArrayLike | Tensor,
    mask: ArrayLike | Tensor | None = None,
    *,
    observers: Sequence[Observer] = (),
    **options: Any,
) -> Restoration:
    """Restore a picture of which scattered pixels were dropped.

    Args:
        image: as for `inpaint`.
        mask: as for `inpaint`; if None, pixels that are exactly black (zero in all channels) or not finite are taken as
            missing, and the result's notes say how many that were.
        observers: called with each `State` of the fit.
        **options: see `FillSettings` and `Options`.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.
    """
    return prepare("restore", image, mask, **options).run(observers)


def read(picture: Tensor, layout: Layout, settings: FillSettings, mask: ArrayLike | Tensor | None = None) -> Problem:
    """What is known of a picture, (N, C, H, W), and of a mask of it."""
    known, notes = _known(picture, layout, mask, settings.mask_marks)
    # Those that fill large holes have two dimensions.
    depth = 0.0 if layout.volume else _depth(known)
    if depth > _DEEP:
        notes += (f"the mask has a hole {2 * depth:.0f} pixels across: a network for large holes fills it",)
    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        kept=known if settings.keep_known else None,
        recipes="inpaint-hole" if depth > _DEEP else "",
        notes=notes,
    )


def _depth(known: Tensor) -> float:
    """How far the missing pixel that is farthest from any known one is from it, in pixels."""
    return max(float(ndimage.distance_transform_edt(~one.any(0).numpy()).max()) for one in known)


def _known(
    picture: Tensor, layout: Layout, mask: ArrayLike | Tensor | None, marks: str
) -> tuple[Tensor, tuple[str, ...]]:
    """What is known of a picture, (N, C, H, W) bool, and what to tell the user about it."""
    notes = []
    finite = picture.isfinite()
    if not finite.any():
        raise InputError("the picture has no finite value: every one is NaN or infinite")
    if mask is None:
        black = _exactly_zero(layout)
        known = ~(black | ~finite.all(1, keepdim=True)).expand_as(picture)
        share = 1 - known.float().mean().item()
        if share == 0:
            raise InputError(
                "no pixel is exactly black or not finite, so none can be told to be missing: give a mask that marks "
                "them"
            )
        if share == 1:
            raise InputError("every pixel is black or not finite: there is nothing to restore the picture from")
        notes.append(f"{share:.1%} of the pixels are exactly black or not finite and are taken as missing")
    else:
        white = known_values(mask, tuple(layout.original.shape), volume=layout.volume)
        marked = white if marks == "known" else ~white
        if marked.all() or not marked.any():
            which, other = ("known", "missing") if marked.all() else ("missing", "known")
            raise InputError(
                f"the mask marks every value as {which}: nothing is {other} (True, or white, means {marks}; False, or "
                "black, the other)"
            )
        known = marked & finite
        if unknown := int((marked & ~finite).sum()):
            notes.append(f"{unknown} values that the mask marks as known are not finite and are taken as missing")
    return known, tuple(notes)


def _exactly_zero(layout: Layout) -> Tensor:
    """Pixels whose every channel is zero, (N, 1, H, W) bool; asked of the original, not of rounded values."""
    original = layout.original
    if isinstance(original, Tensor):
        return (original == 0).all(1, keepdim=True).cpu()
    zero = (original == 0).all(-1) if original.ndim > layout.dimensions else original == 0
    return torch.from_numpy(np.ascontiguousarray(zero))[None, None]
