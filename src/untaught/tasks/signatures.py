"""Keyword options of the tasks, for type checkers and editors.

Written by ``python -m untaught.tasks.write_signatures`` from the settings classes; not to be edited by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from untaught.recipes import Recipe

    Number = float | np.floating[Any] | np.integer[Any]
    Int = int | np.integer[Any]

__all__ = [
    "ActivateOptions",
    "DeblurOptions",
    "DejpegOptions",
    "DemosaicOptions",
    "DenoiseOptions",
    "FitKeywords",
    "GuideOptions",
    "InpaintOptions",
    "InvertOptions",
    "RestoreOptions",
    "SeparateOptions",
    "UpscaleOptions",
]


class FitKeywords(TypedDict, total=False):
    """Options of every task.

    Attributes:
        recipe: balanced suits most pictures, fast gives a usable one sooner, best takes longer, printed and paper are
            as published (default: balanced)
        iterations: at most this many iterations (default: the recipe's own number)
        time_budget: stop after this time, such as 60s, 5m or 1h (default: no limit)
        runs: fits from different seeds that are averaged (default: the recipe's own number)
        start_from: begin with the weights of this checkpoint, kept by --checkpoint from the fit of a similar picture by
            the same recipe (default: random weights)
        seed: start of the random numbers: the same seed on the same machine gives the same picture (default: 0)
        value_range: values of black and white, in the picture's units (default: the whole range of 8 and 16 bits, 0 1
            for floats; where the values span a small part of that, their own range)
        missing_value: this value, in the picture's units, stands for nothing: it is missing; may be repeated (default:
            none but NaN and what the file says)
        volume: the picture is a volume, with the depth first: a file whose pages are its slices (recipes: balanced,
            fast, best)
        device: auto, cpu, cuda, xpu or mps; cuda:1 for the second one (default: auto)
        precision: type of the arithmetic between layers; auto takes what is fast on this machine: auto, float32,
            bfloat16 (default: auto)
    """

    recipe: str | Recipe
    iterations: Int | None
    time_budget: Number | str | None
    runs: Int | None
    start_from: str | Path | None
    seed: Int
    value_range: tuple[Number, Number] | None
    missing_value: Number | Sequence[Number]
    volume: bool
    device: str | torch.device
    precision: Literal["auto", "float32", "bfloat16"]


class InpaintOptions(FitKeywords, total=False):
    """Options of `inpaint`.

    Attributes:
        mask_marks: what white, or True, means in the mask: known or missing; auto takes it for known, but for a file in
            which white is a small part (default: auto)
        keep_known: return known pixels unchanged; otherwise the network's own output everywhere
        grow: widen what is missing by this many pixels (default: 1 for a mask that is a JPEG, else 0)
        feather: fade the result into the picture over this many pixels around what is missing; they are filled in, too
            (default: 0)
    """

    mask_marks: Literal["auto", "known", "missing"]
    keep_known: bool
    grow: Int | None
    feather: Int


class RestoreOptions(FitKeywords, total=False):
    """Options of `restore`.

    Attributes:
        mask_marks: what white, or True, means in the mask: known or missing; auto takes it for known, but for a file in
            which white is a small part (default: auto)
        keep_known: return known pixels unchanged; otherwise the network's own output everywhere
        grow: widen what is missing by this many pixels (default: 1 for a mask that is a JPEG, else 0)
        feather: fade the result into the picture over this many pixels around what is missing; they are filled in, too
            (default: 0)
    """

    mask_marks: Literal["auto", "known", "missing"]
    keep_known: bool
    grow: Int | None
    feather: Int


class DenoiseOptions(FitKeywords, total=False):
    """Options of `denoise`.

    Attributes:
        kind: kind of noise: gaussian; poisson, shot noise of few photons plus Gaussian read noise; impulse, single
            pixels that are lost (default: gaussian)
        noise: standard deviation in the picture's units, such as 25 of 255; for poisson, of the read noise (default:
            estimated, for poisson 0)
        gain: for poisson: units of the picture per photon (default: 1)
        offset: for poisson: value of no light, in the picture's units (default: 0)
        strength: how much of the noise is removed: 0 nothing, 1 what is found to be noise; above 1, up to 1.5, weak
            detail too (default: 1)
    """

    kind: Literal["gaussian", "poisson", "impulse"]
    noise: Number | None
    gain: Number
    offset: Number
    strength: Number


class GuideOptions(FitKeywords, total=False):
    """Options of `guide`.

    Attributes:
        noise: standard deviation of the picture's noise, in its own units, such as 25 of 255 (default: estimated)
    """

    noise: Number | None


class UpscaleOptions(FitKeywords, total=False):
    """Options of `upscale`.

    Attributes:
        kernel: filter by which the picture was made smaller; a camera's pixels are nearest to area: lanczos2, bicubic,
            area, gaussian (default: lanczos2)
    """

    kernel: Literal["lanczos2", "bicubic", "area", "gaussian"]


class DeblurOptions(FitKeywords, total=False):
    """Options of `deblur`.

    Attributes:
        blur: kind of blur, if no kernel is given: gaussian; disk, out of focus; motion, a straight line; unknown, found
            along with the picture (default: gaussian)
        radius: in pixels: standard deviation of gaussian, radius of disk, half the length of motion, reach of unknown;
            needed if no kernel is given
        angle: direction of motion, in degrees from the horizontal, anticlockwise (default: 0)
    """

    blur: Literal["gaussian", "disk", "motion", "unknown"]
    radius: Number | None
    angle: Number


class DejpegOptions(FitKeywords, total=False):
    """Options of `dejpeg`.

    Attributes:
        consistent: fit the compressed result to the JPEG, not the result itself (better on some pictures, worse on
            others)
        quality: for consistent: the quality of libjpeg, 1 to 100, for a file that is no JPEG any more (default: read
            from the file)
    """

    consistent: bool
    quality: Int | None


class DemosaicOptions(FitKeywords, total=False):
    """Options of `demosaic`.

    Attributes:
        pattern: colours of the first two pixels of the first two lines: RGGB, BGGR, GRBG, GBRG (default: RGGB)
    """

    pattern: Literal["RGGB", "BGGR", "GRBG", "GBRG"]


class SeparateOptions(FitKeywords, total=False):
    """Options of `separate`."""


class InvertOptions(FitKeywords, total=False):
    """Options of `invert`.

    Attributes:
        mean: of each channel, subtracted from a picture in [0, 1] before the model sees it (default: the model's own if
            it has a short name, otherwise ImageNet's)
        std: of each channel, divided by after that (default: as for mean)
    """

    mean: Sequence[Number] | None
    std: Sequence[Number] | None


class ActivateOptions(FitKeywords, total=False):
    """Options of `activate`.

    Attributes:
        mean: of each channel, subtracted from a picture in [0, 1] before the model sees it (default: the model's own if
            it has a short name, otherwise ImageNet's)
        std: of each channel, divided by after that (default: as for mean)
    """

    mean: Sequence[Number] | None
    std: Sequence[Number] | None
