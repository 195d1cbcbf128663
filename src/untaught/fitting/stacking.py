"""The answer so far: the classical picture and the network's, weighted by their errors on held-out values.

Stacking: Wolpert, 1992, "Stacked generalization". The classical picture begins with a smooth filling, which is there at
once, and is completed by groups of similar blocks in the course of the fit. The network's is worse first and better
later, sooner for thin gaps than for wide ones, so gaps of each width have their own weight. The network's picture is
itself a mixture: of its averaged outputs, and of what the mean of its weights gives.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from untaught.fitting.gaps import RADII, WIDE, width_classes
from untaught.imaging.group_completion import AGAIN, FROM_SMOOTH, GroupCompletion, Schedule
from untaught.priors.patches import Strip

__all__ = ["Stacking"]

_PRIOR = 50
"""A class trusts its own held-out values as much as its neighbour's weight if it has so many independent ones."""

_FEWEST, _MOST = 4, 16
"""Steps of a completion in an iteration, at least: they bring more than it does. At most: a fit can be cancelled."""

_TOGETHER = 9
"""Errors of so many neighbouring pixels go together."""


class Stacking:
    """A classical picture and how far to trust it against the network's.

    Args:
        smooth: fills in a picture smoothly, (N, C, H, W), from its values and what is known of them.
        observed: (N, C, H, W), float32.
        known: the same shape, bool.
        held: the same shape, bool: known values that the network does not see, on which the two are compared.
        strips: the parts that belong together (`untaught.priors.patches`) and are completed by groups of similar
            blocks; empty for the whole picture, None for no such completion.

    Attributes:
        smooth: the smooth filling, (N, C, H, W).
        classical: the classical picture, (N, C, H, W): that filling, and what has been completed of it.
        shares: of the completion in the classical picture, in each width class, from 0 to 1.
        weights: of the network's picture in each width class, from 0 to 1.
        evaluated: (N, C, H, W): what the mean of the network's weights gives; None if that is not known yet.
        mixture: its weight in the network's picture, from 0 to 1; the averaged outputs have the rest.
    """

    def __init__(
        self,
        smooth: Callable[[Tensor, Tensor], Tensor],
        observed: Tensor,
        known: Tensor,
        held: Tensor,
        strips: Sequence[Strip] | None = None,
    ) -> None:
        self._fill = smooth
        self._observed, self._known = observed, known
        self.smooth = self.classical = smooth(observed, known).to(observed)
        self._classes: Tensor | None = None
        self.weights, self.shares = torch.zeros(2, len(RADII) + 1, dtype=torch.float64).unbind()
        self._held = held.nonzero(as_tuple=True)
        self._hidden = known & ~held
        self._tested: tuple[Tensor, Tensor] | None = None
        self._strips = strips
        self._completion: GroupCompletion | None = None
        self._again = False
        self.evaluated: Tensor | None = None
        self.mixture = 0.0

    def complete(self, within: int) -> None:
        """Complete a part of the classical picture, from the values that the network sees.

        Args:
            within: so many calls complete what is left, if that is not too much for a call.
        """
        if self._strips is None:
            return
        if self._completion is None:
            self._completion = self._completion_of(self.guess, self._hidden)
        self._advance(self._completion, within)

    def complete_again(self, answer: Callable[[], Tensor], within: int) -> None:
        """Complete a part of the answer again, with the values that were held out.

        Args:
            answer: (N, C, H, W): as it is at the first call.
            within: so many calls complete what is left, if that is not too much for a call.
        """
        if self._strips is None or not self.shares.any():
            return
        if not self._again or self._completion is None:
            start = torch.where(self._known, self._observed, answer())
            self._again, self._completion = True, self._completion_of(start, self._known, AGAIN)
            self.classical = start
        self._advance(self._completion, within)

    def _completion_of(
        self, picture: Tensor, known: Tensor, schedule: Schedule = FROM_SMOOTH, done: int = 0
    ) -> GroupCompletion:
        """A completion of all but the widest gaps, which stay as they are."""
        settled = known | (width_classes(known, RADII[WIDE : WIDE + 1]) > 0)
        return GroupCompletion(
            picture, settled, schedule, self._strips or (), done, self._share_at if self._again else None
        )

    def _share_at(self, number: int, rows: slice, columns: slice) -> Tensor:
        """The share of the completion in a part of a picture."""
        return self.shares.float()[self.classes[number, :, rows, columns].int().cpu()]

    def _advance(self, completion: GroupCompletion, within: int) -> None:
        new = False
        wanted = math.ceil((completion.steps - completion.done) / max(1, within))
        for _ in range(min(max(_FEWEST, wanted), _MOST)):
            new |= completion.step()
        if new:
            self._adopt(completion)

    def _adopt(self, completion: GroupCompletion) -> None:
        """Take over what is completed, as far as held-out values say."""
        completed = completion.picture.to(self._observed)
        if self._again:
            self.classical = completed
            return
        guess, classes = self.guess[self._held], self._test()[1]
        step, wanted = completed[self._held] - guess, self._observed[self._held] - guess
        self.shares = _best_weights(step.double(), wanted.double(), classes.cpu(), doubt=0)
        self._tested = torch.lerp(guess, completed[self._held], self.shares.to(guess)[classes]), classes
        classical, classes = self.smooth.clone(), self.classes.expand_as(self.smooth)
        # Plane by plane, which takes less memory.
        for place in itertools.product(*map(range, classical.shape[:2])):
            shares = self.shares.to(classical)[classes[place].int()].masked_fill_(self._known[place], 0)
            classical[place].lerp_(completed[place], shares)
        self.classical = classical

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
        if visited is not None:
            number, _, *place = self._held
            seen = visited[(number, torch.zeros_like(number), *place)]
            step, wanted, classes = step[seen], wanted[seen], classes[seen]
        self.weights = _best_weights(step, wanted, classes.cpu(), doubt=1)

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
        """The smooth filling without the held-out values, (N, C, H, W); the first picture need not wait for it."""
        return self._fill(self._observed, self._hidden).to(self._observed)

    def settle(self) -> None:
        """Free the memory that only further looks would need."""
        self.__dict__.pop("guess", None)
        if not self._again:
            self._completion = None
        if not self.weights.any():
            self.evaluated, self.smooth = None, self.classical

    def frozen(self) -> Callable[[Tensor], Tensor]:
        """A function from an averaged output, (N, C, H, W), which it changes, to the answer with the weights of now."""
        weights, evaluated, mixture, classical = self.weights.clone(), self.evaluated, self.mixture, self.classical
        if self._again:
            # What was completed again holds the network's share already.
            weights *= 1 - self.shares

        def stacked(average: Tensor) -> Tensor:
            if not weights.any():
                return classical.to(average)
            if evaluated is not None:
                average.lerp_(evaluated.to(average), mixture)
            return torch.lerp(classical.to(average), average, weights.to(average)[self.classes.int()])

        return stacked

    def facts(self) -> dict[str, Any]:
        """Plain values for a checkpoint, beside `tensors`."""
        done = None if self._completion is None else self._completion.done
        facts = {"stacking": self.weights.tolist(), "mixture": self.mixture}
        return facts if self._strips is None else facts | {"completion": {"done": done, "shares": self.shares.tolist()}}

    def tensors(self) -> dict[str, Tensor]:
        """Pictures for a checkpoint, (N, C, H, W)."""
        completed = None if self._completion is None else self._completion.picture
        named = {"picture": self.evaluated, "completed": completed}
        if completed is None and self.shares.any():
            named["classical"] = self.classical
        return {name: one for name, one in named.items() if one is not None}

    def restore(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor], *, again: bool) -> None:
        """Continue from a checkpoint.

        Args:
            facts: see `facts`; of older checkpoints without a completion.
            tensors: see `tensors`.
            again: whether the values that were held out are in use.

        Raises:
            ValueError: for pictures of another shape.
        """
        if any(one.shape != self._observed.shape for one in tensors.values()):
            raise ValueError("a picture of the checkpoint has another shape")
        self.weights = torch.tensor(facts["stacking"], dtype=torch.float64)
        self.mixture, self.evaluated = facts.get("mixture", 0.0), tensors.get("picture")
        completion, completed = facts.get("completion"), tensors.get("completed")
        if completion is None or self._strips is None:
            return
        self.shares = torch.tensor(completion["shares"], dtype=torch.float64)
        if completed is None:
            self.classical = tensors.get("classical", self.classical)
            return
        self._again = again
        known, schedule = (self._known, AGAIN) if again else (self._hidden, FROM_SMOOTH)
        self._completion = self._completion_of(completed, known, schedule, completion["done"])
        self._adopt(self._completion)

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


