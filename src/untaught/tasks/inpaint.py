"""Inpainting: fill in what a mask marks as missing, such as writing, scratches and holes.

What the network is shown: the known values, a part of them hidden (`untaught.priors.masked_input`); coordinates for a
large hole (`untaught.priors.inputs`). The recipe chooses: `untaught.recipes.ours`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

from pydantic import Field

from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.options import Switch, Usage
from untaught.tasks.registry import InputFile, Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.imaging.atlas import Atlas
    from untaught.tasks.signatures import InpaintOptions

__all__ = ["FillSettings", "inpaint", "read"]

_DEEP = 12
"""A hole is large from this distance of a missing pixel to the nearest known one on, in pixels."""

_LARGEST = 1024
"""The longest side of a picture that the network for large holes takes, which sees the whole of it."""


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
    from untaught.tasks.classical import fill

    known, notes = _known(picture, layout, mask, settings.mask_marks)
    # The recipes for large holes have two-dimensional networks.
    depth, share = (0.0, 0.0) if layout.volume else _deep(known)
    large = depth > _DEEP and share > 0.5 and max(picture.shape[2:]) <= _LARGEST and layout.atlas is None
    if large:
        notes += (f"the mask has a hole {2 * depth:.0f} pixels across: a network for large holes fills it",)
    elif depth > _DEEP:
        notes += (
            f"the mask has a hole {2 * depth:.0f} pixels across, which is filled in smoothly: for a guess at what was "
            "there, cut out the part around it and inpaint that",
        )
    strips = () if layout.atlas is None else layout.atlas.strips
    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        kept=known if settings.keep_known else None,
        recipe_row="inpaint-hole" if large else "",
        classical=None if large or layout.volume else functools.partial(fill, strips=strips),
        classical_name="biharmonic",
        strips=strips,
        notes=notes,
    )


def localise(
    image: NDArray[Any], settings: FillSettings, mask: ArrayLike | Tensor | None = None
) -> tuple[Atlas, dict[str, Any]] | None:
    """Plan what has to be fitted of a picture, (H, W) or (H, W, C), and cut the mask in the same way.

    None to fit the whole picture.
    """
    import numpy as np

    from untaught.imaging.atlas import plan_atlas

    array = None if mask is None else np.asarray(mask)
    if array is None or array.shape not in (image.shape, image.shape[:2]) or not settings.keep_known:
        return None
    white = array == array.max()
    if array.dtype != np.bool_ and not (white | (array == 0)).all():
        return None
    known = white if settings.mask_marks == "known" else ~white
    missing = ~known if known.ndim == 2 else ~known.all(-1)
    if image.dtype.kind == "f":
        missing = missing | ~(np.isfinite(image) if image.ndim == 2 else np.isfinite(image).all(-1))
    if missing.all():
        return None
    atlas = plan_atlas(missing)
    if atlas is None:
        return None
    cut = atlas.cut(known, filler=True)
    return atlas, {"mask": cut if settings.mask_marks == "known" else ~cut}


def _deep(known: Tensor) -> tuple[float, float]:
    """How deep the deepest hole is, in pixels to the nearest known one, and which share of the gaps deep holes are."""
    import numpy as np
    from scipy import ndimage

    deepest, deep, gaps = 0.0, 0, 0
    for one in known:
        missing = ~one.any(0).numpy()
        gaps += int(missing.sum())
        labels, _ = ndimage.label(missing)
        for number, place in enumerate(ndimage.find_objects(labels), start=1):
            if min(part.stop - part.start for part in place) >= _DEEP:
                hole = labels[place] == number
                # Beyond the edge of the picture nothing is known.
                margins = [(int(p.start > 0), int(p.stop < side)) for p, side in zip(place, missing.shape, strict=True)]
                depth = float(ndimage.distance_transform_edt(np.pad(hole, margins)).max())
                deepest, deep = max(deepest, depth), deep + (int(hole.sum()) if depth > _DEEP else 0)
    return deepest, deep / max(gaps, 1)


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
        localise=localise,
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
