"""The same seed gives the same bits with any number of threads, and whatever the process has done before."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import untaught
from untaught.backend.engine import choose_engine

FITS = ("inpaint fast", "restore fast", "denoise fast", "inpaint noise")

needs_kernels = pytest.mark.skipif(choose_engine("cpu").kernels is None, reason="only the compiled kernels promise it")


def digest(fit: str) -> str:
    """Hash of the picture and the losses of a short fit, given as task and recipe.

    The sides are odd and the picture has more values than torch gives to one thread, so each number of threads cuts it
    elsewhere.
    """
    task, recipe = fit.split()
    height, width = 109, 103
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width] / width
    channels = [0.5 + 0.4 * np.sin(9 * x + 4 * y), 0.3 + 0.6 * x, 0.8 - 0.5 * y * x]
    picture = (np.stack(channels, -1) + random.normal(0, 0.05, (height, width, 3))).clip(0, 1).astype(np.float32)
    known = np.ones((height, width), bool)
    known[30:50, 30:39] = False
    masks = {"inpaint": {"mask": known}, "restore": {"mask": random.random((height, width)) > 0.3}, "denoise": {}}
    result = getattr(untaught, task)(picture, recipe=recipe, iterations=2, device="cpu", **masks[task])
    return hashlib.sha256(result.picture.tobytes() + json.dumps(result.history["loss"]).encode()).hexdigest()


@pytest.fixture(scope="module")
def in_a_new_process() -> dict[str, dict[str, str]]:
    """The hashes, by number of threads and fit."""
    found = {}
    for threads in "13":
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
        done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
        found[threads] = json.loads(done.stdout)
    return found


@needs_kernels
@pytest.mark.parametrize("fit", FITS)
def test_any_number_of_threads_gives_the_same_bits(in_a_new_process, fit):
    assert len({hashes[fit] for hashes in in_a_new_process.values()}) == 1


@needs_kernels
@pytest.mark.parametrize("fit", FITS)
def test_other_work_before_does_not_change_the_bits(in_a_new_process, fit):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(2, before))
        # Memory that was in use, and functions that were called with other shapes.
        torch.full((64, 99, 101), torch.nan).cumsum(0)
        assert digest(fit) == in_a_new_process["1"][fit]
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    sys.stdout.write(json.dumps({fit: digest(fit) for fit in FITS}))
