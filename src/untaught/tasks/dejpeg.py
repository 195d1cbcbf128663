"""Removing JPEG artefacts: the blocks and rings of a compressed picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Unpack

from pydantic import Field

from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.options import NotBool, Switch, Usage
from untaught.tasks.registry import InputFile, Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.imaging.jpeg_tables import Compression
    from untaught.tasks.signatures import DejpegOptions

__all__ = ["DejpegSettings", "dejpeg", "read"]


@settings
class DejpegSettings:
    """Options of removing JPEG artefacts."""

    consistent: Annotated[
        Switch,
        Field(
            description="fit the compressed result to the JPEG, not the result itself (better on some pictures, worse "
            "on others)"
        ),
    ] = False
    quality: Annotated[
        Annotated[int, Field(ge=1, le=100), NotBool] | None,
        Field(
            description="for consistent: the quality of libjpeg, 1 to 100, for a file that is no JPEG any more "
            "(default: read from the file)"
        ),
        Usage(metavar="Q"),
    ] = None


def dejpeg(
    image: ArrayLike | Tensor,
    compression: Compression | None = None,
    *,
    observers: Sequence[Observer] = (),
    **options: Unpack[DejpegOptions],
) -> Restoration:
    """Remove the blocks and rings of a picture that was compressed as a JPEG.

    The network fits the picture before it fits the blocks, and stops in between.

    Args:
        image: (H, W) or (H, W, 3) array, uint8, or float in [0, 1]; the whole JPEG, not cropped or turned, for
            ``consistent``.
        compression: for ``consistent``: what `untaught.imaging.jpeg_tables.read_compression` reads from the
            file; or None and ``quality``, for files written by libjpeg.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import numpy as np
    >>> dejpeg(np.full((16, 16), 90, np.uint8), iterations=2).picture.shape
    (16, 16)
    """
    from untaught.tasks.preparation import run_task

    return run_task("dejpeg", image, compression=compression, observers=observers, **options)


def read(picture: Tensor, layout: Layout, settings: DejpegSettings, compression: Compression | None = None) -> Problem:
    """Make a problem of a decoded JPEG, (N, C, H, W)."""
    import torch

    from untaught.fitting.problem import Problem
    from untaught.imaging.jpeg_tables import compression_for_quality
    from untaught.physics.jpeg import JPEG

    channels = picture.shape[1]
    if channels not in (1, 3):
        raise InputError(f"a JPEG has 1 or 3 channels here: found {channels}")
    if not picture.isfinite().all():
        raise InputError("the picture has values that are not finite: a JPEG has none")
    operator = None
    if settings.consistent:
        if settings.quality is not None:
            compression = compression_for_quality(settings.quality, channels)
        if compression is None:
            raise InputError(
                "consistent needs to know how the picture was compressed: give a JPEG that is gray or of the usual "
                "colours and not stored turned, or quality=..., --quality"
            )
        if len(compression.tables) != channels:
            raise InputError(f"the compression is of {len(compression.tables)} channels: the picture has {channels}")
        operator = JPEG(compression)
    return Problem(
        observed=picture,
        known=torch.ones_like(picture, dtype=torch.bool),
        operator=operator,
        channels=channels,
        size=(picture.shape[2], picture.shape[3]),
        layout=layout,
    )


register(
    Task(
        name="dejpeg",
        about="Remove the blocks and rings of a JPEG.",
        example="untaught dejpeg photo.jpg -o clean.png",
        settings=DejpegSettings,
        read=read,
        function=dejpeg,
        recipes=("balanced", "fast", "best", "printed", "paper"),
        files=(
            InputFile(
                role="compression",
                about="for consistent: a JPEG that was compressed in the same way (default: the picture itself)",
                kind="compression",
                in_picture_file=True,
            ),
        ),
        absolute=True,
        order=7,
    )
)
