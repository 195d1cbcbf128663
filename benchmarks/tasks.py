"""Every task on real pictures, beside the classical methods for it, each given the same input.

Protocol, fixed before the runs. Recipe ``balanced``, seed 0, unattended; nothing in a run looks at the clean picture.
PSNR in dB over the whole picture as a user gets it, values clipped to [0, 1]; for ``upscale`` of the luma (ITU-R
BT.601), without a border as wide as the factor, as the paper has it. Damage is drawn from seed 0. The classical methods
are those of `untaught.tasks.classical`, which is what ``untaught compare --baselines`` shows; with Menon's
demosaicing (2007) where the package ``colour_demosaicing`` is installed. An unknown blur leaves
open where the picture lies, so there the best of all moves by up to 3 pixels counts, for every method. For ``separate``
there is no classical method here: what is given is compared.

    python -m benchmarks.tasks DATA

Rows that are there already are not run again. Writes docs/figures/tasks.json, the table of docs/lab-notes/tasks.md, and
with ``--pictures FOLDER`` what came out.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data as photographs
from skimage.transform import resize

from benchmarks.quality import read
from benchmarks.reference import DOCS, half_size
from benchmarks.tables import replace_table
from untaught.imaging.damage import dropped_pixels
from untaught.imaging.files import write_text
from untaught.imaging.metrics import psnr
from untaught.physics.blur import Blur, blur_kernel
from untaught.physics.linear import LinearOperator
from untaught.physics.resampling import Downsample
from untaught.tasks.classical import classical
from untaught.tasks.preparation import prepare

RESULTS = DOCS / "figures/tasks.json"
Picture = NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A damaged picture, how it is to be restored, and what it was."""

    task: str
    picture: str
    damage: str
    damaged: Picture
    clean: Picture
    settings: dict[str, Any]
    border: int = 0
    luma: bool = False
    moves: int = 0

    def figure(self, picture: Picture) -> float:
        """PSNR of a picture, dB; the best of all moves by up to ``moves`` pixels, without a border as wide."""
        one, other = (self._compared(np.asarray(each).clip(0, 1)) for each in (picture, self.clean))
        inner = slice(self.moves, -self.moves or None)
        ways = range(-self.moves, self.moves + 1)
        shifted = (np.roll(one, way, (0, 1))[inner, inner] for way in itertools.product(ways, ways))
        return max(psnr(each, other[inner, inner]) for each in shifted)

    def _compared(self, picture: Picture) -> Picture:
        if self.luma and picture.ndim == 3:
            picture = picture @ np.array([0.299, 0.587, 0.114])
        inner = slice(self.border, -self.border or None)
        return picture[inner, inner]


def applied(operator: LinearOperator, picture: Picture) -> Picture:
    """What an operator makes of (H, W) or (H, W, C), float in [0, 1]."""
    channels = picture if picture.ndim == 3 else picture[..., None]
    seen = operator(torch.from_numpy(np.moveaxis(channels, -1, 0)[None].copy()))[0].numpy()
    back = np.moveaxis(seen, 0, -1)
    shaped: Picture = back if picture.ndim == 3 else back[..., 0]
    return shaped


def compressed(picture: Picture, quality: int) -> Picture:
    file = io.BytesIO()
    Image.fromarray((picture * 255).round().astype(np.uint8)).save(file, "JPEG", quality=quality)
    again: Picture = np.asarray(Image.open(file)) / 255
    return again


