"""Inversion and activation of a trained network, measured and shown.

Protocol, fixed before the runs. The network is EfficientNet-Lite0 with its ImageNet weights (``untaught[classifier]``).
scikit-image's astronaut is made 224 x 224, and its features at three depths are inverted by ``untaught invert`` with
its default recipe, one seed; upsampling and iterations of that recipe were chosen on another photograph, coffee. Beside
it stands the classical way (Mahendran and Vedaldi, 2015): the same normalised squared error, plus total variation with
beta = 2, descended over the pixels, from an even gray with a little noise, by 600 steps of Adam at a rate of 0.05. The
weight of its total variation is the one of four with the best PSNR to the original, which no one has who inverts
features; ours has no such choice. (There were three; 100 came after it was seen that 10 was best, not at the logits.)
Figures are of
the returned 8-bit picture: PSNR to the original in dB, and the length of the difference of the features as a share of
their own length. Three units, a class, a late and an early channel, are activated by ``untaught activate`` with its
default recipe.

    python -m benchmarks.features WORK --parts invert pixels activate

What is in the folder WORK already is not run again, so the parts can be run one by one, or side by side. Writes
docs/figures/features.json, docs/figures/features.jpg and the tables of docs/lab-notes/tasks.md, of what there is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data as photographs
from skimage.transform import resize
from torch import Tensor

import untaught
from benchmarks.reference import DOCS
from benchmarks.tables import replace_table
from untaught.fitting.losses import NormalisedSquaredError
from untaught.imaging.files import write_text
from untaught.imaging.metrics import psnr
from untaught.physics.features import Features, features_of

MODEL = "efficientnet_lite0"
LAYERS = ("_blocks.4", "_blocks.10", "_fc")
UNITS = (("_fc", 130), ("_blocks.14", 20), ("_blocks.4", 7))
WEIGHTS = (0.1, 1.0, 10.0, 100.0)
STEPS = 600
Row = dict[str, Any]
Shown = NDArray[np.uint8]


def original() -> Shown:
    shown: Shown = (resize(photographs.astronaut(), (224, 224), anti_aliasing=True) * 255).round().astype(np.uint8)
    return shown


def tensor(picture: Shown) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def figures(picture: Shown, features: Features) -> Row:
    clean = original()
    with torch.no_grad():
        found, wanted = features(tensor(picture)), features(tensor(clean))
    return {"psnr": psnr(picture / 255, clean / 255), "off": float((found - wanted).norm() / wanted.norm())}


def pixels(layer: str, weight: float) -> tuple[Row, Shown]:
    """The classical baseline; ``weight`` is of the mean over the pixels of the squared gradient."""
    features = features_of(MODEL, layer)
    with torch.no_grad():
        wanted = features(tensor(original()))
    objective = NormalisedSquaredError(wanted, features, torch.ones_like(wanted, dtype=torch.bool))
    noise = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    picture = (0.5 + 0.01 * noise).requires_grad_()
    optimiser = torch.optim.Adam([picture], lr=0.05)
    started = time.perf_counter()
    for _ in range(STEPS):
        optimiser.zero_grad()
        across, down = picture.diff(dim=-1), picture.diff(dim=-2)
        variation = (across.square().sum() + down.square().sum()) / picture[0].numel()
        torch.autograd.backward(objective(picture).sum() + weight * variation)
        optimiser.step()
        with torch.no_grad():
            picture.clamp_(0, 1)
    seconds = time.perf_counter() - started
    drawn: Shown = (picture.detach()[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    row = {"layer": layer, "weight": weight, "iterations": STEPS, "seconds": seconds}
    return {**row, **figures(drawn, features)}, drawn


def invert(layer: str) -> tuple[Row, Shown]:
    result = untaught.invert(original(), MODEL, layer)
    row = {"layer": layer, "iterations": result.iterations, "seconds": result.seconds}
    return {**row, **figures(result.picture, features_of(MODEL, layer))}, result.picture


def activate(layer: str, unit: int) -> tuple[Row, Shown]:
    result = untaught.activate(MODEL, layer, unit)
    features = features_of(MODEL, layer)
    with torch.no_grad():
        answer, usual = features(tensor(result.picture))[0], features(tensor(original()))[0]
    row: Row = {"layer": layer, "unit": unit, "iterations": result.iterations, "seconds": result.seconds}
    row |= {"activation": float(answer[unit].mean()), "of_the_photograph": float(usual[unit].mean())}
    if answer.ndim == 1:
        row["probability"] = float(answer.softmax(0)[unit])
    return row, result.picture


def kept(
    work: Path, part: str, run: Callable[..., tuple[Row, Shown]], *case: Any, runs: bool
) -> list[tuple[Row, Shown]]:
    """What came of a case, run if need be and allowed; nothing if it was not."""
    name = work / "-".join(map(str, (part, *case)))
    row, picture = name.with_name(f"{name.name}.json"), name.with_name(f"{name.name}.png")
    if runs and not row.exists():
        found, drawn = run(*case)
        Image.fromarray(drawn).save(picture)
        write_text(row, json.dumps({**found, "threads": torch.get_num_threads()}) + "\n")
        print(found, flush=True)
    if not row.exists():
        return []
    return [(json.loads(row.read_text()), np.asarray(Image.open(picture)))]


def sheet(rows: list[list[tuple[str, Shown]]]) -> Image.Image:
    """Pictures in rows, each under its title."""
    side, gap, title = 224, 6, 20
    wide, tall = max(map(len, rows)) * (side + gap) + gap, len(rows) * (side + gap + title) + gap
    page = Image.new("RGB", (wide, tall), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for down, row in enumerate(rows):
        for across, (text, picture) in enumerate(row):
            left, top = gap + across * (side + gap), gap + down * (side + gap + title)
            draw.text((left, top), text, font=font, fill="black")
            page.paste(Image.fromarray(picture), (left, top + title))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--parts", nargs="*", choices=("invert", "pixels", "activate"), default=[])
    options = parser.parse_args()
    work, parts = options.work, options.parts
    work.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[tuple[Row, Shown]]] = {"invert": [], "pixels": [], "activate": []}
    for layer in LAYERS:
        found["invert"] += kept(work, "invert", invert, layer, runs="invert" in parts)
    for layer, unit in UNITS:
        found["activate"] += kept(work, "activate", activate, layer, unit, runs="activate" in parts)
    for layer in LAYERS:
        for weight in WEIGHTS:
            found["pixels"] += kept(work, "pixels", pixels, layer, weight, runs="pixels" in parts)
    report = {"model": MODEL, **{part: [row for row, _ in rows] for part, rows in found.items()}}
    write_text(DOCS / "figures/features.json", json.dumps(report, indent=1) + "\n")
    rows = [[("original", original())], [("", np.full_like(original(), 255))], []]
    for row, picture in found["invert"]:
        rows[0].append((f"{row['layer']}: untaught invert", picture))
        if best := best_of(found["pixels"], row["layer"]):
            rows[1].append((f"{row['layer']}: pixels, total variation", best[1]))
    rows[2] = [(f"activate {row['layer']}, unit {row['unit']}", picture) for row, picture in found["activate"]]
    sheet(rows).save(DOCS / "figures/features.jpg", quality=82)
    replace_table(DOCS / "lab-notes/tasks.md", "invert", invert_table(found))
    replace_table(DOCS / "lab-notes/tasks.md", "activate", activate_table([row for row, _ in found["activate"]]))


def best_of(found: list[tuple[Row, Shown]], layer: str) -> tuple[Row, Shown] | None:
    """Of a layer, the one nearest to the original."""
    return max((one for one in found if one[0]["layer"] == layer), key=lambda one: float(one[0]["psnr"]), default=None)


def invert_table(found: dict[str, list[tuple[Row, Shown]]]) -> str:
    lines = [
        "| layer | untaught: PSNR, dB | features off by | seconds | pixels with total variation: PSNR, dB "
        "| features off by | seconds | weight |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, _ in found["invert"]:
        cells = [f"`{row['layer']}`", f"{row['psnr']:.2f}", f"{row['off']:.1%}", f"{row['seconds']:.0f}"]
        if best := best_of(found["pixels"], row["layer"]):
            other = best[0]
            cells += [f"{other['psnr']:.2f}", f"{other['off']:.1%}", f"{other['seconds']:.0f}", f"{other['weight']:g}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def activate_table(rows: list[Row]) -> str:
    lines = ["| layer | unit | activation | of the photograph | seconds |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = [f"`{row['layer']}`", str(row["unit"]), f"{row['activation']:.2f}", f"{row['of_the_photograph']:.2f}"]
        lines.append("| " + " | ".join([*cells, f"{row['seconds']:.0f}"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
