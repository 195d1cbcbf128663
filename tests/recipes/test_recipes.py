"""The shipped recipes: their names, and the published settings."""

import pytest

from untaught.errors import SettingError
from untaught.recipes import RECIPES, find_recipe

ALL = [(row, name) for row, recipes in RECIPES.items() for name in recipes]


@pytest.mark.parametrize(("row", "name"), ALL, ids=["-".join(one) for one in ALL])
def test_every_recipe_is_found_by_its_own_name(row, name):
    recipe = find_recipe(row, name)
    assert recipe is RECIPES[row][name]
    assert recipe.name == name
    assert recipe.source


def test_every_row_begins_with_the_default_and_has_the_published_ones():
    for row, recipes in RECIPES.items():
        assert next(iter(recipes)) == "balanced"
        # Nothing has been published for volumes and layers, and the reproduction says nothing of features.
        published = {"volume": set(), "separate": set(), "invert": {"paper"}, "activate": {"paper"}}
        assert published.get(row, {"printed", "paper"}) <= set(recipes)


@pytest.mark.parametrize(
    ("row", "name", "message"), [("sharpen", "balanced", "unknown task"), ("fit", "balancd", "did you mean balanced")]
)
def test_an_unknown_name_is_refused(row, name, message):
    with pytest.raises(SettingError, match=message):
        find_recipe(row, name)


@pytest.mark.parametrize(
    ("row", "name", "rate", "noise", "iterations", "skips", "upsampling"),
    [
        ("inpaint", "paper", 0.01, 0.03, 6000, 128, "nearest"),
        ("inpaint", "paper-hole", 0.01, 0.03, 5000, 0, "nearest"),
        ("restore", "paper", 0.001, 0.03, 11000, 4, "bilinear"),
        ("restore", "printed", 0.01, 1 / 30, 2000, 4, "bicubic"),
    ],
)
def test_published_settings(row, name, rate, noise, iterations, skips, upsampling):
    recipe = find_recipe(row, name)
    assert recipe.optimiser.name == "adam"
    assert recipe.optimiser.learning_rate == rate
    assert recipe.input.perturbation.standard_deviation == noise
    assert recipe.iterations == iterations
    assert recipe.network.skip_channels == (skips,) * 5
    assert recipe.network.upsampling == upsampling
    assert recipe.input.kind == ("grid" if name == "paper-hole" else "uniform")


@pytest.mark.parametrize(
    ("row", "name", "rate", "noise", "skips", "upsampling", "padding"),
    [
        ("invert", "paper", 0.001, "none", (4, 4, 4, 4, 4, 4), "nearest", "zero"),
        ("activate", "paper", 0.01, "fresh", (0, 4, 4, 4, 4, 4), "bilinear", "reflection"),
        ("activate", "paper-channel", 0.001, "fresh", (0, 4, 4, 4, 4, 4), "bilinear", "reflection"),
    ],
)
def test_published_settings_for_features(row, name, rate, noise, skips, upsampling, padding):
    recipe = find_recipe(row, name)
    assert (recipe.optimiser.name, recipe.optimiser.learning_rate, recipe.iterations) == ("adam", rate, 3100)
    assert recipe.input.perturbation.kind == noise
    assert recipe.averaging == 0
    network = recipe.network
    assert network.down_channels == network.up_channels == (16, 32, 64, 128, 128, 128)
    assert (network.skip_channels, network.upsampling, network.padding) == (skips, upsampling, padding)
    assert network.downsampling == "average"
