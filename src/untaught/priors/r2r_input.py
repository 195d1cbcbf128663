"""A noisy picture as the network's input, with yet more noise, and with as much taken off it as its target.

Let y be the picture with independent normal noise of standard deviation s, and z noise of the same kind, drawn anew.
Then y + a z and y - z / a have independent noise, so a network that is asked for the second when it is shown the first
learns the picture and not the noise, as if it had been asked for the clean one (Pang, Zheng, Quan and Ji, 2021,
"Recorrupted-to-Recorrupted", equation 8). Each iteration draws another z, so that nothing is to be learnt by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from untaught.errors import SettingError
from untaught.priors.inputs import mirror
from untaught.priors.masked_input import gaussian, smooth
from untaught.priors.patches import Windows
from untaught.priors.sampler import Batch

__all__ = ["RecorruptedInput", "RecorruptionSettings"]


@dataclass(frozen=True, kw_only=True)
class RecorruptionSettings:
    """How a noisy picture is made the network's input.

    Attributes:
        strength: a of the equation, above 0: noise that is added to the input, in standard deviations of its own.
        guess: standard deviation of the Gaussian, in pixels, that makes the guess to which the network's output is
            added.
        widths: the same, of those that make its further inputs.
        window: side of the window, in pixels, that the network is shown of a larger picture.
    """

    strength: float = 1.0
    guess: float = 1.0
    widths: tuple[float, ...] = (0.6, 1.2, 3.0)
    window: int = 512

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if not (self.strength > 0 and self.guess > 0 and all(width > 0 for width in self.widths)):
            raise SettingError("strength, guess and widths of recorruption are positive")
        if self.window < 8:
            raise SettingError(f"a window has sides of at least 8 pixels: found {self.window}")

    def channels(self, picture_channels: int, guide_channels: int = 0) -> int:
        """Channels of the network's input: the picture, the guess, an average for each width, and the guide."""
        return picture_channels * (2 + len(self.widths)) + guide_channels


class RecorruptedInput:
    """The input of each iteration in turn, with its target.

    Args:
        observed: (1, C, H, W), float32, finite.
        known: (1, C, H, W), bool: which of it count.
        noise: standard deviation of its noise, above 0, in the same units.
        settings: how much is added.
        generator: source of the random numbers, on the same device.
        guide: (1, channels, H, W), float32, finite: shown beside the picture, as it is; nothing if None.
    """

    def __init__(
        self,
        observed: Tensor,
        known: Tensor,
        noise: float,
        settings: RecorruptionSettings,
        generator: torch.Generator,
        guide: Tensor | None = None,
    ) -> None:
        self.observed = observed
        self.known = known
        self.guide = [] if guide is None else [guide]
        self.noise = noise
        self.settings = settings
        self.generator = generator
        self.generators = (generator,)
        widths = (settings.guess, *settings.widths)
        self._kernels = [gaussian(width) for width in widths]
        self._windows = Windows(observed.shape[-2:], settings.window, observed.device)
        everywhere = observed.new_ones(1, 1, *self._windows.size)
        self._weights = [smooth(everywhere, kernel) for kernel in self._kernels]

    def draw(self) -> Batch:
        """The next iteration's input, the guess to be corrected, and the target."""
        (observed, known, *guide), window = self._windows.cut(self.observed, self.known, *self.guide)
        added = torch.empty_like(observed).normal_(0, self.noise, generator=self.generator)
        shown = observed + self.settings.strength * added
        target = observed - added / self.settings.strength
        averages = [smooth(shown, kernel) / weight for kernel, weight in zip(self._kernels, self._weights, strict=True)]
        # Mirrored pictures are pictures too, and keep the network from learning this one by heart.
        turned = torch.rand(1, 2, generator=self.generator, device=shown.device) < 0.5
        features = mirror(torch.cat([shown, *averages, *guide], dim=1), turned)
        return Batch(features, averages[0], known, target=target, mirrored=turned, window=window)

    def first(self) -> Tensor:
        """The whole picture, (1, C, H, W), as far as it can be told without a network."""
        kernel = self._kernels[0]
        return smooth(self.observed, kernel) / smooth(torch.ones_like(self.observed[:, :1]), kernel)

    def state(self) -> dict[str, Tensor]:
        """What changes from draw to draw."""
        return {"generator": self.generator.get_state(), **self._windows.state()}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state; without ``randomness`` the random numbers go on."""
        if randomness:
            self.generator.set_state(state["generator"].cpu())
            self._windows.restore(state)
