"""Video files by PyAV: frames as arrays, and a file like another one with other frames.

Time stamps, colours, the shape of pixels, sound and subtitles are those of the original.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from untaught.errors import InputError, PictureError
from untaught.imaging.files import reason

__all__ = ["Video", "encode", "find_encoder"]

_ENCODERS = MappingProxyType(
    {
        "h264": "libx264",
        "hevc": "libx265",
        "vp8": "libvpx",
        "vp9": "libvpx-vp9",
        "av1": "libsvtav1",
        "prores": "prores_ks",
    }
)
"""Encoders whose name is not that of their codec."""

_QUALITY = MappingProxyType(
    {
        "libx264": {"crf": "16", "preset": "medium"},
        "libx265": {"crf": "16", "preset": "medium", "x265-params": "log-level=error"},
        "libvpx": {"crf": "8", "b": "40M"},
        "libvpx-vp9": {"crf": "16", "b": "0"},
        "libsvtav1": {"crf": "20"},
        "prores_ks": {"profile": "hq"},
    }
)
"""Settings that are hard to tell from the original by eye; other encoders get a fixed quantiser."""

_FINEST = MappingProxyType({"qmin": "1", "qmax": "3"})


def library() -> Any:
    """PyAV.

    Raises:
        PictureError: if it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise PictureError(
            'a video is read and written by av, which is not installed: pip install "untaught[film]"'
        ) from error
    av.logging.set_level(None)
    return av


class Video:
    """The frames of a video file.

    Args:
        path: of the file.

    Attributes:
        path: the same.
        count: how many frames the file says that it has; 0 if it does not say.

    Raises:
        PictureError: if it is no video that can be read, or PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            stream = _picture_stream(file)
            rate, long = stream.average_rate or Fraction(0), (file.duration or 0) / 1e6
            self.count = stream.frames or round(float(rate) * long)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Frames: (H, W, 3), or (H, W) of a gray one; uint8, or uint16 where the file has more bits."""
        with self._open() as file:
            for frame in file.decode(_picture_stream(file)):
                yield pixels_of(frame)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        av = library()
        with _told(self.path), av.open(str(self.path)) as file:
            if not any(_shows(stream) for stream in file.streams.video):
                raise PictureError(f"{self.path} has no moving picture in it")
            yield file


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of PyAV become a sentence."""
    av = library()
    try:
        yield
    except av.error.FileNotFoundError as error:
        raise PictureError(f"there is no file {path}") from error
    except av.error.FFmpegError as error:
        raise PictureError(f"{path} is damaged or no video: {reason(error)}") from error


def _shows(stream: Any) -> bool:
    """Whether a stream moves, and is no cover."""
    return stream.type == "video" and not int(stream.disposition) & 0x400


def _picture_stream(file: Any) -> Any:
    return next(stream for stream in file.streams.video if _shows(stream))


def _plain(frame: Any) -> str:
    """The format of a frame's array: with as many bits, and gray if it is gray."""
    deep = max(part.bits for part in frame.format.components) > 8
    if frame.format.name.startswith(("gray", "mono")):
        return "gray16le" if deep else "gray"
    return "rgb48le" if deep else "rgb24"


def _spaces() -> dict[int, Any]:
    """Swscale's names of the matrices that FFmpeg numbers."""
    space = library().video.reformatter.Colorspace
    return {1: space.ITU709, 4: space.FCC, 5: space.ITU601, 6: space.ITU601, 7: space.SMPTE240M, 9: space.BT2020}


def pixels_of(frame: Any) -> NDArray[Any]:
    """A frame of PyAV as an array."""
    made: NDArray[Any] = _converted(frame, _plain(frame), frame).to_ndarray()
    return made


