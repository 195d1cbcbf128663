"""Deblurring: sharpen a picture whose blur kernel is known, or is found along with the picture."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Unpack

from pydantic import Field

from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.options import NotBool, Number, Usage
from untaught.tasks.registry import InputFile, Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.physics.blur import Blur, UnknownBlur
    from untaught.physics.operator import Operator
    from untaught.tasks.signatures import DeblurOptions

__all__ = ["DeblurSettings", "deblur", "read"]

_MOST_PRODUCTS = 10**11
"""Products of an iteration: more take minutes."""


@settings
class DeblurSettings:
    """Options of deblurring; for a picture whose kernel is not given."""

    blur: Annotated[
        Literal["gaussian", "disk", "motion", "unknown"],
        Field(
            description="kind of blur, if no kernel is given: gaussian; disk, out of focus; motion, a straight line; "
            "unknown, found along with the picture"
        ),
    ] = "gaussian"
    radius: Annotated[
        Annotated[float, Field(gt=0, lt=1000), NotBool] | None,
        Field(
            description="in pixels: standard deviation of gaussian, radius of disk, half the length of motion, reach "
            "of unknown; needed if no kernel is given"
        ),
        Usage(metavar="R"),
    ] = None
    angle: Annotated[
        Number,
        Field(description="direction of motion, in degrees from the horizontal, anticlockwise"),
        Usage(metavar="A"),
    ] = 0.0


def deblur(
    image: ArrayLike | Tensor,
    kernel: ArrayLike | None = None,
    *,
    observers: Sequence[Observer] = (),
    **options: Unpack[DeblurOptions],
) -> Restoration:
    """Sharpen a picture that was blurred.

    An unknown kernel (``blur="unknown"``) is learnt with the picture and returned as ``found["kernel"]``, scaled so
    that its largest value is white. The picture may be shifted by about a pixel then: nothing in the data fixes that.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor.
        kernel: (height, width), the image of a point, scaled to a sum of 1; or None and a named ``blur``.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import numpy as np
    >>> blurred = np.full((16, 16), 90, np.uint8)
    >>> deblur(blurred, blur="disk", radius=1.5, iterations=2).picture.shape
    (16, 16)
    """
    from untaught.tasks.preparation import run_task

    return run_task("deblur", image, kernel=kernel, observers=observers, **options)


def read(picture: Tensor, layout: Layout, settings: DeblurSettings, kernel: ArrayLike | None = None) -> Problem:
    """Make a problem of a blurred picture, (N, C, H, W)."""
    import torch

    from untaught.fitting.problem import Problem
    from untaught.physics.blur import UnknownBlur, kernel_reach

    if kernel is None and settings.radius is not None:
        # Before the kernel is made: one that reaches far takes minutes and gigabytes.
        side = 2 * kernel_reach(settings.blur, settings.radius) + 1
        _check_fits(side, side, picture)
    operator = _operator(settings, kernel)
    height, width = operator.kernel.shape
    _check_fits(height, width, picture)
    known = picture.isfinite()
    # The sharp picture is larger by the kernel: the edges of the blurred one show what lies beyond them.
    top, left = (height - 1) // 2, (width - 1) // 2
    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        operator=operator,
        channels=picture.shape[1],
        size=(picture.shape[2] + height - 1, picture.shape[3] + width - 1),
        layout=layout,
        display_step=functools.partial(_cut, top=top, left=left, size=(picture.shape[2], picture.shape[3])),
        further_results=_kernel if isinstance(operator, UnknownBlur) else None,
    )


def _cut(average: Tensor, *, top: int, left: int, size: tuple[int, int]) -> Tensor:
    """The part of the sharp picture that the blurred one shows."""
    return average[..., top : top + size[0], left : left + size[1]]


def _check_fits(height: int, width: int, picture: Tensor) -> None:
    """Refuse a kernel that is larger than the picture, or would take hours."""
    if height > picture.shape[2] or width > picture.shape[3]:
        raise InputError(
            f"the blur's kernel, {width} x {height} pixels, is larger than the picture, {picture.shape[3]} x "
            f"{picture.shape[2]} (width x height)"
        )
    if height * width * picture.numel() > _MOST_PRODUCTS:
        raise InputError(
            f"a blur's kernel of {width} x {height} pixels and a picture of {picture.shape[3]} x {picture.shape[2]} "
            "(width x height) would take hours: make the picture smaller, and the blur with it"
        )


def _operator(settings: DeblurSettings, kernel: ArrayLike | None) -> Blur | UnknownBlur:
    import numpy as np
    import torch

    from untaught.imaging.arrays import as_numbers
    from untaught.physics.blur import Blur, UnknownBlur, blur_kernel

    if kernel is not None:
        values = as_numbers(kernel, "kernel")
        values = (values.real if values.dtype.kind == "c" else values).astype(np.float64)
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
    """The learnt kernel as a picture."""
    from untaught.physics.blur import UnknownBlur

    assert isinstance(operator, UnknownBlur)
    kernel = operator.kernel.detach()
    return {"kernel": (kernel / kernel.max())[None, None]}


register(
    Task(
        name="deblur",
        about="Sharpen a blurred picture; the blur kernel is given, named or found.",
        example="untaught deblur photo.png --blur disk --radius 3 -o sharp.png",
        settings=DeblurSettings,
        read=read,
        function=deblur,
        recipes=("balanced", "fast", "best", "printed", "paper"),
        files=(
            InputFile(
                role="kernel",
                about="a picture of the blur of a single point; black is zero (default: a named blur)",
                kind="kernel",
            ),
        ),
        order=6,
    )
)
