"""Classical methods: what a fit begins with or falls back to, and others, to see whether it was worth its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from untaught.fitting.problem import Problem
from untaught.fitting.run import Job
from untaught.imaging.arrays import from_tensor
from untaught.imaging.collaborative_filter import collaborative_filter, doubting_filter, two_step_filter
from untaught.imaging.noise import estimate_noise
from untaught.physics.blur import Blur, UnknownBlur
from untaught.priors.first_guess import biharmonic, pull_push
from untaught.priors.patches import Strip
from untaught.tasks.modelled_noise import slices, stacked

__all__ = ["by_blocks", "classical", "fallback", "fill", "polished", "spread"]

_MOSTLY = 0.4
"""Most of the estimated noise is texture if so much of its strength, or less, is removed."""

Picture = NDArray[np.float64]
Method = Callable[[Problem, Picture], Picture]


_BESIDE = 0.25
"""A gap is beside bright values if so much of what is known around it is bright."""


def classical(job: Job) -> dict[str, Callable[[], NDArray[np.generic] | Tensor]]:
    """The classical methods for a job's task.

    They get what the fit gets: the observation, what is known of it, the operator and the noise.

    Args:
        job: a job of one picture.

    Returns:
        By name, a function that makes the picture in the shape and type of the job's; empty for a task without
        classical methods here.
    """
    problem = job.problem
    if len(problem.size) == 3 or isinstance(problem.operator, UnknownBlur):
        # These methods are for two dimensions, and need a known blur.
        return {}
    observed = np.moveaxis(torch.where(problem.known, problem.observed, 0)[0].double().numpy(), 0, -1)

    def run(method: Method) -> NDArray[np.generic] | Tensor:
        picture = torch.from_numpy(np.moveaxis(method(problem, observed), -1, 0)[None].copy()).float().clamp(0, 1)
        if problem.display_step is not None:
            picture = problem.display_step(picture)
        return from_tensor(picture, problem.kept, problem.layout)

    return {name: partial(run, method) for name, method in _METHODS.get(job.task, {}).items()}


def fill(observed: Tensor, known: Tensor, strips: Sequence[Strip] = ()) -> Tensor:
    """Fill in pictures, (N, C, H, W), biharmonically: the classical answer that a fit begins with.

    Args:
        observed: values in [0, 1]; not read where they are unknown.
        known: bool, the same shape.
        strips: the parts that belong together (`untaught.priors.patches`); empty for the whole picture.
    """

    def surface(values: Tensor, weights: Tensor) -> Tensor:
        return biharmonic(values, weights).clamp_(0, 1)

    return _part_by_part(surface, observed, known, strips)


def spread(excess: Tensor, known: Tensor, strips: Sequence[Strip] = ()) -> Tensor:
    """Fill in what lies beyond black and white, (N, C, H, W), in gaps beside such values.

    Args:
        excess: below or above zero where a known value is beyond; zero elsewhere.
        known: bool, the same shape.
        strips: as for `fill`.
    """

    def surface(values: Tensor, weights: Tensor) -> Tensor:
        # Farther off, the surface swings: a star would get rings.
        beside = pull_push(values.sign(), weights)
        bent = biharmonic(values, weights)
        return torch.where((beside.abs() > _BESIDE) & (beside * bent > 0), bent, 0)

    return _part_by_part(surface, excess, known, strips)


def _part_by_part(
    surface: Callable[[Tensor, Tensor], Tensor], values: Tensor, known: Tensor, strips: Sequence[Strip]
) -> Tensor:
    result = torch.where(known, values, 0).cpu()
    for top, bottom, left, right in strips or [(0, values.shape[-2], 0, values.shape[-1])]:
        part, there = (one[..., top:bottom, left:right].cpu() for one in (result, known))
        if there.all():
            continue
        same = bool((there == there[:, :1]).all())
        torch.where(there, part, surface(part, (there[:, :1] if same else there).float()), out=part)
    return result.to(values.device)


def by_blocks(noisy: Tensor, noise: float) -> Tensor:
    """Denoise without a network, by the collaborative filter.

    Args:
        noisy: (N, C, H, W); or (N, C, D, H, W), whose slices are denoised one by one.
        noise: standard deviation of its noise.
    """
    return stacked(two_step_filter(slices(noisy.detach().cpu().float()), noise), noisy).to(noisy.device)


def fallback(noisy: Tensor, noise: float, within: Tensor | None = None) -> Tensor:
    """What is returned where a fit has not come far enough: the collaborative filter's picture.

    Where most of the noise that was estimated is texture, it goes by what it removes.

    Args:
        noisy: see `by_blocks`.
        noise: too.
        within: (N, C, H, W): what the noise was estimated from; None if it is told.
    """
    if within is not None and noisy.ndim == 4:
        # Non-local means leave more of the texture.
        filtered, left = doubting_filter(_means(noisy, noise), noisy, noise, within, rounds=3)
        if left < _MOSTLY * noise:
            return filtered
    return by_blocks(noisy, noise)


def _means(noisy: Tensor, noise: float) -> Tensor:
    """Non-local means of (N, C, H, W), channel by channel."""
    from skimage.restoration import denoise_nl_means

    result = noisy.detach().cpu().double().numpy().copy()
    for one in result.reshape(-1, *result.shape[-2:]):
        one[...] = denoise_nl_means(one, 5, 6, h=0.6 * noise, sigma=noise)
    return torch.from_numpy(result).float().to(noisy.device)


def polished(average: Tensor, noisy: Tensor, noise: float, within: Tensor | None = None) -> Tensor:
    """The mean of the network's picture and of the noisy one filtered with its help, (N, C, H, W).

    Where texture was taken for noise, the network's picture has lost it, and that of the filter is the better one.

    Args:
        average: the network's picture.
        noisy: the noisy one.
        noise: standard deviation of its noise.
        within: (N, C, H, W): what it was estimated from; None if it is told.
    """
    noisy = noisy.to(average.device)
    if within is None:
        filtered, left = collaborative_filter(average, noisy, noise), noise
    else:
        filtered, left = doubting_filter(average, noisy, noise, within)
    return ((average + filtered) / 2 if left == noise else filtered).clamp(0, 1)


def _known(problem: Problem) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = np.moveaxis(problem.known[0].numpy(), 0, -1)
    return known


def _biharmonic(problem: Problem, observed: Picture) -> Picture:
    """Damelin and Hoang, 2018; channel by channel, since their known pixels may differ."""
    from skimage.restoration import inpaint_biharmonic

    known = _known(problem)
    layers = [inpaint_biharmonic(observed[..., c], ~known[..., c]) for c in range(observed.shape[2])]
    return np.stack(layers, axis=-1)


def _noise(problem: Problem, observed: Picture) -> float:
    return problem.noise if problem.noise is not None else estimate_noise(observed)


def _non_local(problem: Problem, observed: Picture) -> Picture:
    """Buades, Coll and Morel, 2005."""
    from skimage.restoration import denoise_nl_means

    noise = _noise(problem, observed)
    return np.asarray(denoise_nl_means(observed, 5, 6, h=0.6 * noise, sigma=noise, channel_axis=-1))


def _total_variation(problem: Problem, observed: Picture) -> Picture:
    """Chambolle, 2004, with the weight at which the removed part is as strong as the noise."""
    from skimage.restoration import denoise_tv_chambolle

    noise = _noise(problem, observed)
    low, high = 1e-3, 1.0
    for _ in range(8):
        weight = (low * high) ** 0.5
        smoothed = denoise_tv_chambolle(observed, weight, channel_axis=-1)
        if (smoothed - observed).std() < 0.95 * noise:
            low = weight
        else:
            high = weight
    return np.asarray(smoothed)


def _median(_: Problem, observed: Picture) -> Picture:
    return np.stack([ndimage.median_filter(observed[..., c], 3) for c in range(observed.shape[2])], axis=-1)


def _resized(order: int, problem: Problem, observed: Picture) -> Picture:
    from skimage.transform import resize

    return np.asarray(resize(observed, problem.size, order=order, mode="edge"))


def _deconvolved(method: Callable[[Picture, Picture], Picture], problem: Problem, observed: Picture) -> Picture:
    """Deconvolve channel by channel, with mirrored edges against a dark rim; the size of the problem's picture."""
    assert isinstance(problem.operator, Blur)
    kernel = problem.operator.kernel.double().numpy()
    height, width = kernel.shape
    padded = np.pad(observed, ((height, height), (width, width), (0, 0)), mode="symmetric")
    layers = [method(padded[..., channel], kernel) for channel in range(observed.shape[2])]
    # The problem's picture is larger by the kernel, before it is cropped.
    top, left = height - (height - 1) // 2, width - (width - 1) // 2
    return np.stack(layers, axis=-1)[top : top + problem.size[0], left : left + problem.size[1]]