def _converted(frame: Any, name: str, like: Any) -> Any:
    """A frame in another format; where one side is no RGB, by matrix and range of the frame ``like``."""
    reformatter = library().video.reformatter
    flag, ranges = reformatter.Interpolation, reformatter.ColorRange
    flags = flag.BICUBIC | flag.FULL_CHR_H_INT | flag.FULL_CHR_H_INP | flag.ACCURATE_RND | flag.BITEXACT
    space = _spaces().get(int(like.colorspace))
    own = ranges.JPEG if int(like.color_range) == 2 or "yuvj" in like.format.name else ranges.MPEG
    of = [ranges.JPEG if one.startswith(("rgb", "gbr", "bgr")) else own for one in (frame.format.name, name)]
    return frame.reformat(
        format=name,
        interpolation=flags,
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=of[0],
        dst_color_range=of[1],
        threads=1,
    )


def find_encoder(source: Path, output: Path, codec: str | None) -> str:
    """The encoder for a file like another one.

    Args:
        source: the other file.
        output: the file to write; its suffix names the container.
        codec: a codec or an encoder, such as "hevc" or "ffv1"; None for that of the source.

    Raises:
        InputError: for one that is not there, or that the container does not hold.
    """
    av = library()
    with _told(source), av.open(str(source)) as file:
        name = codec or _picture_stream(file).codec_context.codec.canonical_name
    name = _ENCODERS.get(name, name)
    try:
        found = av.codec.Codec(name, "w")
    except (ValueError, av.error.FFmpegError) as error:
        raise InputError(f"there is no encoder {name}: choose another one by codec, such as h264 or ffv1") from error
    try:
        with av.open(io.BytesIO(), "w", format=_container(output)) as file:
            held = file.supported_codecs
    except (ValueError, av.error.FFmpegError) as error:
        raise InputError(f"{output} has no suffix of a video: choose .mp4, .mkv or that of the original") from error
    if found.canonical_name not in held and name not in held:
        raise InputError(f"a {output.suffix} does not hold {found.canonical_name}: choose .mkv, or another codec")
    return str(found.name)


def _container(output: Path) -> str:
    """FFmpeg's name of a container by its suffix; empty for none."""
    suffix = output.suffix.lower().lstrip(".")
    names = {"mkv": "matroska", "m4v": "mp4", "mpg": "mpeg", "ts": "mpegts", "mts": "mpegts", "wmv": "asf"}
    return names.get(suffix, suffix)


def encode(
    source: Path,
    output: Path,
    pixels: Callable[[int], NDArray[Any]],
    *,
    encoder: str,
    quality: int | None = None,
) -> tuple[str, ...]:
    """Write a file like another one, with other frames; sound, subtitles and all else are copied.

    What a frame has in common with the original one goes into the encoder as it was decoded.

    Args:
        source: the other file.
        output: the file to write.
        pixels: the frame of a number, as `Video` gives frames; all of one size.
        encoder: its name.
        quality: the encoder's own figure, crf or quantiser: smaller is better, and larger files; None for one that is
            hard to tell from the original by eye.

    Returns:
        Sentences on what could not be kept.
    """
    av = library()
    notes: list[str] = []
    with _told(output), av.open(str(source)) as given, av.open(str(output), "w", format=_container(output)) as made:
        shown = _picture_stream(given)
        made.metadata.update(given.metadata)
        with av.open(str(source)) as again:
            first = next(again.decode(_picture_stream(again)), None)
        if first is None:
            raise PictureError(f"{source} has no frame that can be read")
        streams = {}
        for stream in given.streams:
            if stream.index == shown.index:
                streams[stream.index] = _stream_like(made, shown, first, pixels(0), encoder, quality)
            elif (copy := _copy(made, stream, notes)) is not None:
                streams[stream.index] = copy
        number, ours = 0, streams[shown.index]
        for packet in given.demux([one for one in given.streams if one.index in streams]):
            if packet.stream.index == shown.index:
                for frame in packet.decode():
                    for one in ours.encode(_as_frame(pixels(number), frame, ours.pix_fmt, number)):
                        made.mux(one)
                    number += 1
            elif packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
        for one in ours.encode(None):
            made.mux(one)
    return tuple(notes)


