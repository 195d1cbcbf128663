"""The interface of an algorithm that computes a convolution as matrix products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from untaught.backend.cpu.maps import Map, Step

__all__ = ["Algorithm"]


class Algorithm(ABC):
    """A convolution of one map, computed as ``batch`` matrix products.

    Args:
        step: what all convolutions share.
        source: the map that is convolved.
        length: length of the matrices' common side.
    """

    batch = 1

    def __init__(self, step: Step, source: Map, length: int) -> None:
        self.step, self.source, self.length = step, source, length

    @abstractmethod
    def matrix(self, kernel: Tensor, first: int, outputs: int) -> Tensor:
        """The kernel as matrices, (batch, outputs, length).

        Args:
            kernel: (out, k, k, in), contiguous.
            first: first of its input channels that belong to the source.
            outputs: rows of each matrix.
        """

    @abstractmethod
    def kernel_gradient(self, total: Tensor, gradient: Tensor, first: int) -> None:
        """Adjoint of `matrix`: writes the source's channels of the kernel's gradient.

        Args:
            total: gradient of the matrices, (batch, outputs, length).
            gradient: (out, k, k, in), contiguous.
            first: first of its input channels that belong to the source.
        """

    @abstractmethod
    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None: ...

    @abstractmethod
    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None: ...

    def forward(self, target: Map, kernel: Tensor, sums: Tensor | None, first: int = 0) -> None:
        """Convolve: compute the target's values, and their sums if wanted.

        Args:
            target: the map that results.
            kernel: (out, k, k, in), contiguous.
            sums: (2, channels), float64: the sums of values and squares are added to it; nothing is, if None.
            first: first of the kernel's input channels that belong to the source.
        """
        matrix = self.matrix(kernel, first, self.outputs(target))
        self._convolve(target, matrix, sums)
        self.step.workspace.give(matrix)

    def backward(self, target: Map, kernel: Tensor, gradient: Tensor, first: int = 0, *, early: bool = False) -> None:
        """Compute the kernel's gradient, and the source's unless that is the network's input.

        Args:
            target: the map that resulted, with its gradient.
            kernel: (out, k, k, in), contiguous.
            gradient: gradient of the kernel, written; the same shape.
            first: first of the kernel's input channels that belong to the source.
            early: another convolution of the source follows and completes its gradient.
        """
        outputs = self.outputs(target)
        matrix = self.matrix(kernel, first, outputs)
        total = self.step.take(self.batch, outputs, self.length, dtype=torch.float32)
        if self.source.norm is not None:
            room = self.step.take(self.source.pixels, self.source.channels)
            if early:
                self.source.extra = room
            else:
                self.source.gradient = room
        self._convolve_back(target, matrix, total, early=early)
        self.kernel_gradient(total, gradient, first)
        self.step.workspace.give(matrix, total)

    def outputs(self, target: Map) -> int:
        """Rows of each matrix."""
        return target.channels

    def _empty_matrix(self, outputs: int) -> Tensor:
        return self.step.take(self.batch, outputs, self.length).zero_()

    def _part(self, first: int) -> slice:
        """The kernel's input channels that belong to the source."""
        return slice(first, first + self.source.used)

    def _source(self) -> tuple[Any, ...]:
        return self.source.arguments(self.step)

    def _target(self, target: Map) -> tuple[Any, ...]:
        return target.values, target.gradient, target.lazy, target.channels