def _richardson_lucy(picture: Picture, kernel: Picture) -> Picture:
    """Richardson, 1972, and Lucy, 1974: 30 iterations."""
    from skimage.restoration import richardson_lucy

    return np.asarray(richardson_lucy(picture, kernel, num_iter=30))


def _wiener(picture: Picture, kernel: Picture) -> Picture:
    """Orieux, Giovannelli and Rodet, 2010, which estimates the strength of the noise."""
    from skimage.restoration import unsupervised_wiener

    return np.asarray(unsupervised_wiener(picture, kernel, clip=False, rng=0)[0])


def _bilinear(problem: Problem, observed: Picture) -> Picture:
    """Each missing value is the mean of the nearest known pixels of its colour, weighted by distance."""
    known = _known(problem).astype(float)
    weights = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    layers = [
        ndimage.convolve(np.broadcast_to(observed, known.shape)[..., c] * known[..., c], weights, mode="mirror")
        / ndimage.convolve(known[..., c], weights, mode="mirror")
        for c in range(known.shape[2])
    ]
    return np.stack(layers, axis=-1)


_FILLING: Mapping[str, Method] = MappingProxyType({"biharmonic": _biharmonic})
_NOISE: Mapping[str, Method] = MappingProxyType(
    {"non-local means": _non_local, "total variation": _total_variation, "median": _median}
)
_METHODS: Mapping[str, Mapping[str, Method]] = MappingProxyType(
    {
        "inpaint": _FILLING,
        "restore": _FILLING,
        "denoise": _NOISE,
        "guide": _NOISE,
        "dejpeg": MappingProxyType({"non-local means": _non_local, "total variation": _total_variation}),
        "upscale": MappingProxyType({"bilinear": partial(_resized, 1), "bicubic": partial(_resized, 3)}),
        "deblur": MappingProxyType(
            {
                "Richardson-Lucy": partial(_deconvolved, _richardson_lucy),
                "unsupervised Wiener": partial(_deconvolved, _wiener),
            }
        ),
        "demosaic": MappingProxyType({"bilinear": _bilinear}),
    }
)
