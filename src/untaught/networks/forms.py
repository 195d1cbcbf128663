"""Convolutions as matrix products with compiled passes around them: the same mathematics, faster.

Every convolution is a small fixed filter of places, a product over channels, and another small fixed filter::

    1x1                     -                    product       -                        Point
    3x3                     tiles (Bt d B)       16 products   tiles (At m A)           Tiles: Winograd's F(2x2, 3x3)
    3x3, any stride         gathered columns     product       -                        Columns, Narrow
    3x3 of a picture x2     -                    product       its taps, interpolated   Upsampled

The last is where most is saved. An interpolation works on places and a tap on channels, so they commute: the product is
taken at the low resolution, a quarter of the arithmetic, and the picture itself is never upsampled.

The filters are passes over memory. Normalisation, activation, padding and the sums that the next normalisation needs are
done on the way through them, in both directions; kernels.cpp says how. A picture is worked on in groups of rows that fit the
processor's cache. Only what each convolution gave is kept for the way back; everything else is done again there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from untaught.kernels import Kernels
from untaught.networks.blocks import BatchNormalisation, Padding, Upsampling
from untaught.networks.interpolation import interpolation

__all__ = ["Columns", "Form", "Gradients", "Map", "Narrow", "Normalisation", "Point", "Step", "Tiles", "Upsampled", "ROWS"]

_LANES = 16
ROWS = 2048  # rows of a matrix product that are worked on at a time
_TILES = 512  # the same for the 16 products of Winograd's form
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
                self._free.append(torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()))  # type: ignore[call-overload]


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
        norm: (4, channels) float32: scale and shift of the normalisation, and of a second one after the activation; None
            for the network's input, which is used as it is.
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
    """A convolution of one map as ``batch`` matrix products at a time, over groups of rows.

    Args:
        step: what all share.
        source: what is convolved.
        across: rows of the matrices for each row of pixels (or of tiles).
        down: number of those rows.
        length: length of the matrices' common side.
        rows: about how many rows of the matrices make a group.
    """

    batch = 1

    def __init__(self, step: Step, source: Map, across: int, down: int, length: int, rows: int) -> None:
        self.step, self.source, self.across, self.length = step, source, across, length
        lines = max(1, min(down, rows // across))
        self.largest = lines * across
        self.groups = [(first, min(down, first + lines)) for first in range(0, down, lines)]

    @abstractmethod
    def into(self, buffer: Tensor, first: int, last: int) -> Tensor:
        """Fill a buffer from the source: (batch, rows, length)."""

    @abstractmethod
    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        """The kernel, (out, k, k, in), as (batch, outputs, length)."""

    @abstractmethod
    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        """Adjoint of `matrix`: from (batch, outputs, length) to a kernel's gradient."""

    def outputs(self, target: Map) -> int:
        """Length of the product's rows."""
        return target.channels

    def forward(self, target: Map, kernel: Tensor, sums: Tensor | None) -> None:
        """Convolve: the target's values, and their sums if they are wanted here."""
        step = self.step
        matrix = self.matrix(kernel, self.outputs(target))
        buffer = step.take(self.batch, self.largest, self.length)
        for first, last in self.groups:
            self.multiply(target, self.into(buffer, first, last), matrix, first, last, sums)
        step.workspace.give(buffer, matrix)

    def multiply(self, target: Map, rows: Tensor, matrix: Tensor, first: int, last: int, sums: Tensor | None) -> None:
        """One group's product, put into the target."""
        values = self._lines(target.values, first, last)
        torch.mm(rows[0], matrix[0].t(), out=values)
        if sums is not None:
            self.step.kernels.statistics(values, len(values), target.channels, None, 0.0, sums)

    def backward(self, target: Map, kernel: Tensor, gradient: Tensor, *, early: bool = False) -> None:
        """The kernel's gradient, and the source's unless it is the network's input.

        Args:
            target: what the convolution gave, with its gradient.
            kernel: (out, k, k, in).
            gradient: of the kernel, to be filled; the same shape.
            early: another convolution of the source comes later and completes its gradient.
        """
        step, source, outputs = self.step, self.source, self.outputs(target)
        matrix = self.matrix(kernel, outputs)
        rows, change = step.take(self.batch, self.largest, self.length), step.take(self.batch, self.largest, outputs)
        total = step.take(self.batch, outputs, self.length, dtype=torch.float32).zero_()
        share = step.take(self.batch, outputs, self.length)
        wanted = source.norm is not None
        if wanted:
            self.open_back(early=early)
        for first, last in self.groups:
            part = self.out_back(target, change, first, last)
            _product(part.mT, self.into(rows, first, last), share)
            step.kernels.accumulate(total, share, total.numel())
            if wanted:
                self.in_back(part, matrix, first, last)
        if wanted:
            self.close_back()
        self.kernel(total, gradient)
        step.workspace.give(rows, change, matrix, total, share)

    def out_back(self, target: Map, buffer: Tensor, first: int, last: int) -> Tensor:
        """The gradient of a group's product: (batch, rows, outputs)."""
        gradient, values = self._lines(target.gradient, first, last), self._lines(target.values, first, last)
        part = _cut(buffer, 1, len(values), target.channels)
        self.step.kernels.point_out_back(part, gradient, values, target.lazy, len(values), target.channels)
        return part

    @abstractmethod
    def open_back(self, *, early: bool) -> None:
        """Make room for the source's gradient."""

    @abstractmethod
    def in_back(self, part: Tensor, matrix: Tensor, first: int, last: int) -> None:
        """Take up a group's part of the source's gradient."""

    def close_back(self) -> None:
        """All groups have been taken up."""

    def _lines(self, tensor: Tensor | None, first: int, last: int) -> Tensor:
        assert tensor is not None
        return tensor[first * self.across : last * self.across]

    def _norm(self) -> tuple[Tensor | None, float]:
        return self.source.norm, self.source.slope

    def _size(self) -> tuple[int, int, int]:
        return self.source.height, self.source.width, self.source.channels


