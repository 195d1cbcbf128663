"""A picture as it stands in a file: pixels, alpha and metadata. Decoders build one here, whatever the format."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import PictureError
from untaught.imaging.metadata import Metadata

__all__ = ["MAX_PIXELS", "ORIENTATION", "Metadata", "Picture", "assemble", "check_size", "native", "upright"]

MAX_PIXELS = 100_000_000
"""Larger pictures are refused by their header, before anything is decoded."""

_FILLED = 0.9
"""A transparent part of which this share was filled was a hole."""

ORIENTATION = 0x0112
"""Number of the EXIF and TIFF tag that says how to turn the picture upright."""


@dataclass(frozen=True)
class Picture:
    """A picture as it stands in a file, turned upright.

    Attributes:
        pixels: (H, W) or (H, W, C), without alpha: uint8, uint16 or float; from a TIFF also other real types. A volume
            has (D, H, W) or (D, H, W, C).
        alpha: (H, W), of the same type; None without alpha and for a volume.
        metadata: what else the file says.
        volume: whether this is a volume. Its slices are the pages of a TIFF.
        orientation: the EXIF orientation that was undone, 1 for none.
        nodata: values that the file says are missing.
        levels: the values of black and white, where the file says so and its type would not.
        notes: what was converted or left out, in sentences for the user.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    metadata: Metadata = field(default_factory=Metadata)
    volume: bool = False
    orientation: int = 1
    nodata: tuple[float, ...] = ()
    levels: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width; for a volume depth, height and width."""
        return self.pixels.shape[: 3 if self.volume else 2]

    @property
    def channels(self) -> int:
        """Number of channels, not counting alpha."""
        return 1 if self.pixels.ndim == len(self.size) else int(self.pixels.shape[-1])

    def middle(self) -> Picture:
        """Return the middle slice of a volume, without metadata. A picture is returned as it is."""
        return Picture(self.pixels[len(self.pixels) // 2]) if self.volume else self

    def with_alpha(self) -> NDArray[Any]:
        """Return the pixels with alpha, if there is any, as their last channel."""
        if self.alpha is None:
            return np.ascontiguousarray(self.pixels)
        return np.dstack((self.pixels, self.alpha))

    def for_encoder(self) -> NDArray[Any]:
        """`with_alpha`, without an axis for a single channel."""
        values = self.with_alpha()
        return values[..., 0] if values.shape[len(self.size) :] == (1,) else values

    @property
    def hidden(self) -> NDArray[np.bool_] | None:
        """(H, W): the fully transparent pixels, whose colours mean nothing; None where there are none."""
        if self.alpha is None:
            return None
        transparent: NDArray[np.bool_] = self.alpha == 0
        return transparent if transparent.any() else None

    def with_holes_filled(self, filled: NDArray[np.bool_]) -> Picture:
        """Return a copy whose transparent holes are opaque where they were filled.

        A transparent part that goes on beyond what was filled, as the background of a logo, stays as it is.

        Args:
            filled: (H, W).
        """
        if self.alpha is None or self.hidden is None or not (filled & (self.alpha == 0)).any():
            return self
        from scipy import ndimage

        top = np.iinfo(self.alpha.dtype).max if self.alpha.dtype.kind == "u" else self.alpha.max()
        parts, count = ndimage.label(self.alpha < top, structure=np.ones((3, 3)))
        clear = self.alpha == 0
        sizes, done = (np.bincount(parts[one], minlength=count + 1) for one in (clear, clear & filled))
        holes = (sizes > 0) & (done >= _FILLED * sizes)
        holes[0] = False
        return dataclasses.replace(self, alpha=np.where(holes[parts], top, self.alpha).astype(self.alpha.dtype))

    def with_pixels(self, pixels: Any) -> Picture:
        """Return a copy with other pixels. It keeps the metadata, and alpha resized to the new pixels."""
        pixels = np.asarray(pixels)
        alpha = self.alpha
        if alpha is not None and alpha.shape != pixels.shape[:2]:
            from skimage.transform import resize

            resized = resize(alpha, pixels.shape[:2], order=1, preserve_range=True)
            alpha = (resized.round() if alpha.dtype.kind in "ui" else resized).astype(alpha.dtype)
        return dataclasses.replace(self, pixels=pixels, alpha=alpha)


def check_size(*sides: int) -> None:
    """Raise a PictureError if sides in pixels, as a header gives them, exceed `MAX_PIXELS` in all."""
    if math.prod(sides) > MAX_PIXELS:
        raise PictureError(
            f"has {' x '.join(map(str, sides))} pixels by its header: the limit is {MAX_PIXELS:,} in all; crop it"
        )


def native(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels in this machine's byte order, bits as uint8 (0 and 255) and half floats as float32."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype == np.float16:
        return pixels.astype(np.float32)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def assemble(pixels: NDArray[Any], *, has_alpha: bool, orientation: int, metadata: Metadata) -> Picture:
    """Make a picture of decoded values.

    Args:
        pixels: (H, W) or (H, W, C), as stored.
        has_alpha: whether the last channel is alpha.
        orientation: EXIF orientation, 1 to 8.
        metadata: what else the file says.

    Raises:
        PictureError: if there are no pixels.
    """
    if pixels.size == 0:
        raise PictureError("has no pixels: a picture has at least one; export it again")
    pixels = upright(pixels, orientation)
    alpha = None
    if has_alpha:
        pixels, alpha = pixels[..., :-1], pixels[..., -1].copy()
        if pixels.shape[2] == 1:
            pixels = pixels[..., 0]
    metadata = dataclasses.replace(metadata, size=(pixels.shape[0], pixels.shape[1]))
    return Picture(np.ascontiguousarray(pixels), alpha, metadata, orientation=orientation)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation, 1 to 8: transpose from 5 on, then mirror."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
