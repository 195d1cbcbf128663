"""The answer so far: the classical picture and the network's, weighted by their errors on held-out values.

Stacking: Wolpert, 1992, "Stacked generalization". The classical picture is there at once. The network's is worse first
and better later, sooner for thin gaps than for wide ones, so gaps of each width have their own weight. The network's
picture is itself a mixture: of its averaged outputs, and of what the mean of its weights gives.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from untaught.fitting.gaps import RADII, WIDE, width_classes

__all__ = ["Stacking"]

_PRIOR = 50
"""A class trusts its own held-out values as much as its neighbour's weight if it has so many independent ones."""


_TOGETHER = 9
"""Errors of so many neighbouring pixels go together."""


class Stacking:
    """A classical picture and how far to trust it against the network's.

    Args:
        classical: fills in a picture, (N, C, H, W), from its values and what is known of them.
        observed: (N, C, H, W), float32.
        known: the same shape, bool.
        held: the same shape, bool: known values that the network does not see, on which the two are compared.

    Attributes:
        classical: the classical picture, (N, C, H, W).
        weights: of the network's picture in each width class, from 0 to 1.
        evaluated: (N, C, H, W): what the mean of the network's weights gives; None if that is not known yet.
        mixture: its weight in the network's picture, from 0 to 1; the averaged outputs have the rest.
    """

    def __init__(
        self, classical: Callable[[Tensor, Tensor], Tensor], observed: Tensor, known: Tensor, held: Tensor
    ) -> None:
        self._fill = classical
        self._observed, self._known = observed, known
        self.classical = classical(observed, known).to(observed)
        self._classes: Tensor | None = None
        self.weights = torch.zeros(len(RADII) + 1, dtype=torch.float64)
        self._held = held.nonzero(as_tuple=True)
        self._hidden = known & ~held
        self._tested: tuple[Tensor, Tensor] | None = None
        self.evaluated: Tensor | None = None
        self.mixture = 0.0

    def look(self, average: Tensor, visited: Tensor | None = None) -> None:
        """Weigh again: the weights that had the least squared error on the held-out values.

        Args:
            average: (N, C, H, W): the averaged output of a network that has not seen those values.
            visited: (N, 1, H, W), bool: where the network has had an output; None for everywhere.
        """
        classical, classes = self._test()
        observed, network = self._observed[self._held], average[self._held]
        if self.evaluated is not None:
            other = self.evaluated[self._held] - network
            thin = (classes < WIDE).double()
            product = float((thin * other * (observed - network)).sum())
            self.mixture = min(max(product / max(float((thin * other.square()).sum()), 1e-30), 0.0), 1.0)
            network = network + self.mixture * other
        step, wanted = (network - classical).double(), (observed - classical).double()
        groups = len(self.weights)
        if visited is not None:
            number, _, *place = self._held
            seen = visited[(number, torch.zeros_like(number), *place)]
            step, wanted, classes = step[seen], wanted[seen], classes[seen]
        classes = classes.cpu()
        products = torch.zeros(groups, dtype=torch.float64).index_add_(0, classes, (step * wanted).cpu())
        squares = torch.zeros(groups, dtype=torch.float64).index_add_(0, classes, step.square().cpu())
        # The best weight of all is the prior of the thinnest gaps, and so on from each class to the next wider one. A
        # gain that may be chance is no reason to leave the classical picture.
        weight = float((products.sum() / squares.sum().clamp_min(1e-30)).clamp(0, 1))
        chance = _chance(step, wanted - weight * step)
        weight = float(((products.sum() - chance) / squares.sum().clamp_min(1e-30)).clamp(0, 1))
        prior = _PRIOR * float(squares.sum()) / max(1, len(classes))
        # Wide gaps stay classical: a network may be far off there, and one gap tells little of another.
        for group, radius in enumerate((0, *RADII[: WIDE - 1])):
            # The errors in one gap go together.
            independent = 1 / (2 * radius + 1) ** 2
            inside = (classes == group).to(step.device)
            chance = _chance(step[inside], (wanted - weight * step)[inside])
            product, square = independent * (float(products[group]) - chance), independent * float(squares[group])
            weight = (product + prior * weight) / max(square + prior, 1e-30)
            weight = min(max(weight, 0.0), 1.0)
            self.weights[group] = weight

    def errors(self, average: Tensor) -> Tensor:
        """The absolute errors of the answer on the held-out values, in the order of ``held.nonzero()``."""
        classical, classes = self._test()
        network = average[self._held]
        if self.evaluated is not None:
            network = torch.lerp(network, self.evaluated[self._held].to(network), self.mixture)
        answer = torch.lerp(classical, network, self.weights.to(average)[classes])
        return (answer - self._observed[self._held]).abs()

    def _test(self) -> tuple[Tensor, Tensor]:
        """What the classical method makes of the held-out values, and their width classes."""
        if self._tested is None:
            classes = width_classes(self._hidden).expand_as(self._hidden)
            self._tested = self.guess[self._held], classes[self._held].long()
        return self._tested

    @functools.cached_property
    def guess(self) -> Tensor:
        """The classical picture without the held-out values, (N, C, H, W); the first picture need not wait for it."""
        return self._fill(self._observed, self._hidden).to(self._observed)

    def settle(self) -> None:
        """Free the memory that only further looks would need."""
        self.__dict__.pop("guess", None)

    def frozen(self) -> Callable[[Tensor], Tensor]:
        """A function from an averaged output, (N, C, H, W), which it changes, to the answer with the weights of now."""
        weights, evaluated, mixture = self.weights.clone(), self.evaluated, self.mixture

        def stacked(average: Tensor) -> Tensor:
            if not weights.any():
                return self.classical.to(average)
            if evaluated is not None:
                average.lerp_(evaluated.to(average), mixture)
            share = weights.to(average)[self.classes.int()]
            return torch.lerp(self.classical.to(average), average, share)

        return stacked

    @property
    def classes(self) -> Tensor:
        """The width class of each value, see `width_classes`; found when it is first needed."""
        if self._classes is None:
            self._classes = width_classes(self._known)
        return self._classes

    @property
    def share(self) -> float:
        """The network's share of the answer, 0 to 1, averaged over the gaps."""
        gaps = self.classes.expand_as(self._known)[~self._known]
        if not gaps.numel():
            return 0.0
        counts = torch.bincount(gaps.flatten().cpu().long(), minlength=len(self.weights)).double()
        return float((counts * self.weights).sum() / counts.sum())


def _chance(step: Tensor, rest: Tensor) -> float:
    """The standard deviation of the sum of their products, if there is nothing in common."""
    return math.sqrt(_TOGETHER * float((step * rest).square().sum()))
