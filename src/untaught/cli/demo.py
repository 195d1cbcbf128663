"""The demonstration: two photographs of scikit-image, damaged, restored, and compared with biharmonic inpainting."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.table import Table

from untaught.cli.progress import make_console, make_display
from untaught.fitting.state import Restoration
from untaught.imaging.files import write_text
from untaught.imaging.metrics import psnr, ssim
from untaught.tasks.inpaint import inpaint
from untaught.tasks.restore import restore

__all__ = ["dropped_pixels", "run_demo", "writing"]

_TEXT = "Lorem ipsum dolor sit amet, consectetur adipisici elit, sed eiusmod tempor incidunt ut labore et dolore magna"


def writing(height: int, width: int, size: int = 16) -> NDArray[np.bool_]:
    """A mask of writing: (H, W), True where the picture is known, False under the letters.

    Args:
        height: height of the picture, in pixels.
        width: width of the picture, in pixels.
        size: size of the letters, in pixels.
    """
    page = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    words, y, index = _TEXT.split(), size // 2, 0
    while y < height - size:
        x = size // 2
        while x < width:
            word = words[index % len(words)] + " "
            draw.text((x, y), word, font=font, fill=0)
            x += round(draw.textlength(word, font=font))
            index += 1
        y += round(2 * size)
    known: NDArray[np.bool_] = np.asarray(page) == 255
    return known


def dropped_pixels(height: int, width: int, share: float = 0.5, seed: int = 0) -> NDArray[np.bool_]:
    """A mask of scattered missing pixels: (H, W), True where the picture is known.

    Args:
        height: height of the picture, in pixels.
        width: width of the picture, in pixels.
        share: probability of each pixel to be missing, 0 to 1.
        seed: seed of the random numbers.
    """
    return np.random.default_rng(seed).random((height, width)) >= share


def run_demo(folder: Path, iterations: int | None = None) -> int:
    """Run the demonstration, print its figures, and write them and the pictures into ``folder``."""
    from skimage.restoration import inpaint_biharmonic

    folder.mkdir(parents=True, exist_ok=True)
    console = make_console()
    table = Table("", "damaged", "biharmonic", "untaught", "seconds", title="PSNR over the whole picture, dB")
    report: dict[str, Any] = {}
    for name, clean, mask, function, own_iterations, colour in _cases():
        console.print(f"{name}: {1 - mask.mean():.0%} of the pixels are missing")
        damaged = np.where(mask[..., None], clean, np.uint8(colour))
        started = time.perf_counter()
        biharmonic = inpaint_biharmonic(damaged / 255, ~mask, channel_axis=-1)
        classical_seconds = time.perf_counter() - started
        with make_display(console) as display:
            result = function(damaged, mask, iterations=iterations or own_iterations, observers=[display])
        pictures = {"damaged": damaged / 255, "biharmonic": biharmonic, "untaught": result.picture / 255}
        reference = clean / 255
        figures = {
            kind: {"psnr": psnr(shown, reference), "ssim": ssim(shown, reference)} for kind, shown in pictures.items()
        }
        report[name] = {**figures, "seconds": result.seconds, "biharmonic_seconds": classical_seconds}
        table.add_row(name, *(f"{figures[kind]['psnr']:.2f}" for kind in pictures), f"{result.seconds:.0f}")
        for kind, shown in {**pictures, "original": clean / 255}.items():
            _save(folder / f"{name}-{kind}.png", shown)
        _save(folder / f"{name}-before-after.png", np.concatenate([damaged / 255, result.picture / 255], axis=1))
    write_text(folder / "figures.json", json.dumps(report, indent=1) + "\n")
    console.print(table)
    sys.stdout.write(f"pictures and figures: {folder.resolve()}\n")
    return 0


def _cases() -> list[tuple[str, NDArray[np.uint8], NDArray[np.bool_], Callable[..., Restoration], int, int]]:
    """Name, clean picture, mask, task, iterations, and the gray value of the damage."""
    from skimage import data
    from skimage.transform import downscale_local_mean

    portrait = downscale_local_mean(data.astronaut(), (2, 2, 1)).round().astype(np.uint8)
    coffee = np.ascontiguousarray(data.coffee()[72:328, 200:456])
    return [
        ("portrait", portrait, writing(*portrait.shape[:2]), inpaint, 600, 255),
        ("coffee", coffee, dropped_pixels(*coffee.shape[:2]), restore, 240, 0),
    ]


def _save(path: Path, picture: NDArray[Any]) -> None:
    Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8)).save(path)
