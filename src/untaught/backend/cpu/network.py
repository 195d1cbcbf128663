"""An encoder-decoder on compiled kernels, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.backend.cpu import parts
from untaught.backend.cpu.maps import Gradients, Map, Step
from untaught.backend.cpu.parts import Convolved, Joined
from untaught.backend.cpu.pointwise import Pointwise
from untaught.backend.sums import sums
from untaught.kernels import Kernels
from untaught.priors.blocks import Convolution
from untaught.priors.encoder_decoder import EncoderDecoder, NetworkSettings

__all__ = ["CompiledNetwork", "can_compile"]


def can_compile(settings: NetworkSettings) -> bool:
    """Whether there are kernels for every part of a network."""
    return bool(
        settings.dimensions == 2
        and {*settings.per_scale("down_kernel_size"), *settings.per_scale("up_kernel_size")} == {3}
        and set(settings.per_scale("skip_kernel_size")) == {1}
        and settings.downsampling == "stride"
        and settings.skip_join == "concatenate"
        and settings.activation in ("leaky_relu", "relu", "none")
    )


class CompiledNetwork:
    """A network's features and head for one size of input.

    Args:
        network: holds the weights; `can_compile` is true for it.
        height: height of the padded input.
        width: width of the padded input.
        kernels: for the type of the arithmetic.
    """

    def __init__(self, network: EncoderDecoder, height: int, width: int, kernels: Kernels) -> None:
        settings = network.settings
        slope = {"leaky_relu": settings.negative_slope, "relu": 0.0, "none": 1.0}[settings.activation]
        self.size = torch.Size((height, width))
        self.parameters = list(network.parameters())
        self.step = step = Step(kernels, settings.padding)
        self.head = network.head
        self.input = Map(height, width, settings.input_channels, None, slope)
        self.parts: list[Convolved | Joined] = []
        from_input = settings.skip_tap == "input"

        def layer(modules: Any, index: int, source: Map, stride: int = 1) -> tuple[Convolution, Map]:
            convolution, normalisation = modules[index], modules[index + 1]
            high, wide = ((side - 1) // stride + 1 for side in (source.height, source.width))
            return convolution, Map(high, wide, convolution.weight.shape[0], normalisation, slope)

        def skip(scale: Any, source: Map, *, early: bool) -> Map | None:
            if scale.skip is None:
                return None
            convolution, target = layer(scale.skip, 0, source)
            self.parts.append(Convolved(Pointwise(step, source), target, convolution, early=early))
            return target

        scales: list[Any] = list(network.scales)
        skips: list[Map | None] = []
        x = self.input
        for index, scale in enumerate(scales):
            convolution, below = layer(scale.down, 0, x, 2)
            self.parts.append(Convolved(parts.three_by_three(step, x, 2), below, convolution))
            # A skip branch follows the down convolution of the same map, so the backward pass reaches it first.
            if from_input:
                skips.append(skip(scale, x, early=True))
            elif index:
                skips.append(skip(scales[index - 1], x, early=True))
            convolution, inner = layer(scale.down, 3, below)
            self.parts.append(Convolved(parts.three_by_three(step, below, 1), inner, convolution))
            x = inner
        if not from_input:
            skips.append(skip(scales[-1], x, early=False))

        innermost = len(scales) - 1
        for index in range(innermost, -1, -1):
            scale, side, kind = scales[index], skips[index], network.upsampling[index]
            below_map: Map | None = x
            if not from_input:
                if index == innermost:
                    side, below_map = side or x, None
                else:
                    kind = network.upsampling[index + 1]
            factor = 2 if below_map is not None else 1
            convolution = scale.up[1]
            x = Map(x.height * factor, x.width * factor, convolution.weight.shape[0], scale.up[2], slope)
            self.parts.append(Joined(step, side, below_map, kind, scale.up[0], convolution, x))
            if settings.extra_convolution:
                convolution, target = layer(scale.up, 4, x)
                self.parts.append(Convolved(Pointwise(step, x), target, convolution))
                x = target
        self.last = x
        self.number = 0

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate: (1, input_channels, H, W) to the head's result, (1, channels, h, w), float32.

        What `backward` needs is kept until it is called, or until the next evaluation.
        """
        self.number += 1
        x = x.detach()
        for part in self.parts:
            self.step.close(part.target)
        # No copy where the input has its channels last.
        values = x[0].permute(1, 2, 0).flatten(0, 1)
        missing = self.input.channels - self.input.used
        self.input.values = F.pad(values, (0, missing)) if missing else values.contiguous()
        try:
            for part in self.parts:
                part.forward()
            return self._head()
        except BaseException:
            self._reset()
            raise

    def backward(self, change: Tensor, number: int) -> list[Tensor]:
        """Compute every parameter's gradient from that of the head's result.

        Args:
            change: gradient of the head's result.
            number: which evaluation it belongs to; only the last one can be differentiated.
        """
        if number != self.number:
            raise RuntimeError("the network was evaluated again before this evaluation was differentiated")
        gradients: Gradients = {}
        try:
            self._head_back(change, gradients)
            for part in reversed(self.parts):
                part.backward(gradients)
        except BaseException:
            self._reset()
            raise
        return [gradients[parameter] for parameter in self.parameters]

    def _reset(self) -> None:
        """Forget an evaluation that has failed: sums may be half complete."""
        for part in self.parts:
            self.step.close(part.target)
            for normalisation in (part.target.normalisation, part.target.joined):
                if normalisation is not None:
                    normalisation.sums.zero_()

    def _head(self) -> Tensor:
        """The head's result, in float32: bfloat16 has too few steps for a 16-bit picture."""
        last, weight = self.last, self._head_weight()
        result = torch.empty(1, len(weight), last.height, last.width, dtype=torch.float32)
        arguments = last.arguments(self.step)
        self.step.kernels.head_forward(*arguments, result, weight, self.head.bias, len(weight))
        return result

    def _head_back(self, change: Tensor, gradients: Gradients) -> None:
        last, step, weight, change = self.last, self.step, self._head_weight(), change.contiguous()
        total = torch.empty_like(weight)
        last.gradient = step.take(last.pixels, last.channels)
        step.kernels.head_backward(*last.arguments(step), last.gradient, total, change, weight, len(weight), last.sums)
        step.complete(last, gradients)
        gradients[self.head.weight] = total[:, : last.used, None, None]
        gradients[self.head.bias] = sums(change[0])

    def _head_weight(self) -> Tensor:
        return F.pad(self.head.weight.detach().flatten(1), (0, self.last.channels - self.last.used))
