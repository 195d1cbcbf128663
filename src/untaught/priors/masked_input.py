"""The known values themselves as the network's input, thinned out anew each iteration.

A network that draws from noise has to learn a picture by heart, and learns its damage next. A network that is shown a
part of what is known, and asked for another part that it was not shown, learns how this picture continues: its own
statistics, from thousands of small tasks of the kind that is to be solved (after Batson and Royer, 2019,
"Noise2Self", and Quan et al., 2020, "Self2Self"). What is asked for is never among what is shown, so to copy is no
way out.

The network draws a correction to a first guess, which is the shown values spread over the gaps between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from untaught.errors import SettingError
from untaught.priors.patches import Windows
from untaught.priors.sampler import Batch

__all__ = [
    "ThinnedInput",
    "ThinningSettings",
    "gaussian",
    "hide",
    "mask_channels",
    "moved",
    "smooth",
    "spread_out",
]


@dataclass(frozen=True, kw_only=True)
class ThinningSettings:
    """What is hidden from the network each iteration, and how it is told of the rest.

    Attributes:
        pattern: "pixels" hides scattered pixels; "shapes" hides besides these what the missing part itself would
            cover, moved and turned at random, so that holes are learnt from holes.
        least: smallest share of pixels that is left by the scattered ones, 0 to 1.
        most: largest share that is left; each iteration draws between the two.
        copies: at most so many copies of the missing part are hidden by "shapes".
        widths: standard deviations of the Gaussians, in pixels, by which the shown values are averaged over gaps.
        window: side of the window, in pixels, that the network is shown of a larger picture.
    """

    pattern: Literal["pixels", "shapes"] = "pixels"
    least: float = 0.6
    most: float = 0.95
    copies: int = 3
    widths: tuple[float, ...] = (0.6, 1.2, 3.0)
    window: int = 512

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if self.pattern not in ("pixels", "shapes"):
            raise SettingError(f"pattern must be pixels or shapes: found {self.pattern!r}")
        if not 0 < self.least <= self.most < 1:
            raise SettingError(f"least and most lie in (0, 1), in this order: found {self.least} and {self.most}")
        if self.copies < 1:
            raise SettingError(f"copies is a whole number from 1: found {self.copies}")
        if not all(width > 0 for width in self.widths):
            raise SettingError(f"widths are positive: found {self.widths}")
        if self.window < 8:
            raise SettingError(f"a window has sides of at least 8 pixels: found {self.window}")

    def channels(self, picture_channels: int, mask_channels: int) -> int:
        """Channels of the network's input: values, where they are, the guess, and an average for each width."""
        return picture_channels * (2 + len(self.widths)) + mask_channels


