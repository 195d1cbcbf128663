"""The parts of a compiled network: a convolution with its normalisation, of one map or of a concatenation.

A convolution of a concatenation is the sum of the convolutions of its parts, so nothing is concatenated. A bias before
a batch normalisation has no effect, because the normalisation subtracts the mean: it is left out, and its gradient is
zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from untaught.backend.cpu.convolution import Algorithm
from untaught.backend.cpu.im2col import Im2col, NarrowIm2col
from untaught.backend.cpu.maps import Gradients, Map, Normalisation, Step
from untaught.backend.cpu.upsampled import Upsampled
from untaught.backend.cpu.winograd import Winograd
from untaught.priors.blocks import BatchNormalisation, Convolution, Upsampling

__all__ = ["Convolved", "Joined", "three_by_three"]

_NARROW = 8  # a skip branch of at most so many channels uses im2col: tiles would be mostly padding


class Convolved:
    """A convolution of one map, with the normalisation that follows.

    Args:
        algorithm: of the convolution.
        target: the map that results.
        module: holds the weights.
        early: another convolution of the same source follows in the backward pass.
    """

    def __init__(self, algorithm: Algorithm, target: Map, module: Convolution, *, early: bool = False) -> None:
        self.algorithm, self.target, self.module, self.early = algorithm, target, module, early

    def forward(self) -> None:
        """Compute the target and its normalisation."""
        step, target = self.algorithm.step, self.target
        assert target.normalisation is not None
        target.values = step.take(target.pixels, target.channels)
        self.algorithm.forward(target, _kernel(self.module), target.normalisation.sums)
        step.normalise(target)

    def backward(self, gradients: Gradients) -> None:
        """Add the gradients of the weights, and compute those of the sources."""
        step, source = self.algorithm.step, self.algorithm.source
        gradient = _gradient(self.module, gradients)
        self.algorithm.backward(self.target, _kernel(self.module), gradient, early=self.early)
        step.close(self.target)
        if source.norm is not None and not self.early:
            step.complete(source, gradients)


class Joined:
    """The 3x3 convolution of a normalised concatenation.

    Args:
        step: what all convolutions share.
        skip: map of the skip branch, or None.
        below: map of the scale below, which is upsampled by two, or None.
        kind: its interpolation.
        normalisation: of the concatenation.
        module: the convolution.
        target: the map that results.
    """

    def __init__(
        self,
        step: Step,
        skip: Map | None,
        below: Map | None,
        kind: Upsampling,
        normalisation: BatchNormalisation,
        module: Convolution,
        target: Map,
    ) -> None:
        self.step, self.target, self.module = step, target, module
        self.parts: list[tuple[Algorithm, int]] = []
        first = 0
        for source in (skip, below):
            if source is None:
                continue
            source.joined = Normalisation(normalisation, first, source.used)
            algorithm: Algorithm
            if source is below:
                algorithm = Upsampled(step, source, kind, add=skip is not None)
            elif source.used <= _NARROW:
                algorithm = NarrowIm2col(step, source)
            else:
                algorithm = three_by_three(step, source, 1)
            self.parts.append((algorithm, first))
            first += source.used

    def forward(self) -> None:
        """Compute the target and its normalisation."""
        step, target = self.step, self.target
        assert target.normalisation is not None
        target.values = step.take(target.pixels, target.channels)
        kernel = _kernel(self.module)
        for algorithm, first in self.parts:
            self._normalise(algorithm)
            last = algorithm is self.parts[-1][0]
            algorithm.forward(target, kernel, target.normalisation.sums if last else None, first)
        step.normalise(target)

    def backward(self, gradients: Gradients) -> None:
        """Add the gradients of the weights, and compute those of the sources."""
        step, target = self.step, self.target
        kernel, gradient = _kernel(self.module), _gradient(self.module, gradients)
        for algorithm, first in self.parts:
            algorithm.backward(target, kernel, gradient, first)
            self._normalise_back(algorithm, gradients)
        step.close(target)

    def _normalise(self, algorithm: Algorithm) -> None:
        """Compute the concatenation's normalisation for one part."""
        source, kernels = algorithm.source, self.step.kernels
        assert source.joined is not None
        assert source.norm is not None
        if isinstance(algorithm, Upsampled):
            algorithm.squares = self.step.take(source.pixels, source.channels)
            rows, columns = algorithm.rows, algorithm.columns
            kernels.upsampled_statistics(
                *source.arguments(self.step), algorithm.squares, rows.reach, rows.gram, columns.gram, rows.weight,
                columns.weight, source.joined.sums,
            )  # fmt: skip
        else:
            kernels.statistics(*source.arguments(self.step), source.joined.sums)
        source.joined.finish(kernels, self.target.pixels, source.norm[2:])

    def _normalise_back(self, algorithm: Algorithm, gradients: Gradients) -> None:
        source, kernels = algorithm.source, self.step.kernels
        assert source.joined is not None
        assert source.normalisation is not None
        source.joined.finish_concatenation_back(kernels, self.target.pixels, source.lazy, gradients)
        squares: Tensor | None = None
        weights: tuple[Tensor | None, Tensor | None] = (None, None)
        if isinstance(algorithm, Upsampled):
            squares, weights = algorithm.squares, (algorithm.rows.weight, algorithm.columns.weight)
        kernels.concatenation_back(
            *source.arguments(self.step), source.gradient, squares, source.lazy[0], source.lazy[1], *weights,
            source.normalisation.sums,
        )  # fmt: skip
        self.step.workspace.give(squares)
        self.step.complete(source, gradients)


def three_by_three(step: Step, source: Map, stride: int) -> Algorithm:
    """The fastest algorithm for a 3x3 convolution of a map."""
    if stride == 1 and source.height % 2 == 0 and source.width % 2 == 0:
        return Winograd(step, source)
    return Im2col(step, source, stride)


def _kernel(module: Convolution) -> Tensor:
    """The kernel as (out, k, k, in), contiguous; no copy if the weight is stored with its channels last."""
    return module.weight.detach().permute(0, 2, 3, 1).contiguous()


def _gradient(module: Convolution, gradients: Gradients) -> Tensor:
    """An empty tensor for a convolution's gradient: (out, k, k, in)."""
    weight = module.weight
    room = torch.empty(weight.shape[0], *weight.shape[2:], weight.shape[1], dtype=torch.float32)
    gradients[weight] = room.permute(0, 3, 1, 2)
    gradients[module.bias] = torch.zeros_like(module.bias)
    return room
