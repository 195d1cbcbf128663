"""Dejpeg: the blocks and rings taken out of a picture that was compressed as a JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from untaught.errors import InputError
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout
from untaught.imaging.jpeg_tables import Compression, compression_for_quality
from untaught.physics.jpeg import JPEG
from untaught.tasks.catalogue import DejpegSettings
from untaught.tasks.preparation import prepare

__all__ = ["dejpeg", "read"]


def dejpeg(
    image: ArrayLike | Tensor,
    compression: Compression | None = None,
    *,
    observers: Sequence[Observer] = (),
    **options: Any,
) -> Restoration:
    """Take blocks and rings out of a picture that was compressed as a JPEG.

    The network takes up a picture before it takes up blocks, and is stopped between.

    Args:
        image: (H, W) or (H, W, 3) array, uint8, or float in [0, 1]; all of the JPEG, not cut or turned, if it is to be
            ``consistent``.
        compression: for ``consistent``: what `untaught.imaging.jpeg_tables.read_compression` reads from the
            file; or None and ``quality``, for files written by libjpeg.
        observers: called with each `State` of the fit.
        **options: see `DejpegSettings` and `Options`.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> import numpy as np
    >>> dejpeg(np.full((16, 16), 90, np.uint8), iterations=2).picture.shape
    (16, 16)
    """
    return prepare("dejpeg", image, compression=compression, **options).run(observers)


def read(picture: Tensor, layout: Layout, settings: DejpegSettings, compression: Compression | None = None) -> Problem:
    """What is known of a picture from before it was compressed, of what came out, (N, C, H, W)."""
    channels = picture.shape[1]
    if channels not in (1, 3):
        raise InputError(f"a JPEG has 1 or 3 channels here: found {channels}")
    if not picture.isfinite().all():
        raise InputError("a JPEG has no values that are not finite: this picture has")
    operator = None
    if settings.consistent:
        if settings.quality is not None:
            compression = compression_for_quality(settings.quality, channels)
        if compression is None:
            raise InputError(
                "to be consistent, dejpeg needs to know how the picture was compressed: give a JPEG that is gray or of "
                "the usual colours and not stored turned, or quality=..., --quality"
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
