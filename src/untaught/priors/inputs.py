"""The network's input, and how it is shaken from one iteration to the next.

The input is drawn once and stays what the picture is drawn from. Shaking it a little each iteration keeps the network
from memorising single values of it (Ulyanov et al., 2018, "noise-based regularisation"). The paper can be read in
two ways, and both are here: *fresh* noise is added to the first input, *accumulated* noise to the last one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from untaught.errors import SettingError
from untaught.priors.noise_kernels import NoiseKernels
from untaught.priors.sampler import Batch, InputSampler

__all__ = ["InputSettings", "PerturbationSettings", "PerturbedInput", "SideBySide", "make_input", "mirror"]

InputKind = Literal["uniform", "normal", "grid", "fourier"]


@dataclass(frozen=True, kw_only=True)
class InputSettings:
    """What the network draws the picture from.

    Attributes:
        kind: "uniform" noise in [0, scale), "normal" noise of standard deviation ``scale``, a coordinate "grid" in
            [0, 1], a channel for each axis, or "fourier" features of that grid: sines and cosines at octaves.
        channels: number of channels; a grid has 2 and Fourier features a multiple of 4; for a volume, 3 and of 6.
        scale: range or standard deviation of the noise.
    """

    kind: InputKind = "uniform"
    channels: int = 32
    scale: float = 0.1

    def __post_init__(self) -> None:
        kinds = get_args(InputKind)
        if self.kind not in kinds:
            raise SettingError(f"kind must be one of {', '.join(kinds)}: found {self.kind!r}")
        if self.channels < 1 or not self.scale > 0:
            raise SettingError(f"channels and scale must be positive: found {self.channels} and {self.scale}")
        # Whether those of a picture or of a volume are wanted is not known here: they have to be of one of the two.
        self.check_axes(3 if self.channels % 3 == 0 and self.channels % 4 else 2)

    def check_axes(self, axes: int) -> None:
        """Check that the channels are those of so many axes of space: 2, or 3 for a volume.

        Raises:
            SettingError: for a grid or Fourier features of another number of axes.
        """
        if self.kind == "grid" and self.channels != axes:
            raise SettingError(f"a coordinate grid of {axes} axes has {axes} channels: found channels={self.channels}")
        if self.kind == "fourier" and self.channels % (2 * axes):
            raise SettingError(
                f"Fourier features are a sine and a cosine for each of {axes} axes, so channels are a multiple of "
                f"{2 * axes}: found {self.channels}"
            )


@dataclass(frozen=True, kw_only=True)
class PerturbationSettings:
    """How the input is shaken.

    Attributes:
        kind: "none"; "fresh", the first input plus new noise each iteration; or "accumulated", the last input plus new
            noise each iteration, a random walk.
        standard_deviation: of the normal noise, in the input's own units.
    """

    kind: Literal["none", "fresh", "accumulated"] = "none"
    standard_deviation: float = 1 / 30

    def __post_init__(self) -> None:
        if self.kind not in ("none", "fresh", "accumulated"):
            raise SettingError(f"kind must be one of none, fresh, accumulated: found {self.kind!r}")
        if not self.standard_deviation >= 0:
            raise SettingError(f"a standard deviation cannot be negative: found {self.standard_deviation}")


def make_input(settings: InputSettings, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw the network's input: (1, channels, *size), float32, on the generator's device; a grid's x comes first.

    Raises:
        SettingError: for a grid or Fourier features of another number of axes than ``size`` has.

    >>> make_input(InputSettings(kind="grid", channels=2), (2, 3), torch.Generator())[0, 0]
    tensor([[0.0000, 0.5000, 1.0000],
            [0.0000, 0.5000, 1.0000]])
    """
    settings.check_axes(len(size))
    device, shape = generator.device, (1, settings.channels, *size)
    match settings.kind:
        case "uniform":
            return torch.rand(shape, generator=generator, device=device) * settings.scale
        case "normal":
            return torch.randn(shape, generator=generator, device=device) * settings.scale
    axes = torch.meshgrid(*(torch.linspace(0, 1, side, device=device) for side in size), indexing="ij")
    grid = torch.stack(axes[::-1])
    if settings.kind == "grid":
        return grid[None]
    # Tancik et al., 2020: octaves of the coordinates, so that a convolution sees where it is at every scale.
    octaves = 2.0 ** torch.arange(settings.channels // (2 * len(size)), device=device) * math.pi
    angles = (grid[:, None] * octaves.view(-1, *[1] * len(size))).flatten(0, 1)
    return torch.cat((angles.sin(), angles.cos()))[None]


class PerturbedInput:
    """The input of each iteration in turn.

    Args:
        base: the first input, (1, C, H, W), float32.
        perturbation: how it is shaken.
        generator: source of the noise, on the base's device.
        kernels: draw the noise with these, many times faster, in the type of their arithmetic and with the channels
            last in memory; the noise is other noise.
    """

    def __init__(
        self,
        base: Tensor,
        perturbation: PerturbationSettings,
        generator: torch.Generator,
        kernels: NoiseKernels | None = None,
    ) -> None:
        self.perturbation = perturbation
        self.generator = generator
        self.generators = (generator,)
        self.kernels = kernels
        # A CUDA graph goes on reading the input from where it was.
        self.in_place = base.is_cuda
        self.current = base if kernels is None else base.contiguous(memory_format=torch.channels_last)

    def draw(self) -> Batch:
        """The next iteration's input, shaped like the first."""
        kind, deviation, kernels = self.perturbation.kind, self.perturbation.standard_deviation, self.kernels
        if kind == "none":
            return Batch(self.current)
        if kernels is not None:
            shaken = torch.empty_like(self.current, dtype=kernels.dtype)
            # The noise is a function of this number and of the place.
            key = int(torch.randint(2**63 - 1, (), generator=self.generator))
            kernels.perturb(shaken, self.current, self.current.numel(), deviation, key, kind == "accumulated")
            return Batch(shaken)
        shaken = torch.empty_like(self.current).normal_(0, deviation, generator=self.generator).add_(self.current)
        if kind == "accumulated":
            self.current = self.current.copy_(shaken) if self.in_place else shaken
        return Batch(shaken)

    def state(self) -> dict[str, Tensor]:
        """The last input and the state of the random numbers."""
        return {"current": self.current, "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state; without ``randomness`` the noise goes on."""
        # A copy in the layout of the one that was there: noise may be added to it in place.
        self.current = torch.empty_like(self.current).copy_(state["current"])
        if randomness:
            self.generator.set_state(state["generator"].cpu())


def mirror(pictures: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror each of (N, C, H, W) left to right and top to bottom, where (N, 2), bool, says so; its own inverse."""
    # No branch, so that neither the host waits nor a CUDA graph freezes what was drawn first.
    across, down = mirrored.T.reshape(2, -1, 1, 1, 1)
    pictures = torch.where(across, pictures.flip(-1), pictures)
    return torch.where(down, pictures.flip(-2), pictures)


class SideBySide:
    """Several sources as one, for several networks side by side.

    Args:
        sources: one for each network.
    """

    def __init__(self, sources: Sequence[InputSampler]) -> None:
        self.sources = sources
        self.generators = [generator for source in sources for generator in source.generators]

    def draw(self) -> Batch:
        """What all of them draw, one after the other in the batch."""
        drawn = [source.draw() for source in self.sources]
        guesses = [one.guess for one in drawn if one.guess is not None]
        compared = [one.compared for one in drawn if one.compared is not None]
        shown = [one.shown for one in drawn if one.shown is not None]
        targets = [one.target for one in drawn if one.target is not None]
        mirrored = [one.mirrored for one in drawn if one.mirrored is not None]
        windows = [one.window for one in drawn if one.window is not None]
        return Batch(
            torch.cat([one.input for one in drawn]),
            torch.cat(guesses) if guesses else None,
            torch.cat(compared) if compared else None,
            torch.cat(shown) if shown else None,
            torch.cat(targets) if targets else None,
            torch.cat(mirrored) if mirrored else None,
            (torch.cat([rows for rows, _ in windows]), torch.cat([columns for _, columns in windows]))
            if windows
            else None,
        )

    def state(self) -> dict[str, Tensor]:
        """All their states."""
        return {f"{n}.{key}": value for n, source in enumerate(self.sources) for key, value in source.state().items()}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state of all of them."""
        for n, source in enumerate(self.sources):
            prefix = f"{n}."
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            source.restore(own, randomness=randomness)
