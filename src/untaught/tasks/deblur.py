"""Deblurring: a picture that was blurred by a kernel that is known, or that is found along with the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from untaught.errors import InputError
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout
from untaught.physics.blur import Blur, UnknownBlur, blur_kernel
from untaught.physics.operator import Operator
from untaught.tasks.catalogue import DeblurSettings
from untaught.tasks.preparation import prepare

__all__ = ["deblur", "read"]


def deblur(
    image: ArrayLike | Tensor,
    kernel: ArrayLike | None = None,
    *,
    observers: Sequence[Observer] = (),
    **options: Any,
) -> Restoration:
    """Sharpen a picture that was blurred.

    An unknown kernel (``blur="unknown"``) is learnt with the picture, and handed back as ``found["kernel"]``, its
    largest value being white; the picture may come back shifted by a pixel or so, which nothing can tell.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor.
        kernel: (height, width), what a point became, brought to a sum of 1; or None and a named ``blur``.
        observers: called with each `State` of the fit.
        **options: see `DeblurSettings` and `Options`.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> import numpy as np
    >>> blurred = np.full((16, 16), 90, np.uint8)
    >>> deblur(blurred, blur="disk", radius=1.5, iterations=2).picture.shape
    (16, 16)
    """
    return prepare("deblur", image, kernel=kernel, **options).run(observers)


def read(picture: Tensor, layout: Layout, settings: DeblurSettings, kernel: ArrayLike | None = None) -> Problem:
    """What is known of the sharp picture, of a blurred one, (N, C, H, W)."""
    operator = _operator(settings, kernel)
    height, width = operator.kernel.shape
    if height > picture.shape[2] or width > picture.shape[3]:
        raise InputError(
            f"the blur's kernel, {width} x {height} pixels, is larger than the picture, {picture.shape[3]} x "
            f"{picture.shape[2]} (width x height)"
        )
    known = picture.isfinite()
    # Larger by the kernel: what has been blurred into the edges lies beyond them.
    top, left = (height - 1) // 2, (width - 1) // 2

    def cut(average: Tensor) -> Tensor:
        return average[..., top : top + picture.shape[2], left : left + picture.shape[3]]

    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        operator=operator,
        channels=picture.shape[1],
        size=(picture.shape[2] + height - 1, picture.shape[3] + width - 1),
        layout=layout,
        finish=cut,
        found=_kernel if isinstance(operator, UnknownBlur) else None,
    )


def _operator(settings: DeblurSettings, kernel: ArrayLike | None) -> Blur | UnknownBlur:
    if kernel is not None:
        values = np.asarray(kernel, np.float64)
        values = values.mean(axis=2) if values.ndim == 3 else values
        if values.ndim != 2 or not np.isfinite(values).all() or not values.sum() > 0:
            raise InputError("a blur's kernel is (height, width), finite, with a positive sum")
        return Blur(torch.from_numpy(values / values.sum()).float())
    if settings.radius is None:
        raise InputError("deblur needs a kernel, or the radius of a named blur: radius=..., or --radius")
    if settings.blur == "unknown":
        side = 2 * math.ceil(settings.radius) + 1
        return UnknownBlur((side, side))
    return Blur(blur_kernel(settings.blur, settings.radius, settings.angle))


def _kernel(operator: Operator, _: Tensor) -> dict[str, Tensor]:
    """What was learnt of a blur, as a picture."""
    assert isinstance(operator, UnknownBlur)
    kernel = operator.kernel.detach()
    return {"kernel": (kernel / kernel.max())[None, None]}
