"""The encoder-decoder's way from its input to its last features, forward and back, in the forms of `forms`.

A convolution over a concatenation is the sum of two, so nothing is concatenated. A convolution's bias in front of a
batch normalisation changes nothing, since the normalisation takes the mean away: it is left out, and its gradient is
zero.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.backend.forms import Columns, Form, Gradients, Map, Narrow, Normalisation, Point, Step, Tiles, Upsampled
from untaught.backend.kernels import Kernels
from untaught.priors.blocks import BatchNormalisation, Convolution, Upsampling

if TYPE_CHECKING:
    from untaught.priors.encoder_decoder import EncoderDecoder, NetworkSettings

__all__ = ["Fused", "can_fuse", "evaluate"]

_NARROW = 8  # of at most so many channels, a skip branch is gathered into columns: tiles would be mostly padding


def can_fuse(settings: NetworkSettings) -> bool:
    """Whether a network has only parts that there is a form for."""
    return bool(
        settings.dimensions == 2
        and {*settings.per_scale("down_kernel_size"), *settings.per_scale("up_kernel_size")} == {3}
        and set(settings.per_scale("skip_kernel_size")) == {1}
        and settings.downsampling == "stride"
        and settings.skip_join == "concatenate"
        and settings.activation in ("leaky_relu", "relu", "none")
    )


class _Convolve:
    """A convolution of one map, normalised afterwards."""

    def __init__(self, form: Form, target: Map, module: Convolution, *, early: bool = False) -> None:
        self.form, self.target, self.module, self.early = form, target, module, early

    def forward(self) -> None:
        step, target = self.form.step, self.target
        assert target.normalisation is not None
        target.values = step.take(target.pixels, target.channels)
        self.form.forward(target, _kernel(self.module), target.normalisation.sums)
        step.normalise(target)

    def backward(self, gradients: Gradients) -> None:
        step, source = self.form.step, self.form.source
        gradient = _gradient(self.module, gradients)
        self.form.backward(self.target, _kernel(self.module), gradient, early=self.early)
        step.close(self.target)
        if source.norm is not None and not self.early:
            step.complete(source, gradients)


class _Join:
    """The 3x3 convolution of a normalised concatenation.

    Of a skip branch, and of what comes up from below and is upsampled by ``kind``; either may be missing.
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
        self.parts: list[tuple[Form, slice]] = []
        first = 0
        for source in (skip, below):
            if source is None:
                continue
            source.joined = Normalisation(normalisation, first, source.used)
            form: Form
            if source is below:
                form = Upsampled(step, source, kind, add=skip is not None)
            elif source.used <= _NARROW:
                form = Narrow(step, source)
            else:
                form = _three(step, source, 1)
            self.parts.append((form, slice(first, first + source.used)))
            first += source.used

    def forward(self) -> None:
        step, target = self.step, self.target
        assert target.normalisation is not None
        target.values = step.take(target.pixels, target.channels)
        kernel = _kernel(self.module)
        for form, part in self.parts:
            self._normalise(form)
            last = form is self.parts[-1][0]
            form.forward(target, kernel[..., part], target.normalisation.sums if last else None)
        step.normalise(target)

    def backward(self, gradients: Gradients) -> None:
        step, target = self.step, self.target
        kernel, gradient = _kernel(self.module), _gradient(self.module, gradients)
        for form, part in self.parts:
            form.backward(target, kernel[..., part], gradient[..., part])
            self._normalise_back(form, gradients)
        step.close(target)

    def _normalise(self, form: Form) -> None:
        """The second normalisation of one part: of its activations as they stand in the concatenation."""
        source, kernels = form.source, self.step.kernels
        assert source.joined is not None
        assert source.norm is not None
        if isinstance(form, Upsampled):
            form.squares = self.step.take(source.pixels, source.channels)
            rows, columns = form.rows, form.columns
            kernels.gram(
                *source.arguments(self.step), form.squares, rows.reach, rows.gram, columns.gram, rows.weight,
                columns.weight, source.joined.sums,
            )  # fmt: skip
        else:
            kernels.statistics(*source.arguments(self.step), source.joined.sums)
        source.joined.finish(kernels, self.target.pixels, source.norm[2:])

    def _normalise_back(self, form: Form, gradients: Gradients) -> None:
        source, kernels = form.source, self.step.kernels
        assert source.joined is not None
        assert source.normalisation is not None
        source.joined.finish_join_back(kernels, self.target.pixels, source.lazy, gradients)
        squares: Tensor | None = None
        weights: tuple[Tensor | None, Tensor | None] = (None, None)
        if isinstance(form, Upsampled):
            squares, weights = form.squares, (form.rows.weight, form.columns.weight)
        kernels.join_back(
            *source.arguments(self.step), source.gradient, squares, source.lazy[0], source.lazy[1], *weights,
            source.normalisation.sums,
        )  # fmt: skip
        self.step.workspace.give(squares)
        self.step.complete(source, gradients)


def _three(step: Step, source: Map, stride: int) -> Form:
    if stride == 1 and source.height % 2 == 0 and source.width % 2 == 0:
        return Tiles(step, source)
    return Columns(step, source, stride)


def _kernel(module: Convolution) -> Tensor:
    """(out, k, k, in), contiguous; no copy where the weight is stored with its channels last."""
    return module.weight.detach().permute(0, 2, 3, 1).contiguous()


def _gradient(module: Convolution, gradients: Gradients) -> Tensor:
    """Room for a convolution's gradient: (out, k, k, in)."""
    weight = module.weight
    room = torch.empty(weight.shape[0], *weight.shape[2:], weight.shape[1])
    gradients[weight] = room.permute(0, 3, 1, 2)
    gradients[module.bias] = torch.zeros_like(module.bias)
    return room


