"""The noise of a camera, a microscope or a scan: model it, filter with the model, and mix with a network's picture.

A camera renders linear light with a concave tone curve. Noise that was even-handed in the light is then skewed, and its
mean is too dark: the mean of a strongly noisy photograph is not the photograph. Where the residual shows that skew, the
result is brightened by what sRGB's curve makes of noise of that strength.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from untaught.imaging.correlated_filter import Strength, filter_correlated
from untaught.imaging.noise import (
    CALM,
    CORRELATED,
    PERHAPS_CORRELATED,
    SURELY_CORRELATED,
    estimate_noise,
    noise_correlation,
)
from untaught.imaging.noise_model import (
    NoiseModel,
    direction,
    estimate_noise_model,
    independent,
    jpeg_trace,
    refined,
)

__all__ = ["LITTLE", "Denoised", "ModelFilter", "model_filter", "noise_model", "remove_noise"]

Array = NDArray[np.float64]

_WINDOW = 192
"""Side of the windows, in pixels, in which the model is refined."""
_PILOT = Strength(threshold=4.0, second=False, step=6, blur=1.0)
_ROUNDS = 2
_LARGE = 2_000_000
"""Pixels: in a larger picture there are fewer groups, to save time."""
_FREE = 0.5
"""A camera that smooths leaves correlations of neighbours above this ..."""
_SMOOTHED = 0.65
"""... and fully so from here on."""
_EVEN = (0.36, 0.44)
"""From the first of these correlations of neighbours the spectrum is made more even, fully so from the second on."""
_TRACE = (0.8, 1.8)
"""From the first of these traces of JPEG on there is more noise on structure, and all of it from the second on ..."""
_STRUCTURE, _MOST_STRUCTURE = 2.0, 0.0125
"""... so many times as much, but no more than that standard deviation."""
LITTLE = 0.0055
"""Noise below this standard deviation, or of which the filter removes less, may as well be texture: 1.4 of 255."""
_FINEST, _DIRECTION = 0.2, 1.85
"""Texture may have less than this share of its deviation in the finest detail, and more direction than this. A clean
photograph of fabric has 0.14 and 2.0 to 2.5; coarse grain has 0.06 to 0.2 and 1.3 to 1.9."""
_TOUCH = 0.005
"""The most by which such a picture is changed, root mean square."""
_POINT = (4.5, 6.5)
"""In standard deviations: a difference is no noise any more, and surely none from the second on."""
_NEAR = 8
"""Pixels around a place that tell whether there is structure."""
_MOST, _HALF = 0.7, 2.0
"""The most that a network's share can be, and at how many times the noise's deviation structure gets half of it."""
_NEAR_ENOUGH, _ERRORS = 0.85, 8.0
"""A network's mean squared distance from the noisy picture, in variances of the noise, up to which it is trusted, and
how fast trust falls beyond. Finished fits had 0.7 to 1.0."""
_SKEWED = 0.3
"""Share of the expected skew from which on a tone curve is assumed: phones gave 0.5 to 0.8, normal noise 0.14."""


@dataclass(frozen=True)
class Denoised:
    """A denoised picture and what was found.

    Attributes:
        picture: (H, W, C), in [0, 1].
        noisy: the same shape: what was denoised.
        filtered: the same shape: the filter's picture, before a tone curve's bias is undone.
        model: of the noise.
        little: whether there was hardly any noise.
        brightened: whether the bias of a tone curve was undone.
    """

    picture: Array
    noisy: Array
    filtered: Array
    model: NoiseModel
    little: bool
    brightened: bool

    @functools.cached_property
    def share(self) -> Array:
        """The share of a network in the best mixture of both, (H, W, 1), 0 to 1.

        What is flat the filter knows better. A network keeps more of structure, the more it stands out of the noise.
        """
        if self.little:
            return np.zeros((*self.filtered.shape[:2], 1))
        mean = ndimage.uniform_filter(self.filtered, (_NEAR, _NEAR, 0))
        gray = self.filtered.mean(2)
        variance = ndimage.uniform_filter(gray**2, _NEAR) - ndimage.uniform_filter(gray, _NEAR) ** 2
        noise = np.mean([self.model.deviation(c, mean[..., c]) for c in range(mean.shape[2])], axis=0)
        structure = np.sqrt(np.maximum(variance, 0))
        share: Array = (_MOST * structure / (structure + _HALF * noise))[..., None]
        return share

    def trust(self, network: NDArray[np.floating]) -> float:
        """How much of its share a network's picture, (H, W, C), gets, from 0 to 1.

        All of it once that picture is as near to the noisy one as noise is; what is beyond are its own errors.
        """
        if self.little:
            return 0.0
        far = float(((network - self.noisy) ** 2).mean()) / self.model.level**2
        return 1 / (1 + _ERRORS * max(0.0, far - _NEAR_ENOUGH))

    def mixed(self, network: NDArray[np.floating]) -> Array:
        """The picture with its share of a network's, (H, W, C), which was fitted to the noisy one."""
        if self.little:
            return self.picture
        mixed = self.filtered + self.trust(network) * self.share * (network - self.filtered)
        return _finished(_with_points(mixed, self.noisy, self.model), self.model, brightened=self.brightened)


