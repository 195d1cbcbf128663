"""Convolutions as matrix products with compiled passes around them: the same mathematics, faster.

Every convolution is a small fixed filter of places, a product over channels, and another small fixed filter::

    1x1                     -                    product       -                        Point
    3x3                     tiles (Bt d B)       16 products   tiles (At m A)           Tiles: Winograd's F(2x2, 3x3)
    3x3, any stride         gathered columns     product       -                        Columns, Narrow
    3x3 of a picture x2     -                    product       its taps, interpolated   Upsampled

The last is where most is saved. An interpolation works on places and a tap on channels, so they commute: the product is
taken at the low resolution, a quarter of the arithmetic, and the picture itself is never upsampled.

The filters are passes over memory. Normalisation, activation, padding and the sums that the next normalisation needs
are done on the way through them, in both directions; kernels.cpp says how. Only what each convolution gave is kept for
the way back; everything else is done again there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from untaught.backend.kernels import Kernels
from untaught.priors.blocks import BatchNormalisation, Padding, Upsampling
from untaught.priors.interpolation import interpolation

__all__ = ["Columns", "Form", "Gradients", "Map", "Narrow", "Normalisation", "Point", "Step", "Tiles", "Upsampled"]

_LANES = 16
_PADDING: dict[Padding, int] = {"zero": 0, "reflection": 1, "replicate": 2}

Gradients = dict[nn.Parameter, Tensor]


def padded(channels: int) -> int:
    """Channels that are stored for so many."""
    return -(-channels // _LANES) * _LANES


class Workspace:
    """Memory that is used again from step to step, so that it is neither asked for nor cleared anew."""

    def __init__(self) -> None:
        self._free: list[Tensor] = []

    def take(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """A tensor of any contents."""
        size = torch.Size(shape).numel() * dtype.itemsize
        fitting = [buffer for buffer in self._free if size <= buffer.numel() <= 2 * size]
        if fitting:
            buffer = min(fitting, key=Tensor.numel)
            self._free = [other for other in self._free if other is not buffer]
        else:
            buffer = torch.empty(size, dtype=torch.uint8)
        return buffer[:size].view(dtype).view(shape)

    def give(self, *tensors: Tensor | None) -> None:
        """Take tensors back that `take` gave and that nobody reads any more."""
        for tensor in tensors:
            if tensor is not None:
                self._free.append(torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()))


class Normalisation:
    """One batch normalisation during a step, of a module's channels from ``first`` on: sums, statistics, gradients."""

    def __init__(self, module: BatchNormalisation, first: int, used: int) -> None:
        self.module, self.first, self.used, self.channels = module, first, used, padded(used)
        self.sums = torch.zeros(2, self.channels, dtype=torch.float64)
        self.kept = torch.zeros(2, self.channels, dtype=torch.float64)

    def finish(self, kernels: Kernels, pixels: int, norm: Tensor) -> None:
        """From the sums over so many pixels to scale and shift, ``norm`` (2, channels)."""
        weight, bias = self.module.weight[self.first :], self.module.bias[self.first :]
        kernels.normalise(self.sums, pixels, self.channels, self.used, weight, bias, norm[0], norm[1], self.kept)
        self.sums.zero_()

    def finish_back(self, kernels: Kernels, pixels: int, lazy: Tensor, gradients: Gradients) -> None:
        """From the sums of the gradient to its completing coefficients, and to the gradients of weight and bias."""
        weight = self.module.weight[self.first :]
        dweight, dbias = self._gradients(gradients)
        kernels.normalise_back(self.sums, pixels, self.channels, self.used, weight, self.kept, lazy, dweight, dbias)
        self.sums.zero_()

    def finish_join_back(self, kernels: Kernels, pixels: int, lazy: Tensor, gradients: Gradients) -> None:
        """The same for the normalisation of a concatenation."""
        weight = self.module.weight[self.first :]
        dweight, dbias = self._gradients(gradients)
        kernels.join_coefficients(
            self.sums, pixels, self.channels, self.used, weight, self.kept, lazy[0], lazy[1], dweight, dbias
        )
        self.sums.zero_()

    def _gradients(self, gradients: Gradients) -> tuple[Tensor, Tensor]:
        for parameter in (self.module.weight, self.module.bias):
            if parameter not in gradients:
                gradients[parameter] = torch.zeros_like(parameter)
        return gradients[self.module.weight][self.first :], gradients[self.module.bias][self.first :]