class ThinnedInput:
    """The input of each iteration in turn: a part of what is known, and what is to be guessed from it.

    Args:
        observed: (1, C, H, W), float32, finite; not read where it is not known.
        known: (1, C, H, W), bool.
        settings: what is hidden.
        generator: source of the random numbers, on the same device.
    """

    def __init__(self, observed: Tensor, known: Tensor, settings: ThinningSettings, generator: torch.Generator) -> None:
        self.observed = torch.where(known, observed, 0)
        self.known = known
        self.settings = settings
        self.generator = generator
        self.generators = (generator,)
        self.mask_channels = mask_channels(known)
        # No more copies of the missing part than hide about a third of the picture.
        area = (~known.all(1)).float().mean().clamp(1e-3, 0.99).item()
        self.copies = max(1, min(settings.copies, round(math.log(0.7) / math.log(1 - area))))
        self._kernels = [gaussian(width) for width in settings.widths]
        self._missing = ~known.all(dim=1, keepdim=True)
        self._windows = Windows(observed.shape[-2:], settings.window, observed.device)

    def draw(self) -> Batch:
        """The next iteration's input, the guess to be corrected, and the values to compare."""
        (observed, known), window = self._windows.cut(self.observed, self.known)
        hidden = hide(self._missing, self.settings, self.generator, self.copies, known.shape[-2:])
        shown = known & ~hidden
        compared = known & hidden
        # A picture of a few pixels may have nothing hidden by chance: then everything known is compared.
        compared = torch.where(compared.flatten(1).any(1).view(-1, 1, 1, 1), compared, known)
        weights = shown[:, : self.mask_channels].float()
        values = observed * weights
        guess = spread_out(values, weights)
        both = torch.cat([values, weights], dim=1)
        sums = [smooth(both, kernel) for kernel in self._kernels]
        channels = values.shape[1]
        averages = [one[:, :channels] / (one[:, channels:] + 1e-4) for one in sums]
        features = torch.cat([values, weights, guess, *averages], dim=1)
        return Batch(features, guess, compared, shown, observed, window=window)

    def first(self) -> Tensor:
        """The whole picture, (1, C, H, W), as far as it can be told without a network."""
        return spread_out(self.observed, self.known.float())

    def state(self) -> dict[str, Tensor]:
        """What changes from draw to draw."""
        return {"generator": self.generator.get_state(), **self._windows.state()}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state; without ``randomness`` the random numbers go on, and the windows too."""
        if randomness:
            self.generator.set_state(state["generator"].cpu())
            self._windows.restore(state)


def mask_channels(known: Tensor) -> int:
    """Channels that it takes to tell where values are known: 1 if they are in all channels alike."""
    return 1 if bool((known == known[:, :1]).all()) else known.shape[1]


def hide(
    missing: Tensor,
    settings: ThinningSettings,
    generator: torch.Generator,
    copies: int = 1,
    size: Sequence[int] | None = None,
) -> Tensor:
    """What one draw hides: (1, 1, height, width), bool.

    Args:
        missing: (1, 1, H, W), bool: what is not known in all channels.
        settings: the pattern.
        generator: source of the random numbers.
        copies: how many copies of the missing part "shapes" hides.
        size: height and width of the result; those of ``missing`` if None.
    """
    height, width = size or missing.shape[-2:]
    device = missing.device
    share = torch.empty(1, device=device).uniform_(settings.least, settings.most, generator=generator)
    hidden = torch.rand(1, 1, height, width, generator=generator, device=device) >= share
    if settings.pattern == "shapes":
        for copy in moved(missing, copies, generator, (height, width)):
            hidden |= copy
    return hidden


def moved(
    pattern: Tensor, copies: int, generator: torch.Generator, size: Sequence[int] | None = None
) -> Iterator[Tensor]:
    """Copies of a pattern, (1, 1, H, W), turned about and moved at random around the edges; or a corner of each.

    Args:
        pattern: bool.
        copies: how many.
        generator: source of the random numbers.
        size: height and width of the corner; all of it if None.
    """
    height, width = size or pattern.shape[-2:]
    # The numbers stay on the device, so that the host need not wait for them.
    for down, right, turn in torch.randint(2**31, (copies, 3), generator=generator, device=pattern.device):
        rows = _places(pattern.shape[-2], down, turn & 2)[:height]
        columns = _places(pattern.shape[-1], right, turn & 1)[:width]
        rowwise = pattern.index_select(-2, rows)
        yield rowwise.gather(-1, columns.expand(1, 1, height, width))  # in lines, gather is faster


def _places(length: int, move: Tensor, turned: Tensor) -> Tensor:
    """Where the places of a line, (length,), come from that is turned about, if that is not 0, and then moved."""
    places = (torch.arange(length, device=move.device) - move) % length
    return torch.where(turned > 0, length - 1 - places, places)


def spread_out(values: Tensor, weights: Tensor) -> Tensor:
    """Fill gaps from coarser and coarser means of what is there (pull-push, after Gortler et al., 1996).

    Args:
        values: (N, C, H, W), zero where the weights are.
        weights: (N, C, H, W), 1 where a value is there and 0 where not; (N, 1, H, W) if they are so in all channels.

    Returns:
        (N, C, H, W): the values, and in the gaps interpolated means; zero where nothing is there at all.
    """
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values
    odd = (0, width % 2, 0, height % 2)
    share = F.avg_pool2d(F.pad(weights, odd), 2)
    means = F.avg_pool2d(F.pad(values, odd), 2) / share.clamp_min(1e-6)
    coarse = spread_out(means, (share > 0).float())
    fine = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
    return values + fine * (1 - weights)


def gaussian(width: float) -> tuple[float, ...]:
    """A Gaussian of standard deviation ``width`` pixels, its top 1, out to three of them: one line."""
    reach = math.ceil(3 * width)
    return tuple(math.exp(-(offset**2) / (2 * width**2)) for offset in range(-reach, reach + 1))


def smooth(x: Tensor, kernel: Sequence[float]) -> Tensor:
    """Convolve (N, C, H, W) with a separable kernel, zero outside."""
    margin = len(kernel) // 2
    # A sum of moved copies: torch's convolution of single maps takes up to twenty times as long on processors.
    for axis, around in ((-2, (0, 0, margin, margin)), (-1, (margin, margin))):
        side, padded = x.shape[axis], F.pad(x, around)
        x = kernel[0] * padded.narrow(axis, 0, side)
        for place, tap in enumerate(kernel[1:], start=1):
            x.add_(padded.narrow(axis, place, side), alpha=tap)
    return x
