"""Feature maps during one iteration, their normalisations, and the memory that they share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from untaught.kernels import Kernels
from untaught.priors.blocks import BatchNormalisation, Padding

__all__ = ["LANES", "Gradients", "Map", "Normalisation", "Step", "Workspace", "padded"]

LANES = 16
"""Channels are stored in groups of so many: one vector of the processor."""

_PADDING: dict[Padding, int] = {"zero": 0, "reflection": 1, "replicate": 2}

Gradients = dict[nn.Parameter, Tensor]


def padded(channels: int) -> int:
    """Number of channels that are stored for so many used ones.

    >>> padded(20)
    32
    """
    return -(-channels // LANES) * LANES


class Workspace:
    """Buffers that are reused from iteration to iteration, so that memory is neither requested nor cleared again."""

    def __init__(self) -> None:
        self._free: list[Tensor] = []

    def take(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """Return a tensor of arbitrary contents."""
        size = torch.Size(shape).numel() * dtype.itemsize
        fitting = [buffer for buffer in self._free if size <= buffer.numel() <= 2 * size]
        if fitting:
            buffer = min(fitting, key=Tensor.numel)
            self._free = [other for other in self._free if other is not buffer]
        else:
            buffer = torch.empty(size, dtype=torch.uint8)
        return buffer[:size].view(dtype).view(shape)

    def give(self, *tensors: Tensor | None) -> None:
        """Take back tensors that `take` returned and that are no longer read."""
        for tensor in tensors:
            if tensor is not None:
                self._free.append(torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()))


class Normalisation:
    """One batch normalisation during an iteration: its sums, statistics and gradients.

    Args:
        module: holds scale and shift.
        first: first of the module's channels that belong to this map.
        used: number of these channels.
    """

    def __init__(self, module: BatchNormalisation, first: int, used: int) -> None:
        self.module, self.first, self.used, self.channels = module, first, used, padded(used)
        self.sums = torch.zeros(2, self.channels, dtype=torch.float64)
        self.kept = torch.zeros(2, self.channels, dtype=torch.float64)

    def finish(self, kernels: Kernels, pixels: int, norm: Tensor) -> None:
        """Compute scale and shift, ``norm`` (2, channels), from the sums over the pixels."""
        weight, bias = self.module.weight[self.first :], self.module.bias[self.first :]
        kernels.normalise(self.sums, pixels, self.channels, self.used, weight, bias, norm[0], norm[1], self.kept)
        self.sums.zero_()

    def finish_back(self, kernels: Kernels, pixels: int, lazy: Tensor, gradients: Gradients) -> None:
        """Compute the completing coefficients and the gradients of scale and shift from the gradient's sums."""
        weight = self.module.weight[self.first :]
        dweight, dbias = self._gradients(gradients)
        kernels.normalise_back(self.sums, pixels, self.channels, self.used, weight, self.kept, lazy, dweight, dbias)
        self.sums.zero_()

    def finish_concatenation_back(self, kernels: Kernels, pixels: int, lazy: Tensor, gradients: Gradients) -> None:
        """The same for the normalisation of a concatenation."""
        weight = self.module.weight[self.first :]
        dweight, dbias = self._gradients(gradients)
        kernels.normalise_concatenation_back(
            self.sums, pixels, self.channels, self.used, weight, self.kept, lazy[0], lazy[1], dweight, dbias
        )
        self.sums.zero_()

    def _gradients(self, gradients: Gradients) -> tuple[Tensor, Tensor]:
        for parameter in (self.module.weight, self.module.bias):
            if parameter not in gradients:
                gradients[parameter] = torch.zeros_like(parameter)
        return gradients[self.module.weight][self.first :], gradients[self.module.bias][self.first :]


class Map:
    """A convolution's output before its normalisation, and its gradient.

    Args:
        height: in pixels.
        width: in pixels.
        used: number of channels; more are stored, see `padded`.
        module: the normalisation that follows; None for the network's input.
        slope: of the leaky ReLU after the normalisation.

    Attributes:
        values: (pixels, channels), of the arithmetic's type.
        gradient: gradient of the normalised values, the same shape.
        extra: part of the activation's gradient that another convolution has computed before, the same shape.
        norm: (4, channels) float32: scale and shift of the normalisation, and of a second one after the activation;
            None for the network's input, which is used as it is.
        lazy: (3, channels) float32: completes ``gradient`` to the gradient of ``values``.
        joined: the second normalisation, of a map that is part of a concatenation.
    """

    def __init__(self, height: int, width: int, used: int, module: BatchNormalisation | None, slope: float) -> None:
        self.height, self.width, self.used, self.slope = height, width, used, slope
        self.pixels, self.channels = height * width, padded(used)
        self.normalisation = None if module is None else Normalisation(module, 0, used)
        self.norm = None if module is None else torch.zeros(4, self.channels, dtype=torch.float32)
        self.lazy = torch.zeros(3, self.channels, dtype=torch.float32)
        self.joined: Normalisation | None = None
        self.values: Tensor | None = None
        self.gradient: Tensor | None = None
        self.extra: Tensor | None = None

    def arguments(self, step: Step) -> tuple[Any, ...]:
        """The first arguments of every kernel that reads this map."""
        second = self.joined is not None
        return self.values, self.height, self.width, self.channels, self.norm, self.slope, second, step.padding_code

    @property
    def sums(self) -> Tensor:
        """Sums of the gradient, for the normalisation that the backward pass reaches first."""
        normalisation = self.joined or self.normalisation
        assert normalisation is not None
        return normalisation.sums


class Step:
    """What all convolutions of a network share during an iteration."""

    def __init__(self, kernels: Kernels, padding: Padding) -> None:
        self.kernels, self.padding, self.padding_code = kernels, padding, _PADDING[padding]
        self.workspace = Workspace()

    def take(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return a tensor of arbitrary contents, of the arithmetic's type unless another is named."""
        return self.workspace.take(*shape, dtype=dtype or self.kernels.dtype)

    def normalise(self, target: Map) -> None:
        """Compute a map's normalisation; its values and their sums are complete."""
        assert target.normalisation is not None
        assert target.norm is not None
        target.normalisation.finish(self.kernels, target.pixels, target.norm)

    def complete(self, source: Map, gradients: Gradients) -> None:
        """Compute the coefficients that complete a map's gradient; the gradient and its sums are complete."""
        assert source.normalisation is not None
        source.normalisation.finish_back(self.kernels, source.pixels, source.lazy, gradients)
        self.workspace.give(source.extra)
        source.extra = None

    def close(self, target: Map) -> None:
        """Free a map that is no longer read."""
        self.workspace.give(target.values, target.gradient, target.extra)
        target.values = target.gradient = target.extra = None
