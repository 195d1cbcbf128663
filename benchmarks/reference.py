"""The two published readings, measured: presets x perturbations x skip joins, for a fixed number of iterations.

Protocol, fixed before the runs: kate (text over a photograph) and boat (half of the pixels dropped), both at half size
by 2 x 2 means, 256 x 256; Adam 0.01; one seed; the network's own averaged output and the picture as a user gets it,
known pixels kept; PSNR and SSIM over the whole picture, and PSNR over the missing pixels alone. Biharmonic inpainting
stands beside them. The clean picture is looked at only after a run has ended.

    python -m benchmarks.reference DATA --iterations 300

DATA is a folder with inpaint/kate.png, inpaint/kate_mask.png and restore/boat.png. Writes docs/figures/reference.json
and the table of docs/lab-notes/published.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.restoration import inpaint_biharmonic

import untaught
from benchmarks.tables import replace_table
from untaught.imaging.metrics import psnr, ssim
from untaught.priors.encoder_decoder import PRESETS
from untaught.priors.inputs import NoiseInput, PerturbationSettings
from untaught.recipes import Recipe, find_recipe

DOCS = Path(__file__).parent.parent / "docs"

PERTURBATIONS = {
    "fresh 0.03": PerturbationSettings(kind="fresh", standard_deviation=0.03),
    "accumulated 1/30": PerturbationSettings(kind="accumulated", standard_deviation=1 / 30),
}


def half_size(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Means of 2 x 2 pixels."""
    values = picture.astype(float)
    means = (values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]) / 4
    halved: NDArray[np.uint8] = means.round().astype(np.uint8)
    return halved


def load(data: Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Name, clean picture and what is known of it. A pixel is known where all four of its pixels were."""
    kate = half_size(np.asarray(Image.open(data / "inpaint/kate.png").convert("RGB")))
    text = half_size(np.asarray(Image.open(data / "inpaint/kate_mask.png").convert("L"))) == 255
    boat = half_size(np.asarray(Image.open(data / "restore/boat.png").convert("L")))
    dropped = np.random.default_rng(0).random(boat.shape) >= 0.5
    return {"kate": (kate, text), "boat": (boat, dropped)}


def variants(iterations: int) -> dict[tuple[str, str, str], Recipe]:
    """Every reading: (preset, perturbation, join) and its recipe."""
    found = {}
    for preset, network in PRESETS.items():
        for noise, perturbation in PERTURBATIONS.items():
            for join in ("concatenate", "add"):
                changed = (
                    network
                    if join == "concatenate"
                    else dataclasses.replace(network, skip_join="add", skip_channels=(128,) * 5)
                )
                found[preset, noise, join] = dataclasses.replace(
                    find_recipe("restore", "printed"),
                    network=changed,
                    input=NoiseInput(perturbation=perturbation),
                    iterations=iterations,
                )
    return found


def figures(picture: NDArray[Any], clean: NDArray[Any], known: NDArray[np.bool_]) -> dict[str, float]:
    shown, reference = picture / 255, clean / 255
    return {
        "psnr": psnr(shown, reference),
        "ssim": ssim(shown, reference),
        "psnr_missing": psnr(shown, reference, ~known),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--iterations", type=int, default=300)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, (clean, known) in load(options.data).items():
        damaged = np.where(known if clean.ndim == 2 else known[..., None], clean, 0).astype(np.uint8)
        started = time.perf_counter()
        biharmonic = inpaint_biharmonic(damaged / 255, ~known, channel_axis=-1 if clean.ndim == 3 else None) * 255
        rows.append(
            {
                "picture": name,
                "preset": "biharmonic",
                "seconds": time.perf_counter() - started,
                "kept": figures(biharmonic, clean, known),
            }
        )
        for (preset, noise, join), recipe in variants(options.iterations).items():
            result = untaught.inpaint(damaged, known, recipe=recipe, keep_known=False)
            kept = np.where(known if clean.ndim == 2 else known[..., None], damaged, result.picture)
            rows.append(
                {
                    "picture": name,
                    "preset": preset,
                    "perturbation": noise,
                    "join": join,
                    "seconds": result.seconds,
                    "rollbacks": result.rollbacks,
                    "own": figures(result.picture, clean, known),
                    "kept": figures(kept, clean, known),
                }
            )
            print(rows[-1], flush=True)
        report = {"iterations": options.iterations, "engine": result.engine, "rows": rows}
        (DOCS / "figures").mkdir(exist_ok=True)
        (DOCS / "figures/reference.json").write_text(json.dumps(report, indent=1) + "\n")
    replace_table(DOCS / "lab-notes/published.md", "presets", table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| picture | preset | perturbation | skip join | PSNR, own output | SSIM, own output | PSNR, known kept "
        "| PSNR, missing only | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        own = row.get("own")
        cells = [row["picture"], row["preset"], row.get("perturbation", ""), row.get("join", "")]
        cells += [f"{own['psnr']:.2f}", f"{own['ssim']:.3f}"] if own else ["", ""]
        cells += [f"{row['kept']['psnr']:.2f}", f"{row['kept']['psnr_missing']:.2f}", f"{row['seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