def remove_noise(picture: NDArray[np.floating]) -> Denoised:
    """Remove the noise of one picture, (H, W, C), finite, in [0, 1], at least 16 pixels high and wide."""
    noisy = picture.astype(np.float64)
    model = noise_model(noisy)
    result = _with_points(
        filter_correlated(noisy, model, _strength(model, noisy.shape[0] * noisy.shape[1])), noisy, model
    )
    # Texture reaches less far down to the finest detail than noise does.
    filtered = result
    coarse = estimate_noise(noisy) < _FINEST * model.level
    change = float(np.sqrt(((result - noisy) ** 2).mean()))
    little = min(model.level, change) < LITTLE or (coarse and _has_direction(noisy, model))
    brightened = False
    if little:
        result = noisy + (result - noisy) * min(1.0, _TOUCH / max(change, 1e-12))
    elif noisy.shape[2] == 3:
        brightened = _is_skewed(noisy - result, result, model)
    return Denoised(_finished(result, model, brightened=brightened), noisy, filtered, model, little, brightened)


def _has_direction(noisy: Array, model: NoiseModel) -> bool:
    """Whether what a filter by the model as it is removes is texture."""
    strength = replace(_strength(model, noisy.shape[0] * noisy.shape[1]), power=1.0)
    return direction(noisy - filter_correlated(noisy, model, strength)) > _DIRECTION


@dataclass(frozen=True)
class ModelFilter:
    """Removes the noise of a part of a picture, or of a frame of a film, by a model of all of it.

    Attributes:
        model: of the noise.
        little: whether there is hardly any, so that everything stays as it is.
        brightened: whether the bias of a tone curve is undone.
    """

    model: NoiseModel
    little: bool
    brightened: bool

    def __call__(self, picture: NDArray[np.floating], share: Tensor | None = None) -> Array:
        """The part, (H, W, C), without its noise; ``share`` as for `filter_correlated`."""
        noisy = picture.astype(np.float64)
        if self.little:
            return noisy
        strength = _strength(self.model, noisy.shape[0] * noisy.shape[1])
        result = filter_correlated(noisy, self.model, strength, share)
        return _finished(_with_points(result, noisy, self.model), self.model, brightened=self.brightened)


def model_filter(sample: NDArray[np.floating]) -> ModelFilter:
    """What removes the noise of any part of a picture, (H, W, C), by the model of the noise of a sample of it."""
    found = remove_noise(sample)
    return ModelFilter(found.model, found.little, found.brightened)


def noise_model(picture: Array) -> NoiseModel:
    """Estimate the noise of a picture, (H, W, C), with the help of denoised parts of it."""
    model = estimate_noise_model(picture)
    windows = [np.ascontiguousarray(one) for one in _windows(picture)]
    for _ in range(_ROUNDS):
        model = refined(windows, [filter_correlated(one, model, _PILOT) for one in windows])
    correlation = noise_correlation(picture)
    shared = correlation > CORRELATED or model.correlation[1] > SURELY_CORRELATED
    shared |= correlation > PERHAPS_CORRELATED and model.calmness(picture) > CALM
    if not shared:
        return independent(model)
    trace = float(np.clip((jpeg_trace(picture) - _TRACE[0]) / (_TRACE[1] - _TRACE[0]), 0, 1))
    return replace(model, structure=trace * min(_STRUCTURE * model.level, _MOST_STRUCTURE))


