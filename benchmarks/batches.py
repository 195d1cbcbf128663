"""How much a batch adds to its pictures, and how much faster it is than a command for each.

Protocol: crops of 64 x 64 of a photograph that scikit-image ships, with noise of standard deviation 20, are denoised
for a fixed number of iterations: by a command line for each; by calls in one process that read, fit and write; and by a
batch with one worker, and with two. A batch's time is taken from its start to its end and, without the start of its
processes, from its first result to its last. Each process has one thread.

    python -m benchmarks.batches

Writes the table of docs/lab-notes/batches.md. It takes a few minutes and wants an idle machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded

import numpy as np
from PIL import Image
from skimage import data

import untaught
from benchmarks.docs import rows
from benchmarks.tables import replace_table
from untaught.batches.driver import BatchReport
from untaught.imaging import reading, writing

NOTE = Path(__file__).parent.parent / "docs/lab-notes/batches.md"
LENGTHS = {10: 24, 100: 8}
"""Pictures by the number of iterations."""
CALLS = 3
MANY = 10_000


def main() -> None:
    lines = []
    with tempfile.TemporaryDirectory() as name:
        for iterations, count in LENGTHS.items():
            folder = Path(name) / str(iterations)
            pictures = made(folder / "in", count)
            options: dict[str, Any] = {"noise": 20, "iterations": iterations}
            single = commands(pictures[:CALLS], folder, iterations)
            (folder / "calls").mkdir()
            alone = calls(pictures, folder / "calls", options)
            _, of_one = batch(folder, 1, options)
            two, of_two = batch(folder, 2, options)
            start = two - of_two * (count - 1)
            many = MANY / (start + of_two * MANY)
            lines.append(
                [
                    str(iterations),
                    f"{single:.2f} s",
                    f"{alone:.3f} s",
                    f"{of_one:.3f} s",
                    f"{of_one / alone - 1:.1%}",
                    f"{of_one / of_two:.2f}",
                    f"{start:.1f} s",
                    f"{many:.1f}",
                    f"{many * single:.1f}",
                ]
            )
    head = [
        "iterations",
        "a command for each picture",
        "calls in one process",
        "batch, one worker",
        "overhead",
        "two workers against one",
        "start of the batch",
        f"pictures a second, of {MANY:,}",
        "times as many as by commands",
    ]
    table = rows(head, lines)
    print(table)
    replace_table(NOTE, "batches", table)


def made(folder: Path, count: int) -> list[Path]:
    """Noisy crops of a photograph."""
    random, photograph = np.random.default_rng(0), data.camera()
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        top, left = random.integers(0, 448, 2)
        noisy = photograph[top : top + 64, left : left + 64] + random.normal(0, 20, (64, 64))
        paths.append(folder / f"{number:05}.png")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def commands(pictures: list[Path], folder: Path, iterations: int) -> float:
    """Seconds of a command line for one picture."""
    begun = time.perf_counter()
    for number, picture in enumerate(pictures):
        words = ["denoise", picture, "-o", folder / f"command{number}.png", "--noise", 20, "--iterations", iterations]
        subprocess.run([sys.executable, "-m", "untaught", *map(str, words), "--quiet"], check=True)
    return (time.perf_counter() - begun) / len(pictures)


def calls(pictures: list[Path], folder: Path, options: dict[str, Any]) -> float:
    """Seconds of a picture among calls in one process, without the first."""
    begun = 0.0
    for number, path in enumerate(pictures):
        picture = reading.read(path)
        writing.write(folder / path.name, picture.with_pixels(untaught.denoise(picture.pixels, **options).picture))
        begun = begun if number else time.perf_counter()
    return (time.perf_counter() - begun) / (len(pictures) - 1)


def batch(folder: Path, workers: int, options: dict[str, Any]) -> tuple[float, float]:
    """Seconds of a whole batch, and of one of its pictures once all workers are at work."""
    moments: list[float] = []

    def note(_: BatchReport) -> None:
        moments.append(time.perf_counter())

    begun = time.perf_counter()
    output = folder / f"workers{workers}"
    untaught.batch("denoise", folder / "in", output, workers=workers, observer=note, **options)
    seconds = time.perf_counter() - begun
    # The second worker may begin later than the first; and from there each has done as many pictures.
    settled = workers * max(1, len(moments) // 4 // workers) - 1
    return seconds, (moments[-1] - moments[settled]) / (len(moments) - 1 - settled)


if __name__ == "__main__":
    main()
