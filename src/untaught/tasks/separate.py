"""Layer separation: two layers, such as a scene and a reflection, that two pictures mix in different shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from untaught.errors import InputError
from untaught.tasks.registry import InputFile, Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.physics.operator import Operator
    from untaught.tasks.signatures import SeparateOptions

__all__ = ["read", "separate"]

_ALIKE = 1e-3
"""Two pictures count as alike below this root mean square difference, for values in [0, 1]."""


def separate(
    image: ArrayLike | Tensor,
    other: ArrayLike | Tensor,
    *,
    observers: Sequence[Observer] = (),
    **options: Unpack[SeparateOptions],
) -> Restoration:
    """Separate two layers that two pictures mix in different shares.

    Each layer has a network of its own, and the shares are learnt with them. The loss makes an edge belong to one layer
    rather than to both (Gandelsman, Shocher and Irani, 2019, "Double-DIP"). The brightness of a layer is known only up
    to a constant.

    Args:
        image: (H, W) or (H, W, C) array, uint8, uint16 or float in [0, 1]; or an (N, C, H, W) tensor.
        other: of the same shape: the same two layers, with less of the first one.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture is the layer that ``image`` shows more of, in the shape and type of ``image``;
        ``found["layer"]`` is the other one.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import numpy as np
    >>> first, second = np.random.default_rng(0).random((2, 16, 16))
    >>> result = separate(0.7 * first + 0.3 * second, 0.4 * first + 0.6 * second, iterations=2)
    >>> result.picture.shape, result.found["layer"].shape
    ((16, 16), (16, 16))
    """
    from untaught.tasks.preparation import run_task

    return run_task("separate", image, other=other, observers=observers, **options)


def read(picture: Tensor, layout: Layout, settings: object, other: ArrayLike | Tensor) -> Problem:  # noqa: ARG001
    """Make a problem of two mixtures of two layers, (N, C, H, W)."""
    import torch

    from untaught.fitting.losses import ExclusiveError
    from untaught.fitting.problem import Problem
    from untaught.imaging.arrays import to_tensor
    from untaught.physics.mixture import Mixture

    second, _ = to_tensor(other, (layout.low, layout.high))
    if second.shape != picture.shape:
        found, wanted = (" x ".join(map(str, one.shape[2:])) for one in (second, picture))
        raise InputError(
            f"the other picture is {found}, with {second.shape[1]} channels, and the picture {wanted}, with "
            f"{picture.shape[1]} (height x width): they must be alike"
        )
    both = torch.cat([picture, second], dim=1)
    known = both.isfinite()
    difference = (picture - second)[(picture - second).isfinite()]
    if difference.numel() and float(difference.square().mean().sqrt()) < _ALIKE:
        raise InputError("the two pictures are alike: they must show the layers in different shares")
    channels = picture.shape[1]
    return Problem(
        observed=torch.where(known, both, 0),
        known=known,
        operator=Mixture(),
        channels=2 * channels,
        layers=(channels, channels),
        objective=ExclusiveError,
        size=(picture.shape[2], picture.shape[3]),
        layout=layout,
        display_step=_first,
        further_results=_second,
    )


def _first(layers: Tensor) -> Tensor:
    return layers.chunk(2, dim=1)[0]


def _second(_: Operator, layers: Tensor) -> dict[str, Tensor]:
    return {"layer": layers.chunk(2, dim=1)[1]}


register(
    Task(
        name="separate",
        about="Separate two layers, such as a scene and a reflection, that two pictures mix in different shares.",
        example="untaught separate window.png --other turned.png -o scene.png",
        read=read,
        function=separate,
        recipes=("balanced", "fast", "best"),
        files=(
            InputFile(
                role="other",
                about="another picture of both layers, with less of the first one, of the same size",
                kind="other",
                required=True,
            ),
        ),
        order=9,
    )
)
