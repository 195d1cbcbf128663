"""Restoring scattered pixels that were dropped, with a mask or without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from untaught.tasks.inpaint import FillSettings, read
from untaught.tasks.registry import InputFile, Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from untaught.fitting.state import Observer, Restoration
    from untaught.tasks.signatures import RestoreOptions

__all__ = ["restore"]


def restore(
    image: ArrayLike | Tensor,
    mask: ArrayLike | Tensor | None = None,
    *,
    observers: Sequence[Observer] = (),
    **options: Unpack[RestoreOptions],
) -> Restoration:
    """Restore a picture from which scattered pixels were dropped.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor; with the depth
            before the height for a ``volume``.
        mask: True where the picture is known, False where it is missing; (H, W), (D, H, W) for a volume, or the
            picture's shape. If None, pixels that are exactly black (zero in all channels) or not finite are missing,
            and a note of the result says how many.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import numpy as np
    >>> picture = np.full((16, 16), 90, np.uint8)
    >>> picture[::3, ::2] = 0
    >>> restore(picture, iterations=2).picture.shape
    (16, 16)
    """
    from untaught.tasks.preparation import run_task

    return run_task("restore", image, mask=mask, observers=observers, **options)


register(
    Task(
        name="restore",
        about="Fill in scattered pixels that were dropped; without a mask, exactly black or not finite ones.",
        example="untaught restore scan.tif -o restored.tif",
        settings=FillSettings,
        read=read,
        function=restore,
        recipes=("balanced", "fast", "best", "noise", "printed", "paper", "deep-decoder", "siren", "u-net"),
        files=(
            InputFile(
                role="mask",
                about="a picture of the same size: white = known, black = missing (default: exactly black or not "
                "finite pixels are missing)",
                kind="mask",
            ),
        ),
        volumes=True,
        finds_missing=True,
        order=2,
    )
)
