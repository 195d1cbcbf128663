"""Optimisers: Adam, and Muon for the convolution kernels. A user's optimiser is a callable parameters -> Optimizer."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal, overload

import torch
from pydantic import Field
from torch import Tensor, nn

from untaught.errors import SettingError
from untaught.kernels import one_thread
from untaught.settings import settings

__all__ = [
    "Muon",
    "OptimiserFactory",
    "OptimiserSettings",
    "build_optimiser",
    "restore_learning_rates",
    "scale_learning_rate",
    "scheduled_rate",
    "set_learning_rate",
]

OptimiserFactory = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
"""Makes an optimiser for a list of parameters; it keeps its own learning rate."""


@settings
class OptimiserSettings:
    """A shipped optimiser and its learning-rate schedule.

    The schedule is a function of the iteration alone, so a resumed fit needs no state of it; torch's schedulers have
    one, and cannot be asked for the rate of an iteration that the divergence guard repeats.

    Attributes:
        name: "adam" (Kingma and Ba, 2015), or "muon" (Jordan et al., 2024) for the kernels with Adam for the rest.
        learning_rate: at the start; default 0.01.
        schedule: "constant"; "cosine", which falls to ``final_share`` along half a cosine; or a callable (iteration,
            iterations) -> factor of the learning rate, with iterations counted from 1.
        final_share: share of the learning rate that is left at the last iteration of "cosine", 0 to 1; default 0.
        warmup: iterations over which the learning rate rises linearly from zero; default 0.
    """

    name: Literal["adam", "muon"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    schedule: Literal["constant", "cosine"] | Callable[[int, int], float] = "constant"
    final_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    warmup: Annotated[int, Field(ge=0)] = 0


def scheduled_rate(settings: OptimiserSettings, iteration: int, iterations: int) -> float:
    """The learning rate of one iteration, counted from 1, out of ``iterations``.

    >>> scheduled_rate(OptimiserSettings(learning_rate=1.0, schedule="cosine"), 50, 100)
    0.5
    """
    rate = settings.learning_rate
    if callable(settings.schedule):
        rate *= float(settings.schedule(iteration, iterations))
    elif settings.schedule == "cosine":
        wave = (1 + math.cos(math.pi * iteration / max(iterations, 1))) / 2
        rate *= settings.final_share + (1 - settings.final_share) * wave
    return rate * min(1.0, iteration / settings.warmup) if settings.warmup else rate


def build_optimiser(
    settings: OptimiserSettings | OptimiserFactory, *modules: nn.Module, capturable: bool | None = None
) -> torch.optim.Optimizer:
    """Make the optimiser of all parameters of a network, and of an operator that is learnt with it.

    Args:
        settings: a shipped optimiser, or a callable that makes one.
        modules: on the device of the fit.
        capturable: keep everything that changes in tensors on the device, as a CUDA graph needs it; None for: on CUDA.
    """
    parameters = [parameter for module in modules for parameter in module.parameters()]
    if not isinstance(settings, OptimiserSettings):
        made = settings(parameters)
        if not isinstance(made, torch.optim.Optimizer):
            raise SettingError(f"optimiser returns a torch.optim.Optimizer for a list of parameters: found {made!r}")
        return made
    device = parameters[0].device
    capturable = device.type == "cuda" if capturable is None else capturable
    rate: Any = settings.learning_rate
    if capturable:
        rate = torch.tensor(rate, device=device, dtype=torch.float32)
    if settings.name == "muon":
        return Muon(parameters, lr=rate, capturable=capturable)
    adam = torch.optim.Adam(parameters, lr=rate, fused=True, capturable=capturable)
    # The first steps run uncaptured on purpose; torch would warn of that.
    adam._warned_capturable_if_run_uncaptured = True
    return adam


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups of parameters."""
    for group in optimiser.param_groups:
        _set_rate(group, rate)


def scale_learning_rate(optimiser: torch.optim.Optimizer, factor: float) -> float:
    """Multiply all learning rates by a factor; returns that of the first group."""
    for group in optimiser.param_groups:
        if factor != 1:
            _set_rate(group, float(group["lr"]) * factor)
    return float(optimiser.param_groups[0]["lr"])


def restore_learning_rates(optimiser: torch.optim.Optimizer, rates: Iterable[float]) -> None:
    """Set the learning rate of each group of parameters; a checkpoint of version 0.1 has none."""
    for group, rate in zip(optimiser.param_groups, rates, strict=False):
        _set_rate(group, rate)


