import json

import pytest

from untaught.errors import SettingError
from untaught.recipes import RECIPES, find_recipe, recipe_from_record
from untaught.tasks.options import FitOptions
from untaught.tasks.registry import TASKS

ALL = [(task, recipe) for task, recipes in RECIPES.items() for recipe in recipes]


@pytest.mark.parametrize(("task", "recipe"), ALL, ids=[f"{task}-{recipe.name}" for task, recipe in ALL])
def test_every_recipe_is_found_and_survives_a_record(task, recipe):
    assert find_recipe(task, recipe.name) is recipe
    assert recipe.source
    assert recipe_from_record(json.loads(json.dumps(recipe.record()))) == recipe


def test_the_tasks_name_them():
    for task in TASKS.values():
        assert list(task.recipe_names) == [recipe.name for recipe in RECIPES[task.name]]


def test_every_task_has_the_default_and_the_published_ones():
    for task in RECIPES:
        assert RECIPES[task][0].name == FitOptions().recipe
        # Nothing has been published for volumes and layers, and what is printed says nothing of features.
        published = {"printed", "paper"}
        if task in ("volume", "separate"):
            published = set()
        if task in ("invert", "activate"):
            published = {"paper"}
        assert published <= {recipe.name for recipe in RECIPES[task]}


@pytest.mark.parametrize(
    ("task", "name", "rate", "noise", "iterations", "skips", "upsampling"),
    [
        ("inpaint", "paper", 0.01, 0.03, 6000, 128, "nearest"),
        ("inpaint", "paper-hole", 0.01, 0.03, 5000, 0, "nearest"),
        ("restore", "paper", 0.001, 0.03, 11000, 4, "bilinear"),
        ("restore", "printed", 0.01, 1 / 30, 2000, 4, "bicubic"),
    ],
)
def test_published_settings(task, name, rate, noise, iterations, skips, upsampling):
    recipe = find_recipe(task, name)
    assert recipe.optimiser.name == "adam"
    assert recipe.optimiser.rate == rate
    assert recipe.perturbation.standard_deviation == noise
    assert recipe.iterations == iterations
    assert recipe.network.skip_channels == (skips,) * 5
    assert recipe.network.upsampling == upsampling
    assert recipe.input.kind == ("grid" if name == "paper-hole" else "uniform")


@pytest.mark.parametrize(
    ("task", "name", "rate", "noise", "skips", "upsampling", "padding"),
    [
        ("invert", "paper", 0.001, "none", (4, 4, 4, 4, 4, 4), "nearest", "zero"),
        ("activate", "paper", 0.01, "fresh", (0, 4, 4, 4, 4, 4), "bilinear", "reflection"),
        ("activate", "paper-channel", 0.001, "fresh", (0, 4, 4, 4, 4, 4), "bilinear", "reflection"),
    ],
)
def test_published_settings_for_features(task, name, rate, noise, skips, upsampling, padding):
    recipe = find_recipe(task, name)
    assert (recipe.optimiser.name, recipe.optimiser.rate, recipe.iterations) == ("adam", rate, 3100)
    assert recipe.perturbation.kind == noise
    assert recipe.averaging == 0
    network = recipe.network
    assert network.down_channels == network.up_channels == (16, 32, 64, 128, 128, 128)
    assert (network.skip_channels, network.upsampling, network.padding) == (skips, upsampling, padding)
    assert network.downsampling == "average"


@pytest.mark.parametrize(
    "change", [{"speed": 9}, {"network": {"depth": 5}}, {"iterations": 0}, {"input": {"channels": 8}}]
)
def test_a_record_with_impossible_settings_is_refused(change):
    values = find_recipe("restore", "paper").record()
    with pytest.raises(SettingError):
        recipe_from_record({**values, **change})


def test_a_large_picture_is_waited_for():
    recipe = find_recipe("denoise", "balanced")
    assert recipe.for_size((512, 400)) is recipe
    assert find_recipe("inpaint", "noise").for_size((4000, 3000)) is find_recipe("inpaint", "noise")
    larger = recipe.for_size((1024, 1024))
    assert (larger.iterations, larger.stopping.rule) == (800, "none")
    larger = find_recipe("inpaint", "balanced").for_size((1024, 1024))
    assert (larger.iterations, larger.stopping.every, larger.stopping.patience) == (1200, 40, 400)
    assert find_recipe("inpaint", "balanced").for_size((3000, 4000)).iterations == 4059
