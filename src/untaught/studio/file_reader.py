"""The process that reads one uploaded file: ``python -m untaught.studio.file_reader``.

Uploaded files may be damaged or hostile. A decoder that fails on one ends this process and not the server.

The server starts it ahead of time, so that its imports are done when a file comes. A line of JSON on standard input
tells the folder, the action and its words. One action, `search`, takes further lines.

What it may touch: it runs in one folder of the store, an upload's, a job's or that of all pictures, and writes nowhere
else. It reads the upload, which is named ``file``, and the paths that the server passes, never a path from a client. On
Linux and macOS the system limits it to 8 GiB of memory and 120 s of processor time. The system does not confine it
further: it has the rights of the user.

The answer is one line of JSON on standard output. The exit code is 0, 2 if the file is refused, or 3 if the disk is
full. Messages name the upload as "the file", so that they tell a client nothing about this machine.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from untaught.errors import InputError, PictureError
from untaught.imaging import reading
from untaught.imaging.comparison import closeness
from untaught.imaging.damage import dropped_pixels, scratches, writing
from untaught.imaging.detection.proposal import Search, propose
from untaught.imaging.files import write_bytes
from untaught.imaging.formats.registry import FORMATS
from untaught.imaging.jpeg_tables import read_compression
from untaught.imaging.picture import Picture, check_size
from untaught.imaging.writing import check_writable, write
from untaught.studio.exports import export
from untaught.studio.previews import as_shown, film, shown_range, thumbnail
from untaught.studio.storage import is_full

__all__ = ["FULL", "main"]

FULL = 3

_MEMORY = 8 * 2**30
_SECONDS = 120
_SHOWN = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}
_EXTENSIONS = {**_SHOWN, "TIFF": ".tif", **{one.name: one.suffixes[0] for one in FORMATS}}
_ORIENTATION = 0x0112
_SEVERAL = re.compile(r"holds (\d+) (?:pages|slices)")
"""What `untaught.imaging.reading` says of a file with several pictures."""
_SEVERAL_ADVICE = re.compile(rf"({_SEVERAL.pattern}).*", re.DOTALL)
_PATTERN = re.compile(r"demosaic --pattern (\w+)")
"""What it says of the mosaic in a RAW file."""
_CARDS = {"text": "writing", "scratches": "inpaint"}
"""The page's card for each kind of damage that is looked for."""
_MAY_BE_DAMAGED = ("", "denoise", "deblur", "upscale")
"""Suggestions that writing or scratches may lie behind, or beside."""
_NOTICED = (0.002, 0.01)
"""Share of a picture from which damage is told: where nothing else seems to be wrong, and where something does."""
_STRONG_NOISE, _STRUCK = 0.07, 0.005
"""Noise, as a share of the range, and share of single pixels, from which lines and letters are seen in noise alone."""
_MEASURED = 1024
"""Side of the part of a large picture that is measured, in pixels."""
_LOOKED_AT = 1_000_000
"""From four times as many pixels on, not each is looked at."""


def read_picture(page: str = "") -> dict[str, Any]:
    """Check the uploaded picture, rename it by its format, and write a view and a thumbnail for the page.

    Args:
        page: of a file that holds several, from 1; the first one if it is not told.

    Raises:
        InputError: if the file is not one whole picture.
    """
    _as_png()
    pages, number = None, _number(page)
    try:
        picture = reading.read("file", page=number)
    except PictureError as error:
        several = _SEVERAL.search(str(error))
        if several is None:
            raise
        pages, number = int(several[1]), 1
        picture = reading.read("file", page=number)
    kind = reading.format_of(Path("file").read_bytes())
    original = Path("file").rename(f"original{_EXTENSIONS[kind]}")
    ends = shown_range(picture)
    if not _browser_can_show(original, kind, picture):
        write("view.png", as_shown(picture, ends))
    write_bytes("thumbnail.jpg", thumbnail(picture, ends))
    height, width = picture.pixels.shape[:2]
    return {
        "width": width,
        "height": height,
        "channels": 1 if picture.pixels.ndim == 2 else picture.pixels.shape[2],
        "depth": str(picture.pixels.dtype),
        "shown": ends,
        "page": number,
        "pages": pages,
        "format": kind,
        "result": ".png" if kind != "TIFF" and _png_can_hold(picture) else ".tif",
    }


def _as_png() -> None:
    """Make a PNG of the upload if it is a BMP or a GIF, which nothing else here reads.

    Raises:
        InputError: for one that is damaged, too large or an animation.
    """
    if reading.format_of(Path("file").read_bytes()) not in ("a BMP file", "a GIF file"):
        return
    try:
        with Image.open("file", formats=("BMP", "GIF")) as image:
            check_size(*image.size)
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise PictureError(f"file is an animation of {frames} pictures: one is wanted; save one of them")
            plain = image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode))
            if "transparency" in image.info:
                plain = image.convert("RGBA")
            plain.save("converted", "PNG", dpi=image.info.get("dpi"), compress_level=1)
    except PictureError:
        raise
    except Exception as error:
        raise PictureError("file is damaged or cut off, and cannot be read: get a whole copy of it") from error
    Path("converted").replace("file")


