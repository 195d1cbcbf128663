"""Inpainting: fill in what a mask marks as missing, such as writing, scratches and holes.

What the network is shown: the known values, a part of them hidden (`untaught.priors.masked_input`). The recipe chooses:
`untaught.recipes.ours`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

from pydantic import Field

from untaught.errors import SettingError
from untaught.settings import settings
from untaught.tasks.options import NotBool, Switch, Usage
from untaught.tasks.registry import InputFile, Task, register

if TYPE_CHECKING:
    import numpy as np
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


@settings
class FillSettings:
    """Options of the tasks that fill in missing pixels."""

    mask_marks: Annotated[
        Literal["auto", "known", "missing"],
        Field(
            description="what white, or True, means in the mask: known or missing; auto takes it for known, but for a "
            "file in which white is a small part"
        ),
    ] = "auto"
    keep_known: Annotated[
        Switch,
        Field(description="return known pixels unchanged; otherwise the network's own output everywhere"),
        Usage(negative="--network-output"),
    ] = True
    grow: Annotated[
        int | None,
        Field(
            ge=0,
            le=1000,
            description="widen what is missing by this many pixels (default: 1 for a mask that is a JPEG, else 0)",
        ),
        NotBool,
        Usage(metavar="N"),
    ] = None
    feather: Annotated[
        int,
        Field(
            ge=0,
            le=32,
            description="fade the result into the picture over this many pixels around what is missing; they are "
            "filled in, too",
        ),
        NotBool,
        Usage(metavar="N"),
    ] = 0

    def __post_init__(self) -> None:
        if self.feather and not self.keep_known:
            raise SettingError("feather fades into known pixels, and the network's own output has none: choose one")


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


def read(picture: Tensor, layout: Layout, settings: FillSettings, mask: NDArray[np.bool_]) -> Problem:
    """Make a problem of a picture, (N, C, H, W), and a mask, True where a value is known."""
    import torch

    from untaught.fitting.problem import Problem
    from untaught.imaging.arrays import known_values, with_ends, with_excess
    from untaught.tasks.classical import fill, spread

    # The network sees black and white in place of values far beyond them; what is beyond is filled in besides.
    picture = picture if layout.volume else with_ends(picture, layout)
    known = known_values(mask, layout) & picture.isfinite()
    # Values that are carried over for another reason are not shown to the network, and are no damage.
    kept = known if layout.carried is None else known | layout.carried
    notes: tuple[str, ...] = ()
    depth = 0.0 if layout.volume else _deepest(kept)
    if depth > _DEEP:
        notes += (
            f"the mask has a hole {2 * depth:.0f} pixels across, which is filled in smoothly: nothing tells what was "
            "there",
            "for a network's guess at the hole, inpaint the part around it with the recipe paper-hole",
        )
    strips = () if layout.atlas is None else layout.atlas.strips
    return Problem(
        observed=torch.where(known, picture, 0),
        known=known,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        kept=kept if settings.keep_known else None,
        classical=None if layout.volume else functools.partial(fill, strips=strips),
        classical_name="biharmonic",
        display_step=None
        if layout.volume or layout.excess is None
        else functools.partial(with_excess, excess=spread(layout.excess, known, strips)),
        strips=strips,
        classical_notes=notes,
    )


def localise(
    image: NDArray[Any],  # noqa: ARG001
    settings: FillSettings,
    mask: NDArray[np.bool_],
) -> tuple[Atlas, dict[str, Any]] | None:
    """Plan what has to be fitted of a picture, (H, W) or (H, W, C), and cut the mask in the same way.

    None to fit the whole picture.
    """
    import numpy as np

    from untaught.imaging.atlas import plan_atlas

    if not settings.keep_known:
        return None
    missing: NDArray[np.bool_] = ~(mask if mask.ndim == 2 else np.asarray(mask.all(-1)))
    atlas = None if missing.all() else plan_atlas(missing)
    return None if atlas is None else (atlas, {"mask": atlas.cut(mask, filler=True)})


def _deepest(known: Tensor) -> float:
    """How deep the deepest hole is, in pixels to the nearest known one."""
    import numpy as np
    from scipy import ndimage

    from untaught.fitting.gaps import width_classes

    deepest = 0.0
    for one in known:
        present = one.any(0)
        missing = ~present.numpy()
        # Around the middle of a deep hole, a square has nothing known.
        middles = width_classes(present[None, None], (int(_DEEP / 2**0.5),))[0, 0].bool().numpy()
        labels, _ = ndimage.label(missing)
        for number, place in enumerate(ndimage.find_objects(labels), start=1):
            if middles[place][labels[place] == number].any():
                # Beyond the edge of the picture nothing is known.
                margins = [(int(p.start > 0), int(p.stop < side)) for p, side in zip(place, missing.shape, strict=True)]
                depth = ndimage.distance_transform_edt(np.pad(labels[place] == number, margins)).max()
                deepest = max(deepest, float(depth))
    return deepest


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
        finds_missing=True,
        order=1,
    )
)
