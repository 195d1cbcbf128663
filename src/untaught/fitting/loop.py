"""The loop; there is only one.

It receives its parts and knows none of them: a network, an input sampler, an objective, an optimiser. It gives a stream
of states. A progress bar, a preview, a stop rule or a metric reads the stream. To pause, do not take the next state; to
cancel, close the stream.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from untaught.backend.engine import Engine
from untaught.errors import InputError
from untaught.fitting.checkpoint import Snapshot, optimiser_state, part, restore_optimiser
from untaught.fitting.divergence import DivergenceGuard
from untaught.fitting.losses import Objective
from untaught.fitting.mean_weights import MeanWeights
from untaught.fitting.optimisers import restore_learning_rates, scale_learning_rate, set_learning_rate
from untaught.fitting.state import State
from untaught.fitting.tiles import Tiles
from untaught.priors.inputs import mirror
from untaught.priors.sampler import InputSampler

__all__ = ["Fit", "iterate"]

_LEAST_DECAY = 0.9
"""With patches: smallest decay, so that a pixel's average spans about its last ten outputs."""


class Fit:
    """Everything that changes while a network is fitted.

    Args:
        network: (N, channels, H, W) to (N, C, H, W).
        sampler: gives each iteration's input.
        optimiser: of the network's parameters.
        guard: what to do when the fit diverges.
        runs: the N pictures are this many runs of N / runs pictures, whose outputs are averaged.
        operator: an operator that is learnt with the network, by the same optimiser; None if it is fixed.
        clip: limit outputs to [0, 1].
        rim: width of the rim of a patch whose outputs are trusted less, in pixels: half of what is around them is not
            seen.
        mean: the mean of the network's weights, if that is of use.

    Attributes:
        first: (N, C, H, W), float32: shown where no patch has been yet; the sampler's own guess if None.
    """

    def __init__(
        self,
        network: nn.Module,
        sampler: InputSampler,
        optimiser: torch.optim.Optimizer,
        guard: DivergenceGuard,
        *,
        runs: int = 1,
        operator: nn.Module | None = None,
        clip: bool = True,
        rim: int = 0,
        mean: MeanWeights | None = None,
    ) -> None:
        self.rim = rim
        self.mean = mean
        self.network = network
        self.operator = operator
        self.sampler = sampler
        self.optimiser = optimiser
        self.guard = guard
        self.runs = runs
        self.clip = clip
        self.iteration = 0
        self.elapsed = 0.0
        self.weight: float | Tensor = 0.0
        self.first: Tensor | None = None
        self._average: Tensor | Tiles | None = None
        self._square: Tensor | Tiles | None = None

    @property
    def average(self) -> Tensor | None:
        """Exponential average of the outputs, (N, C, H, W); None before the first."""
        return self._average.whole() if isinstance(self._average, Tiles) else self._average

    @property
    def square(self) -> Tensor | None:
        """Exponential average of their squares."""
        return self._square.whole() if isinstance(self._square, Tiles) else self._square

    @property
    def averages(self) -> tuple[Tensor | Tiles, Tensor | Tiles]:
        """Both, over the runs, as they are now; large pictures in tiles, so that nothing is copied."""
        assert self._average is not None
        assert self._square is not None
        if isinstance(self._average, Tiles) and isinstance(self._square, Tiles) and self.runs == 1:
            return self._average.version(), self._square.version()
        average, square = self.average, self.square
        assert average is not None
        assert square is not None
        return self.over_runs(average), self.over_runs(square)

    def update_average(self, output: Tensor, decay: float, patch: tuple[Tensor, Tensor] | None = None) -> None:
        """Add an output, (N, C, H, W), to the averages; or one of a patch, (N, C, h, w), by its rows and columns."""
        if patch is not None:
            self._update_patch(output, decay, *patch)
            return
        self.weight = decay * self.weight + 1
        average, square = self.average, self.square
        if average is None or square is None:
            self._average, self._square = output, output.square()
        else:
            self._average = average.lerp(output, 1 / self.weight)
            self._square = square.lerp(output.square(), 1 / self.weight)

    def _update_patch(self, outputs: Tensor, decay: float, rows: Tensor, columns: Tensor) -> None:
        if self._average is None or self._square is None:
            first = self.sampler.first_guess() if self.first is None else self.first
            if first is None:
                raise InputError("an input scheme whose batches have a patch overrides first_guess(): found None")
            self._average, self._square = first, Tiles(first).changed(torch.square)
            self.weight = torch.zeros_like(first[:, :1])
        if outputs.device.type == "cpu":
            self._update_tiles(outputs, decay, rows, columns)
            return
        average, square, weight = _whole(self._average).clone(), _whole(self._square).clone(), self.weight
        assert isinstance(weight, Tensor)
        height, width = average.shape[-2:]
        # A place is seen less often than once an iteration, so fewer outputs of it are worth averaging.
        decay = max(_LEAST_DECAY, decay ** (average.numel() / outputs.numel()))
        for number, output in enumerate(outputs):
            place = (number, slice(None), rows[number][:, None], columns[number])
            trust = _trust(rows[number], columns[number], (height, width), self.rim)
            weight[place] = own = weight[place] * decay + trust
            average[place] = average[place].lerp(output, trust / own)
            square[place] = square[place].lerp(output.square(), trust / own)
        self._average, self._square = average, square

    def _update_tiles(self, outputs: Tensor, decay: float, rows: Tensor, columns: Tensor) -> None:
        """The same where a copy of a whole large picture takes long."""
        average, square, weight = self._average, self._square, self.weight
        assert average is not None
        assert square is not None
        assert isinstance(weight, Tensor)
        average = self._average = average if isinstance(average, Tiles) else Tiles(average)
        square = self._square = square if isinstance(square, Tiles) else Tiles(square)
        decay = max(_LEAST_DECAY, decay ** (average.shape.numel() / outputs.numel()))
        for number, output in enumerate(outputs):
            top, left = int(rows[number, 0]), int(columns[number, 0])
            height, width = output.shape[-2:]
            own = weight[number, :, top : top + height, left : left + width]
            trust = _trust(rows[number], columns[number], average.shape[-2:], self.rim)
            own.mul_(decay).add_(trust)
            for tiles, values in ((average, output), (square, output.square())):
                before = tiles.read(number, top, left, height, width)
                tiles.write(number, top, left, before.lerp(values, trust / own))

    @property
    def visited(self) -> Tensor | None:
        """Where there has been a patch in each run, (N / runs, 1, H, W), bool; None without patches."""
        if not isinstance(self.weight, Tensor):
            return None
        return (self.weight > 0).view(self.runs, -1, *self.weight.shape[1:]).all(0)

    def over_runs(self, pictures: Tensor) -> Tensor:
        """The mean of (N, C, H, W) over the runs: (N / runs, C, H, W)."""
        return pictures if self.runs == 1 else pictures.view(self.runs, -1, *pictures.shape[1:]).mean(0)

    def start_from(self, snapshot: Snapshot) -> None:
        """Begin with the weights of another fit's run.

        Raises:
            InputError: for weights of another network.
        """
        weights = part(snapshot.tensors, "now.mean") or part(snapshot.tensors, "now.network")
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(
                "the weights to start from are those of another network: they are for the same recipe and number of "
                "runs, and pictures with as many channels"
            ) from error
        if self.mean is not None:
            self.mean.network.load_state_dict(weights)

    def snapshot(self) -> Snapshot:
        """A copy of everything, as it is now."""
        optimiser_tensors, optimiser_values = optimiser_state(self.optimiser)
        levels: dict[str, Mapping[str, Tensor | Tiles]] = {
            "network": self.network.state_dict(),
            "operator": {} if self.operator is None else self.operator.state_dict(),
            "optimiser": optimiser_tensors,
            # The keys are those of version 0.1, whose checkpoints still load.
            "source": self.sampler.state(),
            "mean": {} if self.mean is None else self.mean.network.state_dict(),
            "averages": {
                name: value
                for name, value in (("average", self._average), ("square", self._square), ("weight", self.weight))
                if isinstance(value, Tensor | Tiles)
            },
        }
        tensors = {f"{level}.{name}": tensor for level, named in levels.items() for name, tensor in named.items()}
        values = {
            "iteration": self.iteration,
            "elapsed": self.elapsed,
            "weight": None if isinstance(self.weight, Tensor) else self.weight,
            "optimiser": optimiser_values,
            "guard": self.guard.facts(),
            # An optimiser of the user's own keeps its learning rates, which the guard may have lowered.
            "rates": [float(group["lr"]) for group in self.optimiser.param_groups],
        }
        return Snapshot.of(tensors, values)

    def restore(self, snapshot: Snapshot, *, everything: bool = True) -> None:
        """Go back to a moment. Not while `iterate` runs: on CUDA it relies on the memory that tensors are in.

        Args:
            snapshot: from `snapshot`, of this fit or of one with the same parts.
            everything: also the iteration, the clock, the guard and the random numbers. False when a fit that diverged
                is taken back: it must not meet the same noise again.
        """
        tensors, values = snapshot.tensors, snapshot.values
        self.network.load_state_dict(part(tensors, "network"))
        if self.mean is not None:
            self.mean.network.load_state_dict(part(tensors, "mean") or part(tensors, "network"))
        if self.operator is not None:
            self.operator.load_state_dict(part(tensors, "operator"))
        restore_optimiser(self.optimiser, part(tensors, "optimiser"), values["optimiser"])
        self.sampler.restore(part(tensors, "source"), randomness=everything)
        device = next(self.network.parameters()).device
        averages = {name: tensor.to(device) for name, tensor in part(tensors, "averages").items()}
        tiles = {name: one.version() for name, one in part(snapshot.tiles, "averages").items()}
        pictures: dict[str, Tensor | Tiles] = {**averages, **tiles}
        self._average, self._square = pictures.get("average"), pictures.get("square")
        if (self._average is None) != (self._square is None):
            raise ValueError("one of both averages is missing")
        self.weight = averages["weight"].clone() if values["weight"] is None else values["weight"]
        if everything:
            self.iteration, self.elapsed = values["iteration"], values["elapsed"]
            self.guard.restore(values["guard"])
            restore_learning_rates(self.optimiser, values.get("rates", ()))


