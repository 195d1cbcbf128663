"""Does it matter how a signal sits in its container? `python -m benchmarks.ranges [--iterations N] [--seeds N]`.

Protocol. A part of scikit-image's camera, or astronaut for demosaicing, is put into containers as instruments do: 10,
12 and 14 bits in 16, an offset of 100 and a signal up to 450, a dark photograph of 8 bits, and a sky with stars of
60000. Each task gets the file as it is, and the same whole numbers scaled by hand to [0, 1], with the same seed and
number of iterations. PSNR in dB of both against the clean picture, with the signal's span as white, without five
pixels around each star, on the mean of three seeds of the fit. The difference is the cost of the container; it should
be at most 0.2 dB. Fits of few iterations are short of their end, and one such fit differs from another by more.

Prints a table, and writes it into docs/lab-notes/tasks.md with --write.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import untaught
from benchmarks.reference import DOCS
from benchmarks.tables import replace_table

CONTAINERS: dict[str, tuple[float, float, type, int]] = {
    "10 bits in 16": (0, 1023, np.uint16, 0),
    "12 bits in 16": (64, 4000, np.uint16, 0),
    "14 bits in 16": (0, 15000, np.uint16, 0),
    "offset 100, up to 450": (100, 350, np.uint16, 0),
    "starry": (100, 400, np.uint16, 3),
    "dark, 8 bits": (0, 40, np.uint8, 0),
}
STAR = 60000
NOISE = 0.06
Picture = NDArray[np.float64]


def scene(size: int, *, colour: bool) -> Picture:
    """A clean picture in [0, 1]."""
    from skimage import data
    from skimage.transform import resize

    picture = data.astronaut()[:256, 100:356] if colour else data.camera()[60:316, 100:356]
    return np.asarray(resize(picture, (size, size), anti_aliasing=True), np.float64).clip(0, 1)


def damaged(task: str, clean: Picture, generator: np.random.Generator) -> tuple[Picture, dict[str, Any]]:
    """What a task gets, in [0, 1], and its options."""
    if task == "denoise":
        return (clean + generator.normal(0, NOISE, clean.shape)).clip(0, 1), {}
    if task == "restore":
        return clean, {"mask": generator.random(clean.shape) > 0.5}
    if task == "upscale":
        return clean.reshape(clean.shape[0] // 2, 2, -1, 2).mean((1, 3)), {"factor": 2, "kernel": "area"}
    raw = clean[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = clean[::2, ::2, 0], clean[1::2, 1::2, 2]
    return raw, {}


def measure(task: str, container: str, size: int, iterations: int, seeds: int) -> tuple[float, float]:
    """PSNR of the task on the file as it is, and on the same scaled by hand; the mean of the seeds."""
    low, span, kind, stars = CONTAINERS[container]
    clean = scene(size, colour=task == "demosaic")
    generator = np.random.default_rng(0)
    given, options = damaged(task, clean, generator)
    stored: NDArray[Any] = (low + span * given).round().astype(kind)
    by_hand = ((stored.astype(np.float64) - low) / span).clip(0, 1).astype(np.float32)
    counted = np.ones(clean.shape[:2], bool)
    for place in generator.integers(8, given.shape[0] - 8, (stars, 2)):
        stored[tuple(place)] = STAR
        top, left = (place * size // given.shape[0]).tolist()
        counted[top - 5 : top + 7, left - 5 : left + 7] = False
    figures = []
    for picture, black, white in ((stored, low, span), (by_hand, 0.0, 1.0)):
        each = []
        for seed in range(seeds):
            result = untaught.run_task(task, picture, iterations=iterations, seed=seed, device="cpu", **options)
            restored = (np.asarray(result.picture, np.float64) - black) / white
            # The file holds whole numbers, so the other result is rounded to them too.
            restored = (restored * span).round() / span
            each.append(-10 * np.log10(np.square(restored - clean)[counted].mean()))
        figures.append(float(np.mean(each)))
    return figures[0], figures[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--task", nargs="+", default=["denoise", "restore", "upscale", "demosaic"])
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    rows = [f"| container | {' | '.join(chosen.task)} |", f"| --- |{' --- |' * len(chosen.task)}"]
    for container in CONTAINERS:
        cells = []
        for task in chosen.task:
            own, by_hand = measure(task, container, chosen.size, chosen.iterations, chosen.seeds)
            cells.append(f"{own:.2f} ({own - by_hand:+.2f})")
            print(container, task, cells[-1], flush=True)
        rows.append(f"| {container} | {' | '.join(cells)} |")
    print("\n".join(rows))
    if chosen.write:
        replace_table(DOCS / "lab-notes/tasks.md", "containers", "\n".join(rows))


if __name__ == "__main__":
    main()
