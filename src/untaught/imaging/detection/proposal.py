"""A proposed mask: which pixels of a picture look damaged, and as what."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from untaught.errors import InputError, SettingError

if TYPE_CHECKING:
    from untaught.imaging.detection.lines import Lines
    from untaught.imaging.detection.specks import Pixels, Specks
    from untaught.imaging.detection.stamps import Stamps

__all__ = ["KINDS", "Proposal", "Search", "propose", "propose_mask"]

KINDS = ("auto", "scratches", "dust", "text", "pixels", "black")

_EASE = 6.0
"""Strength 0 takes away half of this from each score, and strength 1 adds half."""

_LONG, _COMPACT = 30, 12
"""Pixels from which a piece is a scratch, if it is thin, and up to which it is a speck, if it is round."""

_ROUND = 0.24
"""Twice the area of a round piece by its edge and its length; 0.4 for a disc, and half of this for a letter."""

_LETTERS = 5
"""Pieces of one colour that are neither make it writing, if they are as many and half of its area."""

_LEAST_PIXELS = 2

_MOST_KEPT = 4
"""Pictures without writing, of those that differ in what counts as writing."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Proposal:
    """A proposed mask.

    Attributes:
        known: (H, W), True where the picture is known.
        shares: the share of the picture that is marked, by kind of damage, the largest first; a pixel may count twice.
    """

    known: NDArray[np.bool_]
    shares: Mapping[str, float]

    @property
    def marked(self) -> float:
        """The share of the picture that is marked."""
        return float(1 - self.known.mean())

    @property
    def names(self) -> str:
        """The kinds of damage, in words, such as "scratches and dust"."""
        first = [_NAMES[kind] for kind in self.shares]
        return " and ".join([*([", ".join(first[:-1])] if first[:-1] else []), *first[-1:]])


_NAMES = {"scratches": "scratches", "dust": "dust", "text": "text", "pixels": "dead pixels", "black": "black pixels"}


def propose_mask(picture: ArrayLike, kind: str = "auto", strength: float = 0.5) -> NDArray[np.bool_]:
    """Find damage that stands out, for you to look at and correct.

    It is made to leave alone what belongs to the picture: it rather misses a scratch than marks an eye. Where nothing
    stands out, the whole mask is True. Thin drawing and writing that belong to the picture look like damage, and are
    marked.

    Args:
        picture: (H, W) or (H, W, C), of any real type; values need no range. Up to three channels are looked at.
        kind: what to find. "scratches", also hairs: lines that are long, smooth, and brighter or darker than both sides
            all along; "dust": specks up to about 12 pixels across; "text": writing of one colour, and dates
            that a camera printed into a corner in red, orange, yellow or green; "pixels": single dead
            or hot ones; "auto": all of these; "black": pixels that are 0 in all channels.
        strength: how much is marked, 0 to 1; not used for "black".

    Returns:
        (H, W), True where the picture is known and False where it looks damaged, for `inpaint`. Marks are a pixel wider
        than what was found, but for "pixels" and "black".

    Raises:
        InputError: for anything but a picture.
        SettingError: for an unknown kind, or a strength out of range.

    >>> import numpy as np
    >>> photo = np.random.default_rng(0).normal(120, 4, (120, 120)).astype(np.uint8)
    >>> photo[20:100, 60:62] = 250
    >>> mask = propose_mask(photo)
    >>> bool(mask[20:100, 60:62].any()), bool(mask[:, :50].all())
    (False, True)
    """
    return propose(picture, kind, strength).known


def propose(picture: ArrayLike, kind: str = "auto", strength: float = 0.5) -> Proposal:
    """Find damage, and say what it is; see `propose_mask`."""
    return Search(picture).propose(kind, strength)