def _trust(rows: Tensor, columns: Tensor, size: Sequence[int], rim: int) -> Tensor:
    """How far to trust the output at each place of a patch, (h, w): less near an edge behind which there is more."""
    lines = []
    for places, length in zip((rows, columns), size, strict=True):
        steps = torch.arange(1, len(places) + 1, device=places.device, dtype=torch.float32)
        before = torch.where(places[0] == 0, torch.inf, steps)
        after = torch.where(places[-1] == length - 1, torch.inf, steps.flip(0))
        lines.append((torch.minimum(before, after) / max(rim, 1)).clamp(max=1).square())
    return lines[0][:, None] * lines[1]


def _whole(picture: Tensor | Tiles) -> Tensor:
    return picture.whole() if isinstance(picture, Tiles) else picture


@contextlib.contextmanager
def _with_gradients() -> Iterator[None]:
    """A fit needs gradients, also where its caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


class _Step:
    """One iteration in two halves, between which the guard may look at the loss.

    Each half leaves its results in attributes: captured on CUDA, it fills the same tensors again and again.

    Attributes:
        losses: (N,), one per picture, with their graph.
        input: (N, channels, H, W).
        output: (N, C, H, W), detached.
        patch: where the output lies in the picture, if it is of a patch.
    """

    losses: Tensor
    input: Tensor
    output: Tensor
    patch: tuple[Tensor, Tensor] | None

    def __init__(self, fit: Fit, objective: Objective, engine: Engine, channels: int, *, capture: bool) -> None:
        self.fit = fit
        self.objective = objective
        self.engine = engine
        self.channels = channels
        self.capture = capture

    def evaluate(self) -> None:
        """Draw an input and evaluate the network and the losses."""
        with _with_gradients(), self.engine.repeatable():
            self._evaluate()

    def update(self) -> None:
        """Take one step down the sum of the losses."""
        self.fit.optimiser.zero_grad()
        with _with_gradients():
            with self.engine.repeatable():
                torch.autograd.backward(self.losses.sum())
            self.fit.optimiser.step()

    def halves(self) -> Sequence[Callable[[], None]]:
        """Both halves as the engine calls them, captured anew."""
        if not self.capture:
            return self.evaluate, self.update
        return self.engine.capture((self.evaluate, self.update), self.fit.sampler.generators)

    def _evaluate(self) -> None:
        batch = self.fit.sampler.draw()
        output = self.engine.run(self.fit.network, batch.input)
        wanted = (len(batch.input), self.channels, *batch.input.shape[2:])
        if output.shape != wanted:
            raise InputError(
                f"the network maps {tuple(batch.input.shape)} to {tuple(output.shape)}: a picture of {wanted} is wanted"
            )
        if batch.mirrored is not None:
            output = mirror(output, batch.mirrored)
        if batch.guess is not None:
            output = output + batch.guess
        self.losses = self.objective(output, batch.compared, batch.target)
        self.input, self.output, self.patch = batch.input, output.detach(), batch.patch
        if batch.shown is not None and batch.guess is not None:
            # Where the network was shown a value, its output was not compared, so it is not used either.
            self.output = torch.where(batch.shown, batch.guess, self.output)


def iterate(
    fit: Fit,
    *,
    objective: Objective,
    rate: Callable[[int], float] | None,
    iterations: int,
    averaging: float,
    engine: Engine,
    channels: int,
) -> Iterator[State]:
    """Fit a network, one state per iteration.

    Args:
        fit: what is fitted; it goes on from where it is, and changes.
        objective: one loss per picture; their sum is minimised, so that pictures do not affect each other.
        rate: learning rate of an iteration, counted from 1; None if the optimiser keeps its own.
        iterations: the last iteration.
        averaging: decay of the exponential average of outputs, in [0, 1), bias-corrected.
        engine: how a step runs.
        channels: of the picture.

    Yields:
        The state of each iteration that did not diverge.
    """
    started = time.perf_counter() - fit.elapsed
    # A user's optimiser may do what a CUDA graph cannot hold.
    guard, step = fit.guard, _Step(fit, objective, engine, channels, capture=rate is not None)
    evaluate, update = step.halves()
    while fit.iteration < iterations:
        fit.iteration += 1
        evaluate()
        # New tensors, as the averages are: no later iteration overwrites what a state holds.
        losses, picture = step.losses.detach().clone(), step.output.clamp(0, 1) if fit.clip else step.output.clone()
        loss = losses.mean()

        if guard.diverged(fit.iteration, loss, last=fit.iteration == iterations):
            fit.restore(guard.roll_back(), everything=False)
            if rate is None:
                scale_learning_rate(fit.optimiser, 0.5)
            # The restored tensors are in other memory.
            evaluate, update = step.halves()
            continue
        fit.update_average(picture, averaging, step.patch)
        guard.keep(fit.iteration, fit.snapshot)

        if rate is None:
            now = scale_learning_rate(fit.optimiser, 1)
        else:
            now = rate(fit.iteration) * guard.rate_factor
            set_learning_rate(fit.optimiser, now)
        update()
        if fit.mean is not None:
            fit.mean.update(fit.network, fit.iteration)

        fit.elapsed = time.perf_counter() - started
        average, square = fit.averages
        yield State(
            iteration=fit.iteration,
            iterations=iterations,
            loss=loss,
            losses=fit.over_runs(losses),
            output=fit.over_runs(picture) if step.patch is None else None,
            average=average,
            square=square,
            input=step.input,
            elapsed=fit.elapsed,
            learning_rate=now,
            rollbacks=guard.rollbacks,
            network=fit.network,
        )
