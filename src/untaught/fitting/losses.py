"""Losses: how far a picture is from the observation.

A user's loss is a callable ``loss(prediction, observed)`` of two tensors of the observation's shape, in its units. It
returns one value per element (it is averaged over the known values), one per picture, (N,), or a scalar.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.backend.sums import means, sums
from untaught.errors import InputError, SettingError
from untaught.physics.operator import Operator

__all__ = [
    "LOSSES",
    "ChannelSquaredError",
    "DataLoss",
    "ElementLoss",
    "ExclusiveError",
    "MeanSquaredError",
    "NegativeActivation",
    "NormalisedSquaredError",
    "Objective",
    "Regularised",
    "poisson_loss",
    "total_variation",
]

ElementLoss = Callable[[Tensor, Tensor], Tensor]
"""A user's loss: (prediction, observed), of one shape, to a value per element, per picture or in all."""


class Objective(Protocol):
    """What a fit minimises: the distance of a picture from the observation."""

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None, /) -> Tensor:
        """(N, C, H, W) to one loss per picture, (N,).

        Only over the values ``compared``, and with ``target`` in place of the observation, where these are given.
        """
        ...


class MeanSquaredError:
    """Mean squared difference of the operator's output and the observation, over the known values.

    Unknown values of the observation are replaced before anything is computed, so they cannot leak into a result.

    Args:
        observed: (N, ...), float32 or complex64; arbitrary, also NaN, where it is unknown.
        operator: from the picture to the observation.
        known: bool, the observation's shape: at least one True per picture.
    """

    def __init__(self, observed: Tensor, operator: Operator, known: Tensor) -> None:
        self.operator = operator
        self.known = known
        self._observed = observed
        self.count = known.flatten(1).sum(1)

    @functools.cached_property
    def observed(self) -> Tensor:
        """The observation, zero where it is unknown; a fit of patches brings its own target and needs no copy."""
        return torch.where(self.known, self._observed, 0)

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to (N,); a bool ``compared`` of the observation's shape selects among the known values.

        With a ``target`` all three may be of a patch, and ``compared`` alone says which of the target's values count.
        """
        where = self.known if compared is None else compared if target is not None else self.known & compared
        count = self.count if compared is None else where.flatten(1).sum(1).clamp_min(1)
        difference = torch.where(where, self.operator(picture) - (self.observed if target is None else target), 0)
        if difference.is_complex():
            difference = difference.abs()
        return sums(difference.square()) / count


class ChannelSquaredError(MeanSquaredError):
    """Mean squared difference, in which each channel has its own weight.

    Args:
        weights: (1, C, 1, 1), not negative.
        observed: see `MeanSquaredError`.
        operator: see `MeanSquaredError`.
        known: see `MeanSquaredError`.
    """

    def __init__(self, weights: Tensor, observed: Tensor, operator: Operator, known: Tensor) -> None:
        self.scale = weights.sqrt().to(observed.device)
        super().__init__(observed * self.scale, lambda picture: operator(picture) * self.scale, known)

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """See `MeanSquaredError`."""
        return super().__call__(picture, compared, None if target is None else target * self.scale)


class DataLoss(MeanSquaredError):  # noqa: N818
    """A loss of the user's own, or weights per value, over the known values.

    Args:
        observed: see `MeanSquaredError`.
        operator: see `MeanSquaredError`.
        known: see `MeanSquaredError`.
        loss: compares the operator's output with the observation; the squared difference if None.
        weights: the observation's shape, or broadcastable to it, not negative: multiplies each value's loss.
        unit: one unit of the fit in the units of the observation, which the loss sees.
        offset: the value of the observation that is 0 in the fit.
    """

    def __init__(
        self,
        observed: Tensor,
        operator: Operator,
        known: Tensor,
        loss: ElementLoss | None = None,
        weights: Tensor | None = None,
        unit: float = 1.0,
        offset: float = 0.0,
    ) -> None:
        super().__init__(observed, operator, known)
        self.loss = loss or _squared
        self.weights = weights
        self.unit = unit
        self.offset = offset

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """See `MeanSquaredError`."""
        where = self.known if compared is None else compared if target is not None else self.known & compared
        count = self.count if compared is None else where.flatten(1).sum(1).clamp_min(1)
        prediction = self.operator(picture) * self.unit + self.offset
        wanted = (self.observed if target is None else target) * self.unit + self.offset
        # Where a value is unknown the two agree, so that its loss is finite and has no gradient of its own.
        wanted = torch.where(where, wanted, prediction.detach())
        values = self.loss(prediction, wanted)
        if values.shape == prediction.shape:
            if self.weights is not None:
                values = values * self.weights
            return sums(torch.where(where, values, 0)) / count
        if self.weights is not None:
            raise InputError("weights need a loss that returns one value per element: this one returns fewer")
        if values.shape == (len(picture),):
            return values
        if values.ndim == 0:
            return values.expand(len(picture)) / len(picture)
        raise InputError(
            f"a loss returns {tuple(prediction.shape)}, one value per element, or ({len(picture)},), one per picture, "
            f"or a scalar: found {tuple(values.shape)}"
        )


class Regularised:
    """An objective with a regulariser of the picture added to it.

    Args:
        objective: the data term.
        regulariser: (N, C, H, W) to one value per picture, (N,), or a scalar.
    """

    def __init__(self, objective: Objective, regulariser: Callable[[Tensor], Tensor]) -> None:
        self.objective = objective
        self.regulariser = regulariser

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """See `Objective`."""
        price = self.regulariser(picture)
        if price.shape not in ((), (len(picture),)):
            raise InputError(
                f"a regulariser returns ({len(picture)},), one value per picture, or a scalar: found "
                f"{tuple(price.shape)}"
            )
        return self.objective(picture, compared, target) + (price / len(picture) if price.ndim == 0 else price)


def total_variation(weight: float, spacing: Sequence[float] = ()) -> Callable[[Tensor], Tensor]:
    """Anisotropic total variation (Rudin, Osher and Fatemi, 1992) as a regulariser.

    Args:
        weight: of the mean absolute difference of neighbours, as it is along the axis of the smallest spacing.
        spacing: distance of neighbours along each spatial axis, as of voxels whose slices are farther apart: (3, 1, 1).
            Differences count per distance. Empty for the same everywhere.

    Raises:
        SettingError: for a spacing that is not positive, or, in the fit, of another number of axes than the picture.
    """
    if not all(math.isfinite(one) and one > 0 for one in spacing):
        raise SettingError(f"found a spacing of {tuple(spacing)}: the distances of neighbours are positive")
    shares = [min(spacing) / one for one in spacing]

    def price(picture: Tensor) -> Tensor:
        axes = range(2, picture.ndim)
        if shares and len(shares) != len(axes):
            raise SettingError(f"found {len(shares)} distances in spacing: a picture of {len(axes)} axes needs as many")
        parts = [means(picture.diff(dim=axis).abs()) for axis in axes]
        return weight * torch.stack(
            [s * part for s, part in zip(shares or [1.0] * len(parts), parts, strict=True)]
        ).sum(0)

    return price


def _squared(prediction: Tensor, observed: Tensor) -> Tensor:
    difference = prediction - observed
    return (difference.abs() if difference.is_complex() else difference).square()


def _absolute(prediction: Tensor, observed: Tensor) -> Tensor:
    return (prediction - observed).abs()


def poisson_loss(prediction: Tensor, observed: Tensor) -> Tensor:
    """Half of the Poisson deviance: prediction - observed + observed log(observed / prediction), 0 where they agree.

    It is the negative log-likelihood of counts up to a constant, which keeps it from being negative: the divergence
    guard compares losses by their ratio.

    Args:
        prediction: expected counts, from 0.
        observed: counts, the same shape.
    """
    observed = observed.clamp_min(0)
    return prediction - observed + torch.xlogy(observed, observed) - observed * prediction.clamp_min(1e-6).log()


LOSSES: Mapping[str, ElementLoss] = MappingProxyType(
    {"squared": _squared, "absolute": _absolute, "poisson": poisson_loss}
)
"""Losses by name, for ``loss=``."""


class ExclusiveError(MeanSquaredError):
    """For two layers: the mean squared error, plus a penalty for edges that both layers share.

    The penalty is the mean product of the layers' absolute differences of neighbours, at three scales (Gandelsman,
    Shocher and Irani, 2019, "Double-DIP", equation 2, after Zhang, Ng and Chen, 2018).

    Args:
        observed: see `MeanSquaredError`.
        operator: see `MeanSquaredError`.
        known: see `MeanSquaredError`.
        weight: of the penalty.
    """

    def __init__(self, observed: Tensor, operator: Operator, known: Tensor, weight: float = 0.05) -> None:
        super().__init__(observed, operator, known)
        self.weight = weight

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """(N, 2 C, H, W), one layer after the other, to (N,)."""
        penalty = picture.new_zeros(len(picture))
        first, second = picture.chunk(2, dim=1)
        for _ in range(3):
            for axis in (-2, -1):
                shared = first.diff(dim=axis).abs() * second.diff(dim=axis).abs()
                penalty = penalty + means(shared)
            if min(first.shape[-2:]) < 4:
                break
            first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
        return super().__call__(picture, compared, target) + self.weight * penalty


class NormalisedSquaredError(MeanSquaredError):
    """Squared difference of the operator's output and the observation, divided by the observation's energy.

    |phi(x) - phi0|^2 / |phi0|^2 over the known values (Mahendran and Vedaldi, 2015, "Understanding deep image
    representations by inverting them", section 3). 1 for a picture without any features.

    Args:
        observed: (N, ...), float32; not all zero where it is known.
        operator: from the picture to the observation.
        known: bool, the observation's shape.
    """

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to (N,); see `MeanSquaredError`."""
        where = self.known if compared is None else self.known & compared
        wanted = self.observed if target is None else target
        error = sums(torch.where(where, self.operator(picture) - wanted, 0).square())
        return error / sums(torch.where(where, wanted, 0).square())


class NegativeActivation:
    """Minus the operator's output, averaged over its values; so it may be negative.

    Activation maximisation: Erhan, Bengio, Courville and Vincent, 2009; with this prior Ulyanov, Vedaldi and Lempitsky,
    2018.

    Args:
        observed: (N, ...), not read: nothing was observed.
        operator: from the picture to activations, of the same shape.
        known: bool, the same shape: the activations to maximise.
    """

    def __init__(self, observed: Tensor, operator: Operator, known: Tensor) -> None:
        self.operator = operator
        self.known = known.expand_as(observed)
        self.count = self.known.flatten(1).sum(1)

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """(N, C, H, W) to (N,)."""
        return -sums(torch.where(self.known, self.operator(picture), 0)) / self.count