class Fused:
    """A network's features and head for one size of input.

    Args:
        network: whose weights are used.
        height: of the input, a multiple of what the scales need.
        width: the same.
        kernels: for the arithmetic that is wanted.
    """

    def __init__(self, network: EncoderDecoder, height: int, width: int, kernels: Kernels) -> None:
        settings = network.settings
        slope = {"leaky_relu": settings.negative_slope, "relu": 0.0, "none": 1.0}[settings.activation]
        self.size = torch.Size((height, width))
        self.parameters = list(network.parameters())
        self.step = step = Step(kernels, settings.padding)
        self.head = network.head
        self.input = Map(height, width, settings.input_channels, None, slope)
        self.parts: list[_Convolve | _Join] = []
        from_input = settings.skip_tap == "input"

        def layer(modules: Any, index: int, source: Map, stride: int = 1) -> tuple[Convolution, Map]:
            convolution, normalisation = modules[index], modules[index + 1]
            high, wide = ((side - 1) // stride + 1 for side in (source.height, source.width))
            return convolution, Map(high, wide, convolution.weight.shape[0], normalisation, slope)

        def skip(scale: Any, source: Map, *, early: bool) -> Map | None:
            if scale.skip is None:
                return None
            convolution, target = layer(scale.skip, 0, source)
            self.parts.append(_Convolve(Point(step, source), target, convolution, early=early))
            return target

        scales: list[Any] = list(network.scales)
        skips: list[Map | None] = []
        x = self.input
        for index, scale in enumerate(scales):
            convolution, below = layer(scale.down, 0, x, 2)
            self.parts.append(_Convolve(_three(step, x, 2), below, convolution))
            # A skip branch stands after the way down from the same map, so that on the way back it comes before.
            if from_input:
                skips.append(skip(scale, x, early=True))
            elif index:
                skips.append(skip(scales[index - 1], x, early=True))
            convolution, inner = layer(scale.down, 3, below)
            self.parts.append(_Convolve(_three(step, below, 1), inner, convolution))
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
            self.parts.append(_Join(step, side, below_map, kind, scale.up[0], convolution, x))
            if settings.extra_convolution:
                convolution, target = layer(scale.up, 4, x)
                self.parts.append(_Convolve(Point(step, x), target, convolution))
                x = target
        self.last = x
        self.number = 0

    def forward(self, x: Tensor) -> Tensor:
        """(1, input_channels, H, W) to what the head makes of the last features, (1, channels, h, w), float32.

        What `backward` needs is kept until then, or until the next time.
        """
        self.number += 1
        x = x.detach()
        for part in self.parts:
            self.step.close(part.target)
        # One pixel after the other: no copy where the input is stored like that.
        values = x[0].permute(1, 2, 0).flatten(0, 1)
        missing = self.input.channels - self.input.used
        self.input.values = F.pad(values, (0, missing)) if missing else values.contiguous()
        for part in self.parts:
            part.forward()
        return self._head()

    def backward(self, change: Tensor, number: int) -> list[Tensor]:
        """From the gradient of the head's result to that of every parameter."""
        if number != self.number:
            raise RuntimeError("the network was evaluated again before this evaluation's gradient was asked for")
        gradients: Gradients = {}
        self._head_back(change, gradients)
        for part in reversed(self.parts):
            part.backward(gradients)
        return [gradients[parameter] for parameter in self.parameters]

    def _head(self) -> Tensor:
        """In float32: bfloat16 has too few steps for a 16-bit picture."""
        last, weight = self.last, self._head_weight()
        result = torch.empty(1, len(weight), last.height, last.width)
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
        gradients[self.head.bias] = change.sum((0, 2, 3))

    def _head_weight(self) -> Tensor:
        return F.pad(self.head.weight.detach().flatten(1), (0, self.last.channels - self.last.used))


def evaluate(networks: Sequence[Fused], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Each network's head on its own input, (1, input_channels, H, W) to (1, channels, h, w), float32.

    A single network has all threads to itself. Several share them out, a network a thread, so that threads need not
    wait for each other after every convolution of a small picture; the results are the same to the bit.
    """
    parameters = [parameter for network in networks for parameter in network.parameters]
    results = _Evaluate.apply(networks, inputs, *parameters)  # type: ignore[no-untyped-call]
    return cast("tuple[Tensor, ...]", results)


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, networks: Sequence[Fused], inputs: Sequence[Tensor], *_: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(True)
        ctx.networks = networks
        tasks = [functools.partial(network.forward, x) for network, x in zip(networks, inputs, strict=True)]
        results = tuple(_side_by_side(tasks, networks[0].step.kernels))
        ctx.numbers = [network.number for network in networks]
        return results

    @staticmethod
    def backward(ctx: Any, *changes: Tensor) -> Any:
        tasks = [
            functools.partial(network.backward, change, number)
            for network, change, number in zip(ctx.networks, changes, ctx.numbers, strict=True)
        ]
        gradients = _side_by_side(tasks, ctx.networks[0].step.kernels)
        return None, None, *(gradient for own in gradients for gradient in own)


_Result = TypeVar("_Result")


def _side_by_side(tasks: Sequence[Callable[[], _Result]], kernels: Kernels) -> list[_Result]:
    if len(tasks) == 1:
        return [tasks[0]()]
    return list(_threads(torch.get_num_threads(), kernels).map(lambda task: task(), tasks))


@functools.cache
def _threads(count: int, kernels: Kernels) -> ThreadPoolExecutor:
    """Threads of which each runs everything for itself."""

    def alone() -> None:
        # torch sets a new thread's number of threads the first time that it is asked for it: so it is asked first.
        torch.get_num_threads()
        kernels.use_threads(1)

    return ThreadPoolExecutor(count, "untaught", initializer=alone)
