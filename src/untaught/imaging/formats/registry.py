"""The formats of this folder: how each is recognised, what it holds, and which library it takes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untaught.errors import PictureError
from untaught.imaging.formats.stored import Stored
from untaught.imaging.picture import Picture

__all__ = ["FORMATS", "RAW", "SUFFIXES", "Format", "find_format"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format that a library reads and writes.

    Attributes:
        name: as a sentence names it; "the file is FITS".
        suffixes: of its files.
        starts: what its files begin with: bytes, and the place where they stand.
        module: of this folder: ``decode`` makes `Stored` of a file's bytes, ``encode`` bytes of a `Picture`.
        library: the package that it imports; empty for one that untaught needs anyway.
        extra: the extra of untaught that installs it.
        types: of the samples that it holds; empty for a format that is read only.
        channels: numbers of channels that it holds, without alpha.
        alpha: the numbers of channels with which it holds alpha.
        stacks: whether a file holds slices of a volume.
        header: whether its own header is kept from file to file.
        derived: whether a file is made only from a file of its kind, which says what it shows.
        held: other parts of the metadata that it holds.
    """

    name: str
    suffixes: tuple[str, ...]
    starts: tuple[tuple[int, bytes], ...]
    module: str
    library: str = ""
    extra: str = ""
    types: tuple[str, ...] = ()
    channels: tuple[int, ...] = (1,)
    alpha: tuple[int, ...] = ()
    stacks: bool = False
    header: bool = False
    derived: bool = False
    held: frozenset[str] = frozenset()

    def decode(self, content: bytes) -> Stored:
        """Decode a file.

        Raises:
            PictureError: if its library is missing.
            Exception: of any kind, for a damaged file.
        """
        decode: Callable[[bytes], Stored] = self._module("read").decode
        return decode(content)

    def encode(self, picture: Picture) -> bytes:
        """Encode a picture.

        Raises:
            PictureError: if its library is missing.
        """
        encode: Callable[[Picture], bytes] = self._module("written").encode
        return encode(picture)

    def missing(self, verb: str = "written") -> str:
        """What to install first, as a sentence; empty if the library is there."""
        try:
            if self.library:
                importlib.import_module(self.library)
        except ImportError:
            line = f'pip install "untaught[{self.extra}]"'
            return f"{self.name} is {verb} by {self.library}, which is not installed: {line}"
        return ""

    def cannot_hold(self, picture: Picture) -> str | None:
        """Why it cannot hold a picture, and which format can; None if it can."""
        if picture.volume and not self.stacks:
            return f"{self.name} holds one picture and this is a volume: choose .tif"
        if picture.pixels.dtype.name not in self.types:
            return f"{self.name} does not hold {picture.pixels.dtype} values: choose .tif"
        if picture.metadata.cmyk or picture.channels not in self.channels:
            return f"{self.name} does not hold {picture.channels} channels of this kind: choose .tif"
        if picture.alpha is not None and picture.channels not in self.alpha:
            return f"{self.name} does not hold alpha with {picture.channels} channels: choose .tif"
        header = picture.metadata.header
        if self.derived and (header is None or header.kind != self.name):
            return f"{self.name} is made only from {self.name}, which says whose picture it is: choose .tif"
        return self.missing() or None

    def _module(self, verb: str) -> Any:
        if problem := self.missing(verb):
            raise PictureError(f"cannot be {verb}: {problem}")
        return importlib.import_module(f"untaught.imaging.formats.{self.module}")


_COLOURS = (1, 3)
_SAID = frozenset({"icc_profile", "exif", "xmp"})

FORMATS = (
    Format(
        name="HEIC",
        suffixes=(".heic", ".heif"),
        starts=tuple((4, b"ftyp" + brand) for brand in (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")),
        module="heic",
        library="pillow_heif",
        extra="heic",
        types=("uint8",),
        channels=_COLOURS,
        alpha=(3,),
        held=_SAID,
    ),
    Format(
        name="AVIF",
        suffixes=(".avif",),
        starts=((4, b"ftypavif"), (4, b"ftypavis")),
        module="avif",
        types=("uint8",),
        channels=_COLOURS,
        alpha=_COLOURS,
    ),
    Format(
        name="JPEG XL",
        suffixes=(".jxl",),
        starts=((0, b"\xff\x0a"), (0, b"\x00\x00\x00\x0cJXL ")),
        module="jpeg_xl",
        types=("uint8", "uint16", "float32"),
        channels=_COLOURS,
        alpha=_COLOURS,
    ),
    Format(
        name="JPEG 2000",
        suffixes=(".jp2", ".j2k", ".jpx"),
        starts=((0, b"\x00\x00\x00\x0cjP  "), (0, b"\xff\x4f\xff\x51")),
        module="jpeg_2000",
        types=("uint8", "uint16"),
        channels=_COLOURS,
        alpha=_COLOURS,
    ),
    Format(
        name="OpenEXR",
        suffixes=(".exr",),
        starts=((0, b"\x76\x2f\x31\x01"),),
        module="exr",
        library="OpenEXR",
        extra="exr",
        types=("float32",),
        channels=_COLOURS,
        alpha=(3,),
        header=True,
    ),
    Format(
        name="FITS",
        suffixes=(".fits", ".fit", ".fts"),
        starts=((0, b"SIMPLE  ="),),
        module="fits",
        library="astropy",
        extra="fits",
        types=("uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"),
        stacks=True,
        header=True,
    ),
    Format(
        name="MRC",
        suffixes=(".mrc", ".mrcs"),
        starts=((208, b"MAP "), (208, b"MAP\x00")),
        module="mrc",
        library="mrcfile",
        extra="mrc",
        types=("int8", "int16", "uint16", "float32"),
        stacks=True,
        header=True,
    ),
    Format(
        name="DICOM",
        suffixes=(".dcm", ".dicom"),
        starts=((128, b"DICM"),),
        module="dicom",
        library="pydicom",
        extra="dicom",
        types=("uint8", "int8", "uint16", "int16"),
        channels=_COLOURS,
        stacks=True,
        header=True,
        derived=True,
    ),
    Format(
        name="NIfTI",
        suffixes=(".nii", ".nii.gz"),
        starts=((344, b"n+1\x00"),),
        module="nifti",
        library="nibabel",
        extra="nifti",
        types=("uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"),
        stacks=True,
        header=True,
    ),
    Format(
        name="a camera's RAW file",
        suffixes=(".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".dng"),
        starts=(
            *((0, start) for start in (b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"FUJIFILMCCD-RAW", b"FOVb")),
            (4, b"ftypcrx "),
        ),
        module="raw",
        library="rawpy",
        extra="raw",
    ),
)
"""All of them. That a TIFF is a camera's RAW file is found when it is read."""

RAW = next(one for one in FORMATS if one.module == "raw")

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", *(end for one in FORMATS for end in one.suffixes))
"""What the names of pictures end with, those of other modules too."""


def find_format(content: bytes = b"", path: Path | None = None) -> Format | None:
    """The format of a file by its first bytes, or by the end of its name; None for one that is not in this folder."""
    if path is not None:
        name = path.name.lower()
        return next((one for one in FORMATS if name.endswith(one.suffixes)), None)
    for one in FORMATS:
        if any(content[place : place + len(start)] == start for place, start in one.starts):
            return one
    return None
