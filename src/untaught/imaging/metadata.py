"""What a file says besides its pixels, part by part, so that one part that cannot be kept never costs the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from untaught.imaging import exif, geo, xmp
from untaught.imaging.microscopy import Microscopy

__all__ = ["TEXT_NAMES", "Header", "Metadata", "Part", "part_name"]

TEXT_NAMES = {
    270: "description",
    271: "maker of the camera",
    272: "model of the camera",
    305: "software",
    306: "date",
    315: "artist",
    33432: "copyright",
}
"""Descriptive tags, of TIFF and of EXIF alike, by number."""

Part = tuple[str, Any]
"""One thing that a file says: the field of `Metadata`, and the key within it or None."""

_ONE = {
    "icc_profile": "the colour profile",
    "exif": "the EXIF block",
    "resolution": "the resolution",
    "xmp": "the XMP packet",
    "iptc": "the IPTC block",
    "comment": "the comment",
    "microscopy": "the scale and channels of the microscope",
    "header": "the header of the file's own format",
}
_MANY = {"texts": "the {}", "tags": "tag {}", "chunks": "the {} chunk", "entries": "the microscope's {}"}


@dataclass(frozen=True)
class Header:
    """What a file of some formats says in its own words.

    Attributes:
        kind: the format.
        content: as that format's module keeps it.
        scale: how many times as high and as wide the picture is now.
    """

    kind: str
    content: Any
    scale: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels.

    Attributes:
        icc_profile: colour profile.
        exif: EXIF block. Its orientation is reset to upright, because it has been applied to the pixels; its thumbnail
            is gone, because it shows the picture as it was.
        resolution: pixels per inch, horizontal and vertical.
        texts: descriptive tags of a TIFF, text by tag number.
        cmyk: whether the four channels are printing inks.
        xmp: XMP packet.
        iptc: IPTC block.
        comment: comment of a JPEG.
        chunks: of a PNG that say something about colour, or are text: name and content.
        tags: other tags of a TIFF, such as those of GeoTIFF: type, count and value by number.
        microscopy: what ImageJ or OME say.
        header: of a format that is not for photographs, such as FITS.
        size: height and width that resolution, scale and place are for; None for any.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    resolution: tuple[float, float] | None = None
    texts: Mapping[int, str] = field(default_factory=dict)
    cmyk: bool = False
    xmp: bytes | None = None
    iptc: bytes | None = None
    comment: str | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    tags: Mapping[int, tuple[int, int, Any]] = field(default_factory=dict)
    microscopy: Microscopy | None = None
    header: Header | None = None
    size: tuple[int, int] | None = None

    def parts(self) -> list[Part]:
        """Everything that is there, one by one."""
        parts: list[Part] = [(name, None) for name in _ONE if getattr(self, name) is not None]
        parts += [("texts", number) for number in self.texts] + [("tags", number) for number in self.tags]
        parts += [("chunks", index) for index in range(len(self.chunks))]
        if self.microscopy is not None:
            parts += [("entries", name) for name in self.microscopy.entries]
        return parts

    def only(self, parts: Iterable[Part]) -> Metadata:
        """Return a copy with these parts alone."""
        kept = set(parts)
        microscopy = self.microscopy if ("microscopy", None) in kept else None
        if microscopy is not None:
            entries = {name: value for name, value in microscopy.entries.items() if ("entries", name) in kept}
            microscopy = dataclasses.replace(microscopy, entries=entries)
        single: dict[str, Any] = {
            name: getattr(self, name) if (name, None) in kept else None for name in _ONE if name != "microscopy"
        }
        return dataclasses.replace(
            self,
            **single,
            texts={number: text for number, text in self.texts.items() if ("texts", number) in kept},
            tags={number: tag for number, tag in self.tags.items() if ("tags", number) in kept},
            chunks=tuple(chunk for index, chunk in enumerate(self.chunks) if ("chunks", index) in kept),
            microscopy=microscopy,
        )

    def scaled_to(self, height: int, width: int) -> Metadata:
        """Return what is true of the same picture with another number of pixels."""
        old_height, old_width = self.size or (height, width)
        down, across = height / old_height, width / old_width
        same = (down, across) == (1, 1)
        resolution, header = self.resolution, self.header
        if header is not None:
            header = dataclasses.replace(header, scale=(header.scale[0] * down, header.scale[1] * across))
        return dataclasses.replace(
            self,
            exif=None if self.exif is None else exif.resized(self.exif, height, width),
            xmp=None if self.xmp is None else xmp.resized(self.xmp, height, width),
            resolution=resolution if same or resolution is None else (resolution[0] * across, resolution[1] * down),
            tags=self.tags if same else geo.scaled(self.tags, down, across),
            microscopy=self.microscopy if same or self.microscopy is None else self.microscopy.scaled(down, across),
            header=header,
            size=(height, width),
        )

    def cut(self, height: int, width: int) -> Metadata:
        """Return what is true of a part of the picture: its place on the map is not."""
        tags = {number: tag for number, tag in self.tags.items() if number not in geo.PLACE}
        return dataclasses.replace(self, tags=tags, size=(height, width))


def part_name(metadata: Metadata, part: Part) -> str:
    """Name a part in a sentence."""
    name, key = part
    if name in _ONE:
        return _ONE[name]
    if name == "texts":
        key = TEXT_NAMES.get(key, f"text of tag {key}")
    elif name == "tags":
        key = geo.NAMES.get(key, key)
    elif name == "chunks":
        key = metadata.chunks[key][0].decode("latin-1")
    return _MANY[name].format(key)
