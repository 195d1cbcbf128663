"""Langevin sampling: the fit draws weights from their posterior, and the samples' outputs are averaged.

Noise added to the weights after each step turns an optimiser into a sampler (Welling and Teh, 2011). Averaging its
outputs after a burn-in lets the fit go on without overfitting and gives a standard deviation for each pixel (Cheng,
Gadelha, Maji and Sheldon, "A Bayesian Perspective on the Deep Image Prior", CVPR 2019). There are two optimisers:

* `Langevin` is what the paper's authors run: a step of Adam, then noise on the convolution kernels in proportion to
  the learning rate. Its samples are not those of a known posterior.
* `SGLD` is plain stochastic gradient Langevin dynamics: with a small learning rate its samples follow
  exp(-``data_size`` · loss) times a normal prior.

Both are made from the parameters, so they can be given as ``optimiser=``. `PosteriorMean` averages the samples.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from untaught.errors import InputError, SettingError
from untaught.fitting.state import State
from untaught.settings import settings

__all__ = ["SGLD", "Langevin", "PosteriorMean", "add_weight_noise"]

_STATE = "noise_generator"


@settings
class Langevin:
    """Adam with noise on the kernels after each step, as the authors of the paper run it.

    The defaults are those of the authors' code for denoising: after each step of Adam, every kernel gets noise of
    standard deviation 2 · 0.01, from the first iteration on. Biases and normalisations get none. The input is shaken by
    fresh noise of 1/30 too. Of 20 000 iterations the first 7000 are the burn-in; see `PosteriorMean`.

    >>> weight = torch.nn.Parameter(torch.zeros(4, 4, 3, 3))
    >>> optimiser = Langevin(learning_rate=0.001)([weight])
    >>> weight.grad = torch.zeros_like(weight)
    >>> optimiser.step()
    >>> round(float(weight.detach().std()), 3)
    0.002
    """

    kind: Literal["langevin"] = "langevin"
    learning_rate: float = Field(default=0.01, gt=0, description="learning rate of Adam")
    noise: float = Field(default=2.0, ge=0, description="standard deviation of the noise, in learning rates")
    weight_decay: float = Field(
        default=5e-8, ge=0, description="weight of half the squared weights in the loss: the prior"
    )
    seed: int | None = Field(
        default=None, description="seed of the noise; by default it follows from the initial weights"
    )

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser of these parameters."""
        optimiser = torch.optim.Adam(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        return add_weight_noise(optimiser, lambda rate: self.noise * rate, kernels_only=True, seed=self.seed)


@settings
class SGLD:
    """Stochastic gradient Langevin dynamics: w <- w - e/2 · dU/dw + N(0, e), with U = -log of the posterior.

    U is ``data_size`` · loss + ``prior_precision/2 · |w|²``. For a mean squared error over M values with noise of
    variance s², ``data_size`` is M / (2 s²). Sampling is right in the limit of a small step e; e times the largest
    curvature of U should stay below 1.

    Source: Welling and Teh, "Bayesian Learning via Stochastic Gradient Langevin Dynamics", ICML 2011.
    """

    kind: Literal["sgld"] = "sgld"
    learning_rate: float = Field(description="the step e, a variance in units of squared weights", gt=0)
    data_size: float = Field(description="factor from the loss to the negative log-likelihood", gt=0)
    prior_precision: float = Field(default=0.0, ge=0, description="inverse variance of the normal prior of each weight")
    seed: int | None = Field(
        default=None, description="seed of the noise; by default it follows from the initial weights"
    )

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser of these parameters; its ``lr`` is the rate of plain descent, e/2 · data_size."""
        # Descent on U is descent on the loss with the factor in the rate; the noise follows from whatever rate is set.
        rate = self.learning_rate * self.data_size / 2
        descent = torch.optim.SGD(parameters, lr=rate, weight_decay=self.prior_precision / self.data_size)
        return add_weight_noise(descent, lambda rate: math.sqrt(2 * rate / self.data_size), seed=self.seed)


def add_weight_noise(
    optimiser: torch.optim.Optimizer,
    deviation: Callable[[float], float],
    *,
    kernels_only: bool = False,
    seed: int | None = None,
) -> torch.optim.Optimizer:
    """Let an optimiser add normal noise to the weights after each of its steps.

    The noise has a random number generator of its own, whose state is a tensor in the optimiser's ``state_dict``: a
    fit that goes on from there gets the same noise, to the bit. A copy of the optimiser loses the noise, and steps
    cannot be captured in a CUDA graph.

    Args:
        optimiser: changed in place.
        deviation: from a group's learning rate of the moment to the standard deviation of its noise.
        kernels_only: no noise for parameters of fewer than two dimensions, which are biases and normalisations.
        seed: of the noise; by default it is made from the initial weights, so it follows the seed of the fit.

    Returns:
        The optimiser.
    """
    parameters: list[Tensor] = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    generator = torch.Generator(parameters[0].device)
    generator.manual_seed(_seed_of(parameters) if seed is None else seed)

    @torch.no_grad()
    def add_noise(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        holder = _holder(optimiser, parameters)
        if holder is None:
            return
        if _STATE in optimiser.state[holder]:
            # Loading a state may have cast it to the type of the weights, which holds bytes exactly.
            generator.set_state(optimiser.state[holder][_STATE].to("cpu", torch.uint8))
        for group in optimiser.param_groups:
            spread = deviation(float(group["lr"]))
            for parameter in group["params"]:
                if parameter.grad is None or (kernels_only and parameter.ndim < 2):
                    continue
                noise = torch.empty_like(parameter).normal_(generator=generator)
                parameter.add_(noise, alpha=spread)
        optimiser.state[holder][_STATE] = generator.get_state()

    optimiser.register_step_post_hook(add_noise)
    return optimiser


def _seed_of(parameters: Iterable[Tensor]) -> int:
    checksum = 0
    for parameter in parameters:
        checksum = zlib.crc32(parameter.detach().float().cpu().contiguous().numpy().tobytes(), checksum)
    return checksum


def _holder(optimiser: torch.optim.Optimizer, parameters: list[Tensor]) -> Tensor | None:
    """The parameter whose state also keeps the generator's; None if no parameter has a gradient.

    Adam fills a parameter's state at its first step, and only if it is empty, so the parameter must have been stepped.
    """
    for parameter in parameters:
        if _STATE in optimiser.state.get(parameter, {}):
            return parameter
    return next((parameter for parameter in parameters if parameter.grad is not None), None)


class PosteriorMean:
    """Observer that averages the outputs of a sampler after a burn-in, and measures how much they vary.

    Args:
        burn_in: iterations before the first sample; 7000 in the authors' code.
        every: iterations from one sample to the next; 1 takes them all. The authors take all, or each 50th.

    Attributes:
        samples: how many there are so far.
    """

    def __init__(self, burn_in: int = 7000, every: int = 1) -> None:
        if burn_in < 0 or every < 1:
            raise SettingError(
                f"found burn_in={burn_in} and every={every}; burn_in is at least 0 and every at least 1; change them"
            )
        self.burn_in = burn_in
        self.every = every
        self.samples = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def __call__(self, state: State) -> None:
        """Take the sample of one iteration, unless it is one of the burn-in or between two samples."""
        after = state.iteration - self.burn_in
        if after < 1 or (after - 1) % self.every:
            return
        output = state.output.detach()
        self.samples += 1
        if self._mean is None or self._squares is None:
            self._mean, self._squares = output.clone(), torch.zeros_like(output)
            return
        # Welford's update: a sum of squares in float32 would lose a small variance.
        change = output - self._mean
        self._mean += change / self.samples
        self._squares += change * (output - self._mean)

    @property
    def mean(self) -> Tensor:
        """Mean of the samples: (N, C, H, W), float32.

        Raises:
            InputError: before the first sample.
        """
        return self._taken(self._mean).clone()

    @property
    def standard_deviation(self) -> Tensor:
        """Standard deviation of the samples: (N, C, H, W), float32; zero with one sample.

        Raises:
            InputError: before the first sample.
        """
        return (self._taken(self._squares) / max(1, self.samples - 1)).sqrt()

    def state(self) -> dict[str, Tensor]:
        """What has been gathered, as tensors that a checkpoint can hold."""
        if self._mean is None or self._squares is None:
            return {}
        return {
            "samples": torch.tensor(self.samples),
            "mean": self._mean.clone(),
            "squares": self._squares.clone(),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state that `state` gave."""
        self.samples = int(state["samples"]) if state else 0
        self._mean = state["mean"].clone() if state else None
        self._squares = state["squares"].clone() if state else None

    def _taken(self, gathered: Tensor | None) -> Tensor:
        if gathered is None:
            raise InputError(
                f"found no sample yet; the first one is taken in iteration {self.burn_in + 1}; run more iterations or "
                "lower burn_in"
            )
        return gathered
