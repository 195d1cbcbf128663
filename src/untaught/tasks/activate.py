"""Activation maximisation: a picture that makes a unit of a network as active as possible."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Unpack

from pydantic import Field

from untaught.errors import SettingError
from untaught.settings import settings
from untaught.tasks.invert import FeatureSettings
from untaught.tasks.options import Count, NonNegativeInt, Usage
from untaught.tasks.registry import Task, register

if TYPE_CHECKING:
    from torch import Tensor, nn

    from untaught.fitting.problem import Problem
    from untaught.fitting.state import Observer, Restoration
    from untaught.physics.features import Unit
    from untaught.tasks.signatures import ActivateOptions

__all__ = ["ActivateSettings", "activate", "read_without"]


@settings
class ActivateSettings(FeatureSettings):
    """Options of activation maximisation."""

    unit: Annotated[
        NonNegativeInt,
        Field(description="index of a channel of a convolutional layer, or of an output of a linear one, from 0"),
        Usage(metavar="N"),
    ]
    size: Annotated[
        tuple[Count, Count], Field(description="of the picture, in pixels"), Usage(metavar=("HEIGHT", "WIDTH"))
    ] = (224, 224)

    def __post_init__(self) -> None:
        height, width = self.size
        if height * width > 100_000_000:
            raise SettingError(f"size is (height, width), up to 100 million pixels in all: found {self.size}")


def activate(
    model: nn.Module | str,
    layer: str,
    unit: int,
    size: tuple[int, int] = (224, 224),
    *,
    observers: Sequence[Observer] = (),
    **options: Unpack[ActivateOptions],
) -> Restoration:
    """Draw a picture, from nothing, that makes a unit of a network as active as possible.

    Activation maximisation with an untrained network as the prior (Ulyanov, Vedaldi and Lempitsky, 2018; IJCV 2020).
    The loss is minus the activation: the mean of a channel of a convolutional layer, or an output of a linear one.

    Args:
        model: a torch module that takes (N, C, H, W), or a name for `untaught.physics.features.load_model`. It is
            copied and stays unchanged.
        layer: a name of ``dict(model.named_modules())``.
        unit: index of the channel, or of the output, from 0.
        size: height and width of the picture, in pixels.
        observers: called with each `State` of the fit.
        **options: see Options.

    Returns:
        The restoration; its picture is a (height, width, C) array, uint8. Its notes say how active the unit is.

    Raises:
        InputError: for unusable input, before the fit starts.
        Interrupted: on Ctrl-C; it carries the best result so far.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> activate(model, "1", 2, (16, 16), iterations=2).picture.shape
    (16, 16, 3)
    """
    from untaught.tasks.preparation import run_task

    return run_task("activate", model=model, layer=layer, unit=unit, size=size, observers=observers, **options)


def read_without(settings: ActivateSettings) -> Problem:
    """Make a problem of a unit: there is no input picture."""
    import numpy as np
    import torch

    from untaught.fitting.losses import NegativeActivation
    from untaught.fitting.problem import Problem
    from untaught.imaging.arrays import Layout
    from untaught.physics.features import Unit, features_of

    features = features_of(settings.model, settings.layer, settings.mean, settings.std)
    height, width = settings.size
    gray = torch.full((1, features.channels, height, width), 0.5, dtype=torch.float32)
    units = features.observe(gray).shape[1]
    if not 0 <= settings.unit < units:
        raise SettingError(f"the layer {settings.layer} has the units 0 to {units - 1}: found {settings.unit}")
    operator = Unit(features, settings.unit)
    with torch.no_grad():
        before = float(operator(gray))
    return Problem(
        observed=torch.zeros(1, 1, dtype=torch.float32),
        known=torch.ones(1, 1, dtype=torch.bool),
        operator=operator,
        channels=features.channels,
        size=(height, width),
        layout=Layout(np.zeros((height, width, features.channels), np.uint8), 0.0, 255.0),
        objective=NegativeActivation,
        signed=True,
        verdict=functools.partial(_verdict, operator=operator, before=before),
    )


def _verdict(picture: Tensor, *, operator: Unit, before: float) -> str:
    return f"the unit's activation is {float(operator(picture)):.4g}; an even gray gives {before:.4g}"


register(
    Task(
        name="activate",
        about="Draw a picture, from nothing, that makes a unit of a network as active as possible.",
        example="untaught activate --model efficientnet_lite0 --layer _fc --unit 130 -o flamingo.png",
        settings=ActivateSettings,
        read_without=read_without,
        function=activate,
        recipes=("balanced", "fast", "best", "paper", "paper-channel"),
        order=11,
    )
)