def _set_rate(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are orthogonalised before the step; Adam for parameters that are no kernels.

    A kernel (out, in, k, k) is read as a matrix of out rows. Its Nesterov momentum M = U S Vᵀ is replaced by about
    U Vᵀ, so that every direction of the matrix moves equally far (Jordan et al., 2024, "Muon: an optimizer for hidden
    layers in neural networks"). The orthogonalisation iterates on the small Gram matrix M Mᵀ alone: a Newton-Schulz
    step is X <- p(X Xᵀ) X, all p(X Xᵀ) commute, so they can be gathered in one small matrix Q and applied once,
    U Vᵀ ≈ Q M. For kernels of 128 x 1152 that is a third of the arithmetic.

    Args:
        parameters: the parameters; all of at least two dimensions are kernels.
        lr: learning rate, for kernels and the rest alike; a scalar tensor on their device, if capturable.
        momentum: decay of the momentum of kernels.
        betas: decay rates of Adam's two averages, for the rest.
        capturable: keep all that changes in tensors on the parameters' device, as a CUDA graph needs it.
    """

    # torch's own wrappers import torch._dynamo at the first call, which takes a second and is not used here.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float | Tensor = 0.01,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        capturable: bool = False,
    ) -> None:
        everything = list(parameters)
        kernels = [parameter for parameter in everything if parameter.ndim >= 2]
        rest = [parameter for parameter in everything if parameter.ndim < 2]
        groups = [{"params": kernels, "kernels": True}, {"params": rest, "kernels": False}]
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "capturable": capturable}
        super().__init__([group for group in groups if group["params"]], defaults)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step along the gradients at hand."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            (self._step_kernels if group["kernels"] else self._step_rest)(parameters, group)
        return loss

    def _step_kernels(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            ahead = parameter.grad.lerp(momentum, group["momentum"]).reshape(parameter.shape[0], -1)
            by_shape[ahead.shape[0], ahead.shape[1]].append((parameter, ahead))
        shapes = list(by_shape)
        stacks = orthogonalise([torch.stack([ahead for _, ahead in by_shape[shape]]) for shape in shapes])
        for (rows, columns), directions in zip(shapes, stacks, strict=True):
            scale = math.sqrt(max(1, rows / columns))
            for (parameter, _), direction in zip(by_shape[rows, columns], directions, strict=True):
                if group["capturable"]:
                    parameter.addcmul_(direction.view_as(parameter), group["lr"], value=-scale)
                else:
                    parameter.add_(direction.view_as(parameter), alpha=-group["lr"] * scale)

    def _step_rest(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        if not parameters:
            return
        first, second = group["betas"]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                step = torch.zeros((), device=parameter.device, dtype=torch.float32) if group["capturable"] else 0
                state.update(step=step, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
            if not group["capturable"]:
                state["step"] += 1
        states = [self.state[parameter] for parameter in parameters]
        if group["capturable"]:
            torch._foreach_add_([state["step"] for state in states], 1)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means, squares = [state["mean"] for state in states], [state["square"] for state in states]
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        steps = states[0]["step"]
        denominators = torch._foreach_div(squares, _correction(second, steps))
        torch._foreach_sqrt_(denominators)
        torch._foreach_add_(denominators, 1e-8)
        rate = group["lr"] / _correction(first, steps)
        if group["capturable"]:
            torch._foreach_div_(denominators, -rate)
            torch._foreach_addcdiv_(parameters, means, denominators)
        else:
            torch._foreach_addcdiv_(parameters, means, denominators, -rate)


@overload
def _correction(decay: float, steps: int) -> float: ...
@overload
def _correction(decay: float, steps: Tensor) -> Tensor: ...


def _correction(decay: float, steps: int | Tensor) -> float | Tensor:
    """The weight that an average has gathered after so many steps."""
    return -torch.expm1(steps * math.log(decay)) if isinstance(steps, Tensor) else 1 - decay**steps


def orthogonalise(stacks: Sequence[Tensor], steps: int = 5) -> list[Tensor]:
    """The nearest (semi-)orthogonal matrices, roughly: singular values end up between about 0.7 and 1.2.

    Args:
        stacks: (B, rows, columns) each, float32. Those whose shorter sides are equal share their small products.
        steps: Newton-Schulz steps, with the quintic of Jordan et al., 2024.

    Returns:
        The same shapes, float32.
    """
    wide = [stack.mT if stack.shape[1] > stack.shape[2] else stack for stack in stacks]
    gathered = list(wide)
    with one_thread():
        for side in dict.fromkeys(stack.shape[1] for stack in wide):
            alike = [index for index, stack in enumerate(wide) if stack.shape[1] == side]
            together = _newton_schulz(torch.cat([wide[index] @ wide[index].mT for index in alike]), steps)
            for index, own in zip(alike, torch.split(together, [len(wide[index]) for index in alike]), strict=True):
                gathered[index] = own
        results = [own @ stack for own, stack in zip(gathered, wide, strict=True)]
    return [one.mT if stack.shape[1] > stack.shape[2] else one for one, stack in zip(results, stacks, strict=True)]


def _newton_schulz(gram: Tensor, steps: int) -> Tensor:
    """Q of each Gram matrix M Mᵀ, (B, side, side), so that Q M is orthogonal."""
    a, b, c = 3.4445, -4.7750, 2.0315
    # The squared norm of M is the trace of its Gram matrix.
    squares = gram.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(1e-36).view(-1, 1, 1)
    gram, gathered = gram / squares, squares.rsqrt()
    for step in range(steps):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        gathered = polynomial @ gathered if step else polynomial * gathered
        if step < steps - 1:
            gram = polynomial @ gram @ polynomial
    return gathered
