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
from rich.table import Table

from untaught.cli.display import make_console, make_display
from untaught.errors import PictureError
from untaught.fitting.state import Restoration
from untaught.imaging.damage import dropped_pixels, writing
from untaught.imaging.files import check_writable, reason, write_text
from untaught.imaging.metrics import psnr_and_ssim
from untaught.imaging.picture import Picture
from untaught.imaging.writing import write
from untaught.tasks.inpaint import inpaint
from untaught.tasks.restore import restore

__all__ = ["run_demo"]


def run_demo(folder: Path, iterations: int | None = None) -> int:
    """Run the demonstration, print its figures, and write them and the pictures into ``folder``."""
    from skimage.restoration import inpaint_biharmonic

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        why = reason(error)
        if isinstance(error, ValueError):
            why = "no folder can have this name"
        elif isinstance(error, FileExistsError):
            why = "a file has that name"
        raise PictureError(f"the folder {folder} cannot be made: {why}; choose another name") from error
    check_writable(folder / "figures.json")
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
        figures = {kind: psnr_and_ssim(shown, reference) for kind, shown in pictures.items()}
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
        ("portrait", portrait, writing(*portrait.shape[:2]), inpaint, 300, 255),
        ("coffee", coffee, dropped_pixels(*coffee.shape[:2]), restore, 200, 0),
    ]


def _save(path: Path, picture: NDArray[Any]) -> None:
    write(path, Picture((np.clip(picture, 0, 1) * 255).round().astype(np.uint8)))
