"""Pictures in files: PNG, JPEG, TIFF and WebP, of any depth and number of channels, in and out, nothing lost.

What a file is, is decided by its content; what is written, by the suffix. A picture is written under a temporary name
and then renamed, so that a file is either the old one or the whole new one.
"""

from __future__ import annotations

import dataclasses
import difflib
import io
import logging
import math
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from untaught.errors import InputError, PictureError
from untaught.imaging import files
from untaught.physics.compression import compression_of

__all__ = ["MAX_PIXELS", "Metadata", "Picture", "check_writable", "format_of", "read", "read_input", "write"]

MAX_PIXELS = 100_000_000
"""Pictures of more pixels are refused by their header, before anything is decoded."""

_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP"}
_LONGEST_SIDE = {"JPEG": 65535, "WebP": 16383}
_ORIENTATION = 0x0112
# Baseline tags of a TIFF that say something to a person: description, make, model, software, date, artist, copyright.
_TIFF_TEXTS = {270: "description", 271: None, 272: None, 305: "software", 306: "datetime", 315: None, 33432: None}

# What these libraries find odd in a file is said by our own sentence, or is of no consequence.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels.

    Attributes:
        icc_profile: colour profile.
        exif: EXIF block, its orientation set to upright because it has been applied.
        resolution: pixels per inch, horizontal and vertical.
        texts: tag number and text of a TIFF's descriptive tags.
        cmyk: whether four channels are printing inks.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    resolution: tuple[float, float] | None = None
    texts: Mapping[int, str] = field(default_factory=dict)
    cmyk: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture as it stands in a file, turned upright.

    Attributes:
        pixels: (H, W) or (H, W, C): uint8, uint16 or float; other real types from a TIFF. Without alpha. For a volume,
            (D, H, W) or (D, H, W, C).
        alpha: (H, W), of the same type, or None, as always for a volume.
        metadata: what else the file says.
        volume: whether it is a volume, whose slices are the pages of a TIFF.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    metadata: Metadata = field(default_factory=Metadata)
    volume: bool = False

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width, or depth, height and width."""
        return self.pixels.shape[: 3 if self.volume else 2]

    @property
    def channels(self) -> int:
        """Number of channels, without alpha."""
        return 1 if self.pixels.ndim == len(self.size) else int(self.pixels.shape[-1])

    def middle(self) -> Picture:
        """The slice in the middle of a volume, without metadata; a picture as it is."""
        return Picture(self.pixels[len(self.pixels) // 2]) if self.volume else self

    def with_pixels(self, pixels: Any) -> Picture:
        """The same picture with other pixels: metadata stays, and alpha, brought to their size."""
        pixels = np.asarray(pixels)
        alpha = self.alpha
        if alpha is not None and alpha.shape != pixels.shape[:2]:
            from skimage.transform import resize

            larger = resize(alpha, pixels.shape[:2], order=1, preserve_range=True)
            alpha = (larger.round() if alpha.dtype.kind in "ui" else larger).astype(alpha.dtype)
        return dataclasses.replace(self, pixels=pixels, alpha=alpha)


def read(path: str | os.PathLike[str], *, volume: bool = False) -> Picture:
    """Read a picture, or a volume from a TIFF whose pages are its slices.

    Raises:
        PictureError: for whatever is not one whole picture in a format that is read here.
    """
    path = Path(path)
    content = _content(path)
    kind = format_of(content)
    if kind not in _READERS:
        raise PictureError(f"{path} is {kind}: PNG, JPEG, TIFF and WebP are read")
    if volume and kind != "TIFF":
        raise PictureError(f"{path} is {kind}: a volume is read from a TIFF, whose pages are its slices")
    try:
        return _read_tiff(content, volume=True) if volume else _READERS[kind](content)
    except PictureError as error:
        raise PictureError(f"{path} {error}") from None
    except MemoryError:
        raise
    # Decoders meet damaged files with exceptions of every kind.
    except Exception as error:
        raise PictureError(f"{path} is damaged or cut off: it begins as {kind} and cannot be decoded") from error


def read_input(path: str | os.PathLike[str], kind: str, shape: tuple[int, ...]) -> Any:
    """Read what goes in besides the picture.

    Args:
        path: file to read.
        kind: a name of ``KINDS``: "mask", of which the bright half of the values is True; "picture", "guide" and
            "other", of the same size; "kernel", of any; "compression", how the file was compressed.
        shape: height and width of the picture that it belongs to; depth, height and width of a volume.

    Returns:
        (H, W), bool, for a mask; (H, W) or (H, W, C) in the file's own type for a picture; see
        `untaught.physics.compression.compression_of` for how a file was compressed.

    Raises:
        PictureError: for a file that cannot be read.
        InputError: for one of the wrong size.
    """
    return KINDS[kind](Path(path), shape)


def _read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Colours are averaged, alpha is ignored."""
    pixels = _read_alike(path, shape, "mask")
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1.0
    brightness = pixels.astype(float) if pixels.ndim == len(shape) else pixels.mean(-1, dtype=float)
    bright: NDArray[np.bool_] = brightness >= top / 2
    return bright


