"""Activation: a picture that a unit of a network answers to as strongly as can be."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from untaught.errors import SettingError
from untaught.fitting.losses import NegativeActivation
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout
from untaught.physics.features import Unit, features_of
from untaught.tasks.catalogue import ActivateSettings
from untaught.tasks.preparation import prepare

__all__ = ["activate", "read_without"]


def activate(
    module: nn.Module | str,
    layer: str,
    unit: int,
    size: tuple[int, int] = (224, 224),
    *,
    observers: Sequence[Observer] = (),
    **options: Any,
) -> Restoration:
    """Draw a picture, from nothing, that makes a unit of a network as active as can be.

    Activation maximisation with an untrained network for a prior (Ulyanov, Vedaldi and Lempitsky, 2018, and 2020 in
    IJCV). What is descended is minus the activation: the mean of a channel of a convolutional layer, the number itself
    of a linear one.

    Args:
        module: any torch module that takes (N, C, H, W), or a name for `untaught.physics.features.load_model`. It is
            copied, and stays as it is.
        layer: a name of ``dict(module.named_modules())``.
        unit: index of the channel, or of the number, from 0.
        size: height and width of the picture.
        observers: called with each `State` of the fit.
        **options: see `ActivateSettings` and `Options`.

    Returns:
        The restoration; its picture is a (height, width, C) array, uint8. Its notes say how active the unit is.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> activate(module, "1", 2, (16, 16), iterations=2).picture.shape
    (16, 16, 3)
    """
    job = prepare("activate", None, model=module, layer=layer, unit=unit, size=size, **options)
    return job.run(observers)


def read_without(settings: ActivateSettings) -> Problem:
    """What is asked of a picture that is not there yet."""
    features = features_of(settings.model, settings.layer, settings.mean, settings.std)
    height, width = settings.size
    gray = torch.full((1, features.channels, height, width), 0.5)
    units = features.observe(gray).shape[1]
    if not 0 <= settings.unit < units:
        raise SettingError(f"the layer {settings.layer} has the units 0 to {units - 1}: found {settings.unit}")
    operator = Unit(features, settings.unit)
    with torch.no_grad():
        before = float(operator(gray))
    return Problem(
        observed=torch.zeros(1, 1),
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
