"""Small films for the tests: a photograph moved by known motion, as arrays, pictures and videos."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

RATE = Fraction(24000, 1001)


def moved(count, size=(64, 80), step=(0, 2), photo=None, corner=(60, 100)):
    """So many frames, (H, W, 3), uint8, of a photograph that moves by whole pixels."""
    photo = data.astronaut() if photo is None else photo
    tops = [corner[0] + step[0] * number for number in range(count)]
    lefts = [corner[1] + step[1] * number for number in range(count)]
    return [
        np.ascontiguousarray(photo[top : top + size[0], left : left + size[1]])
        for top, left in zip(tops, lefts, strict=True)
    ]


def noisy(frames, deviation, seed=0):
    random = np.random.default_rng(seed)
    made = [frame + random.normal(0, deviation, frame.shape) for frame in frames]
    return [one.round().clip(0, 255).astype(np.uint8) for one in made]


def logo(size=(64, 80)):
    """A mask, (H, W), bool: two strokes are missing."""
    known = np.ones(size, bool)
    known[20:44, 30:35] = known[40:44, 30:50] = False
    return known


def damaged(frames, known):
    return [np.where(known[..., None], frame, 255).astype(np.uint8) for frame in frames]


def pictures(folder: Path, frames, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / f"frame{number}{suffix}")
    return folder


def video(path: Path, frames, codec="ffv1", fmt="bgr0", *, sound=False, tags=None, stamps=None, rotation=0):
    """A video file; ``stamps`` are times in units of a frame."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = fmt
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        if sound:
            second = file.add_stream("aac", rate=8000, layout="mono")
        plain = "gray" if frames[0].ndim == 2 else "rgb24"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=plain).reformat(format=fmt)
            frame.pts = number if stamps is None else stamps[number]
            frame.time_base = 1 / RATE
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if sound:
            wave = (np.sin(np.arange(334 * len(frames)) / 5)[None] * 8000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
            file.mux(second.encode(frame))
            file.mux(second.encode(None))
    return path


def psnr(one, other):
    error = np.mean([(a.astype(float) - b.astype(float)) ** 2 for a, b in zip(one, other, strict=True)])
    return 10 * np.log10(255**2 / max(error, 1e-9))
