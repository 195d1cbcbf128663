"""NIfTI by nibabel: one volume, slices first, with its header; compressed by gzip or not."""

from __future__ import annotations

import nibabel
import numpy as np

from untaught.errors import PictureError
from untaught.imaging.formats.stored import Stored, ends
from untaught.imaging.metadata import Header, Metadata
from untaught.imaging.picture import Picture

__all__ = ["decode", "encode"]


def decode(content: bytes) -> Stored:
    """Decode a file."""
    image = nibabel.Nifti1Image.from_bytes(content)
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3):
        raise PictureError(f"holds {' x '.join(map(str, shape))} values: one volume is wanted; save one of them")
    # It is stored with the width first.
    pixels = np.asanyarray(image.dataobj).reshape(shape).T
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    kept = (image.header.binaryblock, image.affine.tobytes())
    return Stored(
        pixels=pixels,
        stack=pixels.ndim == 3,
        metadata=Metadata(header=Header("NIfTI", kept)),
        levels=(low, high) if low < high else ends(pixels),
    )


def encode(picture: Picture) -> bytes:
    """Encode a picture or a volume."""
    kept = picture.metadata.header
    header, affine = None, np.eye(4)
    if kept is not None:
        block, matrix = kept.content
        header = nibabel.Nifti1Header(block)
        down, across = kept.scale
        affine = np.frombuffer(matrix, np.float64).reshape(4, 4) @ np.diag([1 / across, 1 / down, 1, 1])
        header.set_slope_inter(None, None)
    pixels = picture.pixels.reshape(picture.pixels.shape[: len(picture.size)]).T
    image = nibabel.Nifti1Image(np.ascontiguousarray(pixels), affine, header, dtype=pixels.dtype)
    image.set_data_dtype(pixels.dtype)
    return bytes(image.to_bytes())
