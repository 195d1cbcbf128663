"""Real noise: pairs of noisy and clean pictures of cameras and microscopes, and made noise with a known model.

Protocol. PSNR in dB over the whole picture, in 8 bits, default settings, no look at the clean picture.

* ``pairs``: DATA/noise/SET/NAME_noisy.* beside NAME_clean.*, by `untaught.denoise`; scikit-image's non-local means
  beside it, the best of eight settings by the clean picture; and BM3D (package ``bm3d``, where it is installed; colours
  together), the best by the clean picture of a half, one and two times the true standard deviation.
* ``cameras``: the same for simulated cameras, which nothing was chosen by: the light of a photograph becomes a mosaic,
  gets the noise of photons and of reading, and is rendered (bilinear demosaicing, white balance, a colour matrix,
  sRGB's tone curve, perhaps JPEG); the clean picture is rendered without noise. 256 x 256.
* ``made``: noise of 24 kinds on a made scene and on a photograph: the level and the correlation length that
  `untaught.imaging.real_noise.noise_model` finds, beside the true ones.
* ``clean``: what denoise makes of clean photographs: PSNR against themselves.

    python -m benchmarks.noise DATA --study pairs cameras made clean

Rows that are there already are not run again. Writes docs/figures/noise.json and the tables of docs/lab-notes/noise.md.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter, zoom

from benchmarks.quality import find_row
from benchmarks.reference import DOCS
from benchmarks.tables import replace_table
from untaught.imaging.metrics import psnr

RESULTS = DOCS / "figures/noise.json"
PAGE = DOCS / "lab-notes/noise.md"
SETTINGS = [(size, h) for size in (5, 7) for h in (0.02, 0.04, 0.08, 0.16)]
LEVELS = (0.5, 1, 2)
SIDE = 256

Row = dict[str, Any]
Picture = NDArray[np.float64]
Case = tuple[Row, Callable[[], Row]]


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


def pair_cases(data: Path) -> Iterator[Case]:
    for path in sorted((data / "noise").glob("*/*_noisy.*")):
        noisy = read(path)
        clean = read(path.with_name(path.name.replace("_noisy", "_clean"))) / 255
        key = {"study": "pairs", "set": path.parent.name, "picture": path.stem.removesuffix("_noisy")}
        yield from by_each_method(key, noisy, clean)


def by_each_method(key: Row, noisy: NDArray[np.uint8], clean: Picture) -> Iterator[Case]:
    for method, run in {"noisy": lambda one, _: one / 255, "nlm": nlm, "untaught": ours, "bm3d": bm3d_best}.items():
        if method != "bm3d" or importlib.util.find_spec("bm3d"):
            yield {**key, "method": method}, functools.partial(timed, run, noisy, clean)


def timed(run: Callable[[NDArray[np.uint8], Picture], Picture], noisy: NDArray[np.uint8], clean: Picture) -> Row:
    """PSNR, and seconds of this process."""
    started = time.process_time()
    picture = run(noisy, clean)
    return {"psnr": round(float(psnr(picture, clean)), 2), "seconds": round(time.process_time() - started, 1)}


def ours(noisy: NDArray[np.uint8], _: Picture) -> Picture:
    import untaught

    picture: Picture = np.asarray(untaught.denoise(noisy, device="cpu").picture) / 255
    return picture


def nlm(noisy: NDArray[np.uint8], clean: Picture) -> Picture:
    from skimage.restoration import denoise_nl_means

    axis = -1 if noisy.ndim == 3 else None
    made = (denoise_nl_means(noisy / 255, size, 6, h=h, channel_axis=axis) for size, h in SETTINGS)
    return max(made, key=lambda one: float(psnr(one, clean)))


def bm3d_best(noisy: NDArray[np.uint8], clean: Picture) -> Picture:
    import bm3d

    method = bm3d.bm3d_rgb if noisy.ndim == 3 else bm3d.bm3d
    level = float((noisy / 255 - clean).std())
    made = (np.asarray(method(noisy / 255, level * factor)) for factor in LEVELS)
    return max(made, key=lambda one: float(psnr(one.clip(0, 1), clean))).clip(0, 1)


def pair_table(rows: list[Row]) -> str:
    lines = [
        "| set | picture | noisy | non-local means, best of 8 | BM3D, best of 3 | untaught | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    pictures = list(dict.fromkeys((row["set"], row["picture"]) for row in rows))
    by_key = {(row["set"], row["picture"], row["method"]): row for row in rows}
    methods = ("noisy", "nlm", "bm3d", "untaught")

    def cells(keys: list[tuple[str, str]]) -> list[str]:
        return [
            f"{mean(found):.2f}" if len(found) == len(keys) else "-"
            for method in methods
            if (found := [by_key[(*key, method)]["psnr"] for key in keys if (*key, method) in by_key]) is not None
        ]

    for key in pictures:
        own = by_key.get((*key, "untaught"))
        seconds = "" if own is None else f"{own['seconds']:.0f}"
        lines.append(f"| {key[0]} | {key[1]} | {' | '.join(cells([key]))} | {seconds} |")
    groups = {name: [key for key in pictures if key[0] == name] for name in dict.fromkeys(key[0] for key in pictures)}
    lines += [f"| **{name}** | mean | {' | '.join(cells(keys))} | |" for name, keys in groups.items()]
    lines.append(f"| **all** | mean | {' | '.join(cells(pictures))} | |")
    return "\n".join(lines)


CAMERAS = {"raw, strong": (60, 0.02, 0), "JPEG of 92, medium": (300, 0.004, 92)}
"""Photons of white, deviation of the reading noise, and quality; 0 for no JPEG."""
COLOURS = np.array([[1.6, -0.45, -0.15], [-0.25, 1.5, -0.25], [0, -0.55, 1.55]])
BALANCE = np.array([2.0, 1.0, 1.6])


def camera_cases(data: Path) -> Iterator[Case]:
    for kind, (photons, reading, quality) in CAMERAS.items():
        for name, picture in photographs_of_cameras(data).items():
            light = np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
            raw = mosaic((light @ np.linalg.inv(COLOURS).T / BALANCE).clip(0, 1))
            random = np.random.default_rng(0)
            seen = random.poisson(raw * photons) / photons + random.normal(0, reading, raw.shape)
            noisy = (rendered(seen) * 255).round().astype(np.uint8)
            if quality:
                file = io.BytesIO()
                Image.fromarray(noisy).save(file, "JPEG", quality=quality, subsampling=0)
                noisy = np.asarray(Image.open(file))
            yield from by_each_method({"study": "cameras", "set": kind, "picture": name}, noisy, rendered(raw))


def photographs_of_cameras(data: Path) -> dict[str, Picture]:
    from skimage import data as photographs
    from skimage.transform import resize

    bag = read(data / "photo/bag_clean.jpg")
    bag = resize(bag, (bag.shape[0] // 3, bag.shape[1] // 3), anti_aliasing=True)
    astronaut = resize(photographs.astronaut(), (512, 512), anti_aliasing=True)
    corners = {
        "astronaut": (astronaut, 20, 120),
        "coffee": (photographs.coffee() / 255, 60, 200),
        "chelsea": (photographs.chelsea() / 255, 20, 100),
        "rocket": (photographs.rocket() / 255, 100, 200),
        "bag, one part": (bag, 100, 150),
        "bag, another": (bag, 300, 500),
    }
    return {name: one[top : top + SIDE, left : left + SIDE] for name, (one, top, left) in corners.items()}


def mosaic(light: Picture) -> Picture:
    made = light[..., 1].copy()
    made[::2, ::2], made[1::2, 1::2] = light[::2, ::2, 0], light[1::2, 1::2, 2]
    return made


def rendered(raw: Picture) -> Picture:
    """A mosaic's picture, in [0, 1]."""
    green = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    others = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    planes = np.zeros((3, *raw.shape))
    for plane, top, left in ((0, 0, 0), (2, 1, 1), (1, 0, 1), (1, 1, 0)):
        planes[plane, top::2, left::2] = raw[top::2, left::2]
    kernels = (others, green, others)
    whole = np.stack([convolve(one, kernel, mode="mirror") for one, kernel in zip(planes, kernels, strict=True)], -1)
    light = (whole * BALANCE @ COLOURS.T).clip(0, 1)
    made: Picture = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return made


