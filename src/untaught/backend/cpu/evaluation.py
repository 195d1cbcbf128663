"""Compiled networks as one differentiable function, several of them at the same time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from untaught.backend.cpu.network import CompiledNetwork
from untaught.kernels import Kernels

__all__ = ["evaluate"]


def evaluate(networks: Sequence[CompiledNetwork], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Evaluate each network on its own input: (1, input_channels, H, W) to (1, channels, h, w), float32.

    A single network uses all threads. Several networks get one thread each, so that threads need not wait for each
    other after every convolution of a small picture; the results are the same to the bit.
    """
    parameters = [parameter for network in networks for parameter in network.parameters]
    results = _Evaluate.apply(networks, inputs, *parameters)  # type: ignore[no-untyped-call]
    return cast("tuple[Tensor, ...]", results)


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, networks: Sequence[CompiledNetwork], inputs: Sequence[Tensor], *_: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(True)
        ctx.networks = networks
        tasks = [functools.partial(network.forward, x) for network, x in zip(networks, inputs, strict=True)]
        results = tuple(_side_by_side(tasks, networks[0].step.kernels))
        ctx.numbers = [network.number for network in networks]
        return results

    @staticmethod
    def backward(ctx: Any, *changes: Tensor) -> Any:
        tasks = [
            functools.partial(network.backward, change, number)
            for network, change, number in zip(ctx.networks, changes, ctx.numbers, strict=True)
        ]
        gradients = _side_by_side(tasks, ctx.networks[0].step.kernels)
        return None, None, *(gradient for own in gradients for gradient in own)


_Result = TypeVar("_Result")


def _side_by_side(tasks: Sequence[Callable[[], _Result]], kernels: Kernels) -> list[_Result]:
    if len(tasks) == 1:
        return [tasks[0]()]
    return list(_threads(torch.get_num_threads(), kernels).map(lambda task: task(), tasks))


@functools.cache
def _threads(count: int, kernels: Kernels) -> ThreadPoolExecutor:
    """A pool whose threads run everything by themselves."""

    def alone() -> None:
        # Torch sets a new thread's number of threads when it is first asked for it, so it is asked before.
        torch.get_num_threads()
        kernels.use_threads(1)

    return ThreadPoolExecutor(count, "untaught", initializer=alone)
