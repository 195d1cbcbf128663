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
import torch.nn.functional as F
from torch import Tensor

from untaught.fitting.gaps import RADII, WIDE, width_classes
from untaught.fitting.memory import give_back
from untaught.fitting.weights import best_weights, decibels
from untaught.imaging.group_completion import AGAIN, FROM_SMOOTH, GroupCompletion, Schedule
from untaught.priors.patches import Strip

__all__ = ["Stacking"]

_FEWEST, _MOST = 4, 16
"""Steps of a completion in an iteration, at least: they bring more than it does. At most: a fit can be cancelled."""

_TELLING = 12
"""A completion is used once a twelfth of it is done: the held-out values of fewer tiles say too little."""

_USEFUL, _LEARNT = 2.0, 1.5
"""A network that is so many dB worse than the classical picture in gaps of each width has no share. It gains so many
dB, at most, when its iterations double (docs/lab-notes/anytime.md)."""

_NO_SHARE = 0.01
"""A share that is smaller is none."""

_SQUARE = 32
"""The held-out values of every third square of this side, in pixels, are watched to the end."""

_FEWEST_WATCHED = 100

_SHORTEST = 20
"""Iterations in which the answer is completed again, at least."""

_LATER = 0.5
"""Of the network's share in an answer that was completed once more, and holds that share already."""


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
        shown: (N, C, H, W), bool: the known values that the network may see.
        watches: whether held-out values still tell the network's share, although most of them were given back.
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
        self.shown = known & ~held
        self.watches = False
        self._tested: Tensor | None = None
        self._deficit = 0.0
        self._shortest = 0
        self._strips = strips
        self._completion: GroupCompletion | None = None
        self._round = 0
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
            self._completion = self._completion_of(self.guess)
        self._advance(self._completion, within)

    def complete_again(self, answer: Callable[[], Tensor], within: int, *, last: bool) -> None:
        """Complete a part of the answer again, with the values that were held out.

        Args:
            answer: (N, C, H, W): as it is now.
            within: so many calls complete what is left, if that is not too much for a call.
            last: whether to use those that are watched, too. The answer is completed once more then.
        """
        if self._strips is None or not self.shares.any():
            return
        wanted = 2 if last and self.watches else 1
        if self._round < wanted or self._completion is None:
            self._begin_again(answer(), wanted)
        assert self._completion is not None
        self._advance(self._completion, within)

    def _begin_again(self, answer: Tensor, number: int) -> None:
        """Begin a round of completion from an answer, which holds the network's share already."""
        give_back()
        watched, self._round = self.watches, number
        if number > 1:
            self.weights *= _LATER
            self.watches = False
        elif watched:
            self.weights = torch.zeros_like(self.weights)
            self._tested = answer[self._held]
        # An answer without the network's share is the classical picture itself, which earlier states still hold.
        into = answer if answer is not self.classical else None
        self.classical = torch.where(self._given, self._observed, answer, out=into)
        self._completion = self._completion_of(self.classical)

    @property
    def _given(self) -> Tensor:
        """The values that the present round of completion is given, (N, C, H, W), bool."""
        return self._known if self._round and not self.watches else self.shown

    def _completion_of(self, picture: Tensor, done: int = 0) -> GroupCompletion:
        """The completion of this round, of all but the widest gaps, which stay as they are."""
        schedule: Schedule = AGAIN if self._round else FROM_SMOOTH
        settled = self._given | (width_classes(self._given, RADII[WIDE : WIDE + 1]) > 0)
        share = self._share_at if self._round else None
        return GroupCompletion(picture, settled, schedule, self._strips or (), done, share)

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
        if self._round:
            self.classical = completed
            if self.watches:
                self._tested = completed[self._held]
            return
        if completion.done * _TELLING < completion.steps:
            return
        guess, classes = self.guess[self._held], self._held_classes
        step, wanted = completed[self._held] - guess, self._observed[self._held] - guess
        # As long as a few tiles are done, chance has its part in what they gain.
        together = 0 if completion.finished else self._together
        self.shares = best_weights(step.double(), wanted.double(), classes.cpu(), together=together)
        self._tested = torch.lerp(guess, completed[self._held], self.shares.to(guess)[classes])
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
        classical, classes = self._classical_held, self._held_classes
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
        deficits = [decibels(wanted - step, wanted, classes == one) for one in range(WIDE)]
        self._deficit = min((one for one in deficits if one is not None), default=0.0)
        self.weights = best_weights(step, wanted, classes.cpu(), together=self._together)

    def hopeless(self, iteration: int, iterations: int) -> bool:
        """Whether a network that has come so far by this iteration of so many will never have a share of the answer."""
        if self._round > 1:
            return False
        finished = self._completion is not None and self._completion.finished and bool(self.shares.any())
        return finished and self._deficit > _USEFUL + _LEARNT * math.log2(max(iterations / iteration, 1))

    def errors(self, average: Tensor) -> Tensor:
        """The absolute errors of the answer on the held-out values, in the order of ``held.nonzero()``."""
        classical, classes = self._classical_held, self._held_classes
        network = average[self._held]
        if self.evaluated is not None:
            network = torch.lerp(network, self.evaluated[self._held].to(network), self.mixture)
        answer = torch.lerp(classical, network, self.weights.to(average)[classes])
        return (answer - self._observed[self._held]).abs()

    @property
    def _classical_held(self) -> Tensor:
        """What the classical method makes of the held-out values, (values,)."""
        if self._tested is None:
            self._tested = self.guess[self._held]
        return self._tested

    @functools.cached_property
    def _held_classes(self) -> Tensor:
        """The width classes of the held-out values, (values,)."""
        return width_classes(self.shown).expand_as(self.shown)[self._held].long()

    @functools.cached_property
    def guess(self) -> Tensor:
        """The smooth filling without the held-out values, (N, C, H, W); the first picture need not wait for it."""
        return self._fill(self._observed, self.shown).to(self._observed)

    @functools.cached_property
    def _together(self) -> float:
        """The errors of so many values go together: held-out ones that are neighbours."""
        number, _, row, column = self._held
        held = torch.zeros_like(self._known[:, :1], dtype=torch.float32)
        held[number, 0, row, column] = 1
        return 25 * float(F.avg_pool2d(held, 5, 1, 2)[number, 0, row, column].mean())

    def settle(self, *, hopeless: bool) -> None:
        """Give back the held-out values, but for those that are watched; all of them if the network is hopeless."""
        if self._completion is not None:
            self._shortest = math.ceil(self._completion.steps * len(AGAIN.steps) / len(FROM_SMOOTH.steps) / _MOST)
        self._completion = None
        # The classical picture must know nothing of the watched values. To the answer they are known in any case.
        hidden, chosen = self._classical_held, self._watch(useful=bool(self.shares.any()) and not hopeless)
        if self.watches:
            self.classical[self._held] = hidden[chosen]
        if not self.watches and self.share < _NO_SHARE:
            # Only further looks would need them.
            self.evaluated, self.smooth = None, self.classical
            self.weights = torch.zeros_like(self.weights)

    @property
    def shortest(self) -> int:
        """The iterations in which the answer can be completed again."""
        return max(_SHORTEST, self._shortest)

    def _watch(self, *, useful: bool) -> Tensor:
        """Compare on some of the held-out values only from now on, if that is useful and they are enough; on which."""
        guess = self.guess if useful else self.smooth
        for cached in ("guess", "_together", "_held_classes"):
            self.__dict__.pop(cached, None)
        row, column = self._held[-2:]
        chosen = (row // _SQUARE + column // _SQUARE) % 3 == 0
        self.watches, self.shown = useful and int(chosen.sum()) >= _FEWEST_WATCHED, self._known
        if self.watches:
            self._held, self._tested = tuple(place[chosen] for place in self._held), None
            self.shown = self._known.clone()
            self.shown[self._held] = False
            self.smooth = torch.where(self.shown, self._observed, guess, out=guess)
        return chosen

    def frozen(self) -> Callable[[Tensor], Tensor]:
        """A function from an averaged output, (N, C, H, W), which it changes, to the answer with the weights of now."""
        weights, evaluated, mixture, classical = self.weights.clone(), self.evaluated, self.mixture, self.classical
        if self._round == 1 and not self.watches:
            # What was completed again holds the network's share already.
            weights *= 1 - self.shares

        def stacked(average: Tensor) -> Tensor:
            if not weights.any():
                return classical.to(average)
            if evaluated is not None:
                average.lerp_(evaluated.to(average), mixture)
            return torch.lerp(classical.to(average), average, weights.to(average)[self.classes.int()], out=average)

        return stacked

    def facts(self) -> dict[str, Any]:
        """Plain values for a checkpoint, beside `tensors`."""
        done = None if self._completion is None else self._completion.done
        facts = {"stacking": self.weights.tolist(), "mixture": self.mixture}
        if self._strips is None:
            return facts
        completion = {"done": done, "shares": self.shares.tolist(), "round": self._round, "watches": self.watches}
        completion["promising first"] = True
        return facts | {"completion": completion | {"deficit": self._deficit, "shortest": self._shortest}}

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
        self._deficit, self._shortest = completion.get("deficit", 0.0), completion.get("shortest", 0)
        self._round = completion.get("round", int(again))
        if again:
            self._watch(useful=completion.get("watches", False) or self._round > 1)
            self.watches &= self._round < 2
        if completed is None:
            self.classical = tensors.get("classical", self.classical)
            return
        # Older checkpoints have done the tiles in another order: those that were done begin from what they became.
        done = completion["done"] if completion.get("promising first") else 0
        self._completion = self._completion_of(completed, done)
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