def scene() -> Picture:
    """Gradients, disks and stripes, (256, 256, 3)."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    picture = np.stack([0.25 + 0.5 * x, 0.3 + 0.4 * y, 0.6 - 0.3 * x * y], -1)
    for row, column, radius, shade in ((0.3, 0.3, 0.15, 0.2), (0.7, 0.6, 0.2, -0.15), (0.25, 0.75, 0.1, 0.25)):
        picture[(y - row) ** 2 + (x - column) ** 2 < radius**2] += shade
    picture[210:240, 20:120] += 0.15 * (np.mgrid[:30, :100][1] // 5 % 2)[..., None]
    return picture.clip(0.1, 0.9)


def photograph() -> Picture:
    from skimage import data
    from skimage.transform import resize

    made: Picture = resize(data.astronaut(), (SIDE, SIDE), anti_aliasing=True) * 0.8 + 0.1
    return made


def white(channels: int = 3) -> Picture:
    return np.random.default_rng(0).normal(0, 1, (SIDE, SIDE, channels))


def grain(width: float | tuple[float, float], channels: int = 3) -> Picture:
    widths = width if isinstance(width, tuple) else (width, width)
    soft = gaussian_filter(white(channels), (*widths, 0))
    return np.asarray(soft / soft.std())


def mixed(noise: Picture) -> Picture:
    """As a colour matrix mixes channels."""
    return np.asarray(noise @ np.array([[1, 0.2, 0.6], [0.2, 0.6, 0.2], [0.6, 0.2, 1]]))


def enlarged(order: int) -> Picture:
    return np.asarray(zoom(np.random.default_rng(0).normal(0, 1, (SIDE // 2, SIDE // 2, 3)), (2, 2, 1), order=order))


KINDS: dict[str, Callable[[Picture], Picture]] = {
    **{f"white, {level}": functools.partial(lambda _, s: s / 255 * white(), s=level) for level in (5, 10, 25, 50)},
    "white, gray": lambda _: 0.1 * np.repeat(white(1), 3, 2),
    **{
        f"grain of {width}, {level}": functools.partial(lambda _, w, s: s / 255 * grain(w), w=width, s=level)
        for width in (0.5, 0.8, 1.2, 1.6)
        for level in (12, 30)
    },
    "grain of 1, gray": lambda _: 0.08 * np.repeat(grain(1, 1), 3, 2),
    "grain of 1 by 0.5": lambda _: 0.08 * grain((1, 0.5)),
    "enlarged, bilinear": lambda _: 0.08 * enlarged(1),
    "enlarged, cubic": lambda _: 0.08 * enlarged(3),
    "photons": lambda clean: np.sqrt(0.01 * clean) * white(),
    "photons and reading": lambda clean: np.sqrt(0.01 * clean + 0.001) * white(),
    "photons, grain": lambda clean: np.sqrt(0.01 * clean) * grain(0.8),
    "dark is noisier": lambda clean: 0.12 * (1 - clean) * grain(0.8),
    "bright is noisier": lambda clean: 0.12 * clean * grain(0.8),
    "colours mixed": lambda _: 0.06 * mixed(grain(0.8)),
    "two grains": lambda _: 0.05 * grain(0.6) + 0.03 * grain(1.5),
}


def made_cases(_: Path) -> Iterator[Case]:
    for name, make in (("scene", scene), ("photograph", photograph)):
        for kind in KINDS:
            yield {"study": "made", "picture": name, "kind": kind}, functools.partial(made_row, make, kind)


def made_row(make: Callable[[], Picture], kind: str) -> Row:
    from untaught.imaging.real_noise import noise_model

    clean = make()
    noise = KINDS[kind](clean)
    model = noise_model(clean + noise)
    return {
        "level": round(255 * model.level, 2),
        "true_level": round(255 * float(np.sqrt((noise**2).mean((0, 1))).mean()), 2),
        "length": round(model.correlation_length, 2),
        "true_length": round(true_length(noise), 2),
    }


def true_length(noise: Picture) -> float:
    """Where the brightness noise's correlation with a pixel to the right or below falls to a half."""
    gray = noise.mean(2)
    curve = [1.0]
    while curve[-1] >= 0.5:
        apart = len(curve)
        products = (gray[:, apart:] * gray[:, :-apart]).mean() + (gray[apart:] * gray[:-apart]).mean()
        curve.append(float(products / 2 / (gray**2).mean()))
    return len(curve) - 2 + (curve[-2] - 0.5) / (curve[-2] - curve[-1])


