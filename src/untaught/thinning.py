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

from untaught.contracts import Drawn
from untaught.errors import SettingError

__all__ = [
    "ThinnedInput",
    "ThinningSettings",
    "gaussian",
    "hide",
    "mask_channels",
    "moved",
    "places",
    "smooth",
    "spread_out",
]


_LEAST_PLACES = 4000
"""Windows before they begin anew; more than fits have iterations."""


_MANY = 20
"""Windows in a picture from which on it has more iterations."""


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
        window: side of the square that the network is shown of a larger picture, another one each iteration, in pixels:
            what it learns of one place it knows at every other, so an iteration need not see all of them.
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

    def seen(self, size: Sequence[int]) -> tuple[int, ...]:
        """Height and width of what the network is shown at a time of a picture of this height and width."""
        return tuple(min(self.window, side) for side in size)

    def enough(self, iterations: int, size: Sequence[int]) -> int:
        """So many iterations, or more for a picture of which every place would be seen in fewer than a twentieth."""
        windows = math.prod(size) / math.prod(self.seen(size))
        return round(iterations * max(1.0, windows / _MANY))


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
        self._places = places(observed.shape[-2:], settings.window)
        if self._places is not None:
            self._places = self._places.to(observed.device)
            self._drawn = torch.zeros(1, dtype=torch.int64, device=observed.device)

    def draw(self) -> Drawn:
        """The next iteration's input, the guess to be corrected, and the values to compare."""
        observed, known, window = self._seen()
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
        return Drawn(features, guess, compared, shown, observed, window=window)

    def state(self) -> dict[str, Tensor]:
        """What changes from draw to draw."""
        drawn = {} if self._places is None else {"drawn": self._drawn}
        return {"generator": self.generator.get_state(), **drawn}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state; without ``randomness`` the random numbers go on, and the windows too."""
        if randomness:
            self.generator.set_state(state["generator"].cpu())
            if self._places is not None:
                self._drawn.copy_(state["drawn"])

    def _seen(self) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
        """What is observed and known of the picture, or of its next window, and where that is."""
        if self._places is None:
            return self.observed, self.known, None
        corner = self._places.index_select(0, self._drawn)[0]
        self._drawn.add_(1).remainder_(len(self._places))
        rows, columns = (
            start + torch.arange(min(self.settings.window, side), device=corner.device)
            for start, side in zip(corner, self.observed.shape[-2:], strict=True)
        )
        observed, known = (
            whole.index_select(-2, rows).index_select(-1, columns) for whole in (self.observed, self.known)
        )
        return observed, known, (rows[None], columns[None])


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
        rows = _moved_places(pattern.shape[-2], down, turn & 2)[:height]
        columns = _moved_places(pattern.shape[-1], right, turn & 1)[:width]
        rowwise = pattern.index_select(-2, rows)
        yield rowwise.gather(-1, columns.expand(1, 1, height, width))  # in lines, gather is faster


def _moved_places(length: int, move: Tensor, turned: Tensor) -> Tensor:
    """Where the places of a line, (length,), come from that is turned about, if that is not 0, and then moved."""
    places = (torch.arange(length, device=move.device) - move) % length
    return torch.where(turned > 0, length - 1 - places, places)


def places(size: Sequence[int], window: int) -> Tensor | None:
    """The top left corners of the windows that are shown of a picture in turn; None if it is no larger than one.

    They go over the whole picture time and again, first in rows from the top, then in other places each time and in any
    order. They are the same for all pictures of a size.

    Args:
        size: height and width of the picture.
        window: side of a window.

    Returns:
        (count, 2), int64.
    """
    height, width = size
    if height <= window and width <= window:
        return None
    generator, count = torch.Generator().manual_seed(0), 0
    sweeps: list[Tensor] = []
    while count < _LEAST_PLACES:
        lines = []
        for side in (height, width):
            move = 0 if not sweeps else int(torch.randint(window, (), generator=generator))
            tops = torch.arange(-move, side, window) if side > window else torch.zeros(1, dtype=torch.int64)
            lines.append(torch.unique(tops.clamp(0, max(0, side - window))))
        sweep = torch.cartesian_prod(*lines)
        if sweeps:
            sweep = sweep[torch.randperm(len(sweep), generator=generator)]
        sweeps.append(sweep)
        count += len(sweep)
    return torch.cat(sweeps)


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
