"""Denoising by a model of the noise, and how much of the noise is removed."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from untaught.fitting.problem import Problem
    from untaught.imaging.arrays import Layout
    from untaught.imaging.real_noise import Denoised
    from untaught.priors.modelled_noise import ModelledNoise

__all__ = [
    "FILTERED_ONLY",
    "Blend",
    "arrays",
    "blended",
    "by_model",
    "is_large",
    "modelled",
    "quickly_filtered",
    "slices",
    "stacked",
    "with_strength",
]

_FITTED = 1_000_000
"""Pixels: a larger picture is filtered only, and no network is fitted."""

FILTERED_ONLY = (
    "the picture has more than a megapixel, so a classical filter removes the noise and no network is fitted"
)


def is_large(size: Sequence[int]) -> bool:
    """Whether a picture of this height and width is filtered only."""
    return math.prod(size) > _FITTED


def with_strength(problem: Problem, noisy: Tensor, strength: float) -> Problem:
    """The same problem, whose pictures are blended with the noisy one, or smoothed further."""
    first = problem.first
    if first is None and problem.noise is not None:
        noise = problem.noise if problem.channel_noise is None else problem.channel_noise
        first = functools.partial(quickly_filtered, problem.observed, noise)
    return dataclasses.replace(problem, display_step=Blend(noisy, strength, problem.display_step), first=first)


@dataclasses.dataclass
class Blend:
    """The step that leaves as much of the noise in a picture, (N, C, H, W), as the strength says.

    Attributes:
        noisy: the input.
        strength: see `untaught.tasks.denoise.DenoiseSettings`.
        before: a step before this one; None for none.
        keeps: whether the latest picture is kept, to be blended with other strengths.
        latest: that picture, at strength 1.
    """

    noisy: Tensor
    strength: float
    before: Callable[[Tensor], Tensor] | None
    keeps: bool = False
    latest: Tensor | None = None

    def __call__(self, picture: Tensor) -> Tensor:
        """Blend a picture."""
        picture = picture if self.before is None else self.before(picture)
        if self.keeps:
            self.latest = picture
        return blended(picture, self.noisy, self.strength)


def blended(picture: Tensor, noisy: Tensor, strength: float) -> Tensor:
    """A picture, (N, C, H, W), with as much of the noise as the strength leaves."""
    import torch

    if strength == 1:
        return picture
    given = noisy.to(picture)
    if strength <= 1:
        return torch.lerp(given, picture, strength)
    mean, varies = _local(slices(picture))
    # What varies less than the noise did is smoothed.
    smooth = mean + varies / (varies + (given - picture).var() + 1e-12) * (slices(picture) - mean)
    return torch.lerp(picture, stacked(smooth, picture), 2 * (strength - 1))


def quickly_filtered(noisy: Tensor, noise: float | Tensor) -> Tensor:
    """A noisy picture, (N, C, H, W), after a local Wiener filter, which takes some hundredths of a second.

    Lee, 1980, "Digital image enhancement and noise filtering by use of local statistics".

    Args:
        noisy: or (N, C, D, H, W), whose slices are filtered one by one.
        noise: its standard deviation, or that of each channel, (1, C, 1, 1).
    """
    flat = slices(noisy)
    mean, varies = _local(flat)
    return stacked(mean + (1 - noise**2 / varies.clamp_min(1e-12)).clamp_min(0) * (flat - mean), noisy)


def _local(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance around each value of (N, C, H, W)."""
    mean = _local_mean(pictures)
    return mean, (_local_mean(pictures.square()) - mean.square()).clamp_min(0)


def _local_mean(pictures: Tensor) -> Tensor:
    """The mean of 5 x 5 values around each of (N, C, H, W)."""
    from torch.nn import functional

    return functional.avg_pool2d(functional.pad(pictures, (2, 2, 2, 2), mode="reflect"), 5, stride=1)


def by_model(picture: Tensor) -> tuple[float, float, float, float]:
    """The noise of (N, C, H, W) by its model.

    Returns:
        Its standard deviation, the neighbours' correlation, its growth, and how much of it the calmest blocks hold.
    """
    import numpy as np

    from untaught.imaging.noise_model import estimate_noise_model

    models = [(estimate_noise_model(one), one) for one in arrays(picture)]
    return (
        float(np.mean([model.level for model, _ in models])),
        float(np.mean([model.correlation[1] for model, _ in models])),
        float(np.mean([model.growth(one) for model, one in models])),
        min(model.calmness(one) for model, one in models),
    )