class Point(Form):
    """A 1x1 convolution."""

    def __init__(self, step: Step, source: Map) -> None:
        super().__init__(step, source, source.width, source.height, source.channels, ROWS)

    def into(self, buffer: Tensor, first: int, last: int) -> Tensor:
        values = self._lines(self.source.values, first, last)
        if self.source.norm is None:
            return values[None]
        rows = _cut(buffer, 1, len(values), self.length)
        self.step.kernels.point_in(
            rows, values, len(values), self.length, *self._norm(), self.source.joined is not None
        )
        return rows

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        matrix = self.step.take(1, outputs, self.length).zero_()
        matrix[0, : kernel.shape[0], : kernel.shape[3]] = kernel[:, 0, 0]
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        gradient[:, 0, 0] = total[0, : gradient.shape[0], : gradient.shape[3]]

    def open_back(self, *, early: bool) -> None:
        self.early = early
        self._back = self.step.take(self.largest, self.length)
        target = self.step.take(self.source.pixels, self.length)
        if early:
            self.source.extra = target
        else:
            self.source.gradient = target

    def in_back(self, part: Tensor, matrix: Tensor, first: int, last: int) -> None:
        source = self.source
        if self.early:
            torch.mm(part[0], matrix[0], out=self._lines(source.extra, first, last))
            return
        count = part.shape[1]
        torch.mm(part[0], matrix[0], out=self._back[:count])
        extra = None if source.extra is None else self._lines(source.extra, first, last)
        gradient, values = self._lines(source.gradient, first, last), self._lines(source.values, first, last)
        self.step.kernels.point_in_back(
            gradient, self._back, extra, values, count, self.length, *self._norm(), source.joined is not None, source.sums
        )

    def close_back(self) -> None:
        self.step.workspace.give(self._back)


