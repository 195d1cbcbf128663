"""3x3 convolutions of a map that is upsampled by two before them, computed at the map's own resolution."""

from __future__ import annotations

from torch import Tensor

from untaught.backend.cpu.convolution import Algorithm
from untaught.backend.cpu.maps import Map, Step
from untaught.backend.cpu.tables import interpolation
from untaught.priors.blocks import Upsampling

__all__ = ["Upsampled"]


class Upsampled(Algorithm):
    """A 3x3 convolution of an upsampled map.

    Args:
        step: what all convolutions share.
        source: the map at low resolution.
        kind: interpolation.
        add: add to the target's values instead of writing them.
    """

    def __init__(self, step: Step, source: Map, kind: Upsampling, *, add: bool) -> None:
        super().__init__(step, source, source.channels)
        self.add = add
        self.rows, self.columns = (interpolation(side, kind, step.padding) for side in (source.height, source.width))
        self.squares: Tensor | None = None

    def outputs(self, target: Map) -> int:
        """Nine taps for each channel."""
        return 9 * target.channels

    def matrix(self, kernel: Tensor, first: int, outputs: int) -> Tensor:
        """See `Algorithm.matrix`."""
        matrix = self._empty_matrix(outputs)
        taps = matrix.view(9, outputs // 9, self.length)
        part = kernel[..., self._part(first)].flatten(1, 2)
        taps[:, : kernel.shape[0], : self.source.used] = part.transpose(0, 1)
        return matrix

    def kernel_gradient(self, total: Tensor, gradient: Tensor, first: int) -> None:
        """See `Algorithm.kernel_gradient`."""
        part = gradient[..., self._part(first)]
        taps = total.view(9, -1, self.length)[:, : gradient.shape[0], : self.source.used]
        part.copy_(taps.transpose(0, 1).reshape(part.shape))

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        self.step.kernels.upsampled_forward(
            *self._source(), *self._target(target), matrix, *self.rows.forward, *self.columns.forward, self.add, sums
        )

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        assert not early
        source = self.source
        self.step.kernels.upsampled_backward(
            *self._source(), *self._target(target), matrix, *self.rows.adjoint, *self.columns.adjoint, total,
            source.gradient, source.sums,
        )  # fmt: skip