def mosaic(picture: Picture) -> Picture:
    """Through a Bayer filter, RGGB."""
    raw = picture[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = picture[::2, ::2, 0], picture[1::2, 1::2, 2]
    return raw


def spectrum(picture: Picture) -> Picture:
    """Twelve bands that are sharp and blurred mixtures of three, as neighbouring bands of a spectrum are alike."""
    places = np.linspace(0, 2, 12)[:, None]
    weights = np.exp(-((places - np.arange(3)) ** 2) / 0.5)
    return np.asarray(picture**1.2 @ (weights / weights.sum(1, keepdims=True)).T)


def dark(picture: Picture) -> Picture:
    """As by candlelight from the left: other colours, and another light than the flash's."""
    light = np.linspace(0.6, 0.25, picture.shape[1])[None, :, None]
    return np.asarray(picture * light * np.array([1, 0.75, 0.5]))


def grain(picture: Picture, noise: float) -> Picture:
    """A picture with noise that neighbouring pixels share, as in a photograph that a camera has developed."""
    shared = gaussian_filter(np.random.default_rng(2).normal(0, 1, picture.shape), (0.8, 0.8, 0))
    return np.asarray((picture + shared / shared.std() * noise).clip(0, 1))


def cases(data: Path) -> Iterator[Case]:
    draw, draw_more = np.random.default_rng(0), np.random.default_rng(1)
    boat, lena, barbara = (
        half_size(np.asarray(Image.open(data / f"restore/{name}.png"))) / 255 for name in ("boat", "lena", "barbara")
    )
    house, f16 = read(data / "denoise/house.png"), half_size(np.asarray(Image.open(data / "denoise/f16.png"))) / 255
    astronaut, coffee = photographs.astronaut()[:256, 100:356] / 255, photographs.coffee()[100:356, 150:406] / 255
    chelsea = photographs.chelsea()[20:276, 80:336] / 255

    zebra = read(data / "superres/zebra.png")
    for factor in (4, 8):
        height, width = (length // factor * factor for length in zebra.shape[:2])
        clean = zebra[:height, :width]
        small = applied(Downsample((height, width), (height // factor, width // factor)), clean).clip(0, 1)
        yield Case("upscale", "zebra", f"x {factor}", small, clean, {"factor": factor}, border=factor, luma=True)

    for name, clean, blur, radius in (
        ("boat, half", boat, "disk", 3),
        ("lena, half", lena, "gaussian", 2),
        ("house", house, "motion", 6),
    ):
        kernel = blur_kernel(blur, radius)
        reach = [(length // 2, length // 2) for length in kernel.shape]
        padded = np.pad(clean, [*reach, *[(0, 0)] * (clean.ndim - 2)], mode="reflect")
        noisy = applied(Blur(kernel.double()), padded) + draw.normal(0, 2 / 255, clean.shape)
        damage = f"{blur}, {radius} pixels; noise of 2"
        yield Case("deblur", name, damage, noisy.clip(0, 1), clean, {"blur": blur, "radius": radius})

    qualities = (("coffee", coffee, 15), ("astronaut", astronaut, 15), ("f16, half", f16, 20), ("lena, half", lena, 10))
    for name, clean in (("boat, half", boat), ("astronaut", astronaut)):
        kernel = blur_kernel("motion", 5, 30)
        margin = kernel.shape[0] // 2
        padded = np.pad(clean, [(margin, margin)] * 2 + [(0, 0)] * (clean.ndim - 2), mode="reflect")
        noisy = (applied(Blur(kernel.double()), padded) + draw_more.normal(0, 1 / 255, clean.shape)).clip(0, 1)
        settings = {"blur": "unknown", "radius": 6}
        yield Case("deblur", name, "motion, 5 pixels, unknown", noisy, clean, settings, moves=3)

    for name, first, second in (("boat", boat, lena), ("astronaut", astronaut, coffee)):
        mixed = 0.7 * first + 0.3 * second, 0.4 * first + 0.6 * second
        yield Case("separate", name, "30 % of another, 60 % in the second", mixed[0], first, {"other": mixed[1]})

    for name, clean, quality in qualities:
        yield Case("dejpeg", name, f"quality {quality}", compressed(clean, quality), clean, {})

    for name, clean in (("f16, half", f16), ("house", house), ("chelsea", chelsea)):
        yield Case("demosaic", name, "RGGB", mosaic(clean), clean, {})

    hole = np.ones((256, 256), bool)
    hole[100:156, 90:150] = False
    for name, clean in (("boat, half", boat), ("lena, half", lena), ("barbara, half", barbara)):
        damaged = np.where(hole, clean, 0)
        yield Case("inpaint", name, "a hole of 60 x 56", damaged, clean, {"mask": hole})

    for name, flash in (("astronaut", astronaut), ("coffee", coffee)):
        clean = dark(flash)
        noisy = (clean + draw.normal(0, 12 / 255, clean.shape)).clip(0, 1)
        yield Case("guide", name, "dark, noise of 12", noisy, clean, {"guide": flash**0.8})
        yield Case("denoise", f"{name}, without the guide", "dark, noise of 12", noisy, clean, {})

    for name, flash in (("astronaut", astronaut), ("coffee", coffee), ("house", house), ("f16, half", f16)):
        clean = dark(flash)
        yield Case("guide", name, "dark, grain of 12", grain(clean, 12 / 255), clean, {"guide": flash**0.8})

    for photons in (20, 100):
        counts = draw.poisson(house * photons).astype(np.float64)
        settings = {"kind": "poisson", "gain": 1 / photons}
        yield Case(
            "denoise",
            "house",
            f"white is {photons} photons",
            counts / photons,
            house,
            {**settings, "value_range": (0, 1)},
        )
    hit = draw.random((256, 256, 1)) < 0.2
    salted = np.where(hit, draw.choice([0.0, 1.0], (256, 256, 1)), house)
    yield Case("denoise", "house", "salt and pepper, 20 %", salted, house, {"kind": "impulse"})

    bands = spectrum(astronaut)
    known = dropped_pixels(256, 256, 0.8, 0)
    yield Case(
        "restore", "astronaut in 12 bands", "80 % missing", np.where(known[..., None], bands, 0), bands, {"mask": known}
    )


def menon(case: Case) -> Picture | None:
    if case.task != "demosaic" or not importlib.util.find_spec("colour_demosaicing"):
        return None
    package = importlib.import_module("colour_demosaicing")
    return np.asarray(package.demosaicing_CFA_Bayer_Menon2007(case.damaged, "RGGB"))


def measure(case: Case, folder: Path | None) -> Row:
    job = prepare(case.task, case.damaged, **case.settings)
    methods: dict[str, Callable[[], Any]] = dict(classical(job))
    made: dict[str, tuple[Picture, float]] = {}
    for name, method in methods.items():
        started = time.process_time()
        made[name] = np.asarray(method(), np.float64), time.process_time() - started
    if (picture := menon(case)) is not None:
        made["Menon"] = picture, 0.0
    started = time.process_time()
    result = job.begin().finish()
    made["untaught"] = np.asarray(result.picture, np.float64), time.process_time() - started
    before = case.damaged
    if before.shape != case.clean.shape:
        before = resize(before, case.clean.shape, order=0) if before.ndim == case.clean.ndim else before
    if folder is not None:
        together = (before, *(picture for picture, _ in made.values()), case.clean)
        shown = [one for one in together if one.ndim == case.clean.ndim]
        row = np.concatenate([one[..., :3] if one.ndim == 3 else one for one in shown], axis=1).clip(0, 1)
        name = f"{case.task} {case.picture} {case.damage}".replace(" ", "-").replace(",", "").replace("%", "percent")
        Image.fromarray((row * 255).round().astype(np.uint8)).save(folder / f"{name}.png")
    return {
        "task": case.task,
        "picture": case.picture,
        "damage": case.damage,
        "damaged": case.figure(before) if before.ndim == case.clean.ndim else None,
        "psnr": {name: case.figure(picture) for name, (picture, _) in made.items()},
        "seconds": {name: seconds for name, (_, seconds) in made.items()},
        "iterations": result.iterations,
        "notes": list(result.notes),
    }


def table(rows: list[Row]) -> str:
    lines = [
        "| task | picture | damage | as given | classical | untaught | gain | processor seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        others = {name: value for name, value in row["psnr"].items() if name != "untaught"}
        # Where there is no classical method, with what was given.
        best = max(others.values(), default=row["damaged"])
        shown = ", ".join(f"{name} {value:.2f}" for name, value in others.items())
        given = "" if row["damaged"] is None else f"{row['damaged']:.2f}"
        gain = row["psnr"]["untaught"] - best
        lines.append(
            f"| {row['task']} | {row['picture']} | {row['damage']} | {given} | {shown} | "
            f"{row['psnr']['untaught']:.2f} | **{gain:+.2f}** | {row['seconds']['untaught']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", nargs="+", help="these only")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="leave the pictures there, side by side")
    options = parser.parse_args()
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = json.loads(options.results.read_text()) if options.results.exists() else []
    for case in cases(options.data):
        key = (case.task, case.picture, case.damage)
        chosen = not options.tasks or case.task in options.tasks
        if chosen and not any((row["task"], row["picture"], row["damage"]) == key for row in rows):
            rows.append(measure(case, options.pictures))
            print(key, rows[-1]["psnr"], rows[-1]["seconds"], flush=True)
            write_text(options.results, json.dumps(rows, indent=1) + "\n")
    replace_table(DOCS / "lab-notes/tasks.md", "tasks", table(rows))


if __name__ == "__main__":
    main()