class Tiles(Form):
    """A 3x3 convolution of a map of even height and width in Winograd's form F(2x2, 3x3) (Lavin and Gray, 2016)."""

    batch = 16

    def __init__(self, step: Step, source: Map) -> None:
        super().__init__(step, source, source.width // 2, source.height // 2, source.channels, _TILES)

    def into(self, buffer: Tensor, first: int, last: int) -> Tensor:
        tiles = _cut(buffer, 16, (last - first) * self.across, self.length)
        self.step.kernels.winograd_in(
            tiles, self.source.values, *self._size(), *self._norm(), self.source.joined is not None,
            self.step.padding_code, first, last - first,
        )  # fmt: skip
        return tiles

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        matrix = self.step.take(16, outputs, self.length).zero_()
        channels, row = kernel.shape[3], kernel.stride(2)
        self.step.kernels.winograd_weights(matrix, kernel, kernel.shape[0], channels, row, outputs, self.length)
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        channels, row = gradient.shape[3], gradient.stride(2)
        self.step.kernels.winograd_weights_back(
            gradient, total, gradient.shape[0], channels, row, total.shape[1], self.length
        )

    def multiply(self, target: Map, rows: Tensor, matrix: Tensor, first: int, last: int, sums: Tensor | None) -> None:
        product = self.step.take(16, rows.shape[1], target.channels)
        torch.bmm(rows, matrix.mT, out=product)
        self.step.kernels.winograd_out(
            target.values, product, target.width, target.channels, first, last - first, sums
        )
        self.step.workspace.give(product)

    def out_back(self, target: Map, buffer: Tensor, first: int, last: int) -> Tensor:
        part = _cut(buffer, 16, (last - first) * self.across, target.channels)
        self.step.kernels.winograd_out_back(
            part, target.gradient, target.values, target.lazy, target.width, target.channels, first, last - first
        )
        return part

    def open_back(self, *, early: bool) -> None:
        assert not early
        self.source.gradient = self.step.take(self.source.pixels, self.length)
        # A row of tiles reaches into its neighbours' pixels, so a group is gathered once the next one is known.
        self._known: list[tuple[int, int, Tensor]] = []

    def in_back(self, part: Tensor, matrix: Tensor, first: int, last: int) -> None:
        back = self.step.take(16, part.shape[1], self.length)
        self._known.append((first, last, torch.bmm(part, matrix, out=back)))
        if len(self._known) > 1:
            self._gather(-2)
        if len(self._known) > 2:
            self.step.workspace.give(self._known.pop(0)[2])

    def close_back(self) -> None:
        self._gather(-1)
        self.step.workspace.give(*(back for _, _, back in self._known))

    def _gather(self, which: int) -> None:
        source, index = self.source, len(self._known) + which
        first, last, own = self._known[index]
        above = self._known[index - 1] if index else (0, 0, None)
        below = self._known[index + 1] if index + 1 < len(self._known) else (0, 0, None)
        self.step.kernels.winograd_in_back(
            source.gradient, own, above[2], above[1] - above[0], below[2], below[1] - below[0], source.extra,
            source.values, *self._size(), *self._norm(), source.joined is not None, self.step.padding_code, first,
            last - first, source.sums,
        )  # fmt: skip


class _Gathered(Form):
    """A convolution whose inputs are gathered for each output; on the way back all of them are kept until the end."""

    def open_back(self, *, early: bool) -> None:
        assert not early
        down = self.groups[-1][1]
        self.source.gradient = self.step.take(self.source.pixels, self.source.channels)
        self._back = self.step.take(down * self.across, self.length)

    def in_back(self, part: Tensor, matrix: Tensor, first: int, last: int) -> None:
        torch.mm(part[0], matrix[0], out=self._lines(self._back, first, last))


class Columns(_Gathered):
    """A 3x3 convolution of any stride over gathered columns, (ky, kx, channel) for each output."""

    def __init__(self, step: Step, source: Map, stride: int) -> None:
        self.stride = stride
        across, down = (source.width - 1) // stride + 1, (source.height - 1) // stride + 1
        super().__init__(step, source, across, down, 9 * source.channels, ROWS)

    def into(self, buffer: Tensor, first: int, last: int) -> Tensor:
        columns = _cut(buffer, 1, (last - first) * self.across, self.length)
        self.step.kernels.columns_in(
            columns, self.source.values, *self._size(), *self._norm(), self.source.joined is not None,
            self.step.padding_code, self.stride, first, last - first,
        )  # fmt: skip
        return columns

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        matrix = self.step.take(1, outputs, self.length).zero_()
        shape = (outputs, 3, 3, self.source.channels)
        matrix.view(shape)[: kernel.shape[0], ..., : kernel.shape[3]] = kernel
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        whole = total.view(-1, 3, 3, self.source.channels)
        gradient.copy_(whole[: gradient.shape[0], ..., : gradient.shape[3]])

    def close_back(self) -> None:
        source = self.source
        self.step.kernels.columns_in_back(
            source.gradient, self._back, source.extra, source.values, *self._size(), *self._norm(),
            source.joined is not None, self.step.padding_code, self.stride, source.sums,
        )  # fmt: skip
        self.step.workspace.give(self._back)


class Narrow(_Gathered):
    """The same for a map of up to 8 channels that goes into a concatenation: stored as 16, gathered without the others."""

    def __init__(self, step: Step, source: Map) -> None:
        # The last tap is read as a whole vector on the way back.
        super().__init__(step, source, source.width, source.height, padded(8 * source.used + _LANES), ROWS)

    def into(self, buffer: Tensor, first: int, last: int) -> Tensor:
        columns = _cut(buffer, 1, (last - first) * self.across, self.length)
        self.step.kernels.narrow_in(
            columns, self.source.values, *self._sizes(), *self._norm(), self.step.padding_code, first, last - first
        )
        return columns

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        matrix = self.step.take(1, outputs, self.length).zero_()
        matrix[0, : kernel.shape[0], : 9 * self.source.used] = kernel.flatten(1)
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        gradient.copy_(total[0, : gradient.shape[0], : 9 * self.source.used].view(gradient.shape))

    def close_back(self) -> None:
        source = self.source
        self.step.kernels.narrow_in_back(
            source.gradient, self._back, source.values, *self._sizes(), *self._norm(), self.step.padding_code, source.sums
        )
        self.step.workspace.give(self._back)

    def _sizes(self) -> tuple[int, int, int, int]:
        return self.source.height, self.source.width, self.source.used, self.length


class Upsampled(Point):
    """A 3x3 convolution of a map that is upsampled by two before it; adds to what the target has, if ``add``."""

    def __init__(self, step: Step, source: Map, kind: Upsampling, *, add: bool) -> None:
        super().__init__(step, source)
        self.add = add
        self.rows, self.columns = (interpolation(side, kind, step.padding) for side in (source.height, source.width))

    def outputs(self, target: Map) -> int:
        return 9 * target.channels

    def matrix(self, kernel: Tensor, outputs: int) -> Tensor:
        matrix = self.step.take(1, outputs, self.length).zero_()
        taps = matrix.view(9, outputs // 9, self.length)
        taps[:, : kernel.shape[0], : kernel.shape[3]] = kernel.flatten(1, 2).transpose(0, 1)
        return matrix

    def kernel(self, total: Tensor, gradient: Tensor) -> None:
        taps = total.view(9, -1, self.length)[:, : gradient.shape[0], : gradient.shape[3]]
        gradient.copy_(taps.transpose(0, 1).reshape(gradient.shape))

    def forward(self, target: Map, kernel: Tensor, sums: Tensor | None) -> None:
        # Products are kept for as many lines as the interpolation still reaches back to.
        largest = max(last - first for first, last in self.groups)
        self._window = self.step.take((largest + 8) * self.across, self.outputs(target))
        self._start = self._done = 0
        super().forward(target, kernel, sums)
        self.step.workspace.give(self._window)

    def multiply(self, target: Map, rows: Tensor, matrix: Tensor, first: int, last: int, sums: Tensor | None) -> None:
        torch.mm(rows[0], matrix[0].t(), out=self._lines(self._window, first - self._start, last - self._start))
        table, done = self.rows, self._done
        while self._done < 2 * self.source.height and table.last[self._done] < last:
            self._done += 1
        self.step.kernels.combine_out(
            target.values, self._window, self._start, self.across, target.width, target.channels, *table.forward,
            *self.columns.forward, done, self._done - done, self.add, sums,
        )  # fmt: skip
        start = table.first[self._done] if self._done < 2 * self.source.height else last
        kept = self._lines(self._window, start - self._start, last - self._start)
        self._window[: len(kept)] = kept.clone()
        self._start = start

    def out_back(self, target: Map, buffer: Tensor, first: int, last: int) -> Tensor:
        part = _cut(buffer, 1, (last - first) * self.across, self.outputs(target))
        self.step.kernels.combine_out_back(
            part, target.gradient, target.values, target.lazy, self.across, target.width, target.channels,
            *self.rows.adjoint, *self.columns.adjoint, first, last - first,
        )  # fmt: skip
        return part


def _cut(buffer: Tensor, *shape: int) -> Tensor:
    """The beginning of a buffer in another shape."""
    return buffer.view(-1)[: torch.Size(shape).numel()].view(shape)


def _product(one: Tensor, other: Tensor, out: Tensor) -> None:
    """Matrix products (batch, n, k) (batch, k, m); a single one is quicker by itself."""
    if len(out) == 1:
        torch.mm(one[0], other[0], out=out[0])
    else:
        torch.bmm(one, other, out=out)