class Search:
    """Proposes masks of one picture. What was measured is kept, so that another strength takes some milliseconds.

    Args:
        picture: as for `propose_mask`.

    Raises:
        InputError: for anything but a picture.
    """

    def __init__(self, picture: ArrayLike) -> None:
        pixels = np.asarray(picture)
        if pixels.ndim not in (2, 3) or not pixels.size or pixels.dtype.kind not in "buif":
            raise InputError(
                f"found {pixels.dtype} of shape {pixels.shape}: a picture is (H, W) or (H, W, C), of real numbers"
            )
        self._channels = pixels if pixels.ndim == 3 else pixels[..., None]
        self._grounds: dict[bytes, _Ground] = {}

    def propose(self, kind: str = "auto", strength: float = 0.5) -> Proposal:
        """Find damage; see `propose_mask`.

        Raises:
            SettingError: for an unknown kind, or a strength out of range.
        """
        from scipy import ndimage

        if kind not in KINDS:
            raise SettingError(f"unknown kind of damage {kind!r}: choose one of {', '.join(KINDS)}")
        if not 0 <= strength <= 1:
            raise SettingError(f"the strength is {strength}: it is a number from 0 to 1")
        if kind == "black":
            return _proposal({"black": (self._channels == 0).all(2)}, self._channels.shape[:2])
        found = self._find(kind, _EASE * (strength - 0.5))
        square = np.ones((3, 3))
        wider = {
            name: ndimage.binary_dilation(one, square) if one.any() and name != "pixels" else one
            for name, one in found.items()
        }
        return _proposal(wider, self._channels.shape[:2])

    def _find(self, kind: str, ease: float) -> dict[str, Mask]:
        """What was found, (H, W), by kind of damage."""
        wanted = KINDS[1:5] if kind == "auto" else (kind,)
        found = {name: np.zeros(self._channels.shape[:2], bool) for name in wanted}
        removed: list[Mask] = []
        if wanted != ("pixels",):
            for one, parts in self._colours.at(ease):
                for name in found.keys() & parts.keys():
                    found[name] |= parts[name]
                if "text" in parts:
                    removed.append(one)
            dates = self._stamps.at(ease)
            if "text" in found:
                found["text"] |= dates
            if dates.any():
                removed.append(dates)
        if "scratches" in found:
            found["scratches"] |= self._ground(removed).lines.at(ease)
        if "dust" in found:
            found["dust"] |= self._ground(removed).specks.at(ease)
        if "pixels" in found:
            pixels = self._pixels.at(ease)
            if pixels.sum() >= _LEAST_PIXELS:
                found["pixels"] = pixels
        return found

    @functools.cached_property
    def _values(self) -> NDArray[np.float32]:
        return _in_unit_range(self._channels[..., :3])

    @functools.cached_property
    def _colours(self) -> _SortedColours:
        return _SortedColours(self._values)

    @functools.cached_property
    def _stamps(self) -> Stamps:
        from untaught.imaging.detection.stamps import Stamps

        return Stamps(self._values, _EASE / 2)

    @functools.cached_property
    def _pixels(self) -> Pixels:
        from untaught.imaging.detection.specks import Pixels

        return Pixels(self._values, _EASE / 2)

    def _ground(self, removed: Sequence[Mask]) -> _Ground:
        """The picture without writing; the last few are kept."""
        key = b"".join(hashlib.sha256(np.packbits(one).tobytes()).digest() for one in removed)
        found = self._grounds.pop(key, None)
        if found is None:
            gray = self._values.mean(2)
            for one in removed:
                gray = _without(gray, one)
            found = _Ground(gray)
        self._grounds[key] = found
        if len(self._grounds) > _MOST_KEPT:
            del self._grounds[next(iter(self._grounds))]
        return found