def _browser_can_show(original: Path, kind: str, picture: Picture) -> bool:
    if kind not in _SHOWN or picture.pixels.dtype != np.uint8 or picture.metadata.cmyk:
        return False
    # Browsers apply the orientation of a JPEG, but not always that of other formats.
    with Image.open(original) as image:
        return kind == "JPEG" or image.getexif().get(_ORIENTATION, 1) == 1


def _png_can_hold(picture: Picture) -> bool:
    try:
        check_writable("any.png", picture)
    except PictureError:
        return False
    return True


def read_second(role: str, kind: str, width: str, height: str) -> dict[str, Any]:
    """Check an uploaded second picture for a picture of this size, and rename it by its role and format.

    Raises:
        InputError: if the file is not a picture of this size.
    """
    _as_png()
    reading.read_input("file", kind, (int(height), int(width)))
    picture = reading.read("file")
    kind = reading.format_of(Path("file").read_bytes())
    Path("file").rename(f"{role}{_EXTENSIONS[kind]}")
    return {"result": ".png" if kind != "TIFF" and _png_can_hold(picture) else ".tif"}


def read_mask(width: str, height: str) -> dict[str, Any]:
    """Check the uploaded mask for a picture of this size, and write ``mask.png``.

    Raises:
        InputError: if the file is not a mask of this size.
    """
    _as_png()
    return _write_mask(Path("mask.png"), reading.read_mask("file", (int(height), int(width)), marks="known").known)


