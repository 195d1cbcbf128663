"""Inpainting: fill in what a mask marks as missing, such as writing, scratches and holes.

What the network is shown: the known values, a part of them hidden (`untaught.priors.masked_input`); coordinates for a
large hole (`untaught.priors.inputs`). The recipe chooses: `untaught.recipes.ours`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Unpack

from pydantic import Field

from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.options import Switch, Usage
from untaught.tasks.registry import InputFile, Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.tasks.signatures import InpaintOptions

__all__ = ["FillSettings", "inpaint", "read"]

_DEEP = 12
"""A hole is large from this distance of a missing pixel to the nearest known one on, in pixels."""


@settings
class FillSettings:
    """Options of the tasks that fill in missing pixels."""

    mask_marks: Annotated[
        Literal["known", "missing"], Field(description="what white, or True, means in the mask: known or missing")
    ] = "known"
    keep_known: Annotated[
        Switch,
        Field(description="return known pixels unchanged; otherwise the network's own output everywhere"),
        Usage(negative="--network-output"),
    ] = True


def inpaint(
    image: ArrayLike | Tensor,
    mask: ArrayLike | Tensor,
    *,
    observers: Sequence[Observer] = (),
    **options: Unpack[InpaintOptions],
) -> Restoration:
    """Fill in what is missing from a picture: writing, scratches, holes.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor; with the depth
            before the height for a ``volume``. Values where the mask is False are never read.
        mask: True where the picture is known, False where it is missing; (H, W), (D, H, W) for a volume, or the
            picture's shape.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture has the shape and type of ``image``.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import numpy as np
    >>> picture = np.full((16, 16), 90, np.uint8)
    >>> mask = np.ones((16, 16), bool)
    >>> mask[6:9, 6:9] = False
    >>> inpaint(picture, mask, iterations=2).picture.shape
    (16, 16)
    """
    from untaught.tasks.preparation import run_task

    return run_task("inpaint", image, mask=mask, observers=observers, **options)


def read(picture: Tensor, layout: Layout, settings: FillSettings, mask: ArrayLike | Tensor | None = None) -> Problem:
    """Make a problem of a picture, (N, C, H, W), and a mask; without a mask, black pixels are missing."""
    import torch

    from untaught.fitting.problem import Problem

    known, notes = _known(picture, layout, mask, settings.mask_marks)
    # The recipes for large holes have two-dimensional networks.
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
        recipe_row="inpaint-hole" if depth > _DEEP else "",
        notes=notes,
    )


def _depth(known: Tensor) -> float:
    """The largest distance from a missing pixel to the nearest known one, in pixels."""
    from scipy import ndimage

    return max(float(ndimage.distance_transform_edt(~one.any(0).numpy()).max()) for one in known)


def _known(
    picture: Tensor, layout: Layout, mask: ArrayLike | Tensor | None, marks: str
) -> tuple[Tensor, tuple[str, ...]]:
    """What is known of a picture, (N, C, H, W), bool, and notes for the user about it."""
    from untaught.imaging.arrays import known_values

    finite = picture.isfinite()
    if not finite.any():
        raise InputError("the picture has no finite value: every one is NaN or infinite")
    if mask is None:
        return _not_black(layout, finite)
    white = known_values(mask, layout)
    marked = white if marks == "known" else ~white
    if marked.all() or not marked.any():
        which, other = ("known", "missing") if marked.all() else ("missing", "known")
        raise InputError(
            f"the mask marks every value as {which}: nothing is {other} (True, or white, means {marks}; False, or "
            "black, the other)"
        )
    unknown = int((marked & ~finite).sum())
    notes = (f"{unknown} values that the mask marks as known are not finite and are taken as missing",)
    return marked & finite, notes if unknown else ()


def _not_black(layout: Layout, finite: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """The pixels that are finite and not exactly black, (N, C, H, W), bool, and a note about their share."""
    black = _exactly_zero(layout)
    known = ~(black | ~finite.all(1, keepdim=True)).expand_as(finite)
    share = 1 - known.float().mean().item()
    if share == 0:
        raise InputError("no pixel is exactly black or not finite, so none counts as missing: give a mask")
    if share == 1:
        raise InputError("every pixel is black or not finite: there is nothing to restore the picture from")
    return known, (f"{share:.1%} of the pixels are exactly black or not finite and are taken as missing",)


def _exactly_zero(layout: Layout) -> Tensor:
    """The pixels whose channels are all zero, (N, 1, H, W), bool, in the original and not in rounded values."""
    import numpy as np
    import torch

    original = layout.original
    if isinstance(original, torch.Tensor):
        return (original == 0).all(1, keepdim=True).cpu()
    zero = (original == 0).all(-1) if original.ndim > layout.dimensions else original == 0
    return torch.from_numpy(np.ascontiguousarray(zero))[None, None]


register(
    Task(
        name="inpaint",
        about="Fill in what a mask marks as missing: writing, scratches, holes.",
        example="untaught inpaint photo.png --mask writing.png -o restored.png",
        settings=FillSettings,
        read=read,
        function=inpaint,
        recipes=("balanced", "fast", "best", "noise", "printed", "paper", "paper-hole", "deep-decoder", "u-net"),
        files=(
            InputFile(
                role="mask",
                about="a picture of the same size: white = known, black = missing",
                kind="mask",
                required=True,
            ),
        ),
        volumes=True,
        order=1,
    )
)
