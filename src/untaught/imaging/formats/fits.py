"""FITS by astropy: the first picture of a file, with its header."""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits

from untaught.errors import PictureError
from untaught.imaging.formats.stored import Stored, ends
from untaught.imaging.metadata import Header, Metadata
from untaught.imaging.picture import Picture

__all__ = ["decode", "encode"]

_OF_THE_PIXELS = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "NAXIS4", "EXTEND", "BSCALE",
                  "BZERO", "BLANK", "PCOUNT", "GCOUNT", "DATAMIN", "DATAMAX", "CHECKSUM", "DATASUM")  # fmt: skip


def decode(content: bytes) -> Stored:
    """Decode the first picture of a file; a row is a row of the file, from its first."""
    with fits.open(io.BytesIO(content), memmap=False) as file:
        found = [one for one in file if getattr(one, "is_image", False) and one.header["NAXIS"]]
        if not found:
            raise PictureError("has no picture: a table cannot be restored")
        header = found[0].header.copy()
        pixels = np.asarray(found[0].data)
    while pixels.ndim > 3 and pixels.shape[0] == 1:
        pixels = pixels[0]
    low, high = header.get("DATAMIN"), header.get("DATAMAX")
    stated = None if low is None or high is None or not low < high else (float(low), float(high))
    blank = header.get("BLANK")
    kept = header.copy()
    for name in _OF_THE_PIXELS:
        kept.remove(name, ignore_missing=True, remove_all=True)
    left = len(found) - 1
    return Stored(
        pixels=pixels,
        stack=pixels.ndim == 3,
        metadata=Metadata(header=Header("FITS", kept.tostring(sep="\n"))),
        nodata=() if blank is None or pixels.dtype.kind == "f" else (blank + header.get("BZERO", 0),),
        levels=stated or ends(pixels),
        notes=(f"its {left} other pictures are left out",) if left else (),
    )


def encode(picture: Picture) -> bytes:
    """Encode as the only picture of a file."""
    kept = picture.metadata.header
    header = fits.Header() if kept is None else fits.Header.fromstring(kept.content, sep="\n")
    if kept is not None and kept.scale != (1.0, 1.0):
        for axis, factor in enumerate(reversed(kept.scale), start=1):
            # A pixel's middle is a whole number, and the edge of the picture half a pixel before.
            if f"CRPIX{axis}" in header:
                header[f"CRPIX{axis}"] = (header[f"CRPIX{axis}"] - 0.5) * factor + 0.5
            for name in (f"CDELT{axis}", f"CD1_{axis}", f"CD2_{axis}"):
                if name in header:
                    header[name] /= factor
    depth = len(picture.size)
    file = fits.PrimaryHDU(picture.pixels.reshape(picture.pixels.shape[:depth]), header)
    buffer = io.BytesIO()
    file.writeto(buffer, output_verify="silentfix")
    return buffer.getvalue()
