"""Does `inspect` name the damage? `python -m benchmarks.damages [--write]`.

Protocol. Nine pictures of scikit-image's data, gray and colour, photographs, microscopy and print, at most
160 x 160 pixels, each with every damage of the list, by seed. What is right: the command that treats the damage, and
for damage without one, or that cannot be told from a property of the picture, "not sure". A clean picture is right
without a command. Rows of the table are what was done, columns what `inspect` says.

Prints the table, and writes it into docs/lab-notes/tasks.md with --write.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from benchmarks.reference import DOCS
from benchmarks.tables import replace_table
from untaught import inspect
from untaught.imaging.jpeg_tables import Compression, read_compression

Picture = NDArray[np.float64]
Damaged = tuple[NDArray[np.uint8], Compression | None]
PICTURES = ["astronaut", "camera", "coffee", "chelsea", "brick", "grass", "page", "coins", "retina"]
SIDE = 160
DENOISE, IMPULSE = "denoise", "denoise --kind impulse"


def clean(name: str) -> Picture:
    """A picture in [0, 1], from the middle of the original."""
    from skimage import data

    picture = np.asarray(getattr(data, name)())
    picture = picture[:: max(1, picture.shape[0] // 512), :: max(1, picture.shape[0] // 512)]
    top, left = (max(0, (length - SIDE) // 2) for length in picture.shape[:2])
    return np.asarray(picture[top : top + SIDE, left : left + SIDE] / 255.0, np.float64)


def stored(picture: Picture) -> Damaged:
    return (picture * 255).round().clip(0, 255).astype(np.uint8), None


def wide(picture: Picture, draw: Generator) -> Picture:
    """White noise of a standard deviation of 1."""
    return np.asarray(draw.normal(size=picture.shape))


def impulse(picture: Picture, draw: Generator, share: float, *, both: bool) -> Picture:
    hit = draw.random(picture.shape[:2]) < share
    result = picture.copy()
    values = draw.integers(0, 2, hit.sum()) if both else draw.random(hit.sum())
    result[hit] = values[:, None] if picture.ndim == 3 else values
    return result


def dropped(picture: Picture, draw: Generator, share: float) -> Picture:
    result = picture.copy()
    result[draw.random(picture.shape[:2]) < share] = 0
    return result


def jpeg(picture: Picture, quality: int) -> Damaged:
    file = io.BytesIO()
    Image.fromarray(stored(picture)[0]).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)), read_compression(file.getvalue())


def mosaic(picture: Picture) -> Picture:
    colours = picture if picture.ndim == 3 else np.stack([picture, picture * 0.8, picture * 0.55], -1)
    raw: Picture = colours[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = colours[::2, ::2, 0], colours[1::2, 1::2, 2]
    return raw


def banding(picture: Picture, draw: Generator, level: float) -> Picture:
    lines = np.asarray(draw.normal(0, level, picture.shape[0]))
    return np.asarray(picture + lines.reshape(-1, *[1] * (picture.ndim - 1)))


def periodic(picture: Picture, level: float) -> Picture:
    y, x = np.indices(picture.shape[:2])
    wave = level * np.sin(2 * np.pi * (0.13 * x + 0.21 * y))
    return np.asarray(picture + wave.reshape(*wave.shape, *[1] * (picture.ndim - 2)))


def smaller(picture: Picture, factor: float) -> Picture:
    sides = (1 / factor, 1 / factor, 1)[: picture.ndim]
    small = zoom(picture, sides, order=1)
    return np.asarray(zoom(small, (factor, factor, 1)[: picture.ndim], order=3))


def smooth(picture: Picture, sigma: float) -> Picture:
    return np.asarray(gaussian_filter(picture, (sigma, sigma, 0)[: picture.ndim]))


def correlated(picture: Picture, draw: Generator, level: float) -> Picture:
    grain = smooth(wide(picture, draw), 1.0)
    return np.asarray(picture + level * grain / grain.std())


DAMAGES: dict[str, tuple[str, list[Callable[[Picture, Generator], Damaged]]]] = {
    "clean": ("nothing", [lambda p, _: stored(p)]),
    "Gaussian": (
        DENOISE,
        [lambda p, d, s=s: stored(p + s / 255 * wide(p, d)) for s in (10, 15, 25, 50)],  # type: ignore[misc]
    ),
    "photon": (
        DENOISE,
        [lambda p, d, n=n: stored(d.poisson(p * n) / n) for n in (20, 60)],  # type: ignore[misc]
    ),
    "correlated": (
        DENOISE,
        [lambda p, d, s=s: stored(correlated(p, d, s / 255)) for s in (15, 30)],  # type: ignore[misc]
    ),
    "impulse": (
        IMPULSE,
        [
            lambda p, d: stored(impulse(p, d, 0.03, both=True)),
            lambda p, d: stored(impulse(p, d, 0.15, both=True)),
            lambda p, d: stored(impulse(p, d, 0.1, both=False)),
        ],
    ),
    "dropouts": (
        "restore",
        [lambda p, d, s=s: stored(dropped(p, d, s)) for s in (0.03, 0.2, 0.6)],  # type: ignore[misc]
    ),
    "JPEG": ("dejpeg", [lambda p, _, q=q: jpeg(p, q) for q in (15, 50)]),  # type: ignore[misc]
    "mosaic": ("demosaic", [lambda p, _: stored(mosaic(p))]),
    "banding": ("not sure", [lambda p, d: stored(banding(p, d, 0.04))]),
    "periodic": ("not sure", [lambda p, _: stored(periodic(p, 0.08))]),
    "blur": ("not sure", [lambda p, _, s=s: stored(smooth(p, s)) for s in (1.5, 3.0)]),  # type: ignore[misc]
    "low resolution": ("not sure", [lambda p, _: stored(smaller(p, 2)), lambda p, _: stored(smaller(p, 3))]),
}
SAYS = ["nothing", DENOISE, IMPULSE, "restore", "dejpeg", "demosaic", "not sure"]


def cases() -> Iterator[tuple[str, str, str, Damaged]]:
    """The damage, what is right, the picture's name, and the damaged picture."""
    for number, name in enumerate(PICTURES):
        picture = clean(name)
        for damage, (right, makers) in DAMAGES.items():
            for index, make in enumerate(makers):
                yield damage, right, name, make(picture, np.random.default_rng((number, index)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--wrong", action="store_true", help="print each wrong answer")
    chosen = parser.parse_args()
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    good, unsure, count = 0, 0, 0
    for damage, right, name, (pixels, compression) in cases():
        found = inspect(pixels, compression=compression)
        says = " ".join(found.treatment) or ("not sure" if found.doubt else "nothing")
        table[damage][says] += 1
        good, count = good + (says == right), count + 1
        unsure += says == "not sure" != right
        if chosen.wrong and says != right:
            print(damage, name, says, flush=True)
    rows = [f"| damage | {' | '.join(SAYS)} | right |", f"| --- |{' ---: |' * (len(SAYS) + 1)}"]
    for damage, (right, _) in DAMAGES.items():
        seen = table[damage]
        share = seen[right] / seen.total()
        rows.append(f"| {damage} | {' | '.join(str(seen[one] or '') for one in SAYS)} | {share:.0%} |")
    all_ = sum(table.values(), Counter())
    rows.append(f"| all {count} | {' | '.join(str(all_[one] or '') for one in SAYS)} | {good / count:.0%} |")
    print("\n".join(rows))
    print(f"not sure though a command is right: {unsure / count:.0%}")
    if chosen.write:
        replace_table(DOCS / "lab-notes/tasks.md", "damages", "\n".join(rows))


if __name__ == "__main__":
    main()
