"""What an input scheme is given, and what it gives in each iteration: a user's scheme subclasses `InputSampler`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from untaught.errors import InputError
from untaught.priors.modelled_noise import ModelledNoise
from untaught.priors.patches import Strip

__all__ = ["Batch", "InputSampler", "InputScheme", "Measurement", "NoiseKernel", "SideBySide"]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is known of one picture, as an input scheme may use it.

    Attributes:
        observed: (1, ...), float32; arbitrary where ``known`` is False.
        known: bool, the same shape.
        channels: of the picture.
        size: height and width of the picture; depth, height and width of a volume.
        is_picture: whether ``observed`` is the picture itself, (1, C, H, W), and not the output of an operator.
        noise: standard deviation of the picture's white noise, in [0, 1]; None if unknown.
        channel_noise: the same of each channel, (1, C, 1, 1), where they differ; None where they do not.
        modelled_noise: makes what draws noise like the picture's, which is not white; None for white noise.
        guide: (1, channels, H, W), float32: another picture that guides the network; None if there is none.
        wanted: (H, W), bool: the pixels that the network's output is used for; None for all of them.
        strips: the parts of the picture that belong together (`untaught.priors.patches`); empty for the whole.
    """

    observed: Tensor
    known: Tensor
    channels: int
    size: tuple[int, ...]
    is_picture: bool = True
    noise: float | None = None
    channel_noise: Tensor | None = None
    modelled_noise: Callable[[], ModelledNoise] | None = None
    guide: Tensor | None = None
    wanted: Tensor | None = None
    strips: tuple[Strip, ...] = ()

    def picture(self, scheme: str) -> Tensor:
        """The observed picture, (1, C, H, W).

        Raises:
            InputError: if an operator's output was observed, or a volume.
        """
        if not self.is_picture or len(self.size) != 2:
            found = "a volume" if self.is_picture else "an operator's output"
            raise InputError(
                f"the {scheme} input shows the network the picture, and {found} was observed: choose another input, "
                "such as NoiseInput()"
            )
        return self.observed


class Batch(NamedTuple):
    """The network's input for one iteration, and what its output is compared with.

    Attributes:
        input: (N, channels, H, W), float32.
        guess: (N, C, H, W), float32: the network's output is added to it; None for zero.
        compared: (N, C, H, W), bool: the values that enter the loss; None for all known ones.
        shown: (N, C, H, W), bool: where the guess is the observed value and replaces the output; None for nowhere.
        target: (N, C, H, W), float32: compare with this instead of the observation, at ``compared`` instead of at the
            known values; None for the observation.
        mirrored: (N, 2), bool: whether the input, and so the output, is mirrored left to right and top to bottom.
        patch: rows, (N, h), and columns, (N, w), int64, of the picture that all of these cover; None for the whole.
    """

    input: Tensor
    guess: Tensor | None = None
    compared: Tensor | None = None
    shown: Tensor | None = None
    target: Tensor | None = None
    mirrored: Tensor | None = None
    patch: tuple[Tensor, Tensor] | None = None


class NoiseKernel(Protocol):
    """A compiled function that adds normal noise to a tensor."""

    dtype: torch.dtype

    @property
    def perturb(self) -> Any:
        """A function of (output, current, count, standard deviation, key, whether to keep the output in current)."""
        ...