class Map:
    """What a convolution gave, before its normalisation, and the gradient that comes back to it.

    Attributes:
        values: (pixels, channels), of the arithmetic's type.
        gradient: the same shape: of the normalised values.
        extra: the same shape: the part of the activation's gradient that another convolution brought before.
        norm: (4, channels) float32: scale and shift of the normalisation, and of a second one after the activation;
            None for the network's input, which is used as it is.
        lazy: (3, channels) float32: what completes ``gradient`` to that of ``values``.
        joined: the second normalisation, of a map that goes into a concatenation.
    """

    def __init__(self, height: int, width: int, used: int, module: BatchNormalisation | None, slope: float) -> None:
        self.height, self.width, self.used, self.slope = height, width, used, slope
        self.pixels, self.channels = height * width, padded(used)
        self.normalisation = None if module is None else Normalisation(module, 0, used)
        self.norm = None if module is None else torch.zeros(4, self.channels)
        self.lazy = torch.zeros(3, self.channels)
        self.joined: Normalisation | None = None
        self.values: Tensor | None = None
        self.gradient: Tensor | None = None
        self.extra: Tensor | None = None

    def arguments(self, step: Step) -> tuple[Any, ...]:
        """What the kernels take of a map that is convolved."""
        second = self.joined is not None
        return self.values, self.height, self.width, self.channels, self.norm, self.slope, second, step.padding_code

    @property
    def sums(self) -> Tensor:
        """Of the gradient, for the normalisation that it comes to first."""
        normalisation = self.joined or self.normalisation
        assert normalisation is not None
        return normalisation.sums


