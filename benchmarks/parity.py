"""Is a picture restored as well in the engine's arithmetic as in float32?

Protocol, fixed before the runs: kate (text), boat and barbara (half of the pixels dropped), all at half size by 2 x 2
means, 256 x 256; both presets with Adam 0.01 and fresh noise 0.03; seeds 0, 1 and 2; the same number of iterations on
both sides, no held-out pixels, no stopping; PSNR over the whole picture of the network's own averaged output (decay
0.99). The two sides start from the same weights; with kernels on both sides they draw the same noise too.

    python -m benchmarks.parity DATA --iterations 300

``--plain`` runs the float32 side without kernels, layer after layer in torch, which takes four times as long and agrees
with the kernels in float32 to rounding (tests/test_networks.py). Rows that are there already are not run again. Writes
docs/figures/parity.json and the table of docs/lab-notes/speed.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.reference import DOCS, half_size, load
from benchmarks.tables import replace_table
from untaught.imaging.metrics import psnr
from untaught.priors.encoder_decoder import PRESETS
from untaught.priors.inputs import NoiseInput, PerturbationSettings
from untaught.recipes import Recipe, find_recipe
from untaught.tasks.preparation import prepare

SEEDS = (0, 1, 2)


def pictures(data: Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Name, clean picture and what is known of it."""
    barbara = half_size(np.asarray(Image.open(data / "restore/barbara.png").convert("L")))
    return {**load(data), "barbara": (barbara, np.random.default_rng(0).random(barbara.shape) >= 0.5)}


def recipe(preset: str, iterations: int) -> Recipe:
    return dataclasses.replace(
        find_recipe("restore", "printed"),
        network=PRESETS[preset],
        input=NoiseInput(perturbation=PerturbationSettings(kind="fresh", standard_deviation=0.03)),
        iterations=iterations,
    )


def run(
    clean: NDArray[np.uint8], known: NDArray[np.bool_], settings: Recipe, seed: int, precision: str, *, plain: bool
) -> float:
    damaged = np.where(known if clean.ndim == 2 else known[..., None], clean, 0).astype(np.uint8)
    job = prepare("restore", damaged, known, recipe=settings, seed=seed, precision=precision, keep_known=False)
    if plain:
        job = dataclasses.replace(job, engine=dataclasses.replace(job.engine, kernels=None))
    return psnr(job.run().picture / 255, clean / 255)


def table(rows: list[dict[str, Any]], precision: str) -> str:
    lines = [f"| preset | picture | float32, seeds 0, 1, 2 | {precision}, seeds 0, 1, 2 | difference of means |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for preset in dict.fromkeys(row["preset"] for row in rows):
        own = [row for row in rows if row["preset"] == preset]
        for name in dict.fromkeys(row["picture"] for row in own):
            sides = [[row[side] for row in own if row["picture"] == name] for side in ("float32", "engine")]
            shown = [", ".join(f"{value:.2f}" for value in side) for side in sides]
            lines.append(f"| {preset} | {name} | {shown[0]} | {shown[1]} | {mean(sides[1]) - mean(sides[0]):+.2f} |")
        changes = [row["engine"] - row["float32"] for row in own]
        lines.append(f"| {preset} | **mean** (worst) | | | **{mean(changes):+.2f}** ({min(changes):+.2f}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    results = DOCS / "figures/parity.json"
    before = json.loads(results.read_text()) if results.exists() else {}
    same = before.get("iterations") == options.iterations and before.get("plain") == options.plain
    rows: list[dict[str, Any]] = before["rows"] if same else []
    for preset in options.presets:
        settings = recipe(preset, options.iterations)
        for name, (clean, known) in pictures(options.data).items():
            for seed in SEEDS:
                row: dict[str, Any] = {"preset": preset, "picture": name, "seed": seed}
                if any(row.items() <= other.items() for other in rows):
                    continue
                row["float32"] = run(clean, known, settings, seed, "float32", plain=options.plain)
                row["engine"] = run(clean, known, settings, seed, "auto", plain=False)
                rows.append(row)
                print(row, flush=True)
    engine = prepare("restore", clean, known, recipe=settings).engine.record()["precision"]
    report = {"iterations": options.iterations, "plain": options.plain, "precision": engine, "rows": rows}
    results.write_text(json.dumps(report, indent=1) + "\n")
    replace_table(DOCS / "lab-notes/speed.md", "parity", table(rows, engine))


if __name__ == "__main__":
    main()
