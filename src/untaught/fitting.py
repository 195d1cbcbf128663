"""The loop, of which there is one.

It receives its parts and knows none of them: a network, its input, an objective, an optimiser. It gives a stream of
states. Whoever wants a progress bar, a preview, another stop rule or a metric reads the stream; to pause is not to pull
the next state, to cancel is to close it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from untaught.checkpoint import Snapshot
from untaught.contracts import Operator, State
from untaught.engine import Engine
from untaught.errors import DivergenceError, InputError
from untaught.inputs import PerturbedInput

__all__ = ["Guard", "MeanSquaredError", "Objective", "iterate"]


class Objective(Protocol):
    """Says how far a picture is from what was observed."""

    def __call__(self, picture: Tensor, /) -> Tensor:
        """(N, C, H, W) to one loss a picture, (N,)."""
        ...


class MeanSquaredError:
    """Mean squared difference between what the operator makes of a picture and what was observed.

    Only what is known is compared. Other values of the observation are replaced here, before anything is computed, so
    that they cannot leak into a result.

    Args:
        observed: (N, ...), float32; may be anything, NaN too, where it is not known.
        operator: from the picture to the observation; its ``known`` says what was observed, everything by default.
    """

    def __init__(self, observed: Tensor, operator: Operator) -> None:
        known: Tensor | None = getattr(operator, "known", None)
        self.operator = operator
        self.known = torch.ones_like(observed, dtype=torch.bool) if known is None else known.expand_as(observed)
        self.observed = torch.where(self.known, observed, 0)
        self.count = self.known.flatten(1).sum(1)
        if not self.count.all():
            raise InputError("no value of the picture is known: there is nothing to fit to")
        if not self.observed.isfinite().all():
            raise InputError("the picture has values that are not finite where it is said to be known")

    def __call__(self, picture: Tensor) -> Tensor:
        """(N, C, H, W) to (N,)."""
        difference = torch.where(self.known, self.operator(picture) - self.observed, 0)
        return difference.square().flatten(1).sum(1) / self.count


class Guard:
    """Takes a fit back when it diverges: when the loss is not finite or has jumped.

    Weights, the optimiser's state, the input and the average return to the last good moment, the step that led away is
    skipped, and the rate is lowered for the rest of the run.

    Args:
        interval: iterations between two looks at the loss; snapshots are taken at most every ``snapshot_interval``.
        snapshot_interval: iterations between two snapshots.
        jump: a loss of more than this times its running mean counts as diverged.
        patience: this many times without one good look in between, and the fit is given up.
    """

    def __init__(self, interval: int = 1, snapshot_interval: int = 50, jump: float = 10.0, patience: int = 12) -> None:
        self.interval = interval
        self.snapshot_interval = snapshot_interval
        self.jump = jump
        self.patience = patience
        self.rollbacks = 0
        self.rate_factor = 1.0
        self._mean: float | None = None
        self._in_a_row = 0
        self._snapshot: Snapshot | None = None
        self._next_snapshot = 0

    def diverged(self, iteration: int, loss: Tensor) -> bool:
        """Look at the loss of this iteration, if it is time to."""
        if iteration % self.interval and iteration != 1:
            return False
        value = float(loss)
        bad = not value < float("inf") or (self._mean is not None and value > self.jump * self._mean)
        if not bad:
            self._mean = value if self._mean is None else 0.9 * self._mean + 0.1 * value
            self._in_a_row = 0
        return bad

    def keep(self, iteration: int, take: Callable[[], Snapshot]) -> None:
        """Take a snapshot, if it is time to and the last look was a good one."""
        looked = iteration == 1 or iteration % self.interval == 0
        if looked and iteration >= self._next_snapshot:
            self._snapshot = take()
            self._next_snapshot = iteration + self.snapshot_interval

    def roll_back(self) -> Snapshot:
        """Lower the rate and say where to go on from.

        Raises:
            DivergenceError: when lowering it has not helped.
        """
        self.rollbacks += 1
        self._in_a_row += 1
        self.rate_factor /= 2
        if self._snapshot is None or self._in_a_row > self.patience:
            raise DivergenceError(
                f"the fit diverged {self._in_a_row} times in a row, the rate having been lowered each time; try "
                "another seed, a lower rate, or float32 precision"
            )
        return self._snapshot


def iterate(
    *,
    network: nn.Module,
    network_input: PerturbedInput,
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    rate: Callable[[int], float],
    iterations: int,
    averaging: float,
    engine: Engine,
    guard: Guard,
) -> Iterator[State]:
    """Fit a network, one state an iteration.

    Args:
        network: (1, channels, H, W) to (N, C, H, W); its weights are changed.
        network_input: gives each iteration's input.
        objective: one loss a picture; their sum is descended, so that pictures do not disturb each other.
        optimiser: of the network's parameters.
        rate: learning rate of an iteration, counted from 1.
        iterations: where to end.
        averaging: decay of the exponential average of outputs, in [0, 1); early outputs are weighted as if it had
            always been running.
        engine: how a step runs.
        guard: what to do when the fit diverges.

    Yields:
        The state of each iteration that did not diverge.
    """
    started = time.perf_counter()
    average: Tensor | None = None
    weight = 0.0
    for iteration in range(1, iterations + 1):
        output = engine.run(network, network_input.draw())
        loss = objective(output)
        mean_loss = loss.detach().mean()

        if guard.diverged(iteration, mean_loss):
            average = guard.roll_back().restore(network, optimiser, network_input)
            continue
        picture = output.detach()
        weight = averaging * weight + 1
        average = picture if average is None else average.lerp(picture, 1 / weight)
        guard.keep(iteration, lambda average=average: Snapshot.take(network, optimiser, network_input, average))  # type: ignore[misc]

        now = rate(iteration) * guard.rate_factor
        for group in optimiser.param_groups:
            group["lr"] = now
        optimiser.zero_grad()
        torch.autograd.backward(loss.sum())
        optimiser.step()

        elapsed = time.perf_counter() - started
        yield State(iteration, iterations, mean_loss, picture, average, elapsed, now, guard.rollbacks)
