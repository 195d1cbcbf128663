"""3x3 convolutions by im2col: the nine neighbours of each output pixel are one row of a matrix."""

from __future__ import annotations

from torch import Tensor

from untaught.backend.cpu.convolution import Algorithm
from untaught.backend.cpu.maps import LANES, Map, Step, padded

__all__ = ["Im2col", "NarrowIm2col"]


class Im2col(Algorithm):
    """A 3x3 convolution of any stride and size; a row is ordered (ky, kx, channel)."""

    def __init__(self, step: Step, source: Map, stride: int) -> None:
        self.stride = stride
        super().__init__(step, source, 9 * source.channels)

    def matrix(self, kernel: Tensor, first: int, outputs: int) -> Tensor:
        """See `Algorithm.matrix`."""
        matrix = self._empty_matrix(outputs)
        rows = matrix.view(outputs, 3, 3, self.source.channels)
        rows[: kernel.shape[0], ..., : self.source.used] = kernel[..., self._part(first)]
        return matrix

    def kernel_gradient(self, total: Tensor, gradient: Tensor, first: int) -> None:
        """See `Algorithm.kernel_gradient`."""
        rows = total.view(-1, 3, 3, self.source.channels)
        gradient[..., self._part(first)] = rows[: gradient.shape[0], ..., : self.source.used]

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        self.step.kernels.im2col_forward(*self._source(), *self._target(target), matrix, self.stride, sums)

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        assert not early
        source, kernels = self.source, self.step.kernels
        kept = None if source.norm is None else self.step.take(target.pixels, self.length)
        kernels.im2col_backward(*self._source(), *self._target(target), matrix, self.stride, total, kept)
        if kept is not None:
            kernels.im2col_gather(*self._source(), self.stride, kept, source.gradient, source.extra, source.sums)
            self.step.workspace.give(kept)


class NarrowIm2col(Algorithm):
    """A 3x3 convolution of stride 1 of a map of few channels that is part of a concatenation.

    The map is stored with 16 channels per pixel; a row of the matrix holds the used ones only.
    """

    def __init__(self, step: Step, source: Map) -> None:
        # The backward pass reads the last tap as a whole vector.
        super().__init__(step, source, padded(8 * source.used + LANES))

    def matrix(self, kernel: Tensor, first: int, outputs: int) -> Tensor:
        """See `Algorithm.matrix`."""
        matrix = self._empty_matrix(outputs)
        matrix[0, : kernel.shape[0], : 9 * self.source.used] = kernel[..., self._part(first)].flatten(1)
        return matrix

    def kernel_gradient(self, total: Tensor, gradient: Tensor, first: int) -> None:
        """See `Algorithm.kernel_gradient`."""
        part = gradient[..., self._part(first)]
        part.copy_(total[0, : gradient.shape[0], : 9 * self.source.used].view(part.shape))

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        self.step.kernels.narrow_im2col_forward(
            *self._source(), *self._target(target), matrix, self.source.used, self.length, sums
        )

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        assert not early
        source, kernels = self.source, self.step.kernels
        kept = self.step.take(source.pixels, self.length)
        kernels.narrow_im2col_backward(
            *self._source(), *self._target(target), matrix, source.used, self.length, total, kept
        )
        kernels.narrow_im2col_gather(*self._source(), source.used, self.length, kept, source.gradient, source.sums)
        self.step.workspace.give(kept)
