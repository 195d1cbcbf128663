"""Masks as people make them: soft edges, labels, layers, paint on a copy, and either convention."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import InputError
from untaught.imaging.picture import Picture, upright

__all__ = ["Understood", "array_mask", "file_mask", "grown", "is_together", "turned"]

_HARD = 0.02
"""Values this near to black or white are black or white."""

_JPEG = 0.1
"""The same in a JPEG, which adds ripples beside edges."""

_LIKE_JPEG = 0.15
"""A copy of a picture that is a JPEG may differ from it by this share of white."""

_FEW_GRAY = 0.2
"""A mask whose grays are a larger share than this is not a mask with soft edges."""

_MOST = 0.5
"""A mask that throws more than this share of the picture away is told about."""

_PURE = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "magenta": (1, 0, 1),
    "yellow": (1, 1, 0),
    "cyan": (0, 1, 1),
}
"""Colours that mark a part of a picture which is its own mask."""

_LEAST_MARKED = 1e-3
"""A smaller share of such a colour is the picture's own."""

_STROKES = 0.25
"""White on black, together and no more than this share of the mask, marks what is missing."""


@dataclass(frozen=True)
class Understood:
    """A mask, understood.

    Attributes:
        known: True where the picture is known.
        notes: sentences for the user.
    """

    known: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def file_mask(
    mask: Picture,
    *,
    picture: Picture | None = None,
    marks: str = "auto",
    grow: int | None = None,
    jpeg: bool = False,
) -> Understood:
    """Understand a mask from a file, which has the size of its picture.

    Args:
        mask: as it was read.
        picture: that it belongs to, if there is one.
        marks: what white means: "known" or "missing"; "auto" for known, except where that would throw most of the
            picture away and white is a small part in one piece or a few.
        grow: pixels by which the missing part is widened; None for 1 in a JPEG and 0 otherwise.
        jpeg: whether the mask went through JPEG.

    Returns:
        (H, W), or (H, W, C) for a mask of each band; a volume's (D, H, W).

    Raises:
        InputError: for a picture that cannot be a mask, or that could mean two things; it names the values found.
    """
    axes = (-2, -1)
    painted = _painted(mask, picture, jpeg)
    if painted is not None:
        missing = grown(painted, int(jpeg) if grow is None else grow, axes)
        note = f"the mask is the picture with paint on it: what was painted, {missing.mean():.1%}, is missing"
        return Understood(~missing, (note,))
    if mask.alpha is not None and mask.alpha.min() != mask.alpha.max():
        return _layer(mask.alpha, marks, grow)
    pixels = mask.pixels
    if picture is not None and _has_bands(mask, picture):
        known = pixels == pixels.max()
        missing = grown(~known if marks != "missing" else known, grow or 0, (0, 1))
        return Understood(~missing, ("the mask has bands: each band of the picture has its own",))
    brightness = pixels.astype(np.float64) if pixels.ndim == len(mask.size) else pixels.mean(-1, dtype=np.float64)
    nothing = ~np.isfinite(brightness)
    if nothing.any() and not nothing.all():
        return _told_by_nan(brightness, nothing, grow, axes)
    return _understood(brightness, marks, grow, axes, jpeg=jpeg, either=True)


def _told_by_nan(
    brightness: NDArray[np.float64], nothing: NDArray[np.bool_], grow: int | None, axes: tuple[int, ...]
) -> Understood:
    """A mask that says by NaN what is missing, and nothing else."""
    rest = np.unique(brightness[~nothing])
    if len(rest) > 1:
        raise InputError(
            f"found a mask with values from {rest[0]:g} to {rest[-1]:g}, and {nothing.mean():.1%} of them not finite: "
            "a mask has two values, 0 for missing and 1 (or 255) for known; compare it, as in mask > 0"
        )
    note = f"what is not finite in the mask, {nothing.mean():.1%}, is taken as missing"
    return Understood(~grown(nothing, grow or 0, axes), (note,))


def array_mask(
    mask: NDArray[Any], *, marks: str = "auto", grow: int | None = None, axes: tuple[int, ...]
) -> Understood:
    """Understand a mask that is an array: bool, two values, or soft edges between two; "auto" means known.

    Args:
        mask: of any shape.
        marks: what True, or the larger value, means: "known" or "missing".
        grow: pixels by which the missing part is widened; None for none.
        axes: along which it is widened.

    Raises:
        InputError: for values that are no mask.
    """
    if mask.dtype == np.bool_:
        missing = grown(mask if marks == "missing" else ~mask, grow or 0, axes)
        return Understood(~missing, _most_note(missing, marks, axes))
    if mask.dtype.kind not in "uif" or not np.isfinite(mask).all():
        raise InputError(f"found a mask of {mask.dtype} values: a mask is bool, or has two values; compare it")
    return _understood(mask.astype(np.float64), marks, grow, axes, jpeg=False, either=False)


