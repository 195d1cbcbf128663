"""A job, which is a task read and checked, and the run that fits it.

A run that holds values out has two stages. In the first they are hidden from the fit, and the error on them tells when
to stop. Then the fit goes back to its best moment and continues with every known value for a share of its length.

This module is long because the stages of a run, its checkpoints and its result share one state.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from untaught.backend.engine import Engine
from untaught.backend.host_settings import undisturbed
from untaught.backend.threads import Threads
from untaught.errors import (
    DivergenceError,
    InputError,
    Interrupted,
    ObserverError,
    SettingError,
    StopFit,
    UntaughtError,
)
from untaught.fitting.build import build_fit, build_objective, repeated
from untaught.fitting.checkpoint import Snapshot, check_averages, check_values, part, save
from untaught.fitting.display import thumbnail
from untaught.fitting.estimate import Estimate, estimate
from untaught.fitting.held_out import calibrate, hold_out
from untaught.fitting.loop import iterate
from untaught.fitting.mean_weights import evaluation_interval, mean_output
from untaught.fitting.memory import give_back
from untaught.fitting.operator_check import blame_code, blame_operator, check_objective, check_operator
from untaught.fitting.optimisers import OptimiserSettings, scheduled_rate
from untaught.fitting.problem import Problem
from untaught.fitting.recipe import Recipe
from untaught.fitting.results import further_results, interval, residual_note, unexplained, unexplained_note
from untaught.fitting.stacking import Stacking
from untaught.fitting.state import Observer, Restoration, State, StopReason
from untaught.fitting.stopping import EarlyStopping, Evidence, HeldOut, NeverStop
from untaught.fitting.tiles import Tiles
from untaught.imaging.arrays import from_tensor, in_unit_range
from untaught.physics.linear import Identity
from untaught.priors.patches import patch_size, windows
from untaught.settings import shown

__all__ = ["Job", "Progress", "Run"]

_WINDOW, _MARGIN = 256, 16
"""Side of the windows in which the mean network is evaluated, and of their rim that is not used, in pixels."""

_LAST = 12
"""In so small a part of the iterations, at the end, the answer is completed once more."""

_COMPLETED_IN = 8
"""What is left of a completion is shared out over so small a part of the iterations that are left."""

_HELD_OUT_SEED = 1_000_003
"""Distance of the seed of the held-out values from that of the fit."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A task, read and checked, ready to be fitted.

    Attributes:
        task: name of the task.
        problem: what is known of the picture.
        recipe: how to fit.
        engine: how a step runs.
        seed: of the random numbers.
        time_budget: seconds that the fit may take; None for no limit.
        start: a moment of another fit, whose weights this one begins with; None for random weights.
    """

    task: str
    problem: Problem
    recipe: Recipe
    engine: Engine
    seed: int
    time_budget: float | None
    start: Snapshot | None = None

    @property
    def is_same_with_any_threads(self) -> bool:
        """Whether the number of threads does not change the bits of the result."""
        recipe = self.recipe
        shipped = all(type(one).__module__.startswith("untaught.") for one in (recipe.input, recipe.optimiser))
        compiled = self.engine.kernels is not None and getattr(recipe.network, "dimensions", 3) == 2
        operated = self.problem.operator is not None
        return compiled and shipped and not callable(recipe.loss) and recipe.regulariser is None and not operated

    def begin(self, saved: Snapshot | None = None) -> Run:
        """Prepare a run, from the start or from a snapshot of an earlier run."""
        return Run(self, saved)

    @undisturbed()
    def picture(self, state: State, *, polished: bool = False) -> NDArray[Any] | Tensor:
        """The picture as it would be returned now, in the shape and dtype of the input.

        Args:
            state: of the fit.
            polished: include the last step, which may take seconds.
        """
        polish, finish = self.problem.final_step, self.problem.display_step
        picture, instead = self._answered(state, polished=polished), self.problem.instead
        if polished and not self.answers:
            if instead is not None and unexplained(self.problem, state) is not None:
                picture = instead()
            elif polish is not None:
                picture = polish(picture)
        if finish is not None:
            picture = finish(picture)
        return from_tensor(picture, self.problem.kept, self.problem.layout)

    @property
    def answers(self) -> bool:
        """Whether the problem makes the picture that is returned from the network's."""
        return self.problem.answer is not None and self.recipe.classical

    def _answered(self, state: State, *, polished: bool = False) -> Tensor:
        """The picture of a state, (N, C, H, W), before any last step."""
        # A state before the first iteration holds no network's picture.
        if self.answers and (polished or (self.problem.mixes and state.iteration)):
            assert self.problem.answer is not None
            return self.problem.answer(state.picture)
        return state.picture

    def preview(self, state: State, longest: int) -> NDArray[np.float32]:
        """The picture so far, for a screen: (H, W, C), in [0, 1]; of a volume (D, H, W, C).

        Args:
            state: of the fit.
            longest: pixels that the longest side should have at most; a larger picture is thinned out.
        """
        problem, layout = self.problem, self.problem.layout
        if layout.atlas is not None:
            array = np.asarray(self.picture(state))
            step = max(1, -(-max(array.shape[:2]) // longest))
            return in_unit_range(array[::step, ::step], (layout.low, layout.high))
        values = self._answered(state)
        values = values if problem.display_step is None else problem.display_step(values)
        values = values[:1].cpu()
        if problem.kept is not None:
            values = torch.where(problem.kept[:1], problem.observed[:1], values)
        scale = max(values.shape[-2:]) / longest
        if scale > 1 and values.ndim == 4:
            size = [max(1, round(side / scale)) for side in values.shape[-2:]]
            values = torch.nn.functional.interpolate(values, size=size, mode="area")
        shown: NDArray[np.float32] = values[0].clamp(0, 1).movedim(0, -1).numpy()
        return shown

    @undisturbed()
    def first_state(self) -> State | None:
        """What can be shown before the run is prepared, as iteration 0; None where the first iteration is as early."""
        first = self.problem.first
        return None if first is None else _unfitted(first(), self.recipe.iterations)

    def blank(self) -> NDArray[Any] | Tensor:
        """A black picture of the result's shape and dtype."""
        problem = self.problem
        zeros = torch.zeros(problem.observed.shape[0], problem.channels, *problem.size, dtype=torch.float32)
        if problem.display_step is not None:
            zeros = problem.display_step(zeros)
        return from_tensor(zeros, None, problem.layout)

    def run(self, observers: Sequence[Observer] = ()) -> Restoration:
        """Fit to the end; see `Run.finish`."""
        return self.begin().finish(observers)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        in_search: whether the stop rule is followed; otherwise the last stage has begun.
        stage_until: the last iteration of this stage, at the latest.
        until: the last iteration of the run, at the latest.
        best_iteration: of the best moment so far by the rule; 0 if there is none.
        gives_up_at: the iteration at which the rule ends this stage if nothing better comes; None if unknown.
    """

    in_search: bool
    stage_until: int
    until: int
    best_iteration: int
    gives_up_at: int | None


class Run:
    """A job being fitted: an iterator of states. To pause, take no further state. It pickles between two states.

    Args:
        job: what to fit.
        saved: a snapshot to continue from.
    """

    def __init__(self, job: Job, saved: Snapshot | None = None) -> None:
        self.job = job
        self.stop_reason = StopReason.ITERATIONS
        self.last: State | None = None
        self._lock = threading.Lock()
        with torch.inference_mode(False), undisturbed():
            self._prepare(saved)

    def _prepare(self, saved: Snapshot | None) -> None:
        """Build everything that a fit changes."""
        job = self.job
        rule, problem, device = job.recipe.stopping, job.problem, job.engine.device
        self._cancelled = threading.Event()
        self._observed, self._known = _usable(problem.observed, device), _usable(problem.known, device)
        self._problem = dataclasses.replace(problem, observed=self._observed, known=self._known)
        self._operator = problem.operator or Identity()
        self._learnt: nn.Module | None = None
        if isinstance(self._operator, nn.Module):
            if any(parameter.requires_grad for parameter in self._operator.parameters()):
                # The job's own operator stays as it is: another run begins from there.
                self._operator = self._learnt = copy.deepcopy(self._operator)
            self._operator.to(device)
        self._held: Tensor | None = None
        if isinstance(rule, HeldOut):
            self._held = hold_out(problem, self._known, rule, job.seed + _HELD_OUT_SEED)
        self._in_search = not isinstance(rule, NeverStop)
        self._until = job.recipe.iterations
        self._fit = build_fit(
            self._problem, job.recipe, engine=job.engine, seed=job.seed, learnt=self._learnt, held=self._held
        )
        if job.recipe.classical and problem.settled is not None and problem.settled():
            self._until, self.stop_reason = 1, StopReason.SETTLED
        if job.start is not None:
            self._fit.start_from(job.start)
        self._threads = Threads(adapts=job.is_same_with_any_threads)
        self._stacking: Stacking | None = None
        # Who wants the network's own output gets it unmixed.
        stacked = job.recipe.classical and problem.kept is not None
        if stacked and problem.classical is not None and self._held is not None:
            strips = problem.strips if job.recipe.groups else None
            self._stacking = Stacking(problem.classical, self._observed, self._known, self._held, strips)
            self._fit.first = repeated(self._stacking.classical, job.recipe.runs)
            wanted = problem.wanted(self._held)
            self._windows = windows(
                problem.size, _WINDOW, _MARGIN, None if wanted is None else wanted.any(0), problem.strips
            )
            seen = math.prod(problem.size if job.recipe.patch is None else patch_size(problem.size, job.recipe.patch))
            self._evaluates_every = evaluation_interval(self._windows, seen)
        if self._held is not None:
            self._fit.sampler.set_known(self._known & ~self._held)
        criterion = rule.criterion(Evidence(self._observed, self._known, self._held, self._operator))
        self._patience = None if criterion is None else EarlyStopping(criterion, rule)
        self._best: Snapshot | None = None
        self._factor: float | None = None
        self._expected: float | None = None
        self._points: dict[str, list[float]] = {"iteration": [], "elapsed": []}
        self._losses = torch.empty(0, device=device, dtype=torch.float32)
        self._finished = False
        if saved is not None:
            self._restore(saved)

    def __iter__(self) -> Iterator[State]:
        """The states, from where the run stands to its end.

        Raises:
            UntaughtError: when another thread is iterating over this run.
        """
        if not self._lock.acquire(blocking=False):
            raise UntaughtError("this run is being fitted by another thread: give each thread a run of its own")
        try:
            yield from self._undisturbed(self._states())
        except DivergenceError as error:
            if self.last is not None:
                blame_operator(error, self._problem, self._operator, self._sound(self.last).average)
            raise
        except (StopFit, UntaughtError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            done = 0 if self.last is None else self.last.iteration
            blame_code(error, self._operator, self._fit.network, self.job.recipe, done)
            raise
        finally:
            self._lock.release()

    def _undisturbed(self, states: Generator[State]) -> Iterator[State]:
        """The same states, each made as in a fresh program; the caller's own settings hold in between."""
        with contextlib.closing(states):
            while True:
                with undisturbed(self.job.engine.device), self._threads.iteration():
                    state = next(states, None)
                if state is None:
                    return
                yield state

    def _states(self) -> Generator[State]:
        if self.stop_reason is StopReason.INTERRUPTED and not self._finished:
            # The caller goes on after Ctrl-C.
            self.stop_reason = StopReason.ITERATIONS
        while not self._finished:
            for state in self._stage(self._stage_until()):
                if self._stacking is not None:
                    state = self._stacked(state)
                self.last = state
                self._note(state)
                turn = self._look(state) or state.iteration >= self._stage_until()
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
            observers: called with each state; one may raise `StopFit` to end the fit.

        Raises:
            Interrupted: on Ctrl-C; holds the best result so far.
            SettingError: for observers that cannot be called; nothing is fitted then.
            ObserverError: when an observer raises; holds the best result so far.
        """
        if not isinstance(observers, Sequence) or not all(callable(observer) for observer in observers):
            raise SettingError(f"observers are a list of callables that take a State: found {shown(observers)}")
        try:
            for state in self:
                for observer in observers:
                    try:
                        observer(state)
                    except StopFit:
                        raise
                    except Exception as error:
                        name = getattr(observer, "__qualname__", type(observer).__qualname__)
                        raise ObserverError(
                            f"the observer {name} raised {type(error).__name__}: {error}; the result so far is in "
                            ".restoration",
                            self.restoration(),
                        ) from error
        except StopFit:
            if not self._finished:
                self.stop_reason = StopReason.CANCELLED
                self._turn(self.last)
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

    @undisturbed()
    def show(self, draws: int) -> State:
        """The state of a network that is shown the whole picture so many times, and takes no step."""
        fit = self._fit
        return _unfitted(fit.over_runs(mean_output(self.job.engine, fit.network, fit.sampler, draws, clip=fit.clip)), 0)

    def cancel(self) -> None:
        """End the run after the present iteration; from any thread. The result so far stays available."""
        self._cancelled.set()

    def continue_for(self, iterations: int) -> None:
        """Continue for this many iterations from where the run stands, with every known value and no stop rule."""
        if self._in_search:
            self._use_all()
        self._in_search, self._finished = False, False
        self._cancelled.clear()
        self._until = self._fit.iteration + iterations
        self.stop_reason = StopReason.ITERATIONS

    def check_operator(self, excess: float | None = None) -> None:
        """Check the operator, loss and regulariser on one picture, before anything is fitted; see `operator_check`."""
        check_operator(self._problem, self._operator, excess)
        recipe, problem = self.job.recipe, self.job.problem
        if callable(recipe.loss) or recipe.regulariser is not None:
            with torch.inference_mode(False):
                objective = build_objective(problem, recipe, self._observed, self._operator, self._known.clone())
            shape = (len(self._observed) * recipe.runs, problem.channels, *problem.size)
            check_objective(objective, shape, self._observed.device)

    @property
    def tells_uncertainty(self) -> bool:
        """Whether the restoration will say how far off each pixel may be, once the fit is long enough."""
        return self._held is not None and self.job.problem.operator is None

    def estimate(self) -> Estimate | None:
        """What the run will take on this machine, before it begins; None where that cannot be told."""
        job, fit = self.job, self._fit
        if self._until <= 1:
            # A classical method has done its work by now.
            return None
        recipe = dataclasses.replace(job.recipe, iterations=self._until)
        return estimate(job.problem, recipe, job.engine, fit.network, fit.sampler.channels, job.time_budget)

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self._finished

    @property
    def network(self) -> nn.Module:
        """The module that is fitted: register gradient hooks on its parameters."""
        return self._fit.network

    @property
    def progress(self) -> Progress:
        """Where the run stands now."""
        patience = self._patience
        best = 0 if patience is None else patience.best_iteration
        gives_up_at = None if patience is None or not (self._in_search and best) else patience.gives_up_at
        return Progress(self._in_search, self._stage_until(), self._until, best, gives_up_at)

    @undisturbed()
    def restoration(self) -> Restoration:
        """The result so far.

        Raises:
            UntaughtError: before the first iteration.
        """
        job = self.job
        if self.last is None:
            raise UntaughtError("there is no result before the first iteration: iterate over the run first")
        last = self._sound(self.last)
        left = not self._finished and self.stop_reason is StopReason.ITERATIONS
        far = None if job.answers else unexplained(job.problem, last)
        # One after the other: each takes some copies of the picture.
        picture, layout = job.picture(last, polished=True), job.problem.layout
        uncertainty, expected = None, None
        if self._factor is not None:
            assert self._best is not None
            # Of the best moment, when it was calibrated: later the outputs agree more than they improve.
            uncertainty = interval(job.problem, last.with_averages(*self._averages(self._best)), self._factor)
        if self._held is not None and self._patience is not None and math.isfinite(self._patience.best):
            error = self._patience.best if self._expected is None else self._expected
            expected = job.problem.layout.figures_gain - 10 * math.log10(max(error, 1e-12))
        if layout.is_tensor:
            before = thumbnail(job.problem.observed, dataclasses.replace(layout, low=0.0, high=1.0))
        else:
            before = thumbnail(layout.original if layout.whole is None else layout.whole, layout)
        small = {"before": before, "after": thumbnail(picture, layout)}
        return Restoration(
            picture=picture,
            stop_reason=StopReason.LEFT if left else self.stop_reason,
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
            notes=(
                *job.problem.notes,
                *self._share_note(),
                *residual_note(self._problem, self._operator, last),
                *(() if far is None else (unexplained_note(far),)),
            ),
            found=further_results(job.problem, self._operator, last),
            thumbnails={name: one for name, one in small.items() if one is not None},
        )

    def _share_note(self) -> tuple[str, ...]:
        """How much of the answer is the network's, as a sentence; none without a classical picture."""
        answer_note = self.job.problem.answer_note
        if answer_note is not None and self.job.recipe.classical:
            return (answer_note(),)
        if self._stacking is None:
            return ()
        share, name, more = self._stacking.share, self.job.problem.classical_name, "; more time would help"
        if self._stacking.shares.any():
            name, more = "made of similar parts of the picture", ""
        if share >= 0.005:
            return (f"the network's share of what was filled in is {share:.0%}, the rest is {name}",)
        return (f"the network had nothing better yet on held-out values: what was filled in is {name}{more}",)

    @undisturbed()
    def snapshot(self) -> Snapshot:
        """Everything that is needed to continue to the same result, to the bit. Take it between two states."""
        now = self._fit.snapshot()
        moments = {"now": now} if self._best is None else {"now": now, "best": self._best}
        tensors = {f"{key}.{name}": one for key, moment in moments.items() for name, one in moment.tensors.items()}
        tiles = {f"{key}.{name}": one for key, moment in moments.items() for name, one in moment.tiles.items()}
        values: dict[str, Any] = {
            "now": now.values,
            "in_search": self._in_search,
            "until": self._until,
            "finished": self._finished,
            "factor": self._factor,
            "expected": self._expected,
            "stop_reason": self.stop_reason.name,
            "points": {name: [*some] for name, some in self._points.items()} | {"loss": self._loss_history()},
        }
        if self._stacking is not None:
            values |= self._stacking.facts()
            tensors |= {f"evaluated.{name}": one for name, one in self._stacking.tensors().items()}
        if self._best is not None:
            values["best"] = dict(self._best.values)
        if self._patience is not None:
            values["patience"] = self._patience.facts()
            tensors |= {f"score.{name}": tensor for name, tensor in self._patience.tensors().items()}
        return Snapshot(tensors, values, tiles)

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, whole or not at all; ``untaught.fit(..., resume=path)`` continues from it.

        Raises:
            PictureError: when it cannot be written.
        """
        save(Path(path), self.snapshot())

    def __reduce__(self) -> tuple[Callable[..., Run], tuple[Any, ...]]:
        return Run, (self.job, None if self.last is None else self.snapshot().whole())

    def _looks_every(self, iteration: int) -> int:
        """Often at first, while the network's picture improves fast, and later as often as the rule looks."""
        return min(int(self.job.recipe.stopping.every), max(10, iteration // 10))

    def _stacked(self, state: State) -> State:
        """The state with the classical picture where that is better."""
        stacking = self._stacking
        assert stacking is not None
        iteration = state.iteration
        useful = self._in_search or stacking.watches or bool(stacking.weights.any())
        if useful and (
            iteration % max(self._evaluates_every, iteration // 10) == 0 or iteration == self._stage_until()
        ):
            assert self._fit.mean is not None
            guess = stacking.guess if self._in_search else stacking.smooth
            stacking.evaluated = self._fit.mean.picture(self.job.engine, self._fit.sampler, guess, self._windows)
            give_back()
        # Once every value is known to the network, there is nothing left to compare on.
        if self._in_search and state.iteration % self._looks_every(state.iteration) == 0:
            stacking.look(state.average, self._fit.visited)
        # The first answer does not wait for a better one.
        within = (self._stage_until() - iteration) // _COMPLETED_IN
        if not self._in_search:
            last = self._until - iteration <= max(_COMPLETED_IN, self._until // _LAST)
            stacking.complete_again(lambda: state.stacked_by(stacking.frozen()).picture, within, last=last)
            if stacking.watches and iteration % self._looks_every(iteration) == 0:
                stacking.look(state.average, self._fit.visited)
                if stacking.hopeless(iteration, self._until):
                    self._until = min(self._until, iteration + stacking.shortest)
        elif iteration > 1:
            stacking.complete(within)
        return state.stacked_by(stacking.frozen())

    # The stages ----------------------------------------------------------------------------------------------------

    def _note(self, state: State) -> None:
        """Add a point to the history."""
        count = len(self._points["iteration"])
        # In one block: thousands of small tensors between large ones would fragment the heap.
        if count == len(self._losses):
            self._losses = torch.cat((self._losses, self._losses.new_empty(max(64, count))))
        self._losses[count] = state.loss
        self._points["iteration"].append(state.iteration)
        self._points["elapsed"].append(state.elapsed)

    def _stage(self, limit: int) -> Iterator[State]:
        """The states of the present stage."""
        job, recipe = self.job, self.job.recipe
        known = self._shown
        optimiser = recipe.optimiser
        shipped = isinstance(optimiser, OptimiserSettings)
        with torch.inference_mode(False):
            objective = build_objective(job.problem, recipe, self._observed, self._operator, known.clone())
        return iterate(
            self._fit,
            objective=objective,
            rate=(lambda iteration: scheduled_rate(optimiser, iteration, self._until)) if shipped else None,
            iterations=limit,
            averaging=recipe.averaging,
            engine=job.engine,
            channels=job.problem.channels,
        )

    def _look(self, state: State) -> bool:
        """Whether the stage ends with this state."""
        budget, rule = self.job.time_budget, self.job.recipe.stopping
        if self._cancelled.is_set():
            self.stop_reason = StopReason.CANCELLED
            return True
        if self._in_search:
            if self._patience is not None:
                self._patience(state)
                if self._patience.improved and rule.returns_best:
                    self._best = self._fit.snapshot()
                    if self._held is not None and self.job.problem.operator is None:
                        error = self._held_out_errors(state)
                        self._factor, self._expected = calibrate(state, error, self._held), float(error.square().mean())
                if self._patience.exhausted or (self._hopeless and state.iteration % rule.every == 0):
                    self.stop_reason = rule.reason
                    return True
            share = rule.refit if self._held is not None else 0.0
            if budget is not None and state.elapsed >= budget * (1 - share):
                self.stop_reason = StopReason.TIME
                return True
        elif budget is not None and state.elapsed >= budget:
            self.stop_reason = StopReason.TIME
            return True
        return False

    def _held_out_errors(self, state: State) -> Tensor:
        """The absolute errors of the answer on the held-out values, in the order of ``held.nonzero()``."""
        average, stacking = state.average, self._stacking
        if stacking is None:
            return (average[self._held] - self._observed[self._held]).abs()
        stacking.look(average, self._fit.visited)
        return stacking.errors(average)

    def _turn(self, last: State | None) -> None:
        """Leave the stage: from the search to the best moment and all known values, from there to the end."""
        give_back()
        if not self._in_search:
            self._finished = True
            return
        best = self._best
        if best is not None:
            # The clock and the count go on.
            iteration, elapsed = self._fit.iteration, self._fit.elapsed
            self._fit.restore(best)
            self._fit.iteration, self._fit.elapsed = iteration, elapsed
        if self._held is None or self.stop_reason is StopReason.CANCELLED:
            self._in_search = False
            self._finished = True
            self._show_best(last)
            return
        length = self._refit_length(self._until)
        if self._patience is not None and self._patience.best_iteration:
            share = self.job.recipe.stopping.refit
            length = min(length, max(20, round(self._patience.best_iteration * share / (1 - share))))
        if self._use_all():
            assert self._stacking is not None
            length = min(length, self._stacking.shortest)
        self._until = self._fit.iteration + length
        self._finished = length == 0

    @property
    def _hopeless(self) -> bool:
        """Whether the network will never have a share of the answer, as far as can be told."""
        return self._stacking is not None and self._stacking.hopeless(self._fit.iteration, self._until)

    def _use_all(self) -> bool:
        """Show the network the held-out values too; whether that is in vain, because it will never have a share."""
        hopeless = self._hopeless
        if self._stacking is not None:
            self._stacking.settle(hopeless=hopeless)
        self._in_search = False
        with torch.inference_mode(False):
            self._fit.sampler.set_known(self._shown)
        return hopeless

    @property
    def _shown(self) -> Tensor:
        """The known values that the network is shown in this stage."""
        if self._held is None:
            return self._known
        if self._in_search:
            return self._known & ~self._held
        return self._known if self._stacking is None else self._stacking.shown

    def _show_best(self, last: State | None) -> None:
        """Put the best averages into the last state, for a rule without a second stage."""
        fit = self._fit
        if last is not None and fit.average is not None:
            self.last = last.with_averages(*fit.averages)

    def _stage_until(self) -> int:
        """The last iteration of the stage, at the latest."""
        searching = self._in_search and self._held is not None
        return self._until - self._refit_length(self._until) if searching else self._until

    def _refit_length(self, iterations: int) -> int:
        return round(iterations * float(self.job.recipe.stopping.refit))

    def _sound(self, last: State) -> State:
        """The state; if it has diverged since the guard's last look, the averages of the last good moment."""
        good = self._fit.guard.good
        if good is None or bool(last.loss.isfinite()):
            return last
        return last.with_averages(*self._averages(good))

    def _averages(self, moment: Snapshot) -> tuple[Tensor | Tiles, Tensor | Tiles]:
        """The averaged outputs and squares of a moment, over the runs; in tiles if they are, which copies nothing."""
        tiles = part(moment.tiles, "averages")
        if tiles and self.job.recipe.runs == 1:
            return tiles["average"], tiles["square"]
        averages = part(moment.whole().tensors, "averages")
        return self._fit.over_runs(averages["average"]), self._fit.over_runs(averages["square"])

    def _loss_history(self) -> list[float]:
        # The losses come from the device all at once.
        return self._losses[: len(self._points["iteration"])].tolist()

    def _restore(self, saved: Snapshot) -> None:
        values, device, problem = saved.values, self._observed.device, self.job.problem
        saved = Snapshot({name: tensor.to(device) for name, tensor in saved.tensors.items()}, values, saved.tiles)
        try:
            check_values(values)
            pictures = len(self._observed) * self.job.recipe.runs
            check_averages({**saved.tensors, **saved.tiles}, (pictures, problem.channels, *problem.size))
            self._in_search, self._until, self._finished = values["in_search"], values["until"], values["finished"]
            if self._stacking is not None and "stacking" in values:
                self._stacking.restore(values, part(saved.tensors, "evaluated"), again=not self._in_search)
            if not self._in_search:
                self._fit.sampler.set_known(self._shown)
            self._fit.restore(saved.below("now", values["now"]))
            self._factor, self.stop_reason = values["factor"], StopReason[values["stop_reason"]]
            self._expected = values.get("expected")
            points = values["points"]
            self._points = {"iteration": list(points["iteration"]), "elapsed": list(points["elapsed"])}
            self._losses = torch.tensor(points["loss"], device=device, dtype=torch.float32)
            if "best" in values:
                self._best = saved.below("best", values["best"])
            if self._factor is not None and self._best is None:
                raise ValueError("an interval belongs to the best moment")
            if self._patience is not None:
                self._patience.restore(values["patience"], part(saved.tensors, "score"))
            self.last = self._state_of_checkpoint()
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InputError("the checkpoint does not belong to this picture and recipe") from error

    def _state_of_checkpoint(self) -> State | None:
        fit = self._fit
        if fit.average is None:
            return None
        loss, (average, square) = self._losses[-1], fit.averages
        return State(
            iteration=fit.iteration,
            iterations=self._until,
            loss=loss,
            losses=loss.expand(len(self._observed)),
            average=average,
            square=square,
            stacked=None if self._stacking is None else self._stacking.frozen(),
            elapsed=fit.elapsed,
            rollbacks=fit.guard.rollbacks,
            network=fit.network,
        )


def _unfitted(average: Tensor, iterations: int) -> State:
    """The state of a picture, (N, C, H, W), before any of so many iterations."""
    nothing = torch.zeros(len(average))
    return State(
        iteration=0,
        iterations=iterations,
        loss=nothing.mean(),
        losses=nothing,
        average=average,
        square=average.square(),
    )


def _usable(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; one that was made in inference mode cannot be used with gradients, so it is copied."""
    return (tensor.clone() if tensor.is_inference() else tensor).to(device)
