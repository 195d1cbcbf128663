"""A model of the noise of one picture: how strong it is at each brightness, and how neighbours and channels share it.

Blocks of the picture are transformed by cosines. In flat blocks the coefficients are those of the noise alone. Their
energy at each brightness is the noise curve, and how it is spread over the frequencies is the spectrum. If blocks were
chosen and measured by the same coefficients, the chosen ones would be those where the noise happens to be weak. So half
of the coefficients choose and the other half measures, and the other way round.

A first estimate takes content for noise where hardly any block is flat. A denoised picture tells better where it is
flat, and what is left of the noisy one there: `refined`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["TOO_CALM", "NoiseModel", "direction", "estimate_noise_model", "independent", "jpeg_trace", "refined"]

Array = NDArray[np.float64]

_SIDE = 16
"""Side of a block, in pixels."""
_BLOCKS = 4000
"""About how many blocks of a picture are looked at."""
_BINS = 8
"""Classes of brightness, each with flat blocks of its own."""
_FLATTEST = 0.1
"""Share of the blocks that counts as flat at first."""
_FLAT = 0.3
"""Share that counts as flat once a denoised picture tells."""
_KNOTS = 17
"""Points of a noise curve, evenly spaced from black to white."""
_BEND, _SLOPE = 10.0, 0.02
"""Weights of a noise curve's second and first differences, as shares of the curve."""
_REACH = 8
"""Pixels, from 0, for which the covariance is given."""

_LOOKED_AT = 512
"""Side of the middle that tells of JPEG, in pixels."""
_SMALL = 8
"""Side of the blocks that are the calmest ones, in pixels."""
_CALMEST, TOO_CALM = 0.05, 0.4
"""A share of the small blocks, and the share of the noise that those have at least, if it is noise. On real noise it
was 0.49 and more, and down to 0.37 where it was taken for twice as strong as it is."""
_NOTHING = 0.5 / 255
"""What a block holds at least, if JPEG has left something in it."""
_CLIPPED = 0.02
"""A block with more black and white than this is clipped."""

_U, _V = np.mgrid[:_SIDE, :_SIDE]
_LOWEST = _U + _V < 2
"""The mean and the slopes, which are the picture's."""
_LOW = _U + _V < 4
"""Coefficients that the content of a block reaches first."""
_FINE = _U + _V >= _SIDE
"""Coefficients that it reaches last."""


