"""The answer so far: the classical picture and the network's, weighted by their errors on held-out values.

Stacking: Wolpert, 1992, "Stacked generalization". The classical picture is there at once. The network's is worse first
and better later, sooner for thin gaps than for wide ones, so gaps of each width have their own weight.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from untaught.fitting.gaps import RADII, WIDE, width_classes

__all__ = ["Stacking"]

_PRIOR = 50
"""A class trusts its own held-out values as much as its neighbour's weight if it has so many independent ones."""


class Stacking:
    """A classical picture and how far to trust it against the network's.

    Args:
        classical: fills in a picture, (N, C, H, W), from its values and what is known of them.
        observed: (N, C, H, W), float32.
        known: the same shape, bool.
        held: the same shape, bool: known values that the network does not see, on which the two are compared.
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

    def look(self, average: Tensor, visited: Tensor | None = None) -> None:
        """Weigh again: the weights that had the least squared error on the held-out values.

        Args:
            average: (N, C, H, W): the averaged output of a network that has not seen those values.
            visited: (N, 1, H, W), bool: where the network has had an output; None for everywhere.
        """
        classical, classes = self._test()
        step = (average[self._held] - classical).double()
        wanted = (self._observed[self._held] - classical).double()
        groups = len(self.weights)
        if visited is not None:
            number, _, *place = self._held
            seen = visited[(number, torch.zeros_like(number), *place)]
            step, wanted, classes = step[seen], wanted[seen], classes[seen]
        classes = classes.cpu()
        products = torch.zeros(groups, dtype=torch.float64).index_add_(0, classes, (step * wanted).cpu())
        squares = torch.zeros(groups, dtype=torch.float64).index_add_(0, classes, step.square().cpu())
        # The best weight of all is the prior of the thinnest gaps, and so on from each class to the next wider one.
        weight = float((products.sum() / squares.sum().clamp_min(1e-30)).clamp(0, 1))
        prior = _PRIOR * float(squares.sum()) / max(1, len(classes))
        # Wide gaps stay classical: a network may be far off there, and one gap tells little of another.
        for group, radius in enumerate((0, *RADII[: WIDE - 1])):
            # The errors in one gap go together.
            independent = 1 / (2 * radius + 1) ** 2
            product, square = independent * float(products[group]), independent * float(squares[group])
            weight = (product + prior * weight) / max(square + prior, 1e-30)
            weight = min(max(weight, 0.0), 1.0)
            self.weights[group] = weight

    def errors(self, average: Tensor) -> Tensor:
        """The absolute errors of the answer on the held-out values, in the order of ``held.nonzero()``."""
        classical, classes = self._test()
        answer = torch.lerp(classical, average[self._held], self.weights.to(average)[classes])
        return (answer - self._observed[self._held]).abs()

    def _test(self) -> tuple[Tensor, Tensor]:
        """What the classical method makes of the held-out values, and their width classes."""
        if self._tested is None:
            # Only now: the first picture need not wait for it.
            values = self._fill(self._observed, self._hidden).to(self._observed)[self._held]
            number, _, *place = self._held
            self._tested = values, width_classes(self._hidden)[(number, *place)].long()
        return self._tested

    def frozen(self) -> Callable[[Tensor], Tensor]:
        """A function from an averaged output, (N, C, H, W), to the answer with the weights of now."""
        weights = self.weights.clone()

        def stacked(average: Tensor) -> Tensor:
            if not weights.any():
                return self.classical.to(average)
            share = weights.to(average)[self.classes.long()][:, None]
            return torch.lerp(self.classical.to(average), average, share)

        return stacked

    @property
    def classes(self) -> Tensor:
        """The width class of each pixel, (N, H, W), uint8; found when it is first needed."""
        if self._classes is None:
            self._classes = width_classes(self._known)
        return self._classes

    @property
    def share(self) -> float:
        """The network's share of the answer, 0 to 1, averaged over the gaps."""
        gaps = self.classes[~self._known.all(1)]
        if not gaps.numel():
            return 0.0
        counts = torch.bincount(gaps.flatten().cpu().long(), minlength=len(self.weights)).double()
        return float((counts * self.weights).sum() / counts.sum())