def _read_alike(path: Path, shape: tuple[int, ...], name: str = "picture") -> NDArray[Any]:
    picture = read(path, volume=len(shape) == 3)
    if picture.size != shape:
        found, wanted = (" x ".join(map(str, reversed(size))) for size in (picture.size, shape))
        sides = "width x height x pages" if picture.volume else "width x height"
        raise InputError(
            f"the {name} {path} is {found} pixels and the picture {wanted} ({sides}): a {name} has the size of its "
            "picture"
        )
    return picture.pixels


KINDS: Mapping[str, Callable[[Path, tuple[int, ...]], Any]] = {
    "compression": lambda path, _: compression_of(_content(path)),
    "guide": lambda path, shape: _read_alike(path, shape, "guide"),
    "kernel": lambda path, _: read(path).pixels,
    "mask": _read_mask,
    "other": lambda path, shape: _read_alike(path, shape, "other picture"),
    "picture": _read_alike,
}
"""How a picture is read that goes in besides the first, by the names that `untaught.tasks.registry.InputFile` uses."""


def check_writable(
    path: str | os.PathLike[str], picture: Picture, *, inputs: Sequence[Path] = (), overwrite: bool = False
) -> None:
    """Find out all that can be known to fail in writing a picture, before it is made.

    Args:
        path: file to write.
        picture: what would be written, but for its values.
        inputs: files that must not be overwritten.
        overwrite: whether they may be, after all.

    Raises:
        PictureError: saying what stands in the way.
    """
    path = Path(path)
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise PictureError(f"{path} has {found}, and the format is told by it: {', '.join(_SUFFIXES)} can be written")
    if path.is_dir():
        raise PictureError(f"{path} is a folder: a file name is wanted")
    if not path.parent.is_dir():
        raise PictureError(f"{path} cannot be written: there is no folder {path.parent}")
    if not overwrite and any(path.exists() and path.samefile(source) for source in inputs if source.exists()):
        raise PictureError(
            f"{path} is an input and would be overwritten: choose another name, or allow it by --overwrite"
        )
    if problem := _cannot_hold(kind, picture):
        raise PictureError(f"{path} cannot be written: {problem}")
    try:
        files.check_writable(path)
    except OSError as error:
        raise PictureError(f"{path} cannot be written: {error.strerror} in {path.parent}") from error