@dataclass(frozen=True)
class NoiseModel:
    """The noise of a picture of C channels, with values in [0, 1].

    Attributes:
        curves: (C, knots): the variance at each brightness; the knots are evenly spaced from 0 to 1.
        channels: (C, C): the correlation of the noise of two channels.
        planes: (C, C), orthonormal: from the channels to the planes that are filtered; the first is the brightness.
        spectra: (C, 16, 16): of each plane, the variance of each coefficient of a block's cosine transform, as a share
            of their mean.
        level: standard deviation of the noise, averaged over the picture and the channels.
        structure: standard deviation of further noise on structure, nothing of which JPEG has left where it is flat.
    """

    curves: Array
    channels: Array
    planes: Array
    spectra: Array
    level: float
    structure: float = 0.0

    def deviation(self, channel: int, brightness: NDArray[np.floating]) -> Array:
        """The standard deviation of a channel's noise at these values."""
        knots = np.linspace(0, 1, self.curves.shape[1])
        found: Array = np.sqrt(np.interp(brightness, knots, self.curves[channel]))
        return found

    def calmness(self, picture: NDArray[np.floating]) -> float:
        """How much of this noise the calmest blocks of a picture, (H, W, C), hold; 1 where nothing tells.

        Blocks that hold nothing at all say nothing: JPEG leaves such ones.
        """
        y, x = np.mgrid[:_SMALL, :_SMALL] - (_SMALL - 1) / 2
        basis = np.stack([np.ones_like(x) / _SMALL, x / np.linalg.norm(x), y / np.linalg.norm(y)]).reshape(3, -1)
        shares = []
        for place, channel in enumerate(np.moveaxis(picture, -1, 0)):
            blocks = np.lib.stride_tricks.sliding_window_view(channel, (_SMALL, _SMALL))[:: _SMALL // 2, :: _SMALL // 2]
            flat = blocks.reshape(-1, _SMALL**2).astype(np.float64)
            flat = flat[((flat <= 0) | (flat >= 1)).mean(1) <= _CLIPPED]
            rest = ((flat - flat @ basis.T @ basis) ** 2).sum(1) / (_SMALL**2 - len(basis))
            told = rest > _NOTHING**2
            if told.sum() >= 20:
                found = np.sqrt(rest[told]) / self.deviation(place, flat[told].mean(1))
                shares.append(float(np.quantile(found, _CALMEST)))
        return float(np.mean(shares)) if shares else 1.0

    def variances(self, picture: Array) -> Array:
        """The variance of the planes' noise at each pixel, (C, H, W), for a smooth picture, (H, W, C)."""
        count = picture.shape[2]
        deviations = [self.deviation(channel, picture[..., channel]) for channel in range(count)]
        result = np.zeros((count, *picture.shape[:2]))
        for first in range(count):
            for second in range(first, count):
                product = deviations[first] * deviations[second] * self.channels[first, second]
                factor = self.planes[:, first] * self.planes[:, second] * (1 if first == second else 2)
                result += factor[:, None, None] * product
        return np.maximum(result, 1e-10)

    def growth(self, picture: NDArray[np.floating]) -> float:
        """How many times stronger the noise is in the bright parts of a picture, (H, W, C), than in the dark ones.

        Parts that are so near to black or white that clipping weakens their noise do not count; 1 if none is left.
        """
        brightness = np.quantile(picture.mean(2), np.linspace(0.05, 0.95, 19))
        deviation = np.sqrt(np.mean([self.deviation(c, brightness) ** 2 for c in range(picture.shape[2])], axis=0))
        whole = deviation[(brightness > 2 * deviation) & (brightness < 1 - 2 * deviation)]
        return float(whole[-1] / whole[0]) if len(whole) else 1.0

    def covariance(self) -> Array:
        """The planes' covariance at each distance, as a share of the variance: (C, 8, 8), down and to the right."""
        weights = np.full(_SIDE, 2.0)
        weights[0] = 1
        waves = np.cos(np.pi * np.outer(np.arange(_REACH), np.arange(_SIDE)) / _SIDE) * weights / weights.sum()
        found = np.einsum("au,kuv,bv->kab", waves, self.spectra, waves)
        shares: Array = found / found[:, :1, :1]
        return shares

    @property
    def correlation(self) -> Array:
        """Of the first plane's noise, with that of the pixel 0, 1, ... 7 pixels away, the mean of both directions."""
        covariance = self.covariance()[0]
        mean: Array = (covariance[0] + covariance[:, 0]) / 2
        return mean

    @property
    def correlation_length(self) -> float:
        """Distance in pixels at which the first plane's correlation falls to a half."""
        correlation = self.correlation
        below = np.flatnonzero(correlation < 0.5)
        if not len(below):
            return float(_REACH)
        end = int(below[0])
        left, right = correlation[end - 1], correlation[end]
        return float(end - 1 + (left - 0.5) / (left - right))


@dataclass(frozen=True)
class _Blocks:
    """Blocks of a picture: their means, (n, C), and their cosine coefficients, (n, C, side, side)."""

    means: Array
    coefficients: Array
    classes: NDArray[np.intp]


def estimate_noise_model(picture: NDArray[np.floating]) -> NoiseModel:
    """Estimate the noise of a picture, (H, W, C), finite, in [0, 1], at least 16 pixels high and wide."""
    blocks = _blocks([picture.astype(np.float64)])
    even = (_U + _V) % 2 == 0
    halves = [even & ~_LOWEST, ~even & ~_LOWEST]
    spectra = np.ones((picture.shape[2], _SIDE, _SIDE))
    for _ in range(3):
        energies = [(blocks.coefficients[..., half] ** 2 / spectra[:, half]).mean(-1) for half in halves]
        measured = []
        for chooses, measures in ((0, 1), (1, 0)):
            usual = np.maximum(np.median(energies[chooses], axis=0), 1e-12)
            chosen = _least((energies[chooses] / usual).mean(1), blocks.classes, _FLATTEST)
            measured.append((chosen, halves[measures]))
        model = _measure(blocks, measured, spectra, robust=True)
        spectra = _channel_spectra(blocks, measured, robust=True)
    return model


def refined(noisy: Sequence[Array], denoised: Sequence[Array]) -> NoiseModel:
    """Estimate again with the help of denoised parts of the picture, each (H, W, C), at least 16 pixels each way."""
    pilots = _blocks(denoised)
    rest = _blocks(noisy, denoised)
    texture = (pilots.coefficients**2).sum((2, 3)) - pilots.coefficients[..., 0, 0] ** 2
    chosen = _least(texture.mean(1), pilots.classes, _FLAT)
    rest = _Blocks(pilots.means, rest.coefficients, pilots.classes)
    measured = [(chosen, ~_LOWEST)]
    return _measure(rest, measured, _channel_spectra(rest, measured, robust=False), robust=False)


def direction(residual: NDArray[np.floating]) -> float:
    """How much direction the blocks of a residual, (H, W, C), have: about 1 for noise, more for texture.

    In a block of noise the coefficients across hold as much as those along, up to chance. Blades of grass and threads
    of fabric do not lie so evenly in each block.
    """
    blocks = _blocks([np.zeros_like(residual, np.float64)], [-residual.mean(2, keepdims=True).astype(np.float64)])
    energy = blocks.coefficients[:, 0] ** 2
    energy /= np.maximum(energy.mean(0), 1e-14)
    across, along = (steep & ~_LOWEST for steep in (_U > 2 * _V, _V > 2 * _U))
    ratio = np.log(np.maximum(energy[:, across].mean(1), 1e-9) / np.maximum(energy[:, along].mean(1), 1e-9))
    return float(ratio.std() / np.sqrt(2 / across.sum() + 2 / along.sum()))


def jpeg_trace(picture: NDArray[np.floating]) -> float:
    """How much JPEG has taken from the finest detail of a picture, (H, W, C), in [0, 1].

    JPEG leaves nothing of weak noise in its own blocks of 8 x 8; blocks elsewhere have some from the next one.

    Returns:
        The logarithm of the fine energy in blocks on the usual grid over that in those on the best one: 0.3 at most
        without JPEG, 2 in the JPEGs of a camera.
    """
    middle = tuple(slice(max(0, length - _LOOKED_AT) // 2, (length + _LOOKED_AT) // 2) for length in picture.shape[:2])
    if min(picture.shape[:2]) < 2 * _SMALL:
        return 0.0
    plane = picture[middle].mean(2) * 255
    blocks = np.lib.stride_tricks.sliding_window_view(plane, (_SMALL, _SMALL))
    fine = _U[:_SMALL, :_SMALL] + _V[:_SMALL, :_SMALL] >= 6
    grids = []
    for top, left in np.ndindex(_SMALL, _SMALL):
        some = blocks[top::_SMALL, left::_SMALL].reshape(-1, _SMALL, _SMALL)
        some = some[((some > 0) & (some < 255)).all((1, 2))]
        if len(some):
            energy = (fft.dctn(some, axes=(1, 2), norm="ortho")[:, fine] ** 2).mean(1)
            # Less than that is rounding.
            grids.append(np.log(np.maximum(energy, 1e-3)).mean())
    return float(np.median(grids) - min(grids)) if grids else 0.0


def independent(model: NoiseModel) -> NoiseModel:
    """The model of noise that is independent between pixels: what is coarse is content, and only the fine counts."""
    # Planes without noise, such as the colours of a gray picture, say nothing.
    strengths = np.maximum(np.diag(model.planes @ model.channels @ model.planes.T), 0)
    share = float(np.average(model.spectra[:, _FINE].mean(1), weights=strengths))
    return replace(
        model, curves=model.curves * share, spectra=np.ones_like(model.spectra), level=model.level * share**0.5
    )


def _blocks(pictures: Sequence[Array], subtract: Sequence[Array] | None = None) -> _Blocks:
    """Cut pictures, (H, W, C), into blocks, without those that are clipped, and transform them."""
    step = max(4, round((sum(p.shape[0] * p.shape[1] for p in pictures) / _BLOCKS) ** 0.5))
    cut = [np.lib.stride_tricks.sliding_window_view(p, (_SIDE, _SIDE), axis=(0, 1))[::step, ::step] for p in pictures]
    blocks = np.concatenate([one.reshape(-1, *one.shape[2:]) for one in cut])
    means = blocks.mean((2, 3))
    brightness = means.mean(1)
    if subtract is not None:
        return _Blocks(means, _cosines(blocks - _values(subtract, step)), np.zeros(len(blocks), np.intp))
    # A clipped block has less noise than its brightness has.
    whole = ((blocks <= 0) | (blocks >= 1)).mean((1, 2, 3)) <= _CLIPPED
    edges = np.linspace(brightness.min(), brightness.max() + 1e-9, _BINS + 1)
    classes = np.searchsorted(edges, brightness, side="right") - 1
    if whole.sum() >= 100:
        classes = np.where(whole, classes, -1)
    return _Blocks(means, _cosines(blocks), classes)


def _values(pictures: Sequence[Array], step: int) -> Array:
    cut = [np.lib.stride_tricks.sliding_window_view(p, (_SIDE, _SIDE), axis=(0, 1))[::step, ::step] for p in pictures]
    values: Array = np.concatenate([one.reshape(-1, *one.shape[2:]) for one in cut])
    return values


def _cosines(blocks: Array) -> Array:
    transformed: Array = fft.dctn(blocks, axes=(2, 3), norm="ortho")
    return transformed


def _least(texture: Array, classes: NDArray[np.intp], share: float) -> NDArray[np.bool_]:
    """Choose the blocks with the least texture, so many of each class of brightness."""
    chosen = np.zeros(len(texture), bool)
    for one in range(_BINS):
        inside = np.flatnonzero(classes == one)
        if len(inside) >= 8:
            chosen[inside[np.argsort(texture[inside])[: max(8, int(len(inside) * share))]]] = True
    if not chosen.any():
        chosen[np.argsort(texture)[: max(8, int(len(texture) * share))]] = True
    return chosen


_Measured = Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]]


def _measure(blocks: _Blocks, measured: _Measured, weights: Array, *, robust: bool) -> NoiseModel:
    """Make a model of chosen blocks, each choice with the coefficients that are measured in it."""
    count = blocks.means.shape[1]
    planes = np.asarray(fft.dct(np.eye(count), axis=0, norm="ortho"))
    spectra, products = np.zeros((count, _SIDE, _SIDE)), np.zeros((count, count))
    brightness, variance, size = [], [], []
    for chosen, part in measured:
        coefficients, means, classes = (x[chosen] for x in (blocks.coefficients, blocks.means, blocks.classes))
        scales = np.ones((len(classes), count))
        for one in np.unique(classes):
            inside = classes == one
            energy = _energy(coefficients[inside], robust=robust)
            # Each coefficient tells of the level, those that hardly hold noise less.
            trust = 1 / (weights[:, part] + 0.05)
            scale = (energy[:, part] * trust).sum(1) / (weights[:, part] * trust).sum(1)
            scales[inside] = np.maximum(scale, 1e-12)
            brightness.append(means[inside].mean(0))
            variance.append(scales[inside][0])
            size.append(inside.sum())
        normal = coefficients / np.sqrt(scales)[..., None, None]
        spectra[:, part] = _energy(np.einsum("kc,ncab->nkab", planes, normal), robust=robust)[:, part]
        products += np.einsum("ncm,ndm->cd", normal[..., part], normal[..., part], optimize=True)
    _fill_lowest(spectra)
    deviations = np.sqrt(np.diag(products))
    sizes = np.array(size, float)
    curves = np.stack([_curve(x, v, sizes) for x, v in zip(np.stack(brightness).T, np.stack(variance).T, strict=True)])
    model = NoiseModel(
        curves=curves,
        channels=products / deviations / deviations[:, None],
        planes=planes,
        spectra=np.maximum(spectra / spectra.mean((1, 2), keepdims=True), 1e-4),
        level=0.0,
    )
    inside = blocks.classes >= 0
    means = blocks.means[inside if inside.any() else slice(None)]
    level = float(np.mean([model.deviation(channel, means[:, channel]) for channel in range(count)]))
    return NoiseModel(model.curves, model.channels, model.planes, model.spectra, level)


def _channel_spectra(blocks: _Blocks, measured: _Measured, *, robust: bool) -> Array:
    """The spectra of the channels, whose mean is 1."""
    spectra = np.zeros((blocks.means.shape[1], _SIDE, _SIDE))
    for chosen, part in measured:
        coefficients, classes = blocks.coefficients[chosen], blocks.classes[chosen]
        normal = coefficients.copy()
        for one in np.unique(classes):
            inside = classes == one
            energy = _energy(coefficients[inside], robust=robust)[:, part].mean(1)
            normal[inside] /= np.sqrt(np.maximum(energy, 1e-12))[:, None, None]
        spectra[:, part] = _energy(normal, robust=robust)[:, part]
    _fill_lowest(spectra)
    relative: Array = np.maximum(spectra / spectra.mean((1, 2), keepdims=True), 1e-3)
    return relative


def _energy(coefficients: Array, *, robust: bool) -> Array:
    """The variance of each coefficient, (C, side, side); of low ones, robustly, not above what the median tells."""
    mean: Array = (coefficients**2).mean(0)
    if robust:
        # The median of a squared normal number is 0.4549 of its mean.
        mean[:, _LOW] = np.minimum(mean[:, _LOW], np.median(coefficients[..., _LOW] ** 2, axis=0) / 0.4549)
    return mean


def _fill_lowest(spectra: Array) -> None:
    """Continue the spectra to the lowest frequencies, where the picture itself hides the noise."""
    for spectrum in spectra:
        spectrum[_LOWEST] = (spectrum[0, 2] + spectrum[2, 0] + spectrum[1, 1]) / 3


def _curve(brightness: Array, variance: Array, weights: Array) -> Array:
    """Fit a smooth curve to variances; classes without a flat block stick out upwards and count less.

    It bends little in the variance itself, as that of photons is a straight line: in its logarithm it falls too low
    between black and the first bright class.
    """
    position = brightness.clip(0, 1)[:, None] * (_KNOTS - 1) - np.arange(_KNOTS)
    hats = np.maximum(0, 1 - np.abs(position))
    variance = np.maximum(variance, 1e-10)
    bend, slope = (np.diff(np.eye(_KNOTS), order, axis=0) for order in (2, 1))
    weights = weights / weights.mean()
    now = weights
    curve = np.full(_KNOTS, float(np.average(variance, weights=weights)))
    for _ in range(20):
        # Errors are relative to the curve so far.
        scale = np.maximum(curve, 0.05 * curve.mean())
        bends, slopes = bend / scale[1:-1, None], slope / ((scale[1:] + scale[:-1]) / 2)[:, None]
        smooth = _BEND * bends.T @ bends + _SLOPE * slopes.T @ slopes
        inverse = now / (hats @ scale) ** 2
        curve = np.linalg.solve(hats.T @ (inverse[:, None] * hats) + smooth, hats.T @ (inverse * variance))
        curve = np.maximum(curve, 1e-3 * float(np.average(variance, weights=weights)))
        above = np.maximum(np.log(variance / (hats @ curve)), 0)
        now = weights / (1 + (above / 0.2) ** 2)
    return np.asarray(np.maximum(curve, 1e-10))
