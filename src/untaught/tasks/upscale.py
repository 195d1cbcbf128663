"""Upscaling: make a picture larger that was made smaller."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Unpack

from pydantic import Field

from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.options import NotBool, Usage
from untaught.tasks.registry import Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.physics.resampling import Downsample
    from untaught.tasks.signatures import UpscaleOptions

__all__ = ["UpscaleSettings", "read", "upscale"]


@settings
class UpscaleSettings:
    """Options of upscaling."""

    factor: Annotated[
        float,
        Field(ge=1.5, le=16, description="how many times larger each side becomes, 1.5 to 16"),
        NotBool,
        Usage(metavar="F"),
    ] = 4.0
    kernel: Annotated[
        Literal["lanczos2", "bicubic", "area", "gaussian"],
        Field(description="filter by which the picture was made smaller; a camera's pixels are nearest to area"),
    ] = "lanczos2"


def upscale(
    image: ArrayLike | Tensor,
    factor: float,
    *,
    observers: Sequence[Observer] = (),
    **options: Unpack[UpscaleOptions],
) -> Restoration:
    """Make a picture larger that was made smaller.

    Made smaller again, the result agrees with the given picture up to noise and rounding.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor.
        factor: how many times larger each side becomes, 1.5 to 16.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture has the type of ``image`` and the larger size.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import numpy as np
    >>> small = np.full((16, 12), 90, np.uint8)
    >>> upscale(small, 2, iterations=2).picture.shape
    (32, 24)
    """
    from untaught.tasks.preparation import run_task

    return run_task("upscale", image, factor=factor, observers=observers, **options)


def read(picture: Tensor, layout: Layout, settings: UpscaleSettings) -> Problem:
    """Make a problem of a small picture, (N, C, H, W)."""
    import torch

    from untaught.fitting.problem import Problem
    from untaught.imaging.arrays import with_ends, with_excess
    from untaught.physics.resampling import Downsample

    picture = with_ends(picture, layout)
    known = picture.isfinite()
    smaller = (picture.shape[2], picture.shape[3])
    size = (round(smaller[0] * settings.factor), round(smaller[1] * settings.factor))
    if size[0] * size[1] > 100_000_000:
        raise InputError(f"the result would have {size[1]} x {size[0]} pixels: choose a factor for at most 100 million")
    operator = Downsample(size, smaller, settings.kernel)
    excess = None if layout.excess is None else _enlarged(layout.excess, operator, size)
    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        operator=operator,
        channels=picture.shape[1],
        size=size,
        layout=layout,
        display_step=None if excess is None else functools.partial(with_excess, excess=excess),
    )


def _enlarged(excess: Tensor, operator: Downsample, size: tuple[int, int]) -> Tensor:
    """What lies beyond black and white, such as the peak of a star, made larger so that it gives the same smaller."""
    from torch.nn import functional

    def larger(one: Tensor, mode: str) -> Tensor:
        return functional.interpolate(one, size, mode=mode)

    # Without the rim of the filter, which would draw a dark ring around a star.
    near = larger(excess.sign(), "bilinear")
    result = larger(excess, "bicubic")
    for _ in range(5):
        result = result * (result * near > 0)
        result = result + larger(excess - operator(result), "bicubic")
    return result * (result * near > 0)


register(
    Task(
        name="upscale",
        about="Make a picture larger that was made smaller.",
        example="untaught upscale small.png --factor 4 -o large.png",
        settings=UpscaleSettings,
        read=read,
        function=upscale,
        recipes=("balanced", "fast", "best", "printed", "paper"),
        order=5,
    )
)