class InputSampler:
    """Gives the network's input of each iteration. Subclass it for an input scheme of your own: override `draw`.

    The defaults suit a scheme that draws all random numbers from one generator and keeps no other state.

    Args:
        channels: of the network's input.
        generator: source of the random numbers, on the device of the fit.
    """

    def __init__(self, channels: int, generator: Generator) -> None:
        self.channels = channels
        self.generator = generator

    @property
    def generators(self) -> Sequence[Generator]:
        """All generators that `draw` uses; a CUDA graph must know them."""
        return (self.generator,)

    def draw(self) -> Batch:
        """The next iteration's batch of one picture."""
        raise NotImplementedError

    def complete(self, guess: Tensor, window: Strip) -> Batch | None:  # noqa: ARG002
        """The input of a window of the picture with nothing hidden; None for a scheme that hides nothing.

        Args:
            guess: (1, C, H, W), float32: the whole picture, filled in, with the values in use as they are.
            window: top, bottom, left and right.
        """
        return None

    def set_known(self, known: Tensor) -> None:
        """Use these values from now on, (1, ...) bool: held-out values are hidden first and put back later.

        A scheme that shows the network no observed value ignores it.
        """

    def first_guess(self) -> Tensor | None:
        """A first estimate of the picture, a new tensor (1, C, H, W) in [0, 1], from the values that are in use.

        It is shown where no patch has been yet.

        None for a scheme without patches.
        """
        return None

    def accelerate(self, kernel: NoiseKernel | None) -> None:
        """Use a compiled noise generator; other noise of the same distribution results."""

    def state(self) -> dict[str, Tensor]:
        """Everything that changes from draw to draw."""
        return {"generator": self.generator.get_state()}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state; without ``randomness`` the random numbers continue instead."""
        if randomness:
            self.generator.set_state(state["generator"].cpu())


@runtime_checkable
class InputScheme(Protocol):
    """An input scheme: the settings from which each picture of each run gets a sampler of its own."""

    def build(self, measurement: Measurement, generator: Generator) -> InputSampler:
        """Make the sampler of one picture."""
        ...


class SideBySide(InputSampler):
    """Several samplers as one, for several networks side by side.

    Args:
        samplers: one per network.
    """

    def __init__(self, samplers: Sequence[InputSampler]) -> None:
        super().__init__(samplers[0].channels, samplers[0].generator)
        self.samplers = samplers

    @property
    def generators(self) -> Sequence[Generator]:
        """Those of all samplers."""
        return [generator for sampler in self.samplers for generator in sampler.generators]

    def draw(self) -> Batch:
        """Their batches, concatenated."""
        return _concatenated([sampler.draw() for sampler in self.samplers])

    def complete(self, guess: Tensor, window: Strip) -> Batch | None:
        """Theirs, concatenated; (N, ...), repeated over the runs."""
        batches = [
            sampler.complete(guess[number % len(guess)][None], window) for number, sampler in enumerate(self.samplers)
        ]
        complete = [batch for batch in batches if batch is not None]
        return _concatenated(complete) if len(complete) == len(batches) else None

    def set_known(self, known: Tensor) -> None:
        """Each gets its own picture's; (N, ...), repeated over the runs."""
        for number, sampler in enumerate(self.samplers):
            sampler.set_known(known[number % len(known)][None])

    def first_guess(self) -> Tensor | None:
        """Theirs, concatenated."""
        guesses = [guess for guess in (sampler.first_guess() for sampler in self.samplers) if guess is not None]
        return torch.cat(guesses) if guesses else None

    def accelerate(self, kernel: NoiseKernel | None) -> None:
        """Pass it on."""
        for sampler in self.samplers:
            sampler.accelerate(kernel)

    def state(self) -> dict[str, Tensor]:
        """All their states."""
        return {f"{n}.{key}": value for n, one in enumerate(self.samplers) for key, value in one.state().items()}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state of all of them."""
        for n, sampler in enumerate(self.samplers):
            prefix = f"{n}."
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            sampler.restore(own, randomness=randomness)


def _concatenated(drawn: Sequence[Batch]) -> Batch:
    fields: dict[str, Any] = {}
    for name in Batch._fields:
        values = [value for value in (getattr(batch, name) for batch in drawn) if value is not None]
        if not values:
            fields[name] = None
        elif name == "patch":
            fields[name] = tuple(torch.cat(lines) for lines in zip(*values, strict=True))
        else:
            fields[name] = torch.cat(values)
    return Batch(**fields)
