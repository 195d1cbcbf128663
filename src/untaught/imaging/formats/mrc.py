"""MRC by mrcfile, with its header."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path

import mrcfile
import numpy as np
from mrcfile.mrcinterpreter import MrcInterpreter

from untaught.imaging.formats.stored import Stored, ends
from untaught.imaging.metadata import Header, Metadata
from untaught.imaging.picture import Picture

__all__ = ["decode", "encode"]


def decode(content: bytes) -> Stored:
    """Decode a file: a picture, or slices."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with MrcInterpreter(io.BytesIO(content)) as file:
            pixels = np.array(file.data)
            kept = (file.header.tobytes(), bytes(file.extended_header.tobytes()), file.header.dtype.byteorder)
            voxel = tuple(float(file.voxel_size[axis]) for axis in "zyx")
    metadata = Metadata(header=Header("MRC", (*kept, voxel)))
    return Stored(pixels=pixels, stack=pixels.ndim == 3, metadata=metadata, levels=ends(pixels))


def encode(picture: Picture) -> bytes:
    """Encode a picture or a volume."""
    kept = picture.metadata.header
    with tempfile.TemporaryDirectory() as folder, mrcfile.new(Path(folder) / "file.mrc") as file:
        if kept is not None:
            block, extended, _, (depth, height, width) = kept.content
            old = np.frombuffer(block, file.header.dtype)[0]
            for name in ("nlabl", "label", "origin", "ispg", "exttyp", "nxstart", "nystart", "nzstart"):
                file.header[name] = old[name]
            file.set_extended_header(np.frombuffer(extended, "V1"))
        file.set_data(picture.pixels.reshape(picture.pixels.shape[: len(picture.size)]))
        if kept is not None:
            down, across = kept.scale
            file.voxel_size = (width / across, height / down, depth)
        file.update_header_stats()
        file.flush()
        return (Path(folder) / "file.mrc").read_bytes()
