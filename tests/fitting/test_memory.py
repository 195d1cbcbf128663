"""Recipes that are cut down where there is too little memory."""

import dataclasses

import numpy as np
import pytest

import untaught
from untaught.backend.engine import choose_engine
from untaught.errors import InputError
from untaught.fitting.memory import fitted_to_memory, needed_memory
from untaught.recipes import RECIPES, find_recipe

ENGINE = choose_engine("cpu")
BEST = find_recipe("restore", "best")
BEST = dataclasses.replace(BEST, input=dataclasses.replace(BEST.input, patch=4000))  # shown whole


def test_a_picture_shown_in_patches_needs_little_more_when_it_is_large():
    recipe = find_recipe("inpaint", "balanced")
    small, large = (needed_memory(recipe, 1, size, ENGINE) for size in ((512, 512), (3000, 4000)))
    # Besides what the network takes, the pictures of the answer.
    assert large < small + 12e6 * (250 + 100)


@pytest.mark.parametrize(
    "recipe", [recipe for row in RECIPES.values() for recipe in row.values()], ids=lambda r: r.name
)
def test_with_enough_memory_nothing_changes(recipe):
    assert fitted_to_memory(recipe, 1, (64, 64), ENGINE, 1e12) == (recipe, None)
    assert fitted_to_memory(recipe, 1, (64, 64), ENGINE, None) == (recipe, None)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.45])
def test_with_less_memory_the_recipe_is_cut_down_until_it_fits(share):
    size = (4000, 3000)
    available = share * needed_memory(BEST, 1, size, ENGINE)
    smaller, sentence = fitted_to_memory(BEST, 1, size, ENGINE, available)
    assert needed_memory(smaller, 1, size, ENGINE) < available
    assert smaller.runs == 1
    assert "GB" in sentence
    assert (smaller.network == BEST.network) == (share > 0.55)
    assert dataclasses.replace(smaller, runs=BEST.runs, network=BEST.network) == BEST


def test_a_picture_that_never_fits_is_refused():
    with pytest.raises(InputError, match="make it smaller"):
        fitted_to_memory(BEST, 1, (10_000, 10_000), ENGINE, 1e9)


def test_the_user_is_told_and_the_record_holds_the_smaller_recipe(monkeypatch):
    free = 0.9 * needed_memory(find_recipe("restore", "balanced"), 1, (64, 64), ENGINE)
    monkeypatch.setattr("untaught.tasks.jobs.available_memory", lambda _: free)
    picture = np.random.default_rng(0).random((64, 64))
    result = untaught.restore(picture, picture > 0.5, iterations=2)
    assert "memory" in result.notes[0]
    assert result.recipe["network"]["down_channels"][0] < 32
    assert result.picture.shape == (64, 64)
