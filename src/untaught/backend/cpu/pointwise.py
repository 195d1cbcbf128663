"""1x1 convolutions: one product, nothing around it."""

from __future__ import annotations

from torch import Tensor

from untaught.backend.cpu.convolution import Algorithm
from untaught.backend.cpu.maps import Map, Step

__all__ = ["Pointwise"]


class Pointwise(Algorithm):
    """A 1x1 convolution."""

    def __init__(self, step: Step, source: Map) -> None:
        super().__init__(step, source, source.channels)

    def matrix(self, kernel: Tensor, first: int, outputs: int) -> Tensor:
        """See `Algorithm.matrix`."""
        matrix = self._empty_matrix(outputs)
        matrix[0, : kernel.shape[0], : self.source.used] = kernel[:, 0, 0, self._part(first)]
        return matrix

    def kernel_gradient(self, total: Tensor, gradient: Tensor, first: int) -> None:
        """See `Algorithm.kernel_gradient`."""
        gradient[:, 0, 0, self._part(first)] = total[0, : gradient.shape[0], : self.source.used]

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        self.step.kernels.pointwise_forward(*self._source(), *self._target(target), matrix, sums)

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        source = self.source
        result, extra = (source.extra, None) if early else (source.gradient, source.extra)
        sums = None if source.norm is None else source.sums
        self.step.kernels.pointwise_backward(
            *self._source(), *self._target(target), matrix, total, result, extra, early, sums
        )