def write(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture, lossless but for JPEG, in the format that the suffix names.

    Raises:
        PictureError: where `check_writable` would have said so.
    """
    path = Path(path)
    kind = _SUFFIXES.get(path.suffix.lower(), "")
    if problem := _cannot_hold(kind, picture):
        raise PictureError(f"{path} cannot be written: {problem}")
    files.write_bytes(path, _WRITERS[kind](picture))


# Reading ------------------------------------------------------------------------------------------------------------


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise PictureError(f"{path} is a folder: a picture is wanted")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise PictureError(f"there is no file {path}{hint}") from error
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise PictureError(f"{path} is empty: a picture is wanted")
    return content


def format_of(content: bytes) -> str:
    """Name of a file's format, by its first bytes, as the end of "this file is ..."."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp":
        return "a HEIC, AVIF or film file"
    starts = {
        b"\x89PNG\r\n\x1a\n": "PNG",
        b"\xff\xd8\xff": "JPEG",
        b"II*\x00": "TIFF",
        b"MM\x00*": "TIFF",
        b"II+\x00": "TIFF",
        b"MM\x00+": "TIFF",
        b"GIF8": "a GIF file",
        b"BM": "a BMP file",
        b"%PDF": "a PDF file",
        b"<": "an SVG, XML or web page",
    }
    return next((name for start, name in starts.items() if content.lstrip().startswith(start)), "no picture")


def _check_size(*sides: int) -> None:
    if math.prod(sides) > MAX_PIXELS:
        raise PictureError(
            f"has {' x '.join(map(str, sides))} pixels by its header: more than {MAX_PIXELS:,} in all are refused; "
            "crop it"
        )


def _read_by_pillow(content: bytes) -> Picture:
    with warnings.catch_warnings():
        # Pillow warns of large pictures and of odd metadata: the first we judge ourselves, the second does no harm.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP"))
        except Image.DecompressionBombError as error:
            raise PictureError(
                f"has more than {MAX_PIXELS:,} pixels by its header: that is refused; crop it"
            ) from error
        with image:
            _check_size(*image.size)
            if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
                raise PictureError(f"is an animation of {getattr(image, 'n_frames', 0)} pictures: one is wanted")
            if image.format == "PNG" and content[24] == 16:
                pixels = _native(imagecodecs.png_decode(content))
            else:
                pixels = np.asarray(_plain_mode(image))
            resolution = image.info.get("dpi")
            exif, orientation = _exif(image)
            metadata = Metadata(
                icc_profile=image.info.get("icc_profile"),
                exif=exif,
                resolution=None if resolution is None else (float(resolution[0]), float(resolution[1])),
                cmyk=image.mode == "CMYK",
            )
    has_alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4) and not metadata.cmyk
    return _assemble(pixels, has_alpha=has_alpha, orientation=orientation, metadata=metadata)


def _plain_mode(image: Image.Image) -> Image.Image:
    """Palettes, bits and marked colours as gray or RGB, with alpha where there is any."""
    marked = "transparency" in image.info
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if marked or image.mode == "PA" else "RGB")
    if marked and image.mode in ("1", "L", "RGB"):
        return image.convert("RGBA" if image.mode == "RGB" else "LA")
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _exif(image: Image.Image) -> tuple[bytes | None, int]:
    """The EXIF block, turned upright, and the orientation that was in it."""
    try:
        tags = image.getexif()
        orientation = int(tags.get(_ORIENTATION, 1))
        if orientation == 1:
            block = image.info.get("exif")
            return block or (tags.tobytes() if len(tags) else None), 1
        tags[_ORIENTATION] = 1
        return tags.tobytes(), orientation
    except Exception:  # noqa: BLE001 - a picture is worth reading even where its EXIF block is broken
        return None, 1


def _read_tiff(content: bytes, *, volume: bool = False) -> Picture:
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        series = file.series[0]
        pages_are_channels = len(file.series) == 1 and series.axes in ("CYX", "CYXS")[:1] and len(series.shape) == 3
        if len(file.pages) > 1 and not pages_are_channels and not volume:
            raise PictureError(
                f"holds {len(file.pages)} pages: one picture is wanted, so split it or save one of them, or fit all of "
                "them as a volume, by --volume"
            )
        _check_size(page.imagewidth, page.imagelength)
        if volume:
            pixels = _stack(file)
        else:
            pixels = series.asarray() if pages_are_channels else page.asarray()
            if pages_are_channels or (pixels.ndim == 3 and page.axes == "SYX"):
                pixels = np.moveaxis(pixels, 0, -1)
        if pixels.ndim - volume not in (2, 3) or pixels.dtype.kind not in "uifb":
            raise PictureError(f"holds {pixels.dtype} values of shape {pixels.shape}: one plain picture is wanted")
        pixels = _native(pixels)
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            pixels = np.moveaxis(page.colormap[:, pixels], 0, -1)
        elif page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
            pixels = np.iinfo(pixels.dtype).max - pixels
        tags = {code: page.tags[code].value for code in (34675, _ORIENTATION, *_TIFF_TEXTS) if code in page.tags}
        if volume and ("C" in series.axes or series.kind == "ome"):
            # What microscopes' programs write there tells of pages that will not be there, one for each channel.
            tags.pop(270, None)
        # The EXIF folder of a TIFF points into its file and is not kept; the descriptive tags beside it are.
        metadata = Metadata(
            icc_profile=tags.get(34675),
            resolution=_tiff_resolution(page),
            texts={code: str(tags[code]) for code in _TIFF_TEXTS if tags.get(code)},
            cmyk=page.photometric == tifffile.PHOTOMETRIC.SEPARATED and pixels.shape[2 + volume :] == (4,),
        )
        # 1 and 2 are the two kinds of alpha; other extra samples are data.
        has_alpha = pixels.ndim - volume == 3 and bool(page.extrasamples) and int(page.extrasamples[-1]) in (1, 2)
    orientation = int(tags.get(_ORIENTATION, 1))
    if not volume:
        return _assemble(pixels, has_alpha=has_alpha, orientation=orientation, metadata=metadata)
    if has_alpha:
        raise PictureError("has an alpha channel, which a volume cannot have: save it without")
    return Picture(np.stack([_upright(one, orientation) for one in pixels]), None, metadata, volume=True)


