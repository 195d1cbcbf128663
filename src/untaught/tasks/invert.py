"""Inversion: the picture that a network's features stand for, in so far as they tell."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from untaught.errors import InputError
from untaught.fitting.losses import NormalisedSquaredError
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration
from untaught.imaging.arrays import Layout
from untaught.physics.features import Features, features_of
from untaught.tasks.catalogue import FeatureSettings
from untaught.tasks.preparation import prepare

__all__ = ["invert", "read", "read_without"]


def invert(
    image_or_features: ArrayLike | Tensor,
    module: nn.Module | str,
    layer: str,
    *,
    size: tuple[int, int] | None = None,
    observers: Sequence[Observer] = (),
    **options: Any,
) -> Restoration:
    """Draw a picture whose features at a layer of a network are those of another picture, or those given.

    The natural pre-image of Ulyanov, Vedaldi and Lempitsky (2018, and 2020 in IJCV): of all the pictures with such
    features, one that an untrained network finds. What is descended is |phi(x) - phi0|^2 / |phi0|^2 (Mahendran and
    Vedaldi, 2015), by the network's weights alone.

    Args:
        image_or_features: the picture, (H, W, C) array, uint8, uint16 or float in [0, 1], or an (N, C, H, W) tensor;
            or with ``size`` the features, (N, ...) array or tensor, in the shape that the layer gives.
        module: any torch module that takes (N, C, H, W), or a name for `untaught.physics.features.load_model`. It is
            copied, and stays as it is.
        layer: a name of ``dict(module.named_modules())``.
        size: height and width of the picture that is to be drawn, which says that features were given.
        observers: called with each `State` of the fit.
        **options: see `FeatureSettings` and `Options`.

    Returns:
        The restoration; its picture has the shape and type of the picture that was given, or is (N, C, *size),
        float32 in [0, 1], where features were. Its notes say how far off the features are.

    Raises:
        InputError: for input that cannot be worked on, before any work.
        Interrupted: on Ctrl-C, with the best result so far in it.

    >>> module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> invert(torch.rand(1, 3, 16, 16), module, "1", iterations=2).picture.shape
    torch.Size([1, 3, 16, 16])
    """
    if size is None:
        return prepare("invert", image_or_features, model=module, layer=layer, **options).run(observers)
    given = {"features": image_or_features, "size": size}
    return prepare("invert", None, model=module, layer=layer, **given, **options).run(observers)


def read(picture: Tensor, layout: Layout, settings: FeatureSettings) -> Problem:
    """What is known of a picture, (N, C, H, W), by its features."""
    if not picture.isfinite().all():
        raise InputError("features are of a whole picture: this one has values that are not finite")
    features = features_of(settings.model, settings.layer, settings.mean, settings.std)
    return _problem(features, features.observe(picture), (picture.shape[2], picture.shape[3]), layout)


def read_without(settings: FeatureSettings, features: ArrayLike | Tensor, size: tuple[int, int]) -> Problem:
    """What is known of a picture of a size, (height, width), by features, (N, ...), that were given."""
    operator = features_of(settings.model, settings.layer, settings.mean, settings.std)
    given = torch.as_tensor(features).detach().to("cpu", torch.float32)
    height, width = size
    seen = operator.observe(torch.full((1, operator.channels, height, width), 0.5))
    if given.ndim < 2 or given.shape[0] < 1 or given.shape[1:] != seen.shape[1:]:
        wanted = ", ".join(map(str, ("N", *seen.shape[1:])))
        raise InputError(
            f"the features are {tuple(given.shape)}: for a picture of {width} x {height} pixels (width x height) the "
            f"layer {settings.layer} gives ({wanted})"
        )
    if not given.isfinite().all():
        raise InputError("the features have values that are not finite")
    return _problem(operator, given, (height, width), Layout(torch.zeros(1), 0.0, 1.0))


def _problem(operator: Features, features: Tensor, size: tuple[int, int], layout: Layout) -> Problem:
    if not features.flatten(1).any(1).all():
        raise InputError(f"all features of the layer {operator.layer} are zero: nothing can be told from them")
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
