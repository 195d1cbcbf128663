"""The loop, of which there is one.

It receives its parts and knows none of them: a network, a source of inputs, an objective, an optimiser. It gives a
stream of states. Whoever wants a progress bar, a preview, another stop rule or a metric reads the stream; to pause is
not to pull the next state, to cancel is to close it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from untaught.backend.engine import Engine
from untaught.errors import DivergenceError
from untaught.fitting.checkpoint import Snapshot, optimiser_state, part, restore_optimiser
from untaught.fitting.losses import Objective
from untaught.fitting.optimisers import set_rate
from untaught.fitting.state import State
from untaught.priors.inputs import mirror
from untaught.priors.sampler import InputSampler

__all__ = ["Fit", "Guard", "iterate"]

_LEAST_DECAY = 0.9
"""Of the averages of a place that is not seen each iteration: they reach over the last ten times at least."""


class Guard:
    """Takes a fit back when it diverges: when the loss is not finite or has jumped.

    Weights, the optimiser's state, the input and the average return to the last good moment, the step that led away is
    skipped, and the rate is lowered for the rest of the run.

    Args:
        interval: iterations between two looks at the loss; snapshots are taken at most every ``snapshot_interval``.
        snapshot_interval: iterations between two snapshots.
        jump: a loss of more than this times its running mean counts as diverged; only one that is not finite does, if
            None.
        patience: this many times without one good look in between, and the fit is given up.
    """

    def __init__(
        self, interval: int = 1, snapshot_interval: int = 50, jump: float | None = 10.0, patience: int = 12
    ) -> None:
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

    def diverged(self, iteration: int, loss: Tensor, *, last: bool = False) -> bool:
        """Look at the loss of this iteration, if it is time to; it is at the first and at the last."""
        if iteration % self.interval and iteration != 1 and not last:
            return False
        value = float(loss)
        mean, jump = self._mean, self.jump
        bad = not math.isfinite(value) or (mean is not None and jump is not None and value > jump * mean)
        if not bad:
            self._mean = value if mean is None else 0.9 * mean + 0.1 * value
            self._in_a_row = 0
        return bad

    def keep(self, iteration: int, take: Callable[[], Snapshot]) -> None:
        """Take a snapshot, if it is time to and the last look was a good one."""
        looked = iteration == 1 or iteration % self.interval == 0
        if looked and iteration >= self._next_snapshot:
            self._snapshot = take()
            self._next_snapshot = iteration + self.snapshot_interval

    @property
    def good(self) -> Snapshot | None:
        """The last good moment."""
        return self._snapshot

    def facts(self) -> dict[str, Any]:
        """What it remembers besides the snapshot, as plain values."""
        return {"rollbacks": self.rollbacks, "rate_factor": self.rate_factor, "mean": self._mean}

    def restore(self, facts: dict[str, Any]) -> None:
        """Remember that again. The next good look takes a snapshot."""
        self.rollbacks, self.rate_factor, self._mean = facts["rollbacks"], facts["rate_factor"], facts["mean"]
        self._in_a_row, self._snapshot, self._next_snapshot = 0, None, 0

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


class Fit:
    """Everything that changes while a network is fitted.

    Args:
        network: (N, channels, H, W) to (N, C, H, W).
        source: gives each iteration's input.
        optimiser: of the network's parameters.
        guard: what to do when the fit diverges.
        runs: the N pictures are so many runs of N / runs pictures, whose outputs are averaged.
        operator: of the objective, where it is learnt with the network, by the same optimiser; None if it is not.
        first: (N, C, H, W), in [0, 1]: what stands where no window has been yet, for a source that draws windows.
    """

    def __init__(
        self,
        network: nn.Module,
        source: InputSampler,
        optimiser: torch.optim.Optimizer,
        guard: Guard,
        runs: int = 1,
        operator: nn.Module | None = None,
        first: Tensor | None = None,
    ) -> None:
        self.network = network
        self.operator = operator
        self.source = source
        self.optimiser = optimiser
        self.guard = guard
        self.runs = runs
        self.iteration = 0
        self.elapsed = 0.0
        self.first = first
        self.weight: float | Tensor = 0.0
        self.average: Tensor | None = None
        self.square: Tensor | None = None

    def take_up(self, picture: Tensor, decay: float, window: tuple[Tensor, Tensor] | None = None) -> None:
        """Let an output, (N, C, H, W), enter the averages; or (N, C, h, w), by the rows and columns of its window."""
        if window is not None:
            self._take_up_window(picture, decay, *window)
            return
        self.weight = decay * self.weight + 1
        if self.average is None or self.square is None:
            self.average, self.square = picture, picture.square()
        else:
            self.average = self.average.lerp(picture, 1 / self.weight)
            self.square = self.square.lerp(picture.square(), 1 / self.weight)

    def _take_up_window(self, picture: Tensor, decay: float, rows: Tensor, columns: Tensor) -> None:
        if self.average is None or self.square is None:
            assert self.first is not None, "a source of windows comes with a picture to begin with"
            average, square, weight = self.first.clone(), self.first.square(), torch.zeros_like(self.first[:, :1])
        else:
            average, square = self.average.clone(), self.square.clone()
            assert isinstance(self.weight, Tensor)
            weight = self.weight
        # A place is seen more rarely, and what it was long ago is not to count for longer than need be.
        decay = max(_LEAST_DECAY, decay ** (average.numel() / picture.numel()))
        for number, output in enumerate(picture):
            place = (number, slice(None), rows[number][:, None], columns[number])
            weight[place] = own = weight[place] * decay + 1
            average[place] = average[place].lerp(output, 1 / own)
            square[place] = square[place].lerp(output.square(), 1 / own)
        self.average, self.square, self.weight = average, square, weight

    def over_runs(self, pictures: Tensor) -> Tensor:
        """The mean of (N, C, H, W) over the runs: (N / runs, C, H, W)."""
        return pictures if self.runs == 1 else pictures.view(self.runs, -1, *pictures.shape[1:]).mean(0)

    def snapshot(self) -> Snapshot:
        """All of it, as it is now."""
        optimiser_tensors, optimiser_values = optimiser_state(self.optimiser)
        levels = {
            "network": self.network.state_dict(),
            "operator": {} if self.operator is None else self.operator.state_dict(),
            "optimiser": optimiser_tensors,
            "source": self.source.state(),
            "averages": {
                name: value
                for name, value in (("average", self.average), ("square", self.square), ("weight", self.weight))
                if isinstance(value, Tensor)
            },
        }
        tensors = {f"{level}.{name}": tensor for level, named in levels.items() for name, tensor in named.items()}
        values = {
            "iteration": self.iteration,
            "elapsed": self.elapsed,
            "weight": None if isinstance(self.weight, Tensor) else self.weight,
            "optimiser": optimiser_values,
            "guard": self.guard.facts(),
        }
        return Snapshot.of(tensors, values)

    def restore(self, snapshot: Snapshot, *, everything: bool = True) -> None:
        """Go back to a moment; not from outside while `iterate` runs, which on CUDA holds on to where things are.

        Args:
            snapshot: what `snapshot` gave, of this fit or of one with the same parts.
            everything: also the iteration, the clock, the guard and the random numbers; not so when a fit that has
                diverged is taken back: it must not meet the same noise again.
        """
        tensors, values = snapshot.tensors, snapshot.values
        self.network.load_state_dict(part(tensors, "network"))
        if self.operator is not None:
            self.operator.load_state_dict(part(tensors, "operator"))
        restore_optimiser(self.optimiser, part(tensors, "optimiser"), values["optimiser"])
        self.source.restore(part(tensors, "source"), randomness=everything)
        device = next(self.network.parameters()).device
        averages = {name: tensor.to(device) for name, tensor in part(tensors, "averages").items()}
        self.average, self.square = averages.get("average"), averages.get("square")
        self.weight = averages["weight"].clone() if values["weight"] is None else values["weight"]
        if everything:
            self.iteration, self.elapsed = values["iteration"], values["elapsed"]
            self.guard.restore(values["guard"])


class _Step:
    """One iteration in two halves, between which the guard may look at the loss.

    What a half finds it leaves in attributes: captured on CUDA, it fills the same tensors again and again.

    Attributes:
        losses: (N,), one of each picture, with the way back to the weights.
        output: (N, C, H, W), without it.
        window: where that lies in the picture, if it is of a window only.
    """

    losses: Tensor
    output: Tensor
    window: tuple[Tensor, Tensor] | None

    def __init__(self, fit: Fit, objective: Objective, engine: Engine) -> None:
        self.fit = fit
        self.objective = objective
        self.engine = engine

    def look(self) -> None:
        """Draw an input, and see what the network makes of it."""
        with self.engine.repeatable():
            self._look()

    def learn(self) -> None:
        """Take one step down the losses, summed."""
        self.fit.optimiser.zero_grad()
        with self.engine.repeatable():
            torch.autograd.backward(self.losses.sum())
        self.fit.optimiser.step()

    def halves(self) -> Sequence[Callable[[], None]]:
        """Both of them, as the engine calls them, captured anew."""
        return self.engine.capture((self.look, self.learn), self.fit.source.generators)

    def _look(self) -> None:
        drawn = self.fit.source.draw()
        output = self.engine.run(self.fit.network, drawn.input)
        if drawn.mirrored is not None:
            output = mirror(output, drawn.mirrored)
        if drawn.guess is not None:
            output = output + drawn.guess
        self.losses = self.objective(output, drawn.compared, drawn.target)
        self.output, self.window = output.detach(), drawn.window
        if drawn.shown is not None and drawn.guess is not None:
            # Nothing is asked of the network where it was shown the value, so nothing is taken from it there.
            self.output = torch.where(drawn.shown, drawn.guess, self.output)


def iterate(
    fit: Fit,
    *,
    objective: Objective,
    rate: Callable[[int], float],
    iterations: int,
    averaging: float,
    engine: Engine,
) -> Iterator[State]:
    """Fit a network, one state an iteration.

    Args:
        fit: what is fitted; it goes on from where it is, and is changed.
        objective: one loss a picture; their sum is descended, so that pictures do not disturb each other.
        rate: learning rate of an iteration, counted from 1.
        iterations: where to end.
        averaging: decay of the exponential average of outputs, in [0, 1); early outputs are weighted as if it had
            always been running.
        engine: how a step runs.

    Yields:
        The state of each iteration that did not diverge.
    """
    started = time.perf_counter() - fit.elapsed
    guard, step = fit.guard, _Step(fit, objective, engine)
    look, learn = step.halves()
    while fit.iteration < iterations:
        fit.iteration += 1
        look()
        # New tensors, both of them, as the averages are too: a state keeps what another iteration does not overwrite.
        loss, picture = step.losses.detach().mean(), step.output.clamp(0, 1)

        if guard.diverged(fit.iteration, loss, last=fit.iteration == iterations):
            fit.restore(guard.roll_back(), everything=False)
            # What was put back stands elsewhere in memory.
            look, learn = step.halves()
            continue
        fit.take_up(picture, averaging, step.window)
        guard.keep(fit.iteration, fit.snapshot)

        now = rate(fit.iteration) * guard.rate_factor
        set_rate(fit.optimiser, now)
        learn()

        fit.elapsed = time.perf_counter() - started
        average, square = fit.average, fit.square
        assert average is not None
        assert square is not None
        yield State(
            fit.iteration,
            iterations,
            loss,
            fit.over_runs(picture if step.window is None else average),
            fit.over_runs(average),
            fit.over_runs(square),
            fit.elapsed,
            now,
            guard.rollbacks,
        )
