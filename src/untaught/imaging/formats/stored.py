"""What a format's module makes of a file, and the picture in it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import PictureError
from untaught.imaging.metadata import Metadata
from untaught.imaging.picture import Picture, assemble, check_size, native

__all__ = ["Stored", "ends"]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a file holds.

    Attributes:
        pixels: (H, W) or (H, W, C); of a stack (D, H, W) or (D, H, W, C).
        stack: whether the first axis counts slices.
        alpha: whether the last channel is alpha.
        orientation: as EXIF counts it.
        metadata: what else the file says.
        nodata: values that mean nothing.
        levels: black and white, where its type does not say them.
        notes: what was converted or left out.
    """

    pixels: NDArray[Any]
    stack: bool = False
    alpha: bool = False
    orientation: int = 1
    metadata: Metadata = field(default_factory=Metadata)
    nodata: tuple[float, ...] = ()
    levels: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    def picture(self, *, volume: bool, page: int | None) -> Picture:
        """The picture, the volume, or one slice of it.

        Raises:
            PictureError: for several slices of which none is chosen, and one that is not there.
        """
        pixels = self.pixels
        if self.stack and not volume:
            if page is None and len(pixels) > 1:
                raise PictureError(f"holds {len(pixels)} slices: choose one by --page, or read all of them by --volume")
            if page is not None and page > len(pixels):
                raise PictureError(f"has {len(pixels)} slices: there is no page {page}")
            pixels = pixels[(page or 1) - 1]
        elif page not in (None, 1):
            raise PictureError("has one page: leave out --page")
        if volume and not self.stack:
            pixels = pixels[None]
        if pixels.size == 0 or pixels.ndim not in ((3, 4) if volume else (2, 3)):
            raise PictureError(f"holds values of shape {self.pixels.shape}: a picture or a volume is wanted")
        if pixels.dtype.kind not in "uifb":
            raise PictureError(f"holds {pixels.dtype} values: real numbers are wanted")
        check_size(*pixels.shape[: 3 if volume else 2])
        pixels = native(pixels)
        if volume:
            metadata = dataclasses.replace(self.metadata, size=(pixels.shape[1], pixels.shape[2]))
            made = Picture(np.ascontiguousarray(pixels), None, metadata, volume=True)
        else:
            made = assemble(pixels, has_alpha=self.alpha, orientation=self.orientation, metadata=self.metadata)
        return dataclasses.replace(made, nodata=self.nodata, levels=self.levels, notes=self.notes)


def ends(pixels: NDArray[Any]) -> tuple[float, float] | None:
    """Black and white of values whose file does not say them: the ends of what is there; None for those of their type.

    Floats within 0 and 1, and 8 and 16 bits without a sign, have a range of their own.
    """
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        return None
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    if low == high or (pixels.dtype.kind == "f" and low >= 0 and high <= 1):
        return None
    return low, high
