"""What ImageJ and OME say in a TIFF: axes, scale, units, names of channels."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Microscopy"]

_LAYOUT = ("ImageJ", "images", "channels", "slices", "frames", "hyperstack", "axes")
"""Entries of ImageJ that follow from the pages."""


@dataclass(frozen=True)
class Microscopy:
    """What ImageJ or OME say.

    Attributes:
        kind: who says it.
        axes: of the stored values, such as "ZCYX".
        entries: by name: of ImageJ, as it spells them.
        xml: of OME.
        density: pixels per unit of ImageJ, horizontal and vertical.
    """

    kind: Literal["imagej", "ome"]
    axes: str
    entries: Mapping[str, Any] = field(default_factory=dict)
    xml: str = ""
    density: tuple[float, float] | None = None

    @classmethod
    def of_file(cls, file: Any, axes: str, density: tuple[float, float] | None) -> Microscopy | None:
        """Read it.

        Args:
            file: a `tifffile.TiffFile`.
            axes: of the values that are read.
            density: pixels per unit of its own.
        """
        if file.is_imagej:
            entries = {name: value for name, value in (file.imagej_metadata or {}).items() if name not in _LAYOUT}
            return cls("imagej", axes, entries, density=density)
        if file.is_ome and file.ome_metadata and "FileName" not in file.ome_metadata:
            return cls("ome", axes, xml=file.ome_metadata)
        return None

    def scaled(self, down: float, across: float) -> Microscopy:
        """Return what is true of the same field of view with more pixels, or fewer."""
        density = None if self.density is None else (self.density[0] * across, self.density[1] * down)
        xml = self.xml
        for axis, factor in (("X", across), ("Y", down)):

            def size(found: re.Match[str], factor: float = factor) -> str:
                return f"{found[1]}{round(float(found[2]) * factor)}{found[3]}"

            def physical(found: re.Match[str], factor: float = factor) -> str:
                return f"{found[1]}{float(found[2]) / factor:.12g}{found[3]}"

            xml = re.sub(rf'(\bSize{axis}=")(\d+)(")', size, xml)
            xml = re.sub(rf'(\bPhysicalSize{axis}=")([-+.\deE]+)(")', physical, xml)
        return dataclasses.replace(self, xml=xml, density=density)

    def laid_out(self, values: NDArray[Any], *, volume: bool) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return values in the order of the pages, and the options of `tifffile.imwrite` that describe them.

        Args:
            values: (H, W), (H, W, C), (D, H, W) or (D, H, W, C).
            volume: whether the first axis is one of slices.

        Raises:
            ValueError: where these values cannot be described so.
        """
        slices = next((axis for axis in self.axes if axis not in "YXSC"), "Z") if volume else ""
        if volume and not set(self.axes) - set("YXSC"):
            slices = "C" if "C" in self.axes else "Z"
        has_channels = values.ndim > 2 + volume
        colour = ("S" if "S" in self.axes else "C") if has_channels else ""
        found, wanted = slices + "YX" + colour, self.axes
        if set(found) != set(wanted):
            if self.kind == "ome":
                raise ValueError("OME describes other axes")
            # ImageJ's RGB has three samples of 8 bits; other channels have pages of their own.
            rgb = has_channels and values.dtype == np.uint8 and values.shape[-1] == 3
            found = slices + "YX" + ("S" if rgb else "C" if has_channels else "")
            wanted = slices + ("YXS" if rgb else "CYX" if has_channels else "YX")
        pages = np.ascontiguousarray(values.transpose([found.index(axis) for axis in wanted]))
        if self.kind == "ome":
            self._check_ome(pages, wanted)
            return pages, {"description": self.xml.encode(), "metadata": None}
        if pages.dtype.char not in "BbhHf":
            raise ValueError("ImageJ does not know this type")
        options: dict[str, Any] = {"imagej": True, "metadata": {"axes": wanted, **_ascii(self.entries)}}
        if self.density is not None:
            options |= {"resolution": self.density, "resolutionunit": "NONE"}
        return pages, options

    def _check_ome(self, pages: NDArray[Any], axes: str) -> None:
        """Raise a ValueError where the XML describes other values than these."""
        for axis, length in zip(axes, pages.shape, strict=True):
            sizes = re.findall(rf'\bSize{"C" if axis == "S" else axis}="(\d+)"', self.xml)
            if axis not in "YX" and sizes[:1] != [str(length)]:
                raise ValueError("OME describes another number of pages")
        name = {"f4": "float", "f8": "double"}.get(pages.dtype.str[1:], pages.dtype.name)
        if f'Type="{name}"' not in self.xml:
            raise ValueError("OME describes another type")


def _ascii(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Entries with letters beyond ASCII as ImageJ escapes them: a micro sign is u00B5 after a backslash."""
    return {
        name: "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in value)
        if isinstance(value, str) and name != "Info"
        else value
        for name, value in entries.items()
    }
