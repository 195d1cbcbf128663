"""Demosaicing: the colours of a raw picture, whose sensor has measured one colour at each pixel."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Unpack

from pydantic import Field

from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.registry import Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.tasks.signatures import DemosaicOptions

__all__ = ["DemosaicSettings", "demosaic", "read"]


@settings
class DemosaicSettings:
    """Options of demosaicing."""

    pattern: Annotated[
        Literal["RGGB", "BGGR", "GRBG", "GBRG"],
        Field(description="colours of the first two pixels of the first two lines"),
    ] = "RGGB"


def demosaic(
    image: ArrayLike | Tensor, *, observers: Sequence[Observer] = (), **options: Unpack[DemosaicOptions]
) -> Restoration:
    """Fill in the colours that a sensor with a colour filter mosaic has not measured.

    The recipes balanced, fast and best interpolate, as that was better than a network; the others fit one.

    Args:
        image: the raw picture: (H, W) array, uint8, uint16 or float in [0, 1]; or an (N, 1, H, W) tensor.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture is (H, W, 3), or (N, 3, H, W), in the type of ``image``, with the measured values
        unchanged.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import numpy as np
    >>> demosaic(np.full((16, 12), 90, np.uint8), iterations=2).picture.shape
    (16, 12, 3)
    """
    from untaught.tasks.preparation import run_task

    return run_task("demosaic", image, observers=observers, **options)


def read(picture: Tensor, layout: Layout, settings: DemosaicSettings) -> Problem:
    """Make a problem of a raw picture, (N, 1, H, W)."""
    import torch

    from untaught.fitting.problem import Problem
    from untaught.imaging.arrays import with_ends, with_excess

    if picture.shape[1] != 1:
        raise InputError(f"a raw mosaic has one channel: found {picture.shape[1]}")
    height, width = picture.shape[2:]
    measured = torch.zeros(1, 3, height, width, dtype=torch.bool)
    for place, colour in enumerate(settings.pattern):
        measured[:, "RGB".index(colour), place // 2 :: 2, place % 2 :: 2] = True
    kept = measured & (picture.isfinite() if layout.carried is None else picture.isfinite() | layout.carried)
    picture = with_ends(picture, layout)
    known = measured & picture.isfinite()
    observed = torch.where(known, picture, 0)
    return Problem(
        observed=observed,
        known=known,
        channels=3,
        size=(height, width),
        layout=layout,
        kept=kept,
        answer=functools.partial(_interpolated, observed=observed, known=known),
        answer_note=_answer_note,
        display_step=None
        if layout.excess is None
        else functools.partial(with_excess, excess=_shared_out(layout.excess * measured)),
    )


def _interpolated(_: Tensor, *, observed: Tensor, known: Tensor) -> Tensor:
    """The picture, whatever the network's is."""
    from untaught.tasks.bayer import fill_colours

    return fill_colours(observed, known)


def _answer_note() -> str:
    """How the default recipes make the picture."""
    return "the colours were interpolated by their differences: a network was not better on any picture that was tried"


def _shared_out(excess: Tensor) -> Tensor:
    """Give what lies beyond black and white, (N, 3, H, W), measured at one pixel in two or four, to its neighbours."""
    import torch
    from torch.nn import functional

    weights = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]).expand(3, 1, 3, 3)
    # Each pixel of red and blue has four times that weight around it, of green two times.
    shares = torch.tensor([4.0, 8.0, 4.0]).view(1, 3, 1, 1)
    return functional.conv2d(excess, weights, padding=1, groups=3) / shares


register(
    Task(
        name="demosaic",
        about="Fill in the colours that a sensor with a colour filter mosaic has not measured.",
        example="untaught demosaic raw.tif --pattern RGGB -o colours.tif",
        settings=DemosaicSettings,
        read=read,
        function=demosaic,
        recipes=("balanced", "fast", "best", "noise", "printed", "paper"),
        order=8,
    )
)
