"""50 runs that something happens to at a random moment: is there a picture or a checkpoint each time, and said where?

Protocol: half of the pixels of a photograph of 64 x 64 that scikit-image ships are dropped; `restore --recipe fast`,
300 iterations, a checkpoint every half second. One run is left alone and timed. To each of the others something
happens at a moment drawn from seed 0, between its first checkpoint and the time that the first run took, in turn:

* kill: SIGKILL, every other time again while it is resumed. It is resumed until it ends.
* SIGTERM, SIGINT: the run has to end with code 130, a whole picture, and the command that goes on; then it is resumed.
* full: no file may grow beyond 0 or 100 000 bytes from then on (RLIMIT_FSIZE), as on a full disk. It has to end with a
  whole picture, or with a checkpoint and the command that goes on; then it is resumed.
* removed: the folder of the output is removed. It has to end with code 1 and say where the picture is.

The pictures must be equal, to the last byte, to that of the run that was left alone, but for the ones of an interrupted
run, which must be whole.

    python -m benchmarks.kills

Writes docs/figures/kills.json.
"""

from __future__ import annotations

import json
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from benchmarks.reference import DOCS
from untaught.imaging.damage import dropped_pixels
from untaught.imaging.files import write_text

COMMAND = [sys.executable, "-m", "untaught"]
OFTEN = ["--checkpoint-every", "0.5s"]
HAPPENINGS = ("kill", "SIGTERM", "SIGINT", "full", "removed")
RUNS = 50


def start(words: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *words], cwd=folder, stderr=subprocess.PIPE, text=True)


def restore(name: str) -> list[str]:
    return ["restore", "damaged.png", "--recipe", "fast", "--iterations", "300", *OFTEN, "-o", name]


def is_whole(path: Path) -> bool:
    """Whether a file is a whole picture of the right size."""
    with Image.open(path) as picture:
        return np.asarray(picture).shape == (64, 64, 3)


def resumed(folder: Path, name: str, moments: list[float]) -> bytes:
    """Go on from a checkpoint, killed again at these moments, until the picture is there."""
    for moment in moments:
        process = start(["resume", f"{name}.checkpoint", *OFTEN], folder)
        time.sleep(moment)
        process.kill()
        process.communicate()
    process = start(["resume", f"{name}.checkpoint"], folder)
    _, text = process.communicate()
    if process.returncode == 2 and "has come to its end" in text:
        return (folder / name).read_bytes()
    if process.returncode != 0:
        raise RuntimeError(f"{name} is not resumed: {text}")
    return (folder / name).read_bytes()


def happen(how: str, process: subprocess.Popen[str], place: Path, most: int) -> None:
    """Let something happen to a run."""
    if how == "kill":
        process.kill()
    elif how == "full":
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
    elif how == "removed":
        shutil.rmtree(place)
    else:
        process.send_signal(getattr(signal, how))


def one(number: int, how: str, moments: list[float], folder: Path, whole: bytes) -> str:
    """One run, and what is wrong with its end; empty if nothing is."""
    place = folder / f"run{number}"
    place.mkdir()
    name = f"run{number}/out.png"
    checkpoint, output = folder / f"{name}.checkpoint", folder / name
    process = start(restore(name), folder)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(moments[0])
    if process.poll() is None:
        happen(how, process, place, 100_000 * (number // len(HAPPENINGS) % 2))
    _, text = process.communicate()
    code = process.returncode
    if code == 0:  # it was quicker, or what failed was not needed
        return "" if output.read_bytes() == whole else "another picture"
    if how == "kill" and not checkpoint.exists():  # it was at its very end, and has removed it
        return "" if output.exists() and output.read_bytes() == whole else "nothing is left"
    if how == "kill":
        return "" if resumed(folder, name, moments[1:]) == whole else "another picture"
    if how == "removed":
        there = re.search(r"the picture is in (.*)", text)
        good = code == 1 and there is not None and Path(there[1]).read_bytes() == whole
        return "" if good else f"code {code}: {text}"
    if shlex.join(["untaught", "resume", f"{name}.checkpoint"]) not in text:
        return f"code {code}: {text}"
    if how != "full" and not (code == 130 and is_whole(output)):
        return f"code {code}: no whole picture"
    return "" if resumed(folder, name, []) == whole else "another picture"


def main() -> int:
    draw, rows = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photo = data.astronaut()[:64, 196:260]
        Image.fromarray(np.where(dropped_pixels(64, 64)[..., None], photo, 0)).save(folder / "damaged.png")
        started = time.perf_counter()
        alone = start(restore("whole.png"), folder)
        _, text = alone.communicate()
        if alone.returncode != 0:
            raise RuntimeError(f"the run that was left alone did not end well: {text}")
        seconds = time.perf_counter() - started
        whole = (folder / "whole.png").read_bytes()
        for number in range(RUNS):
            how = HAPPENINGS[number % len(HAPPENINGS)]
            moments = draw.uniform(0, seconds / 2, 1 + number // len(HAPPENINGS) % 2).tolist()
            rows.append({"how": how, "wrong": one(number, how, moments, folder, whole)})
            print(number, rows[-1], flush=True)
            write_text(DOCS / "figures/kills.json", json.dumps({"seconds": seconds, "rows": rows}, indent=1) + "\n")
    good = Counter(row["how"] for row in rows if not row["wrong"])
    print(f"{sum(good.values())} of {len(rows)} runs end with a picture or a checkpoint, and say where: {dict(good)}")
    return 0 if sum(good.values()) == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