def modelled(picture: Tensor, finite: Tensor, layout: Layout, level: float, what: str) -> Problem:
    """Noise that is not white: a model of it for the network, and a classical picture to mix with the network's.

    Args:
        picture: (N, C, H, W), finite.
        finite: the same shape, bool: which values were not filled in.
        layout: of the given picture.
        level: standard deviation of the noise.
        what: is known of the noise, as the end of a sentence.
    """
    import numpy as np

    from untaught.fitting.problem import Problem
    from untaught.imaging.noise import estimate_noise

    scale = layout.high - layout.low
    # The time of a fit grows with the picture: docs/lab-notes/noise.md.
    fitted = not is_large(picture.shape[2:])

    made = _Made(picture, fitted=fitted, scale=scale)
    return Problem(
        observed=picture,
        known=finite,
        channels=picture.shape[1],
        size=tuple(picture.shape[2:]),
        layout=layout,
        noise=max(1e-4, float(np.mean([estimate_noise(one) for one in arrays(picture)]))),
        recipe_row="denoise-correlated" if fitted else "denoise-large",
        modelled_noise=made.modelled_noise,
        answer=made.answer,
        answer_note=made.sentence,
        mixes=fitted,
        settled=made.settled if fitted else None,
        first=functools.partial(quickly_filtered, picture, level),
        notes=(
            f"the noise {what}: the recipes balanced, fast and best go by a model of it, the others take it for even "
            "and independent",
        ),
    )


class _Made:
    """What the filter makes of noisy pictures, (N, C, H, W), when it is first asked for.

    Args:
        picture: the noisy pictures.
        fitted: whether a network is fitted too.
        scale: one unit of the fit, in the picture's units.
    """

    def __init__(self, picture: Tensor, *, fitted: bool, scale: float) -> None:
        self._picture, self._fitted, self._scale = picture, fitted, scale
        self._share = 0.0

    @functools.cached_property
    def found(self) -> list[Denoised]:
        """For each picture."""
        from untaught.imaging.real_noise import remove_noise

        return [remove_noise(one) for one in arrays(self._picture)]

    def modelled_noise(self, number: int) -> ModelledNoise:
        """What the network's fit needs to know of a picture's noise."""
        from untaught.priors.modelled_noise import ModelledNoise

        one = self.found[number]
        return ModelledNoise(one.model, one.filtered)

    def answer(self, network: Tensor) -> Tensor:
        """The filter's picture, mixed with the network's, (N, C, H, W)."""
        import numpy as np
        import torch

        pairs = list(zip(self.found, arrays(network.cpu()), strict=True))
        pictures = [one.mixed(own) if self._fitted else one.picture for one, own in pairs]
        if self._fitted:
            self._share = float(np.mean([one.trust(own) * one.share.mean() for one, own in pairs]))
        return torch.from_numpy(np.stack(pictures)).movedim(-1, 1).to(network)

    def settled(self) -> bool:
        """Whether there is so little noise that no network has a share of any picture."""
        return all(one.little for one in self.found)

    def sentence(self) -> str:
        """What was found, and which share is the network's."""
        model = self.found[0].model
        if self.settled():
            level = f"{model.level * self._scale:.2g}"
            return f"there is little noise (a standard deviation of {level}), so little was changed"
        tone = ", and the darkening of a tone curve was undone" if self.found[0].brightened else ""
        return (
            f"the noise has a standard deviation of about {model.level * self._scale:.3g} and is shared over "
            f"{model.correlation_length:.1f} pixels{tone}; the network's share of the picture is "
            f"{self._share:.0%}, the rest is a classical filter's"
        )


def arrays(picture: Tensor) -> NDArray[np.float32]:
    """The pictures, or the slices of the volumes, as (N, H, W, C)."""
    import numpy as np

    return np.moveaxis(slices(picture).numpy(), 1, -1)


def slices(volume: Tensor) -> Tensor:
    """The slices of (N, C, D, H, W) as pictures, (N D, C, H, W); pictures as they are."""
    return volume if volume.ndim == 4 else volume.transpose(1, 2).flatten(0, 1)


def stacked(slices: Tensor, like: Tensor) -> Tensor:
    """The inverse of `slices`, for a volume of the shape of ``like``."""
    return slices if like.ndim == 4 else slices.view(like.shape[0], like.shape[2], *slices.shape[1:]).transpose(1, 2)