def grown(missing: NDArray[np.bool_], pixels: int, axes: tuple[int, ...]) -> NDArray[np.bool_]:
    """Widen what is missing by some pixels each way, along two or more axes."""
    if not pixels:
        return missing
    from scipy import ndimage

    shape = [1] * missing.ndim
    for axis in axes:
        shape[axis] = 3
    wider: NDArray[np.bool_] = ndimage.binary_dilation(missing, np.ones(shape, bool), iterations=pixels)
    return wider


def _understood(
    brightness: NDArray[np.float64], marks: str, grow: int | None, axes: tuple[int, ...], *, jpeg: bool, either: bool
) -> Understood:
    """Understand gray values; ``either`` for a mask whose convention is not known."""
    least, most = float(brightness.min()), float(brightness.max())
    if least == most:
        white = np.full(brightness.shape, most > 0)
        return Understood(white if marks != "missing" else ~white)
    shares = (brightness - least) / (most - least)
    edge = _JPEG if jpeg else _HARD
    gray = (shares > edge) & (shares < 1 - edge)
    notes: tuple[str, ...] = ()
    labels = soft = False
    if gray.any():
        labels = not jpeg and _are_regions(shares, gray, axes)
        soft = not labels
        if soft and gray.mean() > _FEW_GRAY:
            raise InputError(
                f"found a mask with values from {least:g} to {most:g}, and {gray.mean():.0%} of them are neither: a "
                "mask has two values, 0 for missing and 1 (or 255) for known, and soft edges at most; compare it, as "
                "in mask > 0"
            )
    bright = shares > (edge if labels else 0.5)
    if labels:
        found = np.unique(brightness)
        listed = ", ".join(f"{value:.4g}" for value in found[:6]) + (", ..." if len(found) > 6 else "")
        if marks == "auto" and bright.mean() > _MOST:
            raise InputError(
                f"the mask has labels ({listed}), and {1 - bright.mean():.0%} of it is {least:g}: say what the others "
                "mark by mask_marks=..., --mask-marks known or missing"
            )
        if marks == "auto":
            marks = "missing"
            notes = (f"the mask has labels ({listed}): what has one, {bright.mean():.1%}, is taken as missing",)
    elif either and marks == "auto":
        marks, notes = _convention(bright, least, most, axes)
    # A pixel that is partly covered is missing, whatever covers it.
    missing = shares > edge if marks == "missing" else shares < (edge if labels else 1 - edge)
    widened = int(jpeg) if grow is None else grow
    missing = grown(missing, widened, axes)
    if soft or jpeg:
        around = f", and {widened} pixel{'s' * (widened > 1)} around (--grow 0 for none)" if widened else ""
        kind = "is a JPEG" if jpeg else "has soft edges"
        notes += (f"the mask {kind}: every pixel that it covers in part is missing{around}",)
    # A mask from a file comes by here again, as an array.
    return Understood(~missing, notes or (() if either else _most_note(missing, marks, axes)))


def _most_note(missing: NDArray[np.bool_], marks: str, axes: tuple[int, ...]) -> tuple[str, ...]:
    """A warning where a mask throws most of a picture away, and not scattered pixels of it."""
    share = float(missing.mean())
    if share <= _MOST or not is_together(~missing, axes):
        return ()
    other = "known" if marks == "missing" else "missing"
    return (
        f"{share:.0%} of the picture is missing by this mask and is drawn anew: if the mask is the other way round, "
        f"say mask_marks={other!r}, --mask-marks {other}",
    )


def _convention(
    bright: NDArray[np.bool_], least: float, most: float, axes: tuple[int, ...]
) -> tuple[str, tuple[str, ...]]:
    """What white means in a mask, and a note where that is not the plain convention."""
    share = float(bright.mean())
    if share >= 1 - _MOST or not is_together(bright, axes):
        return "known", ()
    if share <= _STROKES:
        note = (
            f"white covers {share:.1%} of the mask and is taken as what is missing, as other programs have it: if "
            "white is what is known, say --mask-marks known"
        )
        return "missing", (note,)
    raise InputError(
        f"the mask has the values {least:g} and {most:g}, and {share:.0%} of it is white: white means known here, so "
        f"{1 - share:.0%} of the picture would be drawn anew; say what white means by --mask-marks known or missing"
    )