class _SortedColours:
    """Damage of one colour, sorted by kind.

    Args:
        values: (H, W, C), 0 to 1.
    """

    def __init__(self, values: NDArray[np.float32]) -> None:
        from untaught.imaging.detection.colours import Colours

        self._colours = Colours(np.rint(values * 255).astype(np.uint8))
        self._parts: dict[int, dict[str, Mask]] = {}

    def at(self, ease: float) -> Iterator[tuple[Mask, dict[str, Mask]]]:
        """For each colour that is damage, where it is, (H, W), and the same by kind."""
        for one in self._colours.at(ease):
            if id(one) not in self._parts:
                self._parts[id(one)] = _sorted(one)
            yield one, self._parts[id(one)]


class _Ground:
    """What is found in a picture, (H, W), 0 to 1, by its brightness alone."""

    def __init__(self, gray: NDArray[np.float32]) -> None:
        self._gray = gray

    @functools.cached_property
    def lines(self) -> Lines:
        """Scratches and hairs."""
        from untaught.imaging.detection.lines import Lines

        return Lines(self._gray)

    @functools.cached_property
    def specks(self) -> Specks:
        """Dust and specks."""
        from untaught.imaging.detection.specks import Specks

        return Specks(self._gray)


def _proposal(found: Mapping[str, NDArray[np.bool_]], size: tuple[int, ...]) -> Proposal:
    missing = np.zeros(size, bool)
    for one in found.values():
        missing |= one
    shares = {name: float(one.mean()) for name, one in found.items() if one.any()}
    return Proposal(~missing, dict(sorted(shares.items(), key=lambda pair: -pair[1])))


def _in_unit_range(channels: NDArray[Any]) -> NDArray[np.float32]:
    """The values in 0 to 1; but for 8 bits, by the range that nearly all of them are in."""
    if channels.dtype == np.uint8:
        return channels.astype(np.float32) / np.float32(255)
    values = np.asarray(channels, np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.float32)
    some = values[:: max(1, values.shape[0] // 1024), :: max(1, values.shape[1] // 1024)]
    some = some[np.isfinite(some)]
    ends = (float(values[finite].min()), float(values[finite].max()))
    low, high = (float(end) for end in np.quantile(some, [0.001, 0.999])) if some.size else ends
    # A few values far out, such as those of hot pixels, must not make all others alike.
    span = max(high - low, (ends[1] - ends[0]) / 8) or 1.0
    low, high = max(ends[0], low - span / 8), min(ends[1], high + span / 8)
    return ((np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1)).clip(0, 1)


def _sorted(one: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """The pieces of damage of one colour, by kind."""
    from scipy import ndimage

    labels, count = ndimage.label(one, np.ones((3, 3)))
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = np.array([[part.stop - part.start for part in box] for box in ndimage.find_objects(labels)])
    longest = boxes.max(1)
    edge = np.zeros(count + 1, np.int64)
    for owners, piece in ((labels, one), (labels.T, one.T)):
        edge += np.bincount(owners[1:][piece[1:] & ~piece[:-1]], minlength=count + 1)
        edge += np.bincount(owners[:-1][piece[:-1] & ~piece[1:]], minlength=count + 1)
    long = (longest >= _LONG) & (area < longest**2 / 4)
    compact = (longest <= _COMPACT) & (2 * area > _ROUND * np.maximum(edge[1:], 1) * longest)
    letters = ~long & ~compact
    if letters.sum() >= _LETTERS and area[letters].sum() > area.sum() / 2:
        return {"text": one}
    scratch = np.concatenate([[False], long | (letters & (longest > _COMPACT))])[labels]
    return {"scratches": scratch, "dust": one & ~scratch}


def _without(gray: NDArray[np.float32], writing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The picture with writing blurred away, so that neither letters nor the gaps between them look like scratches."""
    from scipy import ndimage

    under = ndimage.binary_dilation(writing, np.ones((5, 5)))
    known = ndimage.gaussian_filter((~under).astype(np.float32), 4)
    blurred = ndimage.gaussian_filter(np.where(under, np.float32(0), gray), 4)
    return np.where(under, blurred / np.maximum(known, np.float32(1e-3)), gray)