def _copy(made: Any, stream: Any, notes: list[str]) -> Any:
    """A stream that is copied as it is; None where the container does not hold it."""
    try:
        copy = made.add_stream_from_template(stream, opaque=True)
    except (ValueError, library().error.FFmpegError):
        notes.append(f"stream {stream.index}, {stream.type}, is left out: the container does not hold it")
        return None
    copy.metadata.update(stream.metadata)
    return copy


def _stream_like(made: Any, shown: Any, frame: Any, values: NDArray[Any], encoder: str, quality: int | None) -> Any:
    """The stream of a file's new frames."""
    options = dict(_QUALITY.get(encoder, _FINEST))
    if quality is not None:
        options |= {"crf": str(quality)} if "crf" in options else {"qmin": str(quality), "qmax": str(quality)}
    stream = made.add_stream(encoder, rate=shown.average_rate or shown.guessed_rate or 25, options=options)
    context = stream.codec_context
    stream.height, stream.width = values.shape[:2]
    stream.pix_fmt = _nearest_format(frame.format.name, stream)
    context.time_base = shown.time_base
    stream.metadata.update(shown.metadata)
    if (shape := shown.sample_aspect_ratio) is not None:
        context.sample_aspect_ratio = shape
    context.color_range, context.colorspace = frame.color_range, frame.colorspace
    context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
    if frame.rotation:
        stream.set_display_rotation(frame.rotation)
    return stream


def _nearest_format(name: str, stream: Any) -> str:
    """The pixel format of a stream: that of the original where the encoder has it, otherwise one as deep."""
    names = [one.name for one in stream.codec_context.codec.video_formats or ()]
    if not names or name in names:
        return name
    av = library()
    wanted = av.VideoFormat(name)
    bits = max(part.bits for part in wanted.components)

    def loss(one: str) -> tuple[bool, int, int]:
        found = av.VideoFormat(one)
        deep = max(part.bits for part in found.components)
        area = found.chroma_width(8) * found.chroma_height(8) - wanted.chroma_width(8) * wanted.chroma_height(8)
        return found.is_rgb != wanted.is_rgb, abs(deep - bits) + 99 * (deep < bits), abs(area) + 99 * (area < 0)

    best: str = min(names, key=loss)
    return best


def _as_frame(values: NDArray[Any], like: Any, name: str, number: int) -> Any:
    """Pixels as a frame of PyAV with the time of another one, whose own values stay where the pixels are the same."""
    av = library()
    kept = values.shape[:2] == (like.height, like.width) and name == like.format.name
    changed = np.ones(values.shape[:2], bool)
    if kept:
        different = pixels_of(like) != values
        changed = different if different.ndim == 2 else different.any(-1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format=_plain(like))
    made = _converted(frame, name, like)
    if kept and len(like.planes) == len(like.format.components):
        made.make_writable()
        for new, old in zip(made.planes, like.planes, strict=True):
            _keep(new, old, changed)
    made.pts, made.time_base = number if like.pts is None else like.pts, like.time_base
    made.color_range, made.colorspace = like.color_range, like.colorspace
    made.color_primaries, made.color_trc = like.color_primaries, like.color_trc
    return made


def _keep(new: Any, old: Any, changed: NDArray[np.bool_]) -> None:
    """Take over a plane's values where none of its pixels has changed."""
    kind = np.uint8 if new.line_size < 2 * new.width else np.uint16
    one, other = (np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width] for plane in (new, old))
    down, across = -(-changed.shape[0] // new.height), -(-changed.shape[1] // new.width)
    padded = np.pad(changed, [(0, -length % step) for length, step in zip(changed.shape, (down, across), strict=True)])
    parts = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across).any((1, 3))
    # Chroma is interpolated, so a value counts for its neighbours too.
    touched = ndimage.binary_dilation(parts, np.ones((3, 3))) if down * across > 1 else parts
    one[...] = np.where(touched, one, other)