def _windows(picture: Array) -> list[Array]:
    """The picture if it is small; otherwise evenly spaced windows, up to three each way."""
    starts = []
    for length in picture.shape[:2]:
        count = 1 if length < 2 * _WINDOW else 2 if length < 4 * _WINDOW else 3
        size = length if count == 1 else _WINDOW
        # In the middle of equal parts, as borders are seldom typical.
        starts.append([(round((part + 0.5) * length / count - size / 2), size) for part in range(count)])
    return [picture[top : top + high, left : left + wide] for top, high in starts[0] for left, wide in starts[1]]


def _strength(model: NoiseModel, pixels: int) -> Strength:
    """How much to remove: noise that a camera has smoothed is weaker in flat blocks than elsewhere."""
    step = 3 if pixels <= _LARGE else 4
    smoothed = float(np.clip((model.correlation[1] - _FREE) / (_SMOOTHED - _FREE), 0, 1))
    even = float(np.clip((model.correlation[1] - _EVEN[0]) / (_EVEN[1] - _EVEN[0]), 0, 1))
    return Strength(2.8 + 1.2 * smoothed, 1 + 2 * smoothed, colour=smoothed, step=step, power=1 - even / 2)


def _with_points(result: Array, noisy: Array, model: NoiseModel) -> Array:
    """Give back what noise cannot be, such as stars: differences far beyond its deviation."""
    rest = noisy - result
    deviation = np.stack([model.deviation(c, result[..., c]) for c in range(result.shape[2])], axis=-1)
    low, high = _POINT
    share = ((np.abs(rest) / np.maximum(deviation, 1e-6) - low) / (high - low)).clip(0, 1)
    return result + share * rest


def _finished(picture: Array, model: NoiseModel, *, brightened: bool) -> Array:
    """The picture in [0, 1], without the bias of a tone curve if it is to be brightened."""
    if brightened:
        picture = np.stack([_look_up(picture[..., c], _tone_table(model, c)) for c in range(3)], axis=-1)
    return picture.clip(0, 1)


def _is_skewed(residual: Array, result: Array, model: NoiseModel) -> bool:
    """Whether the residual is skewed towards the dark, as by a tone curve.

    If y = g + a z + b z² with a normal z, its mean is too bright by b, and b is the third moment over six variances.
    """
    seen, expected = 0.0, 0.0
    for channel in range(3):
        values, rest = result[..., channel], residual[..., channel]
        deviation = model.deviation(channel, values)
        # Clipping skews too.
        inside = (values > 2 * deviation) & (values < 1 - 2 * deviation)
        if inside.sum() < 1000:
            continue
        rest = rest[inside] - rest[inside].mean()
        seen -= float((rest**3).sum() / (6 * np.maximum((rest**2).mean(), 1e-12)))
        expected += float((_look_up(values[inside], _tone_table(model, channel)) - values[inside]).sum())
    return expected > 0 and seen > _SKEWED * expected


def _look_up(values: Array, table: tuple[Array, Array]) -> Array:
    found: Array = np.interp(values, *table)
    return found


def _tone_table(model: NoiseModel, channel: int) -> tuple[Array, Array]:
    """From the mean of noisy values to the value itself, for normal noise before sRGB's tone curve."""
    means = np.linspace(0.0, 1.0, 257)
    wanted = np.maximum(model.deviation(channel, means), 1e-6)
    normal, weights = np.polynomial.hermite_e.hermegauss(41)
    weights = weights / weights.sum()
    light, deviation = _to_light(means), wanted * np.maximum(_light_slope(means), 0.05)
    for _ in range(60):
        values = _from_light((light[:, None] + deviation[:, None] * normal).clip(0, 1))
        mean = values @ weights
        spread = np.sqrt(np.maximum((values - mean[:, None]) ** 2 @ weights, 1e-16))
        light = (light + 0.5 * (means - mean) * np.maximum(_light_slope(means), 0.05)).clip(0, 1)
        deviation = (deviation * (wanted / spread).clip(0.5, 2) ** 0.5).clip(1e-9, 1)
    # Near black and white several values have the same mean.
    return means, np.maximum.accumulate(_from_light(light))


def _to_light(values: Array) -> Array:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _from_light(light: Array) -> Array:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _light_slope(values: Array) -> Array:
    return np.where(values <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((values + 0.055) / 1.055) ** 1.4)