def _best_weights(step: Tensor, wanted: Tensor, classes: Tensor, *, doubt: int) -> Tensor:
    """How much of a step to take in each width class, from 0 to 1, by the least squared error on held-out values.

    Args:
        step: (values,), float64: from one picture to the other.
        wanted: from the one to the truth.
        classes: of each value.
        doubt: 1 if a gain that may be chance is no reason to take the step, 0 for the best guess.
    """
    groups = len(RADII) + 1
    weights = torch.zeros(groups, dtype=torch.float64)
    products = torch.zeros(groups, dtype=torch.float64).index_add_(0, classes, (step * wanted).cpu())
    squares = torch.zeros(groups, dtype=torch.float64).index_add_(0, classes, step.square().cpu())
    # The best weight of all is the prior of the thinnest gaps, and so on from each class to the next wider one.
    weight = float((products.sum() / squares.sum().clamp_min(1e-30)).clamp(0, 1))
    chance = doubt * _chance(step, wanted - weight * step)
    weight = float(((products.sum() - chance) / squares.sum().clamp_min(1e-30)).clamp(0, 1))
    prior = _PRIOR * float(squares.sum()) / max(1, len(classes))
    # Wide gaps stay as they are: the other picture may be far off there, and one gap tells little of another.
    for group, radius in enumerate((0, *RADII[: WIDE - 1])):
        # The errors in one gap go together.
        independent = 1 / (2 * radius + 1) ** 2
        inside = (classes == group).to(step.device)
        chance = doubt * _chance(step[inside], (wanted - weight * step)[inside])
        product, square = independent * (float(products[group]) - chance), independent * float(squares[group])
        weight = min(max((product + prior * weight) / max(square + prior, 1e-30), 0.0), 1.0)
        weights[group] = weight
    return weights


def _chance(step: Tensor, rest: Tensor) -> float:
    """The standard deviation of the sum of their products, if there is nothing in common."""
    return math.sqrt(_TOGETHER * float((step * rest).square().sum()))
