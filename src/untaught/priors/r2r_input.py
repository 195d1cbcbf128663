"""R2R input (recorrupted-to-recorrupted): a noisy picture with noise added, and its target with noise subtracted.

Let y be the picture with white normal noise of standard deviation s, and z noise of the same kind, drawn anew. Then
y + a z and y - z / a have independent noise. A network that maps the first to the second learns the picture and not the
noise, as if its target were clean (Pang, Zheng, Quan and Ji, 2021, "Recorrupted-to-Recorrupted", equation 8). Each
iteration draws another z, so the network cannot learn the noise by heart. The same holds for normal noise that is not
white, if z is drawn from a model of it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from untaught.errors import InputError
from untaught.priors.first_guess import pull_push
from untaught.priors.inputs import mirror
from untaught.priors.masked_input import Width, gaussian, smooth
from untaught.priors.modelled_noise import ModelledNoise
from untaught.priors.patches import Patches
from untaught.priors.sampler import Batch, InputSampler, Measurement
from untaught.settings import settings

__all__ = ["R2RInput", "R2RSampler"]


@settings
class R2RInput:
    """A noisy picture as the network's input, with noise added to it.

    Attributes:
        kind: the tag of this input in a record.
        strength: a of the equation: the added noise, in standard deviations of the picture's own; default 1.
        guess: standard deviation, in pixels, of the Gaussian that makes the first guess; default 1.
        widths: the same for the network's further inputs.
        patch: side, in pixels, of the patch that is shown of a larger picture; default 512.
    """

    shows_picture: ClassVar[bool] = True

    kind: Literal["r2r"] = "r2r"
    strength: Annotated[float, Field(gt=0)] = 1.0
    guess: Annotated[float, Field(gt=0)] = 1.0
    widths: tuple[Width, ...] = (0.6, 1.2, 3.0)
    patch: Annotated[int, Field(ge=8)] = 512

    def build(self, measurement: Measurement, generator: torch.Generator) -> InputSampler:
        """Make the sampler of one picture, whose noise must be known."""
        if measurement.noise is None:
            raise InputError("the R2R input is for white noise, and its standard deviation is unknown here")
        observed = measurement.picture("R2R")
        noise: float | Tensor | ModelledNoise = measurement.noise
        if measurement.modelled_noise is not None:
            noise = measurement.modelled_noise()
        elif measurement.channel_noise is not None:
            noise = measurement.channel_noise
        return R2RSampler(observed, measurement.known, noise, self, generator, measurement.guide)


class R2RSampler(InputSampler):
    """Draws, in each iteration, a noisier picture as input and a target with independent noise.

    Args:
        observed: (1, C, H, W), float32, finite.
        known: (1, C, H, W), bool: values that are compared. The others are filled in before the network sees them.
        noise: standard deviation of the picture's white noise, above 0, in its units; (1, C, 1, 1) for one per channel;
            or what draws noise like the picture's.
        settings: how much noise is added.
        generator: source of the random numbers, on the same device.
        guide: (1, channels, H, W), float32, finite: shown unchanged beside the picture; None if there is none.
    """

    def __init__(
        self,
        observed: Tensor,
        known: Tensor,
        noise: float | Tensor | ModelledNoise,
        settings: R2RInput,
        generator: torch.Generator,
        guide: Tensor | None = None,
    ) -> None:
        extra = 0 if guide is None else guide.shape[1]
        super().__init__(observed.shape[1] * (2 + len(settings.widths)) + extra, generator)
        self.guide = [] if guide is None else [guide]
        self.noise = noise
        if isinstance(noise, ModelledNoise):
            self._deviation = noise.deviation.to(observed)
        self.settings = settings
        self._all = observed
        widths = (settings.guess, *settings.widths)
        self._kernels = [gaussian(width) for width in widths]
        self._patches = Patches(observed.shape[-2:], settings.patch, observed.device)
        everywhere = observed.new_ones(1, 1, *self._patches.size)
        self._weights = [smooth(everywhere, kernel) for kernel in self._kernels]
        self.set_known(known)

    def set_known(self, known: Tensor) -> None:
        """Use these values from now on: (1, C, H, W), bool; the network sees the others interpolated."""
        self.known = known
        self.observed = self._all
        if not known.all():
            self.observed = pull_push(torch.where(known, self._all, 0), known.float())

    def draw(self) -> Batch:
        """The next iteration's input, the guess to be corrected, and the target."""
        if isinstance(self.noise, ModelledNoise):
            (observed, known, deviation, *guide), patch = self._patches.cut(
                self.observed, self.known, self._deviation, *self.guide
            )
            added = self.noise.draw(deviation, self.generator)
        elif isinstance(self.noise, Tensor):
            (observed, known, *guide), patch = self._patches.cut(self.observed, self.known, *self.guide)
            added = torch.empty_like(observed).normal_(generator=self.generator) * self.noise
        else:
            (observed, known, *guide), patch = self._patches.cut(self.observed, self.known, *self.guide)
            added = torch.empty_like(observed).normal_(0, self.noise, generator=self.generator)
        shown = observed + self.settings.strength * added
        target = observed - added / self.settings.strength
        averages = [smooth(shown, kernel) / weight for kernel, weight in zip(self._kernels, self._weights, strict=True)]
        # Mirrored pictures are natural pictures too, and keep the network from learning this one by heart.
        mirrored = torch.rand(1, 2, generator=self.generator, device=shown.device, dtype=torch.float32) < 0.5
        features = mirror(torch.cat([shown, *averages, *guide], dim=1), mirrored)
        return Batch(features, averages[0], known, target=target, mirrored=mirrored, patch=patch)

    def first_guess(self) -> Tensor:
        """The whole picture, (1, C, H, W), smoothed without a network."""
        kernel = self._kernels[0]
        return (smooth(self.observed, kernel) / smooth(torch.ones_like(self.observed[:, :1]), kernel)).clamp(0, 1)

    def state(self) -> dict[str, Tensor]:
        """What changes from draw to draw."""
        return {**super().state(), **self._patches.state()}

    def restore(self, state: dict[str, Tensor], *, randomness: bool = True) -> None:
        """Go back to a state; without ``randomness`` the random numbers continue."""
        super().restore(state, randomness=randomness)
        if randomness:
            self._patches.restore(state)
