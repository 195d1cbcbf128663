"""How far a picture is from what was observed of it: what a fit descends."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.physics.operator import Operator

__all__ = ["ExclusiveError", "MeanSquaredError", "NegativeActivation", "NormalisedSquaredError", "Objective"]


class Objective(Protocol):
    """Says how far a picture is from what was observed."""

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None, /) -> Tensor:
        """(N, C, H, W) to one loss a picture, (N,).

        Over the values ``compared`` only, and with ``target`` in place of what was observed, if these are not None.
        """
        ...


class MeanSquaredError:
    """Mean squared difference between what the operator makes of a picture and what was observed.

    Only what is known is compared. Other values of the observation are replaced here, before anything is computed, so
    that they cannot leak into a result.

    Args:
        observed: (N, ...), float32; may be anything, NaN too, where it is not known.
        operator: from the picture to the observation.
        known: bool, the observation's shape: where it is known, at one value of each picture at least.
    """

    def __init__(self, observed: Tensor, operator: Operator, known: Tensor) -> None:
        self.operator = operator
        self.known = known
        self.observed = torch.where(known, observed, 0)
        self.count = known.flatten(1).sum(1)

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to (N,); a bool ``compared`` of the observation's shape narrows down what is known.

        With a ``target`` it may be of a window of the observation, as the picture and the target then are: it says by
        itself which of the target's values count.
        """
        where = self.known if compared is None else compared if target is not None else self.known & compared
        count = self.count if compared is None else where.flatten(1).sum(1).clamp_min(1)
        difference = torch.where(where, self.operator(picture) - (self.observed if target is None else target), 0)
        return difference.square().flatten(1).sum(1) / count


class ExclusiveError(MeanSquaredError):
    """For two layers: the mean squared difference, and a price for edges that are in both.

    The price is the mean product of the layers' absolute differences of neighbours, at three scales (as in Gandelsman,
    Shocher and Irani, 2019, "Double-DIP", equation 2, after Zhang, Ng and Chen, 2018).

    Args:
        observed: see `MeanSquaredError`.
        operator: see `MeanSquaredError`.
        known: see `MeanSquaredError`.
        weight: of the price.
    """

    def __init__(self, observed: Tensor, operator: Operator, known: Tensor, weight: float = 0.05) -> None:
        super().__init__(observed, operator, known)
        self.weight = weight

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """(N, 2 C, H, W), one layer after the other, to (N,)."""
        price = picture.new_zeros(len(picture))
        first, second = picture.chunk(2, dim=1)
        for _ in range(3):
            for axis in (-2, -1):
                shared = first.diff(dim=axis).abs() * second.diff(dim=axis).abs()
                price = price + shared.flatten(1).mean(1)
            if min(first.shape[-2:]) < 4:
                break
            first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
        return super().__call__(picture, compared, target) + self.weight * price


class NormalisedSquaredError(MeanSquaredError):
    """Squared difference between what the operator makes of a picture and what was observed, of the latter's energy.

    |phi(x) - phi0|^2 / |phi0|^2, summed over what is known, of any unit and number of values: Mahendran and Vedaldi,
    2015, "Understanding deep image representations by inverting them", section 3. 1 for a picture without any features.

    Args:
        observed: (N, ...), float32; not all zero where it is known.
        operator: from the picture to the observation.
        known: bool, the observation's shape.
    """

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to (N,); see `MeanSquaredError`."""
        where = self.known if compared is None else self.known & compared
        wanted = self.observed if target is None else target
        error = torch.where(where, self.operator(picture) - wanted, 0).square().flatten(1).sum(1)
        return error / torch.where(where, wanted, 0).square().flatten(1).sum(1)


class NegativeActivation:
    """Minus what the operator makes of a picture, its mean where there are several numbers; so it may be negative.

    Activation maximisation: Erhan, Bengio, Courville and Vincent, 2009; with this network for a prior, Ulyanov, Vedaldi
    and Lempitsky, 2018.

    Args:
        observed: (N, ...); what is in it does not matter, as nothing was observed.
        operator: from the picture to activations, of the same shape.
        known: bool, the same shape: the activations that are meant.
    """

    def __init__(self, observed: Tensor, operator: Operator, known: Tensor) -> None:
        self.operator = operator
        self.known = known.expand_as(observed)
        self.count = self.known.flatten(1).sum(1)

    def __call__(self, picture: Tensor, compared: Tensor | None = None, target: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """(N, C, H, W) to (N,)."""
        return -torch.where(self.known, self.operator(picture), 0).flatten(1).sum(1) / self.count
