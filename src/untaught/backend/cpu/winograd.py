"""3x3 convolutions by Winograd's algorithm F(2x2, 3x3): 16 products instead of 36 multiplications for 4 outputs.

Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.
"""

from __future__ import annotations

from torch import Tensor

from untaught.backend.cpu.convolution import Algorithm
from untaught.backend.cpu.maps import Map, Step

__all__ = ["Winograd"]


class Winograd(Algorithm):
    """A 3x3 convolution of stride 1 of a map of even height and width."""

    batch = 16

    def __init__(self, step: Step, source: Map) -> None:
        super().__init__(step, source, source.channels)

    def matrix(self, kernel: Tensor, first: int, outputs: int) -> Tensor:
        """See `Algorithm.matrix`."""
        matrix = self._empty_matrix(outputs)
        out, row, used = kernel.shape[0], kernel.shape[3], self.source.used
        self.step.kernels.winograd_weights(matrix, kernel, out, first, used, row, outputs, self.length)
        return matrix

    def kernel_gradient(self, total: Tensor, gradient: Tensor, first: int) -> None:
        """See `Algorithm.kernel_gradient`."""
        out, row, used, outputs = gradient.shape[0], gradient.shape[3], self.source.used, total.shape[1]
        self.step.kernels.winograd_weights_back(gradient, total, out, first, used, row, outputs, self.length)

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        self.step.kernels.winograd_forward(*self._source(), *self._target(target), matrix, sums)

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        assert not early
        source, kernels = self.source, self.step.kernels
        kept = self.step.take(4 * source.pixels, source.channels)
        kernels.winograd_backward(*self._source(), *self._target(target), matrix, total, kept)
        kernels.winograd_gather(*self._source(), kept, source.gradient, source.extra, source.sums)
        self.step.workspace.give(kept)
