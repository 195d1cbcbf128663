"""``kill -9`` at ten random moments, then ``untaught resume``: is it the same picture each time?

Protocol: half of the pixels of a photograph of 96 x 96 that scikit-image ships are dropped; `restore --preset fast`, a
checkpoint every half second. One run is left alone and timed. Ten others are killed with SIGKILL at a moment drawn from
seed 0 between their first checkpoint and the time that the first run took, some of them again while they are resumed,
and resumed until they end. The files must be equal to the last byte.

    python -m benchmarks.kills

Writes docs/figures/kills.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from benchmarks.reference import DOCS
from untaught.imaging.damage import dropped_pixels
from untaught.imaging.files import write_text

COMMAND = [sys.executable, "-m", "untaught"]


def start(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *words, "--quiet"], cwd=folder)


def restore(name: str) -> list[str]:
    return ["restore", "damaged.png", "--preset", "fast", "--checkpoint-every", "0.5s", "-o", name]


def killed_and_resumed(name: str, moments: list[float], folder: Path) -> int:
    """Kill a run at these seconds after its first checkpoint, and each time resume it; how often it was killed."""
    checkpoint, kills = folder / f"{name}.checkpoint", 0
    process = start(restore(name), folder)
    for moment in moments:
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moment)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
        process = start(["resume", checkpoint.name, "--checkpoint-every", "0.5s"], folder)
    if process.wait() != 0:
        raise RuntimeError(f"{name} did not end well")
    return kills


def main() -> None:
    draw, rows = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photo = data.astronaut()[:96, 180:276]
        Image.fromarray(np.where(dropped_pixels(96, 96)[..., None], photo, 0)).save(folder / "damaged.png")
        started = time.perf_counter()
        if start(restore("whole.png"), folder).wait() != 0:
            raise RuntimeError("the run that was left alone did not end well")
        seconds = time.perf_counter() - started
        whole = (folder / "whole.png").read_bytes()
        for number in range(10):
            moments = draw.uniform(0, seconds / 2, 1 + number % 2).tolist()
            kills = killed_and_resumed(f"{number}.png", moments, folder)
            rows.append({"kills": kills, "same": (folder / f"{number}.png").read_bytes() == whole})
            print(rows[-1], flush=True)
    write_text(DOCS / "figures/kills.json", json.dumps({"seconds": seconds, "rows": rows}, indent=1) + "\n")
    same, kills = sum(row["same"] for row in rows), sum(row["kills"] for row in rows)
    print(f"{kills} kills in {len(rows)} runs, {same} of which gave the same picture as the one that was left alone")


if __name__ == "__main__":
    main()
