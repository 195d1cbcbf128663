"""What the samples of a TIFF mean: turned into gray, RGB, CMYK or plain channels, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from untaught.errors import PictureError
from untaught.imaging.picture import native

__all__ = ["Samples", "check_meaning", "stated_levels", "understood"]

_PHOTOMETRIC = tifffile.PHOTOMETRIC
_PLAIN = (_PHOTOMETRIC.MINISBLACK, _PHOTOMETRIC.RGB, _PHOTOMETRIC.CFA)
_CODECS_OF_COLOUR = {6, 7, 33003, 33004, 33005, 34712, 34892, 50001, 34927}
"""Compressions, JPEG and its like, whose decoder has turned YCbCr into RGB."""
_ASSOCIATED, _UNASSOCIATED = 1, 2
_SAMPLE_RANGE = ((280, 340), (281, 341))
"""MinSampleValue and SMinSampleValue, and those of the largest."""
_XYZ_D50 = (0.9642, 1.0, 0.8251)
_SRGB_FROM_D50 = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.033454),
    (0.0719453, -0.2289914, 1.4052427),
)


class Samples:
    """Pixels whose meaning is known.

    Attributes:
        pixels: (..., C) or without C, with alpha, if there is any, as the last channel.
        has_alpha: whether there is.
        cmyk: whether the other four are printing inks.
        is_srgb: whether the colours are sRGB now, whatever profile the file has.
        converted: whether the values are no longer those of the file.
        levels: black and white of converted samples, where their type does not say them.
        notes: what was converted, for the user.
    """

    def __init__(self, pixels: NDArray[Any], *, has_alpha: bool) -> None:
        self.pixels = pixels
        self.has_alpha = has_alpha
        self.cmyk = False
        self.is_srgb = False
        self.converted = False
        self.levels: tuple[float, float] | None = None
        self.notes: list[str] = []

    @property
    def colours(self) -> int:
        """Number of channels without alpha, 1 for an array without channels."""
        return self._channels - self.has_alpha

    _channels = 1

    def convert(self, pixels: NDArray[Any], note: str = "") -> None:
        """Replace the pixels."""
        self.pixels, self.converted = pixels, True
        self.notes += [note] if note else []


def check_meaning(page: Any) -> None:
    """Refuse what no decoder here can turn into pixels.

    Raises:
        PictureError: for YCbCr with fewer colours than pixels, and no JPEG.
    """
    if int(page.photometric) == _PHOTOMETRIC.YCBCR and int(page.compression) not in _CODECS_OF_COLOUR:
        subsampling = page.tags.get(530)
        if subsampling is None or tuple(subsampling.value) != (1, 1):
            raise PictureError("holds YCbCr with subsampled colours and no JPEG: convert it to RGB")


def understood(stored: NDArray[Any], page: Any, *, has_channels: bool) -> Samples:
    """Turn the values of a page, or of pages like it, into samples that mean what other formats mean.

    Args:
        stored: values as decoded, channels last.
        page: a `tifffile.TiffPage` that says what they mean.
        has_channels: whether the last axis is channels.

    Raises:
        PictureError: for values that are not a picture, or whose meaning is not supported.
    """
    if stored.dtype.kind not in "uifb":
        raise PictureError(
            f"holds {stored.dtype} values: a picture has real numbers; save its magnitude or a part of it"
        )
    extra = [int(one) for one in page.extrasamples]
    has_alpha = has_channels and bool(extra) and extra[-1] in (_ASSOCIATED, _UNASSOCIATED)
    photometric = int(page.photometric)
    samples = Samples(native(stored), has_alpha=has_alpha)
    samples._channels = stored.shape[-1] if has_channels else 1
    if photometric == _PHOTOMETRIC.PALETTE:
        _look_up(samples, page)
    else:
        _widen(samples, page)
        _read_photometric(samples, page, photometric)
    if has_alpha and extra[-1] == _ASSOCIATED:
        _unmultiply(samples)
    return samples


def stated_levels(samples: Samples, page: Any) -> tuple[float, float] | None:
    """Black and white by the tags of the least and largest sample; None if they say nothing.

    Tags that the samples contradict, or that are those of the type anyway, say nothing; nor do they where the samples
    are no longer those of the file.
    """
    pixels = samples.pixels
    if samples.converted or page.bitspersample != 8 * pixels.dtype.itemsize:
        return samples.levels
    # Of unsigned whole numbers the ends are known; others need both tags.
    whole = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else np.inf
    least, most = ([page.tags[code].value for code in codes if code in page.tags] for codes in _SAMPLE_RANGE)
    try:
        low = min((float(np.min(value)) for value in least), default=0.0 if np.isfinite(whole) else -np.inf)
        high = max((float(np.max(value)) for value in most), default=whole)
    except (TypeError, ValueError):
        return None
    values = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    contradicted = not (np.isfinite((low, high)).all() and low < high <= whole)
    contradicted = contradicted or not values.size or values.min() < low or values.max() > high
    return None if contradicted or (low, high) == (0, whole) else (low, high)


def _read_photometric(samples: Samples, page: Any, photometric: int) -> None:
    match photometric:
        case _PHOTOMETRIC.MINISWHITE:
            _invert(samples)
        case _PHOTOMETRIC.SEPARATED:
            ink_set = page.tags.get(332)
            if samples.colours != 4 or (ink_set is not None and int(ink_set.value) != 1):
                raise PictureError(
                    f"holds {samples.colours} inks of its own: gray, RGB and CMYK can be read; convert it to RGB"
                )
            samples.cmyk = True
        case _PHOTOMETRIC.CIELAB | _PHOTOMETRIC.ICCLAB:
            _from_lab(samples, signed=photometric == _PHOTOMETRIC.CIELAB)
        case _PHOTOMETRIC.YCBCR:
            if int(page.compression) not in _CODECS_OF_COLOUR:
                _from_ycbcr(samples, page)
        case _ if photometric not in _PLAIN:
            name = getattr(page.photometric, "name", str(photometric))
            raise PictureError(f"holds {name} samples, which are not supported: convert it to gray or RGB")


def _look_up(samples: Samples, page: Any) -> None:
    if page.colormap is None or samples.pixels.dtype.kind != "u" or samples.colours != 1:
        raise PictureError("has a palette that cannot be read: convert it to RGB")
    if samples.pixels.max(initial=0) >= page.colormap.shape[1]:
        raise ValueError("a colour that is not in the palette")
    indices = samples.pixels if samples.pixels.ndim == 2 or not samples.has_alpha else samples.pixels[..., 0]
    colours = np.moveaxis(page.colormap[:, indices], 0, -1)
    if samples.has_alpha:
        raise PictureError("has a palette and alpha: convert it to RGB with alpha")
    samples.convert(colours)


def _widen(samples: Samples, page: Any) -> None:
    """Scale samples of 2 to 31 bits to the whole range of their type."""
    bits, pixels = page.bitspersample, samples.pixels
    if not isinstance(bits, int) or pixels.dtype.kind != "u" or bits in (1, 8 * pixels.dtype.itemsize):
        return
    if page.dtype is not None and page.dtype.kind == "b":
        return
    top, whole = (1 << bits) - 1, np.iinfo(pixels.dtype).max
    if pixels.max(initial=0) > top:
        return
    wide = (pixels.astype(np.uint64) * whole + top // 2) // top
    samples.levels = (0.0, float(whole)) if pixels.dtype.itemsize > 2 else None
    samples.convert(
        wide.astype(pixels.dtype), f"the {bits} bits of a sample are widened to {8 * pixels.dtype.itemsize}"
    )


def _invert(samples: Samples) -> None:
    """Turn white is 0 into black is 0; alpha and other data stay."""
    pixels = samples.pixels
    gray = pixels if samples._channels == 1 else pixels[..., :1]
    if pixels.dtype.kind == "f":
        if gray.size and not (np.nanmin(gray) >= 0 and np.nanmax(gray) <= 1):
            raise PictureError("says that white is 0, with floats beyond 0 to 1: save it with black as 0")
        turned = np.asarray(1 - gray, pixels.dtype)
    else:
        limits = np.iinfo(pixels.dtype)
        turned = limits.max - gray if limits.min == 0 else -1 - gray
    whole = turned if samples._channels == 1 else np.concatenate((turned, pixels[..., 1:]), -1)
    samples.convert(whole.astype(pixels.dtype, copy=False))


def _from_lab(samples: Samples, *, signed: bool) -> None:
    """Turn CIELab (signed a and b) or ICCLab (a and b from 128 on) into sRGB."""
    pixels = samples.pixels
    wide = pixels.dtype.itemsize == 2
    if samples.colours not in (1, 3) or pixels.dtype not in (np.uint8, np.uint16):
        raise PictureError(f"holds Lab samples of type {pixels.dtype}: 8 and 16 bits can be read; convert it to RGB")
    colours = pixels[..., : samples.colours] if samples._channels > 1 else pixels[..., None]
    whitest = (0xFF00 if wide else 0xFF) if not signed else (0xFFFF if wide else 0xFF)
    lightness = colours[..., 0].astype(np.float64) * (100 / whitest)
    step = 256 if wide else 1
    if samples.colours == 1:
        opposites = np.zeros((*lightness.shape, 2))
    elif signed:
        opposites = colours[..., 1:].view(np.int16 if wide else np.int8).astype(np.float64) / step
    else:
        opposites = colours[..., 1:].astype(np.float64) / step - 128
    fy = (lightness + 16) / 116
    f = np.stack((fy + opposites[..., 0] / 500, fy, fy - opposites[..., 1] / 200), -1)
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * (3 * (6 / 29) ** 2)) * _XYZ_D50
    linear = xyz @ np.transpose(_SRGB_FROM_D50)
    outside = float(((linear < -0.002) | (linear > 1.002)).any(-1).mean())
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    rgb = (encoded * np.iinfo(pixels.dtype).max).round().astype(pixels.dtype)
    clipped = f"; {outside:.1%} of the pixels are outside sRGB and clipped" if outside else ""
    rest = pixels[..., samples.colours :] if samples._channels > 1 else pixels[..., :0]
    samples._channels += 3 - samples.colours
    samples.convert(
        np.concatenate((rgb, rest), -1) if rest.shape[-1:] != (0,) and rest.size else rgb,
        f"Lab is converted to sRGB{clipped}",
    )
    samples.is_srgb = True


def _from_ycbcr(samples: Samples, page: Any) -> None:
    """Turn YCbCr that no decoder has converted into RGB."""
    pixels = samples.pixels
    if samples.colours != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise PictureError("holds YCbCr samples of an unusual kind: convert it to RGB")
    tags = {code: page.tags[code].value for code in (529, 532) if code in page.tags}
    red, green, blue = _ratios(tags.get(529), 3) or [0.299, 0.587, 0.114]
    whole = np.iinfo(pixels.dtype).max
    middle = (whole + 1) / 2
    levels = _ratios(tags.get(532), 6) or [0, whole, middle, whole, middle, whole]
    y, cb, cr = (
        (pixels[..., at].astype(np.float64) - levels[2 * at])
        * ((whole if at == 0 else middle - 1) / max(levels[2 * at + 1] - levels[2 * at], 1e-9))
        for at in range(3)
    )
    r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
    g = (y - red * r - blue * b) / green
    rgb = np.stack((r, g, b), -1).round().clip(0, whole).astype(pixels.dtype)
    samples.convert(np.concatenate((rgb, pixels[..., 3:]), -1), "YCbCr is converted to RGB")


def _ratios(values: Any, count: int) -> list[float] | None:
    """The fractions of a tag, given as numerators and denominators in turn."""
    if values is None:
        return None
    numbers = list(values)
    if len(numbers) == 2 * count:
        numbers = [above / below for above, below in zip(numbers[::2], numbers[1::2], strict=True)]
    return [float(number) for number in numbers] if len(numbers) == count else None


def _unmultiply(samples: Samples) -> None:
    """Divide colours by alpha where the file holds their product."""
    pixels = samples.pixels
    top = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    colours, alpha = pixels[..., :-1].astype(np.float64), pixels[..., -1:].astype(np.float64)
    if not (alpha < top).any():
        return
    plain = colours * (top / np.where(alpha > 0, alpha, top))
    if pixels.dtype.kind in "ui":
        plain = plain.round().clip(0, top)
    whole = np.concatenate((plain, alpha), -1).astype(pixels.dtype)
    samples.convert(whole, "colours that are stored times alpha are divided by it")
