"""What a fit needs, and a smaller one where there is not enough."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

import untaught
from untaught.backend.engine import choose_engine
from untaught.errors import InputError
from untaught.fitting.memory import available_memory, fitted_to_memory, needed_memory
from untaught.recipes import RECIPES, find_recipe

ENGINE = choose_engine("cpu")
BEST = find_recipe("restore", "best")
BEST = dataclasses.replace(BEST, thinning=dataclasses.replace(BEST.thinning, window=4000))  # large ones in one piece

MEASURE = """
import sys, numpy as np, untaught
from untaught.tasks.preparation import prepare
def told(name):
    return 1024 * int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith(name)))
draw = np.random.default_rng(0)
job = prepare(sys.argv[1], draw.random((320, 320)), draw.random((320, 320)) > 0.5, recipe=sys.argv[2], device="cpu")
before = told("VmRSS")
for state in job.begin():
    if state.iteration == 2:
        break
print(told("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(("task", "name"), [("restore", "balanced"), ("inpaint", "balanced"), ("restore", "printed")])
def test_the_reckoning_is_not_far_off(task, name):
    took = int(subprocess.check_output([sys.executable, "-c", MEASURE, task, name]))
    needed = needed_memory(find_recipe(task, name), 1, (320, 320), ENGINE)
    assert 0.6 * took < needed < 2.5 * took


def test_a_picture_that_is_seen_in_windows_needs_little_more_for_being_large():
    recipe = find_recipe("inpaint", "balanced")
    small, large = (needed_memory(recipe, 1, size, ENGINE) for size in ((512, 512), (3000, 4000)))
    assert large < small + 12e6 * 250


@pytest.mark.parametrize("recipe", [recipe for row in RECIPES.values() for recipe in row], ids=lambda r: r.name)
def test_with_enough_nothing_changes(recipe):
    assert fitted_to_memory(recipe, 1, (64, 64), ENGINE, 1e12) == (recipe, None)
    assert fitted_to_memory(recipe, 1, (64, 64), ENGINE, None) == (recipe, None)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.3, 0.2])
def test_with_less_it_is_cut_down_until_it_fits(share):
    size = (4000, 3000)
    available = share * needed_memory(BEST, 1, size, ENGINE)
    smaller, sentence = fitted_to_memory(BEST, 1, size, ENGINE, available)
    assert needed_memory(smaller, 1, size, ENGINE) < available
    assert smaller.runs == 1
    assert "GB" in sentence
    assert (smaller.network == BEST.network) == (share > 0.55)
    assert dataclasses.replace(smaller, runs=BEST.runs, network=BEST.network) == BEST


def test_what_never_fits_is_refused_before_anything_else():
    with pytest.raises(InputError, match="make it smaller"):
        fitted_to_memory(BEST, 1, (10_000, 10_000), ENGINE, 1e9)


def test_the_user_is_told_and_the_record_has_what_was_done(monkeypatch):
    from untaught.tasks import preparation

    monkeypatch.setattr(preparation, "available_memory", lambda _: 175e6)
    picture = np.random.default_rng(0).random((64, 64))
    result = untaught.restore(picture, picture > 0.5, iterations=2)
    assert "memory" in result.notes[0]
    assert result.recipe["network"]["down_channels"][0] < 48
    assert result.picture.shape == (64, 64)


def test_the_free_memory_is_told():
    free = available_memory(torch.device("cpu"))
    assert free is None or free > 1e8