def search(lines: IO[str], original: str, page: str) -> dict[str, Any]:
    """Suggest masks for the picture in a file.

    Args:
        lines: each with a kind of damage and a strength, until they end. The answer is a line of JSON with the share of
            missing pixels, and the mask as a PNG file in base64.
        original: path of the file.
        page: of a file that holds several, from 1; empty for its only one.
    """
    of_picture = Search(reading.read(original, page=_number(page)).pixels)
    for line in lines:
        kind, strength = line.split()
        known = of_picture.propose(kind, float(strength)).known
        file = io.BytesIO()
        Image.fromarray(known.astype(np.uint8) * 255).save(file, "PNG", compress_level=1)
        answer = {"missing": float(1 - known.mean()), "mask": base64.b64encode(file.getvalue()).decode()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return {}


def _number(page: str) -> int | None:
    return int(page) if page else None


def _write_mask(path: Path, known: NDArray[np.bool_]) -> dict[str, Any]:
    """Write a mask as a PNG, white where the picture is known; the answer is the share of missing pixels."""
    write(path, Picture(known.astype(np.uint8) * 255))
    return {"missing": float(1 - known.mean())}


def inspect_picture(original: str, page: str) -> dict[str, Any]:
    """Look for what is wrong with the picture in a file, and suggest a task.

    "damage" has the names of the page's cards for what looks like writing or scratches, the larger one first.
    """
    from untaught.imaging.inspection import inspect

    picture = reading.read(original, page=_number(page))
    compression = read_compression(Path(original).read_bytes())
    part = _middle(picture.pixels)
    found = inspect(part, shown_range(picture), compression=compression)
    mosaic = _PATTERN.search(" ".join(picture.notes))
    treatment = ("demosaic", "--pattern", mosaic[1]) if mosaic else found.treatment
    task, *words = treatment or ("",)
    settings = {
        name.removeprefix("--").replace("-", "_"): value for name, value in zip(*[iter(words)] * 2, strict=False)
    }
    sentences = [finding.sentence for finding in found.findings]
    if part.shape != picture.pixels.shape:
        sentences[0] = f"{picture.pixels.shape[1]} x {picture.pixels.shape[0]} pixels, measured in the middle"
    low, high = shown_range(picture)
    noise = max(float(one.value or 0) for one in found.findings if one.name == "noise") / ((high - low) or 1.0)
    may_be = task in _MAY_BE_DAMAGED and noise < _STRONG_NOISE
    damage = _damage(picture.pixels, _NOTICED[bool(task)]) if may_be else {}
    if damage and "kind" in settings:
        task, settings = "", {}  # what was taken for impulses
    sentences += [f"{share:.1%} of it looks like {name}" for name, share in damage.items()]
    cards = [_CARDS[name] for name in damage]
    return {"task": task, "settings": settings, "sentences": sentences, "doubt": found.doubt, "damage": cards}


def _middle(pixels: NDArray[Any]) -> NDArray[Any]:
    """The middle of a large picture; it begins at a whole block of a JPEG."""
    starts = [max(0, side - _MEASURED) // 32 * 16 for side in pixels.shape[:2]]
    return pixels[tuple(slice(start, start + _MEASURED) for start in starts)]


def _damage(pixels: NDArray[Any], least: float) -> dict[str, float]:
    """The share of a picture that looks like writing or scratches, by kind, where it is more than ``least``."""
    step = max(1, math.isqrt(pixels.shape[0] * pixels.shape[1] // _LOOKED_AT))
    shares = propose(pixels[::step, ::step]).shares
    if shares.get("pixels", 0.0) > _STRUCK:
        return {}
    return {name: shares[name] for name in shares if name in _CARDS and shares[name] > least}


def export_result(*words: str) -> dict[str, Any]:
    """Write a result in another form, see `untaught.studio.exports`."""
    export(*words)
    return {}


def read_slice(source: str, number: str, low: str, high: str) -> dict[str, Any]:
    """Write ``slice.png``, a slice of the volume in a file as a browser shows it.

    Args:
        source: path of the file.
        number: of the slice, from 1.
        low: the value that is shown as black; empty for what `shown_range` says of the slice.
        high: the value of white.
    """
    picture = reading.read(source, page=int(number))
    write("slice.png", as_shown(picture, (float(low), float(high)) if low else None))
    return {}


def compare(result: str, before: str, pages: str, page: str) -> dict[str, Any]:
    """Tell how near the result in a file is to the uploaded picture, and how near the one before was.

    Args:
        result: path of the result.
        before: path of the picture before.
        pages: of a volume; empty for a picture.
        page: of the picture before; empty for its only one.

    Returns:
        PSNR, in dB, and SSIM of "after" and "before", None where they cannot be told: of equal pictures, and of a
        picture of another size.

    Raises:
        InputError: if the upload is no picture of the size of the result.
    """
    _as_png()
    whole = bool(pages)
    clean, made = reading.read("file", volume=whole), reading.read(result, volume=whole)
    given = reading.read(before, volume=whole, page=None if whole else _number(page))
    low, high = shown_range(clean)

    def nearness(picture: Picture) -> dict[str, float | None]:
        shape = (*picture.size, -1)
        values, wanted = ((one.pixels.reshape(shape) - low) / (high - low) for one in (picture, clean))
        near = closeness(values.astype(np.float32), wanted.astype(np.float32))
        return {name: value if math.isfinite(value) else None for name, value in vars(near).items()}

    if made.size != clean.size:
        found, wanted = (" x ".join(map(str, one.size[::-1])) for one in (clean, made))
        raise PictureError(f"file has {found} pixels, and the result {wanted}: choose the same picture, undamaged")
    same = given.size == clean.size and given.channels == clean.channels
    return {"after": nearness(made), "before": nearness(given) if same else None}


def make_film() -> dict[str, Any]:
    """Write the film of a job from its previews.

    Raises:
        InputError: if there is none yet.
    """
    write_bytes("film.gif", film(sorted(Path("moments").glob("*.jpg"))))
    return {}


def make_examples() -> dict[str, Any]:
    """Write the example pictures: photographs that scikit-image ships, damaged, each with its mask."""
    from skimage import data

    portrait = np.ascontiguousarray(data.astronaut()[:384, :384])
    coffee = np.ascontiguousarray(data.coffee()[72:328, 200:456])
    camera = data.camera()
    cases = {
        "portrait": (portrait, writing(384, 384, 20), 255),
        "coffee": (coffee, dropped_pixels(256, 256), 0),
        "camera": (camera, scratches(*camera.shape), 235),
    }
    for name, (clean, known, damage) in cases.items():
        folder = Path(name)
        folder.mkdir(exist_ok=True)
        damaged = Picture(np.where(known if clean.ndim == 2 else known[..., None], clean, np.uint8(damage)))
        _write_mask(folder / "mask.png", known)
        write(folder / "picture.png", damaged)
        write_bytes(folder / "thumbnail.jpg", thumbnail(damaged))  # last: the server takes it as ready
    return {"examples": list(cases)}


_ACTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "picture": read_picture,
    "mask": read_mask,
    "second": read_second,
    "inspection": inspect_picture,
    "film": make_film,
    "export": export_result,
    "slice": read_slice,
    "compare": compare,
    "examples": make_examples,
}


def main(lines: IO[str]) -> int:
    """Wait for a line that names an action, run it, print its answer, and return the exit code."""
    _limit_resources()
    line = lines.readline()
    if not line:
        return 0
    question = json.loads(line)
    os.chdir(question["folder"])
    tempfile.tempdir = question["folder"]  # some decoders want a file
    code, answer = 0, {}
    try:
        known = question["action"] in _ACTIONS
        action = _ACTIONS[question["action"]] if known else functools.partial(search, lines)
        answer = action(*question["words"])
    except (InputError, OSError) as error:
        if is_full(error):
            return FULL
        if not isinstance(error, InputError):
            raise
        text = _SEVERAL_ADVICE.sub(r"\1: one is wanted; save one of them as a file of its own", str(error))
        code, answer = 2, {"message": f"the {text}" if text.startswith("file ") else text}
    except MemoryError:
        code, answer = 2, {"message": "the file takes too much memory: make the picture smaller"}
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


def _limit_resources() -> None:
    """Limit the memory and processor time of this process, where the system can."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))


if __name__ == "__main__":
    sys.exit(main(sys.stdin))
