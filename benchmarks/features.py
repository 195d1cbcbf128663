"""Inversion and activation of a trained network, measured and shown.

Protocol, fixed before the runs, but for the recipes: their iterations and upsampling were chosen on coffee. The network
is EfficientNet-Lite0 with its ImageNet weights (``untaught[classifier]``). Two photographs of scikit-image, coffee and
astronaut, are cropped and made 224 x 224 by means; their features at three depths are inverted by ``untaught invert``
with its default recipe, one seed. Beside it stands the classical way (Mahendran and Vedaldi, 2015): the same
normalised squared error, plus total variation with beta = 2, descended over the pixels by Adam from an even gray,
for as many iterations. The weight of its total variation is the one of four with the best PSNR to the original, which
no one has who inverts features; ours has no such choice. Figures are of the returned 8-bit picture: PSNR to the
original in dB, and the length of the difference of the features as a share of their own length. Three units, a class,
a late and an early channel, are activated by ``untaught activate`` with its default recipe.

    python -m benchmarks.features

Writes docs/figures/features.json, docs/figures/features.jpg and the tables of docs/tasks.md.
"""

from __future__ import annotations

import argparse
import json
import time
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
from untaught.features import Features, features_of
from untaught.files import write_text
from untaught.metrics import psnr
from untaught.objectives import NormalisedSquaredError

MODEL = "efficientnet_lite0"
LAYERS = ("_blocks.4", "_blocks.10", "_fc")
UNITS = (("_fc", 130), ("_blocks.14", 20), ("_blocks.4", 7))
WEIGHTS = (1.0, 10.0, 100.0, 1000.0)
Row = dict[str, Any]
Shown = NDArray[np.uint8]


def originals() -> dict[str, Shown]:
    crops = {"coffee": photographs.coffee()[:, 100:500], "astronaut": photographs.astronaut()}
    return {
        name: (resize(crop, (224, 224), anti_aliasing=True) * 255).round().astype(np.uint8)
        for name, crop in crops.items()
    }


def tensor(picture: Shown) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def figures(picture: Shown, original: Shown, features: Features) -> Row:
    with torch.no_grad():
        found, wanted = features(tensor(picture)), features(tensor(original))
    return {
        "psnr": psnr(picture / 255, original / 255),
        "off": float((found - wanted).norm() / wanted.norm()),
    }


def over_pixels(original: Shown, features: Features, weight: float, iterations: int) -> Shown:
    """The classical baseline; ``weight`` is of the mean over the pixels of the squared gradient."""
    with torch.no_grad():
        wanted = features(tensor(original))
    objective = NormalisedSquaredError(wanted, features, torch.ones_like(wanted, dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    pixels = (0.5 + 0.01 * torch.randn(1, 3, *original.shape[:2], generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([pixels], lr=0.02)
    for _ in range(iterations):
        optimiser.zero_grad()
        across, down = pixels.diff(dim=-1), pixels.diff(dim=-2)
        variation = (across.square().sum() + down.square().sum()) / pixels[0].numel()
        torch.autograd.backward(objective(pixels).sum() + weight * variation)
        optimiser.step()
        with torch.no_grad():
            pixels.clamp_(0, 1)
    array = pixels.detach()[0].permute(1, 2, 0).numpy()
    drawn: Shown = (array * 255).round().astype(np.uint8)
    return drawn


def invert(name: str, original: Shown, layer: str) -> tuple[Row, dict[str, Shown]]:
    features = features_of(MODEL, layer)
    result = untaught.invert(original, MODEL, layer)
    row: Row = {"picture": name, "layer": layer, "iterations": result.iterations, "seconds": result.seconds}
    row["untaught"] = figures(result.picture, original, features)
    row["pixels"] = []
    drawn = {}
    for weight in WEIGHTS:
        started = time.perf_counter()
        drawn[weight] = over_pixels(original, features, weight, result.iterations)
        seconds = time.perf_counter() - started
        row["pixels"].append({"weight": weight, "seconds": seconds, **figures(drawn[weight], original, features)})
    best = max(row["pixels"], key=lambda one: float(one["psnr"]))
    return row, {"untaught": result.picture, "pixels": drawn[best["weight"]]}


def activate(layer: str, unit: int) -> tuple[Row, Shown]:
    result = untaught.activate(MODEL, layer, unit)
    with torch.no_grad():
        answer = features_of(MODEL, layer)(tensor(result.picture))[0]
        answers = {
            name: float(features_of(MODEL, layer)(tensor(picture))[0, unit].mean())
            for name, picture in originals().items()
        }
    row: Row = {"layer": layer, "unit": unit, "iterations": result.iterations, "seconds": result.seconds}
    row["activation"] = float(answer[unit].mean())
    row["photographs"] = answers
    if answer.ndim == 1:
        row["first"] = int(answer.argmax())
        row["probability"] = float(answer.softmax(0)[unit])
    return row, result.picture


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
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    report: dict[str, Any] = {"model": MODEL, "invert": [], "activate": []}
    shown: list[list[tuple[str, Shown]]] = []
    for name, original in originals().items():
        drawn: dict[str, list[tuple[str, Shown]]] = {
            "untaught": [(name, original)],
            "pixels": [("", original * 0 + 255)],
        }
        for layer in LAYERS:
            row, pictures = invert(name, original, layer)
            report["invert"].append(row)
            print(row, flush=True)
            for method, picture in pictures.items():
                words = {"untaught": "untaught", "pixels": "pixels, total variation"}[method]
                drawn[method].append((f"{layer}: {words}", picture))
        shown += drawn.values()
    units = []
    for layer, unit in UNITS:
        row, picture = activate(layer, unit)
        report["activate"].append(row)
        print(row, flush=True)
        units.append((f"activate {layer}, unit {unit}", picture))
    shown.append(units)
    report["threads"] = torch.get_num_threads()
    write_text(DOCS / "figures/features.json", json.dumps(report, indent=1) + "\n")
    sheet(shown).save(DOCS / "figures/features.jpg", quality=82)
    replace_table(DOCS / "tasks.md", "invert", invert_table(report["invert"]))
    replace_table(DOCS / "tasks.md", "activate", activate_table(report["activate"]))


def invert_table(rows: list[Row]) -> str:
    lines = [
        "| | layer | untaught: PSNR | features off by | seconds | pixels and total variation: PSNR | features off by "
        "| at the weight |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        best = max(row["pixels"], key=lambda one: float(one["psnr"]))
        own = row["untaught"]
        cells = [
            row["picture"],
            f"`{row['layer']}`",
            f"{own['psnr']:.2f}",
            f"{own['off']:.1%}",
            f"{row['seconds']:.0f}",
        ]
        cells += [f"{best['psnr']:.2f}", f"{best['off']:.1%}", f"{best['weight']:g}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def activate_table(rows: list[Row]) -> str:
    lines = [
        "| layer | unit | activation | of the coffee | of the astronaut | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [f"`{row['layer']}`", str(row["unit"]), f"{row['activation']:.2f}"]
        cells += [f"{row['photographs'][name]:.2f}" for name in ("coffee", "astronaut")] + [f"{row['seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