def _stack(file: tifffile.TiffFile) -> NDArray[Any]:
    """All pages of a file as a volume, (D, H, W) or (D, H, W, C)."""
    series = file.series[0]
    # S are the samples of a page; C are channels that have pages of their own, where other pages are slices.
    colour = next((axis for axis in "SC" if axis in series.axes), "")
    slices = [axis for axis in series.axes if axis not in ("Y", "X", colour)]
    if colour == "C" and not slices:
        colour, slices = "", ["C"]
    if len(file.series) > 1 or len(slices) > 1 or not {"Y", "X"} <= set(series.axes):
        held = " and ".join(" x ".join(map(str, one.shape)) for one in file.series[:4])
        raise PictureError(f"holds {held}: the pages of a volume are its slices, all alike, and nothing else")
    page = file.pages.first
    _check_size(page.imagewidth, page.imagelength, *(series.shape[series.axes.index(axis)] for axis in slices))
    order = [*slices, "Y", "X", *colour]
    pixels: NDArray[Any] = series.asarray().transpose([series.axes.index(axis) for axis in order])
    return pixels if slices else pixels[None]


def _tiff_resolution(page: Any) -> tuple[float, float] | None:
    try:
        x, y = page.get_resolution(unit="INCH")
    except (KeyError, ValueError, ZeroDivisionError, TypeError):
        return None
    return (float(x), float(y)) if x > 1 and y > 1 else None