def made_table(rows: list[Row]) -> str:
    lines = [
        "| picture | noise | level | true | correlation length | true |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['picture']} | {row['kind']} | {row['level']:.1f} | {row['true_level']:.1f} | "
        f"{row['length']:.2f} | {row['true_length']:.2f} |"
        for row in rows
    ]
    for name in dict.fromkeys(row["picture"] for row in rows):
        own = [row for row in rows if row["picture"] == name]
        level = sum(abs(row["level"] / row["true_level"] - 1) <= 0.15 for row in own)
        length = sum(abs(row["length"] - row["true_length"]) <= 1 for row in own)
        lines.append(f"| **{name}** | within 15 % and 1 pixel | {level} of {len(own)} | | {length} of {len(own)} | |")
    return "\n".join(lines)


def clean_cases(data: Path) -> Iterator[Case]:
    from skimage import data as photographs

    pictures = {"bag": lambda: read(data / "photo/bag_clean.jpg")[800:1312, 1200:1712]}
    pictures |= {name: getattr(photographs, name) for name in ("astronaut", "coffee", "chelsea", "camera")}
    for name, make in pictures.items():
        yield {"study": "clean", "picture": name}, functools.partial(clean_row, make)


def clean_row(make: Callable[[], NDArray[np.uint8]]) -> Row:
    picture = make()
    row = timed(ours, picture, picture / 255)
    # JSON has no infinity.
    return row if np.isfinite(row["psnr"]) else {**row, "psnr": None}


def clean_table(rows: list[Row]) -> str:
    lines = ["| picture | PSNR against itself |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {row['picture']} | {row['psnr'] or 'unchanged'} |" for row in rows)])


STUDIES: dict[str, tuple[Callable[[Path], Iterator[Case]], Callable[[list[Row]], str]]] = {
    "pairs": (pair_cases, pair_table),
    "cameras": (camera_cases, pair_table),
    "made": (made_cases, made_table),
    "clean": (clean_cases, clean_table),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--study", choices=list(STUDIES), nargs="+", default=list(STUDIES))
    parser.add_argument("--sets", nargs="+", metavar="SET", help="of the pairs, only those sets")
    options = parser.parse_args()
    rows: list[Row] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for study in options.study:
        cases, table = STUDIES[study]
        for key, measure in cases(options.data):
            wanted = options.sets is None or key.get("set") in options.sets
            if wanted and find_row(rows, key) is None:
                rows.append({**key, **measure()})
                print(rows[-1], flush=True)
                RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        replace_table(PAGE, study, table([row for row in rows if row["study"] == study]))


if __name__ == "__main__":
    main()
