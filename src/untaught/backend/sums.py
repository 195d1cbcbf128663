"""Sums over a picture that have the same bits with any number of threads.

Torch cuts a sum to a single number into as many pieces as it has threads. A sum to many numbers it does not cut: one
thread adds each of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["mean", "means", "sums"]

_ROW = 4096
"""Values that are added at first. The sums of rows, of the largest picture too, are fewer than torch cuts."""


def sums(x: Tensor) -> Tensor:
    """The sum of each of (N, ...): (N,).

    >>> sums(torch.ones(2, 3, 100, 100))
    tensor([30000., 30000.])
    """
    total: Tensor = _Sums.apply(x)  # type: ignore[no-untyped-call]
    return total


def means(x: Tensor) -> Tensor:
    """The mean of each of (N, ...): (N,)."""
    return sums(x) / x[0].numel()


def mean(x: Tensor) -> Tensor:
    """The mean of everything, a scalar."""
    return means(x[None])[0]


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        flat = x.flatten(1)
        count = flat.shape[1] // _ROW
        rows, rest = flat[:, : count * _ROW].reshape(len(flat), count, _ROW), flat[:, count * _ROW :]
        return torch.cat((rows.sum(2), rest.sum(1, keepdim=True)), dim=1).sum(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.view(-1, *[1] * (len(ctx.shape) - 1)).expand(ctx.shape)