def _native(pixels: NDArray[Any]) -> NDArray[Any]:
    """Bits as bytes, half floats as floats, and the machine's own byte order."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype == np.float16:
        return pixels.astype(np.float32)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _assemble(pixels: NDArray[Any], *, has_alpha: bool, orientation: int, metadata: Metadata) -> Picture:
    if pixels.size == 0:
        raise PictureError("has no pixels")
    pixels = _upright(pixels, orientation)
    alpha = None
    if has_alpha:
        pixels, alpha = pixels[..., :-1], pixels[..., -1].copy()
        if pixels.shape[2] == 1:
            pixels = pixels[..., 0]
    return Picture(np.ascontiguousarray(pixels), alpha, metadata)


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation, 1 to 8: a transposition for 5 and up, then mirrored sides."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


_READERS = {"PNG": _read_by_pillow, "JPEG": _read_by_pillow, "WebP": _read_by_pillow, "TIFF": _read_tiff}


# Writing ------------------------------------------------------------------------------------------------------------


def _cannot_hold(kind: str, picture: Picture) -> str | None:
    """Why a format cannot hold a picture, and what can; None where it can."""
    if kind == "TIFF":
        return None
    if picture.volume:
        return f"{kind} holds one picture and this is a volume: choose .tif"
    pixels, metadata, channels = picture.pixels, picture.metadata, picture.channels
    if pixels.dtype.kind == "f":
        return f"{kind} holds whole numbers and this picture has floats: choose .tif"
    if pixels.dtype not in (np.uint8, np.uint16):
        return f"{kind} does not hold {pixels.dtype} values: choose .tif"
    if kind != "PNG" and pixels.dtype != np.uint8:
        return f"{kind} holds 8 bits a channel and this picture has 16: choose .png or .tif"
    if channels not in (1, 3) and not (kind == "JPEG" and metadata.cmyk):
        ink = " of ink" if metadata.cmyk else ""
        return f"{kind} holds gray or RGB and this picture has {channels} channels{ink}: choose .tif"
    if kind == "JPEG" and picture.alpha is not None:
        return "JPEG has no alpha channel and this picture has one: choose .png, .tif or .webp"
    if max(pixels.shape[:2]) > _LONGEST_SIDE.get(kind, 2**31 - 1):
        return f"{kind} holds sides of up to {_LONGEST_SIDE[kind]} pixels: choose .png or .tif"
    return None


def _with_alpha(picture: Picture) -> NDArray[Any]:
    if picture.alpha is None:
        return np.ascontiguousarray(picture.pixels)
    return np.dstack((picture.pixels, picture.alpha))


def _encode_by_pillow(picture: Picture, format_name: str, **options: Any) -> bytes:
    values, metadata = _with_alpha(picture), picture.metadata
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    image = Image.fromarray(values)
    if metadata.cmyk:
        image = Image.frombytes("CMYK", image.size, values.tobytes())
    if metadata.resolution is not None:
        options["dpi"] = metadata.resolution
    if metadata.exif is not None:
        options["exif"] = metadata.exif
    buffer = io.BytesIO()
    image.save(buffer, format_name, icc_profile=metadata.icc_profile, **options)
    return buffer.getvalue()


def _encode_png(picture: Picture) -> bytes:
    if picture.pixels.dtype == np.uint8:
        return _encode_by_pillow(picture, "PNG")
    values, metadata = _with_alpha(picture), picture.metadata
    encoded = bytes(imagecodecs.png_encode(values))
    chunks = b""
    if metadata.icc_profile is not None:
        chunks += _png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(metadata.icc_profile))
    if metadata.resolution is not None:
        per_metre = [round(value / 0.0254) for value in metadata.resolution]
        chunks += _png_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if metadata.exif is not None:
        chunks += _png_chunk(b"eXIf", metadata.exif.removeprefix(b"Exif\0\0"))
    after_header = 8 + 25  # the signature, and the header chunk
    return encoded[:after_header] + chunks + encoded[after_header:]


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _encode_jpeg(picture: Picture) -> bytes:
    return _encode_by_pillow(picture, "JPEG", quality=95, subsampling=0)


def _encode_webp(picture: Picture) -> bytes:
    # exact keeps the colours of fully transparent pixels.
    return _encode_by_pillow(picture, "WEBP", lossless=True, exact=True)


def _encode_tiff(picture: Picture) -> bytes:
    values, metadata = _with_alpha(picture), picture.metadata
    values = values[..., 0] if values.shape[len(picture.size) :] == (1,) else values
    colours = picture.channels
    photometric, own = {3: ("rgb", 3), 4: ("separated", 4) if metadata.cmyk else ("minisblack", 1)}.get(
        colours, ("minisblack", 1)
    )
    extra = ["unspecified"] * (colours - own) + ["unassalpha"] * (picture.alpha is not None)
    texts = dict(metadata.texts)
    options: dict[str, Any] = {"software": False}  # no mark of our own
    options |= {name: texts.pop(code) for code, name in _TIFF_TEXTS.items() if name and code in texts}
    if metadata.resolution is not None:
        options.update(resolution=metadata.resolution, resolutionunit="INCH")
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        values,
        photometric=photometric,
        planarconfig="contig" if values.ndim > len(picture.size) else None,
        extrasamples=extra or None,
        compression="zlib",
        iccprofile=metadata.icc_profile,
        metadata=None,
        extratags=[(code, 2, None, text, True) for code, text in texts.items()],
        **options,
    )
    return buffer.getvalue()


_WRITERS = {"PNG": _encode_png, "JPEG": _encode_jpeg, "WebP": _encode_webp, "TIFF": _encode_tiff}
