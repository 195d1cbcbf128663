"""Noise and coordinates as the network's input, and their perturbation from iteration to iteration.

The input is drawn once. Perturbing it a little in each iteration keeps the network from memorising single values of it
(Ulyanov et al., 2018, "noise-based regularisation"). The paper allows two readings, and both are here: *fresh* noise is
added to the first input, *accumulated* noise to the last one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from untaught.errors import SettingError
from untaught.priors.sampler import Batch, InputSampler, Measurement, NoiseKernel
from untaught.settings import settings

__all__ = ["CoordinateInput", "NoiseInput", "PerturbationSettings", "PerturbedSampler", "mirror"]


@settings
class PerturbationSettings:
    """How the input is perturbed in each iteration.

    Attributes:
        kind: "none"; "fresh", the first input plus new noise; or "accumulated", the last input plus new noise, a
            random walk.
        standard_deviation: of the normal noise, in the input's units; default 1/30.
    """

    kind: Literal["none", "fresh", "accumulated"] = "none"
    standard_deviation: Annotated[float, Field(ge=0)] = 1 / 30


@settings
class NoiseInput:
    """Noise, drawn once, from which the network makes the picture.

    Attributes:
        kind: "uniform" noise in [0, scale), or "normal" noise of standard deviation ``scale``.
        channels: number of channels; default 32.
        scale: range or standard deviation of the noise; default 0.1.
        perturbation: how it is perturbed; default not at all.
    """

    kind: Literal["uniform", "normal"] = "uniform"
    channels: Annotated[int, Field(ge=1)] = 32
    scale: Annotated[float, Field(gt=0)] = 0.1
    perturbation: PerturbationSettings = PerturbationSettings()

    def first(self, size: Sequence[int], generator: torch.Generator) -> Tensor:
        """Draw the first input: ``(1, channels, *size)``, float32, on the generator's device."""
        draw = torch.rand if self.kind == "uniform" else torch.randn
        shape = (1, self.channels, *size)
        return draw(shape, generator=generator, device=generator.device, dtype=torch.float32) * self.scale

    def build(self, measurement: Measurement, generator: torch.Generator) -> InputSampler:
        """Make the sampler of one picture; a guide replaces the noise."""
        first = self.first(measurement.size, generator)
        return PerturbedSampler(_guided(first, measurement), self.perturbation, generator)


@settings
class CoordinateInput:
    """The pixels' coordinates as the network's input.

    Attributes:
        kind: "grid", each axis from 0 to 1, x first, one channel per axis; or "fourier", sines and cosines of the grid
            at octaves (Tancik et al., 2020).
        channels: 2 for a grid, a multiple of 4 for Fourier features; for volumes 3, and a multiple of 6.
        perturbation: how it is perturbed; default not at all.

    >>> CoordinateInput(kind="grid", channels=2).first((2, 3), torch.Generator())[0, 0]
    tensor([[0.0000, 0.5000, 1.0000],
            [0.0000, 0.5000, 1.0000]])
    """

    kind: Literal["grid", "fourier"] = "grid"
    channels: Annotated[int, Field(ge=1)] = 2
    perturbation: PerturbationSettings = PerturbationSettings()

    def __post_init__(self) -> None:
        # Whether a picture or a volume follows is unknown here, so the channels must suit one of the two.
        self._check(3 if self.channels % 3 == 0 and self.channels % 4 else 2)

    def _check(self, axes: int) -> None:
        if self.kind == "grid" and self.channels != axes:
            raise SettingError(f"a coordinate grid of {axes} axes has {axes} channels: found channels={self.channels}")
        if self.kind == "fourier" and self.channels % (2 * axes):
            raise SettingError(
                f"Fourier features are a sine and a cosine for each of {axes} axes, so channels are a multiple of "
                f"{2 * axes}: found {self.channels}"
            )

    def first(self, size: Sequence[int], generator: torch.Generator) -> Tensor:
        """Compute the input: ``(1, channels, *size)``, float32, on the generator's device.

        Raises:
            SettingError: if ``channels`` does not suit the number of axes.
        """
        self._check(len(size))
        device = generator.device
        lines = [torch.linspace(0, 1, side, device=device, dtype=torch.float32) for side in size]
        grid = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1])
        if self.kind == "grid":
            return grid[None]
        octaves = 2.0 ** torch.arange(self.channels // (2 * len(size)), device=device) * math.pi
        angles = (grid[:, None] * octaves.view(-1, *[1] * len(size))).flatten(0, 1)
        return torch.cat((angles.sin(), angles.cos()))[None]

    def build(self, measurement: Measurement, generator: torch.Generator) -> InputSampler:
        """Make the sampler of one picture; a guide replaces the coordinates."""
        first = self.first(measurement.size, generator)
        return PerturbedSampler(_guided(first, measurement), self.perturbation, generator)


def _guided(first: Tensor, measurement: Measurement) -> Tensor:
    return first if measurement.guide is None else measurement.guide


class PerturbedSampler(InputSampler):
    """A fixed input with noise that changes from iteration to iteration.

    Args:
        first: (1, C, H, W), float32.
        perturbation: how it is perturbed.
        generator: source of the noise, on the same device.
    """

    def __init__(self, first: Tensor, perturbation: PerturbationSettings, generator: torch.Generator) -> None:
        super().__init__(first.shape[1], generator)
        self.perturbation = perturbation
        self.kernel: NoiseKernel | None = None
        # A CUDA graph reads the input from the same memory in each replay.
        self.in_place = first.is_cuda
        self.current = first

    def accelerate(self, kernel: NoiseKernel | None) -> None:
        """Draw the noise with a compiled kernel, in its dtype, channels last in memory."""
        self.kernel = kernel
        if kernel is not None:
            self.current = self.current.contiguous(memory_format=torch.channels_last)

    def draw(self) -> Batch:
        """The next iteration's input, shaped like the first."""
        kind, deviation, kernel = self.perturbation.kind, self.perturbation.standard_deviation, self.kernel
        if kind == "none":
            return Batch(self.current)
        if kernel is not None:
            perturbed = torch.empty_like(self.current, dtype=kernel.dtype)
            # The kernel's noise is a function of this key and of the place.
            key = int(torch.randint(2**63 - 1, (), generator=self.generator))
            kernel.perturb(perturbed, self.current, self.current.numel(), deviation, key, kind == "accumulated")
            return Batch(perturbed)
        perturbed = torch.empty_like(self.current).normal_(0, deviation, generator=self.generator).add_(self.current)
        if kind == "accumulated":
            self.current = self.current.copy_(perturbed) if self.in_place else perturbed
        return Batch(perturbed)

    def state(self) -> dict[str, Tensor]:
        """The last input and the state of the random numbers."""
        return {"current": self.current, **super().state()}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state; without ``randomness`` the noise continues."""
        # A copy, in the memory layout of the present input: noise may be added to it in place.
        self.current = torch.empty_like(self.current).copy_(state["current"])
        super().restore(state, randomness=randomness)


def mirror(pictures: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror each of (N, C, H, W) left to right and top to bottom where (N, 2), bool, is True. Its own inverse."""
    # Without a branch: the host does not wait, and a CUDA graph does not freeze the first draw.
    across, down = mirrored.T.reshape(2, -1, 1, 1, 1)
    pictures = torch.where(across, pictures.flip(-1), pictures)
    return torch.where(down, pictures.flip(-2), pictures)