def is_together(bright: NDArray[np.bool_], axes: tuple[int, ...]) -> bool:
    """Whether marked pixels lie in lines and patches, and not scattered at random."""
    from scipy import ndimage

    share = float(bright.mean())
    if not share:
        return False
    shape = [1] * bright.ndim
    for axis in axes:
        shape[axis] = 3
    window = np.ones(shape)
    neighbours = ndimage.convolve(bright.astype(np.float32), window, mode="constant")[bright] - 1
    others = window.size - 1
    return float(neighbours.mean()) > others * share + 0.12 * others * (1 - share)


def _are_regions(shares: NDArray[np.float64], gray: NDArray[np.bool_], axes: tuple[int, ...]) -> bool:
    """Whether grays fill regions of one value each, as labels do, and are not the soft edges of something."""
    from scipy import ndimage

    size = [1] * shares.ndim
    for axis in axes:
        size[axis] = 3
    flat = ndimage.maximum_filter(shares, size) == ndimage.minimum_filter(shares, size)
    return len(np.unique(shares[gray])) <= 256 and float(flat[gray].mean()) > 0.3


def _layer(alpha: NDArray[Any], marks: str, grow: int | None) -> Understood:
    """Understand a mask with alpha: a hole that was erased, or strokes on a transparent layer."""
    top = alpha.max()
    clear, painted = alpha < top, alpha > 0
    erased = float(clear.mean()) <= _MOST if marks == "auto" else marks == "known"
    missing = clear if erased else painted
    missing = grown(missing, grow or 0, (-2, -1))
    share = f"{missing.mean():.1%}"
    if erased:
        note = f"the transparent part of the mask, {share}, is taken as missing"
    else:
        note = (
            f"the mask is a layer that is mostly transparent: what is painted on it, {share}, is taken as missing; if "
            "its transparent part is, say --mask-marks known"
        )
    return Understood(~missing, (note,))


def _painted(mask: Picture, picture: Picture | None, jpeg: bool) -> NDArray[np.bool_] | None:
    """Where a mask differs from its picture, if it is a copy of it that was painted on; None if it is not."""
    if picture is None or mask.volume or mask.pixels.shape != picture.pixels.shape:
        return None
    if mask.pixels.dtype != picture.pixels.dtype or mask.pixels.dtype.kind not in "uf":
        return None
    whole = mask.pixels.dtype.kind == "u"
    # A mask of two values agrees with a picture of few by chance.
    if len(np.unique(mask.pixels[..., :1].ravel()[:: max(1, mask.pixels.size >> 18)])) <= 8:
        return None
    white = float(np.iinfo(mask.pixels.dtype).max) if whole else 1.0
    differs = np.abs(mask.pixels.astype(np.float64) - picture.pixels) > (_LIKE_JPEG * white if jpeg else 0)
    differs = np.asarray(differs if differs.ndim == 2 else differs.any(-1))
    if not jpeg and differs.mean() > _MOST:
        return None
    if jpeg and differs.mean() > _MOST / 2:
        return None
    if differs.any():
        return differs
    return None if mask.alpha is not None and mask.alpha.min() != mask.alpha.max() else _marking(mask.pixels, white)


def _marking(pixels: NDArray[Any], white: float) -> NDArray[np.bool_]:
    """Where a picture that is its own mask has a pure colour that no photograph has so much of; with its soft edges."""
    marked: dict[str, NDArray[np.bool_]] = {}
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        for name, colour in _PURE.items():
            found: NDArray[np.bool_] = (pixels == np.array(colour) * white).all(-1)
            if found.mean() >= _LEAST_MARKED and is_together(found, (-2, -1)):
                marked[name] = found
    if len(marked) == 1:
        return grown(next(iter(marked.values())), 1, (-2, -1))
    found_colours = (
        f"it has {' and '.join(marked)}, and one colour is wanted" if marked else "no pure colour marks a part"
    )
    raise InputError(
        f"the mask is the picture itself, and {found_colours}: paint over a copy of the picture, or make a black and "
        "white mask"
    )


def _has_bands(mask: Picture, picture: Picture) -> bool:
    """Whether a mask has a plane of two values for each band of a picture that is not gray or RGB."""
    pixels = mask.pixels
    if pixels.shape != picture.pixels.shape or mask.channels in (1, 3):
        return False
    return bool(((pixels == pixels.min()) | (pixels == pixels.max())).all() and (pixels != pixels[..., :1]).any())


def turned(mask: Picture, picture: Picture) -> Picture | None:
    """A mask made for a photograph as its sensor saw it, turned as the photograph was; None if that does not fit."""
    if picture.orientation < 5 or mask.volume or mask.orientation != 1 or mask.size != picture.size[::-1]:
        return None
    alpha = None if mask.alpha is None else upright(mask.alpha, picture.orientation)
    return dataclasses.replace(mask, pixels=upright(mask.pixels, picture.orientation), alpha=alpha)
