"""A task that has been read and checked, and the run that fits it.

A run whose rule holds values out has two stages. In the first they are kept from the fit, and the error on them tells
when to stop. Then the fit goes back to its best moment, and a share of its length is fitted on with every known value.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from untaught.backend.engine import Engine
from untaught.errors import DivergenceError, InputError, Interrupted
from untaught.fitting.checkpoint import Snapshot, part
from untaught.fitting.loop import Fit, Guard, iterate
from untaught.fitting.optimisers import build_optimiser, learning_rate
from untaught.fitting.problem import Problem
from untaught.fitting.state import Observer, Restoration, State, StopReason
from untaught.fitting.stopping import Patience, build_score
from untaught.imaging.arrays import from_tensor, laid_out
from untaught.physics.linear import Identity
from untaught.priors.encoder_decoder import EncoderDecoder
from untaught.priors.independent import Independent
from untaught.priors.inputs import PerturbedInput, SideBySide, make_input
from untaught.priors.masked_input import ThinnedInput, moved
from untaught.priors.patches import count
from untaught.priors.r2r_input import RecorruptedInput
from untaught.priors.sampler import InputSampler
from untaught.recipes import Recipe

__all__ = ["Job", "Outlook", "Run", "begin"]

_COVERAGE = 0.9

_LAYER_SEEDS = 500_009
"""Between the seeds of two layers, so that they start from other weights, and from those of no other run."""


def begin(
    observed: Tensor,
    known: Tensor,
    *,
    channels: int,
    size: tuple[int, ...],
    recipe: Recipe,
    seed: int,
    engine: Engine,
    runs: int = 1,
    guide: Tensor | None = None,
    noise: float | None = None,
    layers: Sequence[int] = (),
    operator: nn.Module | None = None,
    signed: bool = False,
) -> Fit:
    """Put the parts of a fit together.

    Args:
        observed: (N, ...), float32.
        known: the observation's shape, bool; what a network that is shown known values is shown.
        channels: of the picture.
        size: height and width of the picture; depth, height and width of a volume.
        recipe: how to fit.
        seed: of the first run; the others count on from it.
        engine: how a step runs.
        runs: fits of the same pictures, side by side, from different seeds.
        guide: (N, channels, H, W), float32: the network's input in place of the recipe's, or beside what a recipe
            shows of a noisy picture.
        noise: standard deviation of the observation's noise, for a recipe that adds to it.
        layers: channels of each layer that has a network of its own; one network for all if empty.
        operator: that is learnt with the network; none if None.
        signed: whether the loss may be negative.
    """
    networks: list[EncoderDecoder] = []
    sources: list[InputSampler] = []
    for run in range(runs):
        for picture in range(observed.shape[0]):
            own_guide = None if guide is None else guide[picture : picture + 1].to(engine.device)
            # Every picture of a batch starts from the same numbers, so that it gives what it would have given alone.
            generator = torch.Generator(engine.device).manual_seed(seed + run)
            settings = recipe.network
            source: InputSampler
            if recipe.thinning is not None:
                own = known[picture : picture + 1].to(engine.device)
                values = observed[picture : picture + 1].to(engine.device)
                source = ThinnedInput(values, own, recipe.thinning, generator)
                inputs = recipe.thinning.channels(channels, source.mask_channels)
                settings = dataclasses.replace(settings, input_channels=inputs)
            elif recipe.recorruption is not None:
                assert noise is not None, "a problem without known noise has other recipes"
                own = known[picture : picture + 1].to(engine.device)
                values = observed[picture : picture + 1].to(engine.device)
                source = RecorruptedInput(values, own, noise, recipe.recorruption, generator, own_guide)
                inputs = recipe.recorruption.channels(channels, 0 if own_guide is None else own_guide.shape[1])
                settings = dataclasses.replace(settings, input_channels=inputs)
            else:
                base = make_input(recipe.input, size, generator)
                if own_guide is not None:
                    base = own_guide
                    settings = dataclasses.replace(settings, input_channels=base.shape[1])
                source = PerturbedInput(base, recipe.perturbation, generator, engine.kernels)
            sources.append(source)
            for layer, own_channels in enumerate(layers or (channels,)):
                weights = torch.Generator().manual_seed(seed + run + _LAYER_SEEDS * layer)
                network = EncoderDecoder(settings, own_channels, weights)
                network.use(engine.kernels)
                networks.append(network)
    single = len(networks) == 1
    whole = engine.place(networks[0] if single else Independent(networks, len(layers) or 1))
    source = sources[0] if len(sources) == 1 else SideBySide(sources)
    learnt = [whole] if operator is None else [whole, operator]
    guard = Guard(engine.guard_interval, jump=None) if signed else Guard(engine.guard_interval)
    first = None
    if recipe.window is not None and count(size, recipe.window) > 1:
        shown = cast("list[ThinnedInput | RecorruptedInput]", sources)
        first = torch.cat([one.first() for one in shown]).clamp(0, 1)
    return Fit(whole, source, build_optimiser(recipe.optimiser, *learnt), guard, runs, operator, first)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A task that has been read and checked, ready to be fitted; made by `untaught.tasks.prepare`.

    Attributes:
        task: name of the task.
        problem: what is known of the picture.
        recipe: how to fit.
        engine: how a step runs.
        seed: what the random numbers start from.
        time_budget: seconds that the fit may take, or None.
    """

    task: str
    problem: Problem
    recipe: Recipe
    engine: Engine
    seed: int
    time_budget: float | None

    def begin(self, saved: Snapshot | None = None) -> Run:
        """Make ready to fit, from the start or from a moment that `Run.snapshot` has kept."""
        return Run(self, saved)

    def picture(self, state: State, *, polished: bool = False) -> NDArray[Any] | Tensor:
        """The picture that would be returned now, in the shape and type of what was given.

        Args:
            state: of the fit.
            polished: whether what is done at the very end only, and may take seconds, is to be done.
        """
        polish, finish = self.problem.polish, self.problem.finish
        picture = state.average
        if polished and polish is not None:
            picture = polish(picture)
        if finish is not None:
            picture = finish(picture)
        return from_tensor(picture, self.problem.kept, self.problem.layout)

    def blank(self) -> NDArray[Any] | Tensor:
        """A picture such as would be returned, all black: to see its shape and type before there is one."""
        problem = self.problem
        zeros = torch.zeros(problem.observed.shape[0], problem.channels, *problem.size)
        if problem.finish is not None:
            zeros = problem.finish(zeros)
        return from_tensor(zeros, None, problem.layout)

    def run(self, observers: Sequence[Observer] = ()) -> Restoration:
        """Fit to the end.

        Raises:
            Interrupted: on Ctrl-C, with the best result so far in it.
        """
        return self.begin().finish(observers)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where a run stands between its beginning and its end.

    Attributes:
        in_search: whether its stop rule is being followed; otherwise it is in its last stage.
        stage_until: the last iteration of this stage, at the latest.
        until: the last iteration of the run, at the latest.
        best_iteration: of the best moment so far by the rule; 0 where there is none.
        gives_up_at: the iteration at which the rule ends this stage if nothing better comes, or None.
    """

    in_search: bool
    stage_until: int
    until: int
    best_iteration: int
    gives_up_at: int | None


class Run:
    """A job being fitted: a stream of states that knows why it ended. Not to pull it is to pause it.

    Args:
        job: what to fit.
        saved: a moment to go on from.
    """

    def __init__(self, job: Job, saved: Snapshot | None = None) -> None:
        self.job = job
        self.stop_reason = StopReason.ITERATIONS
        self.last: State | None = None
        stopping, problem, device = job.recipe.stopping, job.problem, job.engine.device
        self._observed = problem.observed.to(device)
        self._known = problem.known.to(device)
        self._operator = problem.operator or Identity()
        self._learnt: nn.Module | None = None
        if isinstance(self._operator, nn.Module):
            if any(parameter.requires_grad for parameter in self._operator.parameters()):
                # The job's own stays as it is: another run begins from there.
                self._operator = self._learnt = copy.deepcopy(self._operator)
            self._operator.to(device)
        held = self._hold_out() if stopping.rule == "held-out" else None
        self._held = held
        self._in_search = stopping.rule != "none"
        self._until = job.recipe.iterations
        self._fit = self._begin(held if self._in_search else None)
        score = build_score(stopping, self._observed, self._known, held, self._operator)
        self._patience = None if score is None else Patience(score, stopping)
        self._best: Snapshot | None = None
        self._factor: float | None = None
        self._points: dict[str, list[float]] = {"iteration": [], "elapsed": []}
        self._losses = torch.empty(0, device=device)
        self._finished = False
        if saved is not None:
            self._restore(saved)

    def __iter__(self) -> Iterator[State]:
        """The states, from where the run is to its end."""
        while not self._finished:
            limit = self._stage_until()
            for state in self._stage(limit):
                self.last = state
                self._note(state)
                turn = self._look(state) or state.iteration >= limit
                if turn:
                    self._turn(state)
                yield state
                if turn:
                    break
            else:
                self._turn(self.last)

    def finish(self, observers: Sequence[Observer] = ()) -> Restoration:
        """Fit to the end.

        Args:
            observers: called with each state.

        Raises:
            Interrupted: on Ctrl-C, with the best result so far in it.
        """
        try:
            for state in self:
                for observer in observers:
                    observer(state)
        except DivergenceError:
            if self.last is None:
                raise
            self.stop_reason = StopReason.DIVERGED
        except KeyboardInterrupt:
            if self.last is None:
                raise Interrupted(None) from None
            self.stop_reason = StopReason.INTERRUPTED
            raise Interrupted(self.restoration()) from None
        return self.restoration()

    def continue_for(self, iterations: int) -> None:
        """Go on for so many iterations from where the run is, with every known value and no rule to stop it."""
        if self._in_search:
            self._put_back()
        self._in_search, self._finished = False, False
        self._until = self._fit.iteration + iterations
        self.stop_reason = StopReason.ITERATIONS

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return self._finished

    @property
    def outlook(self) -> Outlook:
        """Where the run stands, as of now."""
        patience = self._patience
        best = 0 if patience is None else patience.best_iteration
        gives_up_at = None if patience is None or not (self._in_search and best) else patience.gives_up_at
        return Outlook(self._in_search, self._stage_until(), self._until, best, gives_up_at)

    def restoration(self) -> Restoration:
        """The result, as of now."""
        job = self.job
        assert self.last is not None, "a fit has at least one iteration"
        last = self._sound(self.last)
        uncertainty, expected = None, None
        if self._factor is not None:
            uncertainty = self._interval(last)
        if self._held is not None and self._patience is not None and math.isfinite(self._patience.best):
            expected = -10 * math.log10(max(self._patience.best, 1e-12))
        return Restoration(
            picture=job.picture(last, polished=True),
            stop_reason=self.stop_reason,
            iterations=last.iteration,
            seconds=last.elapsed,
            history={**self._points, "loss": self._loss_history()},
            seed=job.seed,
            task=job.task,
            recipe=job.recipe.record(),
            engine=job.engine.record(),
            rollbacks=self._fit.guard.rollbacks,
            missing=job.problem.missing,
            uncertainty=uncertainty,
            expected_psnr=expected,
            notes=(*job.problem.notes, *self._residual(last)),
            found=self._found(last),
        )

    def snapshot(self) -> Snapshot:
        """All that is needed to go on from here to the same result as if nothing had happened.

        To be taken between two states.
        """
        now = self._fit.snapshot()
        tensors = {f"now.{name}": tensor for name, tensor in now.tensors.items()}
        values: dict[str, Any] = {
            "now": now.values,
            "in_search": self._in_search,
            "until": self._until,
            "finished": self._finished,
            "factor": self._factor,
            "stop_reason": self.stop_reason.name,
            "points": {**self._points, "loss": self._loss_history()},
        }
        if self._best is not None:
            tensors |= {f"best.{name}": tensor for name, tensor in self._best.tensors.items()}
            values["best"] = dict(self._best.values)
        if self._patience is not None:
            values["patience"] = self._patience.facts()
            tensors |= {f"score.{name}": tensor for name, tensor in self._patience.score.state().items()}
        return Snapshot(tensors, values)

    # How a run goes ------------------------------------------------------------------------------------------------

    def _note(self, state: State) -> None:
        """Add a point to the history."""
        count = len(self._points["iteration"])
        # In one block: thousands of small tensors, between large ones that come and go, would leave the heap in pieces.
        if count == len(self._losses):
            self._losses = torch.cat((self._losses, self._losses.new_empty(max(64, count))))
        self._losses[count] = state.loss
        self._points["iteration"].append(state.iteration)
        self._points["elapsed"].append(state.elapsed)

    def _stage(self, limit: int) -> Iterator[State]:
        """The states of the stage that the run is in."""
        job, runs = self.job, self.job.recipe.runs
        known = self._known
        if self._in_search and self._held is not None:
            known = known & ~self._held
        return iterate(
            self._fit,
            objective=job.problem.objective(_repeated(self._observed, runs), self._operator, _repeated(known, runs)),
            rate=lambda iteration: learning_rate(job.recipe.optimiser, iteration, self._until),
            iterations=limit,
            averaging=job.recipe.averaging,
            engine=job.engine,
        )

    def _look(self, state: State) -> bool:
        """Whether the stage ends with this state."""
        budget = self.job.time_budget
        if self._in_search:
            if self._patience is not None:
                self._patience(state)
                if self._patience.improved and self.job.recipe.stopping.returns_best:
                    self._best = self._fit.snapshot()
                    self._factor = self._calibrate(state)
                if self._patience.exhausted:
                    self.stop_reason = self.job.recipe.stopping.reason
                    return True
            share = self.job.recipe.stopping.refit if self._held is not None else 0.0
            if budget is not None and state.elapsed >= budget * (1 - share):
                self.stop_reason = StopReason.TIME
                return True
        elif budget is not None and state.elapsed >= budget:
            self.stop_reason = StopReason.TIME
            return True
        return False

    def _turn(self, last: State | None) -> None:
        """Leave the stage: from the search to the best moment and all known values, from there to the end."""
        if not self._in_search:
            self._finished = True
            return
        best = self._best
        if best is not None:
            # The clock and the count go on: what was searched was worked for.
            iteration, elapsed = self._fit.iteration, self._fit.elapsed
            self._fit.restore(best)
            self._fit.iteration, self._fit.elapsed = iteration, elapsed
        if self._held is None:
            self._in_search = False
            self._finished = True
            self._show_best(last)
            return
        length = self._refit_length(self._until)
        if self._patience is not None and self._patience.best_iteration:
            share = self.job.recipe.stopping.refit
            length = min(length, max(20, round(self._patience.best_iteration * share / (1 - share))))
        self._put_back()
        self._in_search = False
        self._until = self._fit.iteration + length
        self._finished = length == 0

    def _show_best(self, last: State | None) -> None:
        """Let the best averages stand in the last state, for a rule that needs nothing put back."""
        fit = self._fit
        if last is not None and fit.average is not None and fit.square is not None:
            average, square = fit.over_runs(fit.average), fit.over_runs(fit.square)
            self.last = dataclasses.replace(last, average=average, square=square)

    def _stage_until(self) -> int:
        """The last iteration of the stage, at the latest."""
        searching = self._in_search and self._held is not None
        return self._until - self._refit_length(self._until) if searching else self._until

    def _refit_length(self, iterations: int) -> int:
        return round(iterations * self.job.recipe.stopping.refit)

    def _put_back(self) -> None:
        """Let the source show every known value from now on."""
        if self._held is None or self.job.recipe.thinning is None:
            return
        state = self._fit.source.state()
        self._fit.source = self._begin(None).source
        self._fit.source.restore(state)

    def _begin(self, held: Tensor | None) -> Fit:
        job = self.job
        return begin(
            self._observed,
            self._known if held is None else self._known & ~held,
            channels=job.problem.channels,
            size=job.problem.size,
            recipe=job.recipe,
            seed=job.seed,
            engine=job.engine,
            runs=job.recipe.runs,
            guide=job.problem.guide,
            noise=job.problem.noise,
            layers=job.problem.layers,
            operator=self._learnt,
            signed=job.problem.signed,
        )

    def _hold_out(self) -> Tensor | None:
        """Known values to hold out, the observation's shape, bool; None where there are too few to spare any."""
        stopping, known = self.job.recipe.stopping, self._known
        generator = torch.Generator(known.device).manual_seed(self.job.seed + 1_000_003)
        if stopping.pattern == "shapes" and self.job.problem.operator is None:
            held = self._shapes(generator)
        else:
            least = 1 - stopping.held_out
            held = torch.rand(known[:, :1].shape, generator=generator, device=known.device) >= least
        held = held & known
        enough = held.flatten(1).sum(1).min() >= 16 and (known & ~held).flatten(1).any(1).all()
        return held if enough else None

    def _shapes(self, generator: torch.Generator) -> Tensor:
        """What is missing, moved and turned: (N, 1, H, W), bool."""
        missing = ~self._known.all(dim=1, keepdim=True)
        held = torch.cat([next(moved(one[None], 1, generator)) for one in missing])
        # Where much is missing, only a window's worth of it is held out.
        share = 2 * self.job.recipe.stopping.held_out / max(missing.float().mean().item(), 1e-6)
        side = min(1.0, math.sqrt(share))
        top, left = torch.rand(2, generator=generator, device=held.device).tolist()
        height, width = held.shape[-2:]
        rows, columns = max(1, round(side * height)), max(1, round(side * width))
        first_row, first_column = round(top * (height - rows)), round(left * (width - columns))
        window = torch.zeros_like(held)
        window[..., first_row : first_row + rows, first_column : first_column + columns] = True
        return held & window

    def _sound(self, last: State) -> State:
        """The state, or where it has diverged since the guard's last look, its averages of the last good moment."""
        good = self._fit.guard.good
        if good is None or bool(last.loss.isfinite()):
            return last
        averages = part(good.tensors, "averages")
        average, square = (self._fit.over_runs(averages[name]) for name in ("average", "square"))
        return dataclasses.replace(last, average=average, square=square)

    # What is said of the result ------------------------------------------------------------------------------------

    def _residual(self, state: State) -> tuple[str, ...]:
        """How far the result is from what was given, as the operator sees it."""
        problem = self.job.problem
        if problem.operator is None:
            return ()
        with torch.no_grad():
            if problem.verdict is not None:
                return (problem.verdict(state.average),)
            difference = (self._operator(state.average) - self._observed)[self._known].square().mean().sqrt()
        range_ = problem.layout.high - problem.layout.low
        return (
            f"observed again, the result differs from what was given by {float(difference) * range_:.3g} (root mean "
            f"square; white is {problem.layout.high:g})",
        )

    def _found(self, state: State) -> dict[str, Any]:
        """What else there is to be handed back."""
        problem = self.job.problem
        if problem.found is None:
            return {}
        with torch.no_grad():
            found = problem.found(self._operator, state.average)
        return {name: from_tensor(one, None, problem.layout) for name, one in found.items()}

    def _calibrate(self, state: State) -> float | None:
        """By what to multiply the spread so that it covers the error of 90 % of the held-out values."""
        if self._held is None or self.job.problem.operator is not None:
            return None
        error = (state.average - self._observed).abs()[self._held]
        scale = _raised(state.spread)[self._held]
        return float((error / scale).quantile(_COVERAGE)) if error.numel() < 2**24 else None

    def _interval(self, last: State) -> NDArray[np.float32] | Tensor:
        """Half the width of the interval that covers the error of 90 % of the values.

        Of the best moment, when it was measured: afterwards the outputs come to agree by more than they come nearer.
        """
        problem = self.job.problem
        assert self._factor is not None
        assert self._best is not None
        averages = part(self._best.tensors, "averages")
        average, square = (self._fit.over_runs(averages[name]) for name in ("average", "square"))
        then = dataclasses.replace(last, average=average, square=square)
        half_width = (_raised(then.spread) * self._factor).clamp(0, 1).cpu()
        if problem.kept is not None:
            half_width = torch.where(problem.kept, 0, half_width)
        half_width = half_width * (problem.layout.high - problem.layout.low)
        return half_width if problem.layout.is_tensor else laid_out(half_width.numpy(), problem.layout)

    def _loss_history(self) -> list[float]:
        # The losses come over from the device all at once.
        return self._losses[: len(self._points["iteration"])].tolist()

    def _restore(self, saved: Snapshot) -> None:
        values, device = saved.values, self._observed.device
        saved = Snapshot({name: tensor.to(device) for name, tensor in saved.tensors.items()}, values)
        try:
            self._in_search, self._until, self._finished = values["in_search"], values["until"], values["finished"]
            if not self._in_search:
                self._put_back()
            self._fit.restore(Snapshot(part(saved.tensors, "now"), values["now"]))
            self._factor, self.stop_reason = values["factor"], StopReason[values["stop_reason"]]
            points = values["points"]
            self._points = {"iteration": list(points["iteration"]), "elapsed": list(points["elapsed"])}
            self._losses = torch.tensor(points["loss"], device=self._observed.device)
            if "best" in values:
                self._best = Snapshot(part(saved.tensors, "best"), values["best"])
            if self._patience is not None:
                self._patience.restore(values["patience"], part(saved.tensors, "score"))
            fit = self._fit
            if fit.average is not None and fit.square is not None:
                average, square = fit.over_runs(fit.average), fit.over_runs(fit.square)
                loss = self._losses[-1]
                self.last = State(
                    fit.iteration, self._until, loss, average, average, square, fit.elapsed, 0.0, fit.guard.rollbacks
                )
        except (KeyError, RuntimeError, IndexError, ValueError) as error:
            raise InputError("the checkpoint does not belong to this picture and recipe") from error


def _raised(spread: Tensor) -> Tensor:
    """Raised by its mean: where all outputs agree they may still be wrong together."""
    # In one memory layout, so that the sum has the same order after resuming from a file.
    spread = spread.contiguous()
    return spread + spread.mean() + 1e-6


def _repeated(tensor: Tensor, runs: int) -> Tensor:
    """(N, ...) to (runs * N, ...), run after run."""
    return tensor.repeat(runs, *[1] * (tensor.ndim - 1))
