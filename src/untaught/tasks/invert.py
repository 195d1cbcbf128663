"""Feature inversion: the picture whose features at a layer of a network are those of a given one."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from pydantic import BeforeValidator, Field, WithJsonSchema

from untaught.errors import InputError
from untaught.settings import settings
from untaught.tasks.options import Number, Usage
from untaught.tasks.registry import Task, register

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor, nn

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.imaging.arrays import Layout
    from untaught.physics.features import Features
    from untaught.tasks.signatures import InvertOptions

__all__ = ["SHORT_MODELS", "FeatureSettings", "invert", "read", "read_without"]

SHORT_MODELS = ("efficientnet_lite0",)
"""Models with a short name, which need no import of the user's code; see `untaught.physics.features.MODELS`."""


def _not_none(value: object) -> object:
    if value is None:
        raise ValueError("is a torch module, or the name of one")
    return value


@settings
class FeatureSettings:
    """Options of the tasks that look into a network."""

    model: Annotated[
        Any,
        BeforeValidator(_not_none),
        WithJsonSchema({"type": "string"}),
        Field(
            description="the network: package.module:callable, which is imported and called and returns a torch "
            f"module; or {', '.join(SHORT_MODELS)}, of untaught[classifier]"
        ),
        Usage(metavar="NAME", accepts="str | nn.Module"),
    ]
    layer: Annotated[
        str, Field(description="the layer, by its name in the module's named_modules()"), Usage(metavar="LAYER")
    ]
    mean: Annotated[
        tuple[Number, ...] | None,
        Field(
            description="of each channel, subtracted from a picture in [0, 1] before the model sees it (default: the "
            "model's own if it has a short name, otherwise ImageNet's)"
        ),
        Usage(metavar=("R", "G", "B"), accepts="Sequence[Number] | None"),
    ] = None
    std: Annotated[
        tuple[Number, ...] | None,
        Field(description="of each channel, divided by after that (default: as for mean)"),
        Usage(metavar=("R", "G", "B"), accepts="Sequence[Number] | None"),
    ] = None


def invert(
    image_or_features: ArrayLike | Tensor,
    model: nn.Module | str,
    layer: str,
    *,
    size: tuple[int, int] | None = None,
    observers: Sequence[Observer] = (),
    **options: Unpack[InvertOptions],
) -> Restoration:
    """Draw a picture whose features at a layer of a network are those of another picture, or given ones.

    This is the natural pre-image of Ulyanov, Vedaldi and Lempitsky (2018; IJCV 2020): of all pictures with such
    features, one that an untrained network finds. The loss is ``|phi(x) - phi0|^2 / |phi0|^2`` (Mahendran and Vedaldi,
    2015), minimised over the network's weights alone.

    Args:
        image_or_features: the picture, (H, W, C) array, uint8, uint16 or float in [0, 1], or an (N, C, H, W) tensor;
            with ``size``, the features, (N, ...) array or tensor, in the shape that the layer gives.
        model: a torch module that takes (N, C, H, W), or a name for `untaught.physics.features.load_model`. It is
            copied and stays unchanged.
        layer: a name of ``dict(model.named_modules())``.
        size: height and width of the picture to draw; it means that features are given.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture has the shape and type of the given picture, or is ``(N, C, *size)``, float32 in
        [0, 1], for given features. Its notes say how far off the features are.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> invert(torch.rand(1, 3, 16, 16), model, "1", iterations=2).picture.shape
    torch.Size([1, 3, 16, 16])
    """
    from untaught.tasks.preparation import run_task

    given: dict[str, Any] = {} if size is None else {"features": image_or_features, "size": size}
    image = image_or_features if size is None else None
    return run_task("invert", image, model=model, layer=layer, observers=observers, **given, **options)


def read(picture: Tensor, layout: Layout, settings: FeatureSettings) -> Problem:
    """Make a problem of a picture, (N, C, H, W), by its features."""
    from untaught.physics.features import features_of

    if not picture.isfinite().all():
        raise InputError("the picture has values that are not finite: features need a whole picture")
    features = features_of(settings.model, settings.layer, settings.mean, settings.std)
    return _problem(features, features.observe(picture), (picture.shape[2], picture.shape[3]), layout)


def read_without(settings: FeatureSettings, features: ArrayLike | Tensor, size: tuple[int, int]) -> Problem:
    """Make a problem of given features, (N, ...), for a picture of a size, (height, width)."""
    import torch

    from untaught.imaging.arrays import Layout
    from untaught.physics.features import features_of

    operator = features_of(settings.model, settings.layer, settings.mean, settings.std)
    given = torch.as_tensor(features).detach().to("cpu", torch.float32)
    height, width = size
    seen = operator.observe(torch.full((1, operator.channels, height, width), 0.5, dtype=torch.float32))
    if given.ndim < 2 or given.shape[0] < 1 or given.shape[1:] != seen.shape[1:]:
        wanted = ", ".join(map(str, ("N", *seen.shape[1:])))
        raise InputError(
            f"the features are {tuple(given.shape)}: for a picture of {width} x {height} pixels (width x height) the "
            f"layer {settings.layer} gives ({wanted})"
        )
    if not given.isfinite().all():
        raise InputError("the features have values that are not finite")
    return _problem(operator, given, (height, width), Layout(torch.zeros(1, dtype=torch.float32), 0.0, 1.0))


def _problem(operator: Features, features: Tensor, size: tuple[int, int], layout: Layout) -> Problem:
    import torch

    from untaught.fitting.losses import NormalisedSquaredError
    from untaught.fitting.problem import Problem

    if not features.flatten(1).any(1).all():
        raise InputError(f"all features of the layer {operator.layer} are zero: they say nothing about a picture")
    return Problem(
        observed=features,
        known=torch.ones_like(features, dtype=torch.bool),
        operator=operator,
        channels=operator.channels,
        size=size,
        layout=layout,
        objective=NormalisedSquaredError,
        verdict=functools.partial(_verdict, operator=operator, wanted=features),
    )


def _verdict(picture: Tensor, *, operator: Features, wanted: Tensor) -> str:
    target = wanted.to(picture.device)
    off = float(((operator(picture) - target).square().sum() / target.square().sum()).sqrt())
    return f"the result's features are {off:.1%} off those asked for (length of the difference, of their own length)"


register(
    Task(
        name="invert",
        about="Draw a picture with the features that a layer of a network has of this one.",
        example="untaught invert photo.png --model efficientnet_lite0 --layer _blocks.4 -o inverted.png",
        settings=FeatureSettings,
        read=read,
        read_without=read_without,
        picture_alternatives=("features", "size"),
        function=invert,
        recipes=("balanced", "fast", "best", "paper"),
        order=10,
    )
)
