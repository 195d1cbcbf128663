"""OpenEXR by its own library: gray, RGB and alpha, half floats as floats."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR

from untaught.errors import PictureError
from untaught.imaging.formats.stored import Stored, ends
from untaught.imaging.metadata import Header, Metadata
from untaught.imaging.picture import Picture

__all__ = ["decode", "encode"]

_OF_THE_PIXELS = ("channels", "compression", "dataWindow", "displayWindow", "lineOrder", "tiles", "type", "chunkCount")
"""Attributes that follow from how the pixels stand in the file."""


def decode(content: bytes) -> Stored:
    """Decode the first part of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.exr"
        path.write_bytes(content)
        with OpenEXR.File(str(path)) as file:
            channels, attributes, parts = dict(file.channels()), dict(file.header()), len(file.parts)
            found = next((name for name in ("RGBA", "RGB", "Y") if name in channels), None)
            if found is None and len(channels) == 1:
                (found,) = channels
            if found is None:
                raise PictureError(f"has the channels {', '.join(channels)}: RGB, RGBA or Y are wanted")
            pixels = np.array(channels[found].pixels)
    left = [name for name in channels if name != found]
    notes = [f"its channels {', '.join(left)} are left out"] if left else []
    notes += [f"its {parts - 1} other parts are left out"] if parts > 1 else []
    kept = {name: value for name, value in attributes.items() if name not in _OF_THE_PIXELS and _plain(value)}
    metadata = Metadata(header=Header("OpenEXR", kept))
    pixels = pixels.astype(np.float32)
    colours = pixels[..., :3] if pixels.ndim == 3 else pixels
    return Stored(pixels=pixels, alpha=found == "RGBA", metadata=metadata, levels=ends(colours), notes=tuple(notes))


def _plain(value: Any) -> bool:
    """Whether an attribute is a text, a number or several of them."""
    return isinstance(value, str | int | float | tuple | np.ndarray)


def encode(picture: Picture) -> bytes:
    """Encode as 32-bit floats, compressed without loss."""
    values = picture.for_encoder()
    name = {1: "Y", 3: "RGB", 4: "RGBA"}[1 if values.ndim == 2 else values.shape[2]]
    header = picture.metadata.header
    attributes = dict(header.content) if header is not None else {}
    attributes |= {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.exr"
        with OpenEXR.File(attributes, {name: np.ascontiguousarray(values)}) as file:
            file.write(str(path))
        return path.read_bytes()
