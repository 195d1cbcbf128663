"""DICOM by pydicom: stored values of one picture or of frames, with all that the file says."""

from __future__ import annotations

import copy
import hashlib
import io
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from untaught.errors import PictureError
from untaught.imaging.formats.stored import Stored
from untaught.imaging.metadata import Header, Metadata
from untaught.imaging.picture import Picture

__all__ = ["decode", "encode"]


def decode(content: bytes) -> Stored:
    """Decode a file. Values stay as they are stored: a rescale slope, a window and an inversion are in the header."""
    file = pydicom.dcmread(io.BytesIO(content))
    if "PixelData" not in file:
        raise PictureError("has no pixels: a report or a plan cannot be restored")
    if file.PhotometricInterpretation == "PALETTE COLOR":
        raise PictureError("has a palette: save it as RGB")
    pixels = np.array(file.pixel_array)
    stack = int(file.get("NumberOfFrames", 1)) > 1
    signed, bits = bool(file.PixelRepresentation), int(file.BitsStored)
    levels = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    kept = copy.copy(file)
    del kept.PixelData
    buffer = io.BytesIO()
    kept.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    kept.save_as(buffer, enforce_file_format=False, implicit_vr=False, little_endian=True)
    metadata = Metadata(header=Header("DICOM", buffer.getvalue()))
    return Stored(pixels=pixels, stack=stack, metadata=metadata, levels=levels)


def encode(picture: Picture) -> bytes:
    """Encode as the picture derived from that of another file, whose header it has."""
    kept = picture.metadata.header
    assert kept is not None
    file: Any = pydicom.dcmread(io.BytesIO(kept.content), force=True)
    pixels, depth = picture.pixels, len(picture.size)
    colour = pixels.ndim > depth and pixels.shape[-1] == 3
    if not colour:
        pixels = pixels.reshape(pixels.shape[:depth])
    file.Rows, file.Columns = picture.size[-2:]
    if depth == 3:
        file.NumberOfFrames = len(pixels)
    elif "NumberOfFrames" in file:
        file.NumberOfFrames = 1
    file.SamplesPerPixel = 3 if colour else 1
    if colour:
        file.PhotometricInterpretation, file.PlanarConfiguration = "RGB", 0
    file.BitsAllocated = 8 * pixels.dtype.itemsize
    file.BitsStored = min(int(file.BitsStored), file.BitsAllocated)
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    if kept.scale != (1.0, 1.0) and "PixelSpacing" in file:
        file.PixelSpacing = [float(one) / factor for one, factor in zip(file.PixelSpacing, kept.scale, strict=True)]
    file.ImageType = ["DERIVED", *list(file.get("ImageType", ["", "PRIMARY"]))[1:]]
    # The same picture gets the same identity.
    identity = hashlib.sha256(kept.content + pixels.tobytes()).hexdigest()
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[identity])
    file.PixelData = pixels.tobytes() + bytes(pixels.nbytes % 2)
    file["PixelData"].VR = "OB" if file.BitsAllocated == 8 else "OW"
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return buffer.getvalue()