class Step:
    """What all convolutions of a network share while a step is taken."""

    def __init__(self, kernels: Kernels, padding: Padding) -> None:
        self.kernels, self.padding, self.padding_code = kernels, padding, _PADDING[padding]
        self.workspace = Workspace()

    def take(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Memory of any contents, of the arithmetic's type if no other is named."""
        return self.workspace.take(*shape, dtype=dtype or self.kernels.dtype)

    def normalise(self, target: Map) -> None:
        """Once all values of a map are there and summed up."""
        assert target.normalisation is not None
        assert target.norm is not None
        target.normalisation.finish(self.kernels, target.pixels, target.norm)

    def complete(self, source: Map, gradients: Gradients) -> None:
        """Once all of a map's gradient is there and summed up."""
        assert source.normalisation is not None
        source.normalisation.finish_back(self.kernels, source.pixels, source.lazy, gradients)
        self.workspace.give(source.extra)
        source.extra = None

    def close(self, target: Map) -> None:
        """Once nobody reads a map any more."""
        self.workspace.give(target.values, target.gradient, target.extra)
        target.values = target.gradient = target.extra = None


class Form(ABC):
    """A convolution of one map as ``batch`` matrix products.

    Args:
        step: what all share.
        source: what is convolved.
        length: length of the matrices' common side.
    """

    batch = 1

    def __init__(self, step: Step, source: Map, length: int) -> None:
        self.step, self.source, self.length = step, source, length

    @abstractmethod
    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        """The kernel, (out, k, k, in), as (batch, outputs, length)."""

    @abstractmethod
    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        """Adjoint of `matrix`: from (batch, outputs, length) to a kernel's gradient."""

    @abstractmethod
    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None: ...

    @abstractmethod
    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None: ...

    def forward(self, target: Map, kernel: Tensor, sums: Tensor | None) -> None:
        """Convolve: the target's values, and their sums if they are wanted here."""
        matrix = self.matrix(kernel, self.outputs(target))
        self._convolve(target, matrix, sums)
        self.step.workspace.give(matrix)

    def backward(self, target: Map, kernel: Tensor, gradient: Tensor, *, early: bool = False) -> None:
        """The kernel's gradient, and the source's unless it is the network's input.

        Args:
            target: what the convolution gave, with its gradient.
            kernel: (out, k, k, in).
            gradient: of the kernel, to be filled; the same shape.
            early: another convolution of the source comes later and completes its gradient.
        """
        outputs = self.outputs(target)
        matrix = self.matrix(kernel, outputs)
        total = self.step.take(self.batch, outputs, self.length, dtype=torch.float32)
        if self.source.norm is not None:
            room = self.step.take(self.source.pixels, self.source.channels)
            if early:
                self.source.extra = room
            else:
                self.source.gradient = room
        self._convolve_back(target, matrix, total, early=early)
        self.kernel(total, gradient)
        self.step.workspace.give(matrix, total)

    def outputs(self, target: Map) -> int:
        """Length of the product's rows."""
        return target.channels

    def _source(self) -> tuple[Any, ...]:
        return self.source.arguments(self.step)

    def _target(self, target: Map) -> tuple[Any, ...]:
        return target.values, target.gradient, target.lazy, target.channels


class Point(Form):
    """A 1x1 convolution."""

    def __init__(self, step: Step, source: Map) -> None:
        super().__init__(step, source, source.channels)

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        """See `Form.matrix`."""
        matrix = self.step.take(1, outputs, self.length).zero_()
        matrix[0, : kernel.shape[0], : kernel.shape[3]] = kernel[:, 0, 0]
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        """See `Form.kernel`."""
        gradient[:, 0, 0] = total[0, : gradient.shape[0], : gradient.shape[3]]

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        self.step.kernels.point_forward(*self._source(), *self._target(target), matrix, sums)

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        source = self.source
        result, extra = (source.extra, None) if early else (source.gradient, source.extra)
        sums = None if source.norm is None else source.sums
        self.step.kernels.point_backward(
            *self._source(), *self._target(target), matrix, total, result, extra, early, sums
        )


class Tiles(Form):
    """A 3x3 convolution of a map of even height and width in Winograd's form F(2x2, 3x3) (Lavin and Gray, 2016)."""

    batch = 16

    def __init__(self, step: Step, source: Map) -> None:
        super().__init__(step, source, source.channels)

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        """See `Form.matrix`."""
        matrix = self.step.take(16, outputs, self.length).zero_()
        channels, row = kernel.shape[3], kernel.stride(2)
        self.step.kernels.tiles_weights(matrix, kernel, kernel.shape[0], channels, row, outputs, self.length)
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        """See `Form.kernel`."""
        channels, row = gradient.shape[3], gradient.stride(2)
        self.step.kernels.tiles_weights_back(
            gradient, total, gradient.shape[0], channels, row, total.shape[1], self.length
        )

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        self.step.kernels.tiles_forward(*self._source(), *self._target(target), matrix, sums)

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        assert not early
        source, kernels = self.source, self.step.kernels
        kept = self.step.take(4 * source.pixels, source.channels)
        kernels.tiles_backward(*self._source(), *self._target(target), matrix, total, kept)
        kernels.tiles_gather(*self._source(), kept, source.gradient, source.extra, source.sums)
        self.step.workspace.give(kept)


class Columns(Form):
    """A 3x3 convolution of any stride over gathered columns, (ky, kx, channel) for each output."""

    def __init__(self, step: Step, source: Map, stride: int) -> None:
        self.stride = stride
        super().__init__(step, source, 9 * source.channels)

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        """See `Form.matrix`."""
        matrix = self.step.take(1, outputs, self.length).zero_()
        shape = (outputs, 3, 3, self.source.channels)
        matrix.view(shape)[: kernel.shape[0], ..., : kernel.shape[3]] = kernel
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        """See `Form.kernel`."""
        whole = total.view(-1, 3, 3, self.source.channels)
        gradient.copy_(whole[: gradient.shape[0], ..., : gradient.shape[3]])

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        self.step.kernels.columns_forward(*self._source(), *self._target(target), matrix, self.stride, sums)

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        assert not early
        source, kernels = self.source, self.step.kernels
        kept = None if source.norm is None else self.step.take(target.pixels, self.length)
        kernels.columns_backward(*self._source(), *self._target(target), matrix, self.stride, total, kept)
        if kept is not None:
            kernels.columns_gather(*self._source(), self.stride, kept, source.gradient, source.extra, source.sums)
            self.step.workspace.give(kept)


class Narrow(Form):
    """The same for a map of few channels that goes into a concatenation: stored as 16, gathered without the others."""

    def __init__(self, step: Step, source: Map) -> None:
        # The last tap is read as a whole vector on the way back.
        super().__init__(step, source, padded(8 * source.used + _LANES))

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        """See `Form.matrix`."""
        matrix = self.step.take(1, outputs, self.length).zero_()
        matrix[0, : kernel.shape[0], : 9 * self.source.used] = kernel.flatten(1)
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        """See `Form.kernel`."""
        gradient.copy_(total[0, : gradient.shape[0], : 9 * self.source.used].view(gradient.shape))

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        used = self.source.used
        self.step.kernels.narrow_forward(*self._source(), *self._target(target), matrix, used, self.length, sums)

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        assert not early
        source, kernels = self.source, self.step.kernels
        kept = self.step.take(source.pixels, self.length)
        kernels.narrow_backward(*self._source(), *self._target(target), matrix, source.used, self.length, total, kept)
        kernels.narrow_gather(*self._source(), source.used, self.length, kept, source.gradient, source.sums)
        self.step.workspace.give(kept)


class Upsampled(Form):
    """A 3x3 convolution of a map that is upsampled by two before it; adds to what the target has, if ``add``."""

    def __init__(self, step: Step, source: Map, kind: Upsampling, *, add: bool) -> None:
        super().__init__(step, source, source.channels)
        self.add = add
        self.rows, self.columns = (interpolation(side, kind, step.padding) for side in (source.height, source.width))
        self.squares: Tensor | None = None

    def outputs(self, target: Map) -> int:
        """Nine taps for each channel."""
        return 9 * target.channels

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        """See `Form.matrix`."""
        matrix = self.step.take(1, outputs, self.length).zero_()
        taps = matrix.view(9, outputs // 9, self.length)
        taps[:, : kernel.shape[0], : kernel.shape[3]] = kernel.flatten(1, 2).transpose(0, 1)
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        """See `Form.kernel`."""
        taps = total.view(9, -1, self.length)[:, : gradient.shape[0], : gradient.shape[3]]
        gradient.copy_(taps.transpose(0, 1).reshape(gradient.shape))

    def _convolve(self, target: Map, matrix: Tensor, sums: Tensor | None) -> None:
        self.step.kernels.upsampled_forward(
            *self._source(), *self._target(target), matrix, *self.rows.forward, *self.columns.forward, self.add, sums
        )

    def _convolve_back(self, target: Map, matrix: Tensor, total: Tensor, *, early: bool) -> None:
        assert not early
        self.step.kernels.upsampled_backward(
            *self._source(), *self._target(target), matrix, *self.rows.adjoint, *self.columns.adjoint, total,
            self.source.gradient, self.source.sums,
        )  # fmt: skip
