"""Foreign files, read in a process of their own: ``python -m untaught.studio.sandbox WHAT ...``, in their folder.

A decoder that is led astray by a file takes this process down and not the server, and it can take only so much memory
and time. What came of it is one line of JSON on standard output, with exit code 0, or 2 for a file that is refused.
What a client has sent is called ``file``, so that messages name nothing of this machine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from untaught.errors import InputError, PictureError
from untaught.imaging import reading
from untaught.imaging.damage import dropped_pixels, scratches, writing
from untaught.imaging.files import write_bytes
from untaught.imaging.picture import Picture
from untaught.imaging.writing import check_writable, write
from untaught.studio.mask_suggestions import propose
from untaught.studio.previews import as_shown, film, thumbnail

__all__ = ["main"]

_MEMORY = 8 * 2**30
_SECONDS = 120
_EXTENSIONS = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WebP": ".webp"}
_ORIENTATION = 0x0112


def read_picture() -> dict[str, Any]:
    """Take in a picture: name it by its content, and make what the page shows of it.

    Raises:
        InputError: for a file that is not one whole picture.
    """
    picture = reading.read("file")
    kind = reading.format_of(Path("file").read_bytes())
    original = Path("file").rename(f"original{_EXTENSIONS[kind]}")
    if not _browser_can_show(original, kind, picture):
        write("view.png", as_shown(picture))
    write_bytes("thumbnail.jpg", thumbnail(picture))
    height, width = picture.pixels.shape[:2]
    return {
        "width": width,
        "height": height,
        "channels": 1 if picture.pixels.ndim == 2 else picture.pixels.shape[2],
        "depth": str(picture.pixels.dtype),
        "format": kind,
        "result": ".png" if kind != "TIFF" and _png_can_hold(picture) else ".tif",
    }


def _browser_can_show(original: Path, kind: str, picture: Picture) -> bool:
    if kind == "TIFF" or picture.pixels.dtype != np.uint8 or picture.metadata.cmyk:
        return False
    # Browsers turn a JPEG upright, and other formats not always.
    with Image.open(original) as image:
        return kind == "JPEG" or image.getexif().get(_ORIENTATION, 1) == 1


def _png_can_hold(picture: Picture) -> bool:
    try:
        check_writable("any.png", picture)
    except PictureError:
        return False
    return True


def read_mask(width: str, height: str) -> dict[str, Any]:
    """Take in a mask for a picture of so many pixels; it is left in ``mask.png``.

    Raises:
        InputError: for a file that is no mask of that size.
    """
    return _write_mask(Path("mask.png"), reading.read_input("file", "mask", (int(height), int(width))))


def read_proposal(original: str, kind: str, strength: str) -> dict[str, Any]:
    """Guess a mask for a picture; it is left in ``mask.png``."""
    return _write_mask(Path("mask.png"), propose(reading.read(original).pixels, kind, float(strength)))


def _write_mask(path: Path, known: NDArray[np.bool_]) -> dict[str, Any]:
    write(path, Picture(known.astype(np.uint8) * 255))
    return {"missing": float(1 - known.mean())}


def read_film() -> dict[str, Any]:
    """Make the film of a job from its moments."""
    moments = sorted(Path("moments").glob("*.jpg"))
    if not moments:
        raise InputError("there is nothing to see yet")
    write_bytes("film.gif", film(moments))
    return {"moments": len(moments)}


def read_examples() -> dict[str, Any]:
    """Make the pictures to begin with: bundled photographs, damaged, each with its mask."""
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
        write_bytes(folder / "thumbnail.jpg", thumbnail(damaged))  # last: it says that the example is ready
    return {"examples": list(cases)}


_WHATS: dict[str, Callable[..., dict[str, Any]]] = {
    "picture": read_picture,
    "mask": read_mask,
    "proposal": read_proposal,
    "film": read_film,
    "examples": read_examples,
}


def main(words: list[str]) -> int:
    """Do one thing, and print what came of it."""
    _limit()
    what, *rest = words
    code, answer = 0, {}
    try:
        answer = _WHATS[what](*rest)
    except InputError as error:
        text = str(error)
        code, answer = 2, {"message": f"the {text}" if text.startswith("file ") else text}
    except MemoryError:
        code, answer = 2, {"message": "the file takes more memory than it may"}
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


def _limit() -> None:
    """Take no more than so much memory and processor time, where the system can see to that."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
