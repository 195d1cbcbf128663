"""A huge picture in tiles: peak memory, time per megapixel, and steps where tiles meet.

Protocol: photographs that scikit-image ships, repeated, as 16 bits from 0 to 51 000, with noise of standard deviation
2000 and 5 % of the pixels dropped (0), written as OME-Zarr 0.5 in chunks of 512 x 512. It is denoised with the noise
given and 0 as the missing value, in a process of its own, whose largest resident memory is taken. The time is that of
the processor, as well as that of the clock; what is measured beforehand is told apart.

    python -m benchmarks.huge [SIDE ...]

Sides are in pixels: 2000 4000 by default; 20000 is the full size. Prints a table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.docs import rows

NOISE, DROPPED = 2000, 0.05
SHARE = 8
"""Rows of chunks that are compared with the clean picture, evenly spaced."""


def main(sides: Sequence[int]) -> None:
    lines = []
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            made(Path(folder) / "in.zarr", side)
            words = [sys.executable, "-m", "benchmarks.huge", "--child", folder]
            facts = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            psnr, steps = judged(Path(folder), side)
        megapixels = side * side / 1e6
        lines.append(
            [
                f"{side} x {side}",
                f"{facts['memory'] / 1e9:.2f} GB",
                f"{facts['learning']:.0f} s",
                f"{facts['processor'] / megapixels:.1f} s",
                f"{facts['clock'] / megapixels:.1f} s",
                f"{psnr:.1f} dB",
                f"{steps:.3f}",
            ]
        )
    head = ["picture", "peak memory", "measuring, processor", "a megapixel, processor", "clock", "PSNR", "step / noise"]
    print(rows(head, lines))


def clean(lines: slice, columns: slice) -> NDArray[np.float64]:
    """A part of an endless picture."""
    from skimage import data

    # Their own borders are elsewhere than those of tiles.
    tile = np.concatenate([data.camera()[:433, :433], data.moon()[:433, :433]], 1)
    down, across = (
        np.arange(one.start, one.stop) % length for one, length in zip((lines, columns), tile.shape, strict=True)
    )
    return tile[np.ix_(down, across)] * 200.0


def made(path: Path, side: int) -> None:
    """Write the damaged picture."""
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    array = group.create_array("0", shape=(side, side), chunks=(512, 512), dtype="uint16")
    random = np.random.default_rng(0)
    for top in range(0, side, 512):
        part = slice(top, min(top + 512, side))
        whole = clean(part, slice(0, side))
        whole += random.normal(0, NOISE, whole.shape)
        array[part] = np.where(random.random(whole.shape) < DROPPED, 0, whole.clip(1, 65535)).astype(np.uint16)
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    multiscale: Any = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}


def child(folder: Path) -> None:
    """Denoise it, and print what that took."""
    from untaught.batches.tiles import tiles

    begun, clock = 0.0, 0.0

    def note(done: int, _: int) -> None:
        nonlocal begun, clock
        if done == 1:
            begun, clock = time.process_time(), time.perf_counter()

    options: dict[str, Any] = {"noise": NOISE, "missing_value": (0,)}
    report = tiles("denoise", folder / "in.zarr", folder / "out.zarr", observer=note, **options)
    tiled = report.tiles / max(1, report.tiles - 1)
    facts: dict[str, Any] = {
        "learning": begun,
        "processor": (time.process_time() - begun) * tiled,
        "clock": (time.perf_counter() - clock) * tiled,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(facts))


def judged(folder: Path, side: int) -> tuple[float, float]:
    """PSNR against the clean picture, and the step where tiles meet as a share of the noise."""
    import zarr

    from untaught.batches.tiles import windows

    array: Any = zarr.open_group(str(folder / "out.zarr"), mode="r")["0"]
    ends = {end for one in windows(side) for end in (one.start, one.stop)} - {0, side}
    starts = sorted(ends | {(one.stop + other.start) // 2 for one, other in itertools.pairwise(windows(side))})
    errors, steps = [], []
    for top in np.linspace(0, side - 64, SHARE).astype(int):
        part = slice(int(top), int(top) + 64)
        error = np.asarray(array[part]) - clean(part, slice(0, side))
        errors.append((error**2).mean())
        steps.append(step_at(error, starts, 1))
    return 10 * np.log10(51_000**2 / np.mean(errors)), float(np.mean(steps)) / NOISE


def step_at(values: NDArray[Any], borders: Sequence[int], axis: int) -> float:
    """How much more values change across borders than beside them, along an axis: the mean over the borders."""
    lines = np.moveaxis(values, axis, -1)
    change = np.abs(np.diff(lines, axis=-1)).mean(tuple(range(lines.ndim - 1)))
    beside = [change[[*range(at - 9, at - 1), *range(at, at + 8)]].mean() for at in borders]
    return max(0.0, float(np.mean([change[at - 1] - other for at, other in zip(borders, beside, strict=True)])))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
    else:
        parser = argparse.ArgumentParser(description="A huge picture in tiles.")
        parser.add_argument("sides", nargs="*", type=int, default=[2000, 4000])
        given = parser.parse_args()
        main(given.sides)
