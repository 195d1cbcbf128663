"""Masked input: the known values themselves, a random part of them hidden in each iteration.

A network that draws the picture from noise learns it by heart, and its damage next. A network that is shown a part of
the known values and compared on another, hidden part learns how this picture continues (blind-spot masking: Batson and
Royer, 2019, "Noise2Self"; Quan et al., 2020, "Self2Self"). No compared value is shown, so copying does not help.

The network's output is a correction to a first guess: the shown values, interpolated over the gaps between them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from untaught.errors import SettingError
from untaught.priors.first_guess import Guess, biharmonic, interpolate, pull_push
from untaught.priors.patches import Patches, Strip
from untaught.priors.sampler import Batch, InputSampler, Measurement
from untaught.settings import settings

__all__ = ["MaskedInput", "MaskedSampler", "gaussian", "hide", "moved", "smooth"]

_MOST_DAMAGE = 0.4
"""Damage that covers more of a patch than this is not copied to another: too little would stay visible."""

Width = Annotated[float, Field(gt=0)]


@settings
class MaskedInput:
    """The known values as the network's input, a random part of them hidden in each iteration.

    Attributes:
        kind: the tag of this input in a record.
        pattern: "pixels" hides scattered pixels; "shapes" also hides randomly moved and flipped copies of the missing
            region, so that the network learns holes from holes.
        least: smallest share of the pixels that stays visible, 0 to 1; default 0.6.
        most: largest share that stays visible; each iteration draws between the two; default 0.95.
        copies: "shapes" hides at most this many copies; default 3.
        widths: standard deviations, in pixels, of the Gaussians that average the visible values over gaps.
        guess: how the shown values are interpolated to the first guess that the network corrects.
        patch: side, in pixels, of the patch that is shown of a larger picture; default 512.
    """

    shows_picture: ClassVar[bool] = True

    kind: Literal["masked"] = "masked"
    pattern: Literal["pixels", "shapes"] = "pixels"
    least: Annotated[float, Field(gt=0, lt=1)] = 0.6
    most: Annotated[float, Field(gt=0, lt=1)] = 0.95
    copies: Annotated[int, Field(ge=1)] = 3
    widths: tuple[Width, ...] = (0.6, 1.2, 3.0)
    guess: Guess = "pull-push"
    patch: Annotated[int, Field(ge=8)] = 512

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise SettingError(f"least is at most as large as most: found {self.least} and {self.most}")

    def build(self, measurement: Measurement, generator: torch.Generator) -> InputSampler:
        """Make the sampler of one picture."""
        observed = measurement.picture("masked")
        patches = Patches(measurement.size, self.patch, observed.device, measurement.wanted, measurement.strips)
        return MaskedSampler(observed, measurement.known, self, generator, patches)


class MaskedSampler(InputSampler):
    """Draws, in each iteration, a part of the known values as input and another part to compare.

    Args:
        observed: (1, C, H, W), float32; not read where it is unknown.
        known: (1, C, H, W), bool.
        settings: what is hidden.
        generator: source of the random numbers, on the same device.
        patches: where the patches lie; all over the picture if None.
    """

    def __init__(
        self,
        observed: Tensor,
        known: Tensor,
        settings: MaskedInput,
        generator: torch.Generator,
        patches: Patches | None = None,
    ) -> None:
        # One mask channel is enough where all channels have the same known pixels.
        self.mask_channels = 1 if bool((known == known[:, :1]).all()) else known.shape[1]
        super().__init__(observed.shape[1] * (2 + len(settings.widths)) + self.mask_channels, generator)
        self.settings = settings
        self.observed = observed
        self._kernels = [gaussian(width) for width in settings.widths]
        self._patches = patches or Patches(observed.shape[-2:], settings.patch, observed.device)
        self.set_known(known)

    def set_known(self, known: Tensor) -> None:
        """Use these values from now on: (1, C, H, W), bool."""
        self.known = known
        self._missing = ~known.all(dim=1, keepdim=True)
        # The copies of the missing region hide about a third of the picture at most.
        area = (~known.all(1)).float().mean().clamp(1e-3, 0.99).item()
        self.copies = max(1, min(self.settings.copies, round(math.log(0.7) / math.log(1 - area))))

    def draw(self) -> Batch:
        """The next iteration's input, the guess to be corrected, and the values to compare."""
        (observed, known), patch = self._patches.cut(self.observed, self.known)
        observed = torch.where(known, observed, 0)
        if self._patches.corners is None or self.settings.pattern == "pixels":
            hidden = hide(self._missing, self.settings, self.generator, self.copies, known.shape[-2:])
        else:
            scattered = dataclasses.replace(self.settings, pattern="pixels")
            hidden = hide(self._missing, scattered, self.generator, size=known.shape[-2:])
            for _ in range(self.copies):
                hidden |= self._other_damage()
        shown = known & ~hidden
        compared = known & hidden
        # By chance nothing may be hidden in a very small picture: then everything known is compared.
        compared = torch.where(compared.flatten(1).any(1).view(-1, 1, 1, 1), compared, known)
        weights = shown[:, : self.mask_channels].float()
        values = observed * weights
        guess = interpolate(values, weights, self.settings.guess)
        return Batch(self._features(values, weights, guess), guess, compared, shown, observed, patch=patch)

    def complete(self, guess: Tensor, window: Strip) -> Batch:
        """A window of the picture with every value in use shown."""
        top, bottom, left, right = window
        known, filled = (one[..., top:bottom, left:right] for one in (self.known, guess))
        weights = known[:, : self.mask_channels].float()
        return Batch(self._features(filled * weights, weights, filled), filled)

    def _features(self, values: Tensor, weights: Tensor, guess: Tensor) -> Tensor:
        """The network's input: the values that are shown, which these are, and what they tell of the gaps."""
        both = torch.cat([values, weights], dim=1)
        sums = [smooth(both, kernel) for kernel in self._kernels]
        channels = values.shape[1]
        averages = [one[:, :channels] / (one[:, channels:] + 1e-4) for one in sums]
        return torch.cat([values, weights, guess, *averages], dim=1)

    def _other_damage(self) -> Tensor:
        """What is missing in another patch, flipped at random: (1, 1, h, w), bool; nothing if that is too much."""
        missing = self._patches.another(self._missing, self.generator)
        for axis, flip in zip((-2, -1), torch.rand(2, generator=self.generator, device=missing.device), strict=True):
            missing = torch.where(flip < 0.5, missing, missing.flip(axis))
        return missing & (missing.float().mean() < _MOST_DAMAGE)

    def first_guess(self) -> Tensor:
        """The whole picture, (1, C, H, W), interpolated without a network."""
        fill = pull_push if self.settings.guess == "pull-push" else biharmonic
        return fill(torch.where(self.known, self.observed, 0), self.known.float()).clamp(0, 1)

    def state(self) -> dict[str, Tensor]:
        """What changes from draw to draw."""
        return {**super().state(), **self._patches.state()}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state; without ``randomness`` the random numbers continue, and the patches too."""
        super().restore(state, randomness=randomness)
        if randomness:
            self._patches.restore(state)


def hide(
    missing: Tensor,
    settings: MaskedInput,
    generator: torch.Generator,
    copies: int = 1,
    size: Sequence[int] | None = None,
) -> Tensor:
    """What one draw hides: (1, 1, height, width), bool.

    Args:
        missing: (1, 1, H, W), bool: pixels that are unknown in some channel.
        settings: the pattern.
        generator: source of the random numbers.
        copies: how many copies of the missing region "shapes" hides.
        size: height and width of the result; those of ``missing`` if None.
    """
    height, width = size or missing.shape[-2:]
    device = missing.device
    share = torch.empty(1, device=device, dtype=torch.float32).uniform_(
        settings.least, settings.most, generator=generator
    )
    hidden = torch.rand(1, 1, height, width, generator=generator, device=device, dtype=torch.float32) >= share
    if settings.pattern == "shapes":
        for copy in moved(missing, copies, generator, (height, width)):
            hidden |= copy
    return hidden


def moved(
    pattern: Tensor, copies: int, generator: torch.Generator, size: Sequence[int] | None = None
) -> Iterator[Tensor]:
    """Randomly flipped copies of a pattern, (1, 1, H, W), shifted cyclically; cropped to ``size``.

    Args:
        pattern: bool.
        copies: how many.
        generator: source of the random numbers.
        size: height and width of the crop; the whole if None.
    """
    height, width = size or pattern.shape[-2:]
    # The numbers stay on the device, so that the host need not wait for them.
    for down, right, turn in torch.randint(2**31, (copies, 3), generator=generator, device=pattern.device):
        rows = _places(pattern.shape[-2], down, turn & 2)[:height]
        columns = _places(pattern.shape[-1], right, turn & 1)[:width]
        rowwise = pattern.index_select(-2, rows)
        yield rowwise.gather(-1, columns.expand(1, 1, height, width))  # faster than index_select along lines


def _places(length: int, shift: Tensor, flipped: Tensor) -> Tensor:
    """Source indices, (length,), of a line that is flipped if ``flipped`` is not 0, and then shifted cyclically."""
    places = (torch.arange(length, device=shift.device) - shift) % length
    return torch.where(flipped > 0, length - 1 - places, places)


def gaussian(width: float) -> tuple[float, ...]:
    """A line of a Gaussian of standard deviation ``width`` pixels, its peak 1, cut off at three of them."""
    reach = math.ceil(3 * width)
    return tuple(math.exp(-(offset**2) / (2 * width**2)) for offset in range(-reach, reach + 1))


def smooth(x: Tensor, kernel: Sequence[float]) -> Tensor:
    """Convolve (N, C, H, W) with a separable kernel; zero padding."""
    margin = len(kernel) // 2
    # A sum of shifted copies: torch's depthwise convolution takes up to twenty times as long on processors.
    for axis, around in ((-2, (0, 0, margin, margin)), (-1, (margin, margin))):
        side, padded = x.shape[axis], F.pad(x, around)
        x = kernel[0] * padded.narrow(axis, 0, side)
        for place, tap in enumerate(kernel[1:], start=1):
            x.add_(padded.narrow(axis, place, side), alpha=tap)
    return x
