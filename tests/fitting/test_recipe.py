"""A recipe as a value: to a record and back, also from the records of version 0.1, and for large pictures."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import untaught
from untaught import (
    RECIPES,
    CoordinateInput,
    HeldOut,
    MaskedInput,
    NoiseInput,
    OptimiserSettings,
    PerturbationSettings,
    R2RInput,
    Recipe,
    ResidualPeak,
    SettingError,
    recipe_from_record,
)

RECORDS = Path(__file__).parent.parent / "data/records-0.1"

SHIPPED = {f"{row}-{name}": recipe for row, recipes in RECIPES.items() for name, recipe in recipes.items()}


def through_json(recipe):
    return json.loads(json.dumps(recipe.record()))


@pytest.mark.parametrize("recipe", SHIPPED.values(), ids=SHIPPED)
def test_every_shipped_recipe_survives_a_record(recipe):
    again = recipe_from_record(through_json(recipe))
    assert again.adapted, "a record holds the recipe as it was used"
    assert dataclasses.replace(again, adapted=False) == recipe
    assert recipe_from_record(through_json(again)) == again


OLD = {
    "grid": (
        CoordinateInput(
            kind="grid", channels=2, perturbation=PerturbationSettings(kind="fresh", standard_deviation=0.03)
        ),
        OptimiserSettings(learning_rate=0.01),
        "none",
    ),
    "noise": (
        NoiseInput(perturbation=PerturbationSettings(kind="fresh", standard_deviation=0.03)),
        OptimiserSettings(name="muon", learning_rate=0.01),
        HeldOut(pattern="shapes", every=5, patience=100),
    ),
    "masked": (
        MaskedInput(pattern="shapes", least=0.7, most=0.7),
        OptimiserSettings(name="muon", learning_rate=0.02),
        HeldOut(pattern="shapes", every=5, patience=100),
    ),
    "r2r": (
        R2RInput(),
        OptimiserSettings(name="muon", learning_rate=0.02),
        ResidualPeak(every=5, patience=20, tolerance=0.0),
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_records_of_version_0_1_are_migrated(name):
    values = json.loads((RECORDS / f"{name}.json").read_text())["recipe"]
    recipe = recipe_from_record(values)
    scheme, optimiser, stopping = OLD[name]
    assert recipe.input == scheme
    assert recipe.optimiser == optimiser
    assert recipe.stopping.rule == "none" if stopping == "none" else recipe.stopping == stopping
    assert recipe.network.down_channels == (4, 4)
    assert (recipe.name, recipe.averaging, recipe.iterations) == (
        values["name"],
        values["averaging"],
        values["iterations"],
    )
    assert recipe.adapted
    assert recipe_from_record(through_json(recipe)) == recipe


def cooling(iteration, iterations):
    return 1 - 0.5 * iteration / iterations


class Constant:
    def update(self, state):  # noqa: ARG002
        return 1.0


class Ownable:
    def build(self, measurement, generator):
        raise NotImplementedError


OWN = {
    "network": nn.Conv2d(32, 3, 1),
    "input": Ownable(),
    "optimiser": torch.optim.Adam,
    "stopping": Constant(),
    "loss": torch.nn.functional.huber_loss,
    "regulariser": untaught.total_variation(0.1),
}


@pytest.mark.parametrize("name", OWN)
def test_a_record_names_an_own_object_and_asks_for_it(name):
    recipe = Recipe(iterations=3, **{name: OWN[name]})
    values = through_json(recipe)
    assert '"object"' in json.dumps(values[name])
    with pytest.raises(SettingError, match=rf"the recipe's {name} is an object .*pass it again, {name}="):
        recipe_from_record(values)
    again = recipe_from_record(values, **{name: OWN[name]})
    assert dataclasses.replace(again, adapted=False) == recipe


def test_a_schedule_of_the_users_own_is_asked_for_too():
    recipe = Recipe(optimiser=OptimiserSettings(schedule=cooling), iterations=3)
    values = through_json(recipe)
    with pytest.raises(SettingError, match=r"optimiser is an object .*cooling"):
        recipe_from_record(values)
    assert recipe_from_record(values, optimiser=recipe.optimiser).optimiser == recipe.optimiser


@pytest.mark.parametrize(
    "change",
    [
        {"speed": 9},
        {"network": {"depth": 5}},
        {"network": {"kind": "transformer"}},
        {"iterations": 0},
        {"input": {"kind": "uniform", "channels": 8}},
        {"input": {"kind": "video"}},
        {"stopping": {"rule": "guess"}},
        {"averaging": 1.0},
        {"loss": "l2"},
    ],
)
def test_a_record_with_impossible_settings_is_refused(change):
    values = untaught.find_recipe("restore", "paper").record()
    with pytest.raises(SettingError):
        recipe_from_record({**values, **change})


def test_a_network_that_is_shown_the_picture_has_no_head():
    with pytest.raises(SettingError, match="its head is 'none'"):
        Recipe(input=MaskedInput(), iterations=3)


@pytest.mark.parametrize("recipe", SHIPPED.values(), ids=SHIPPED)
def test_a_recipe_fits_a_picture_that_is_no_larger_than_a_patch(recipe):
    assert recipe.for_size((96, 80)) is recipe


def test_a_large_picture_is_waited_for():
    recipe = untaught.find_recipe("denoise", "balanced")
    assert recipe.for_size((512, 400)) is recipe
    noise = untaught.find_recipe("inpaint", "noise")
    assert noise.for_size((4000, 3000)) is noise
    larger = recipe.for_size((1024, 1024))
    assert (larger.iterations, larger.stopping.rule) == (800, "none")
    small_patches = untaught.find_recipe("inpaint", "balanced")
    larger = small_patches.for_size((768, 768))
    assert (larger.iterations, larger.stopping.every, larger.stopping.patience) == (438, 23, 438)
    # Iterations, and the time with them, grow with the damage.
    damage = torch.zeros(768, 768, dtype=torch.bool)
    damage[100:110, 200:210] = True
    assert small_patches.for_size((768, 768), damage).iterations < 400


def test_a_small_picture_is_shown_whole_and_strips_in_smaller_patches():
    recipe = untaught.find_recipe("restore", "balanced")
    whole = recipe.for_size((256, 250))
    assert whole.patch == 256
    # It sees more pixels than the fit of one patch, and fewer than twice as many.
    assert 1 < whole.iterations * 256 * 250 / (recipe.iterations * recipe.patch**2) < 2
    assert recipe.for_size((512, 512)).patch == recipe.patch
    assert recipe.for_size((512, 512), strips=[(0, 128, 0, 512)]).patch < 128
    assert dataclasses.replace(recipe, input=MaskedInput()).for_size((256, 256)).patch == 512


def test_a_recorded_recipe_is_not_adapted_again():
    recorded = recipe_from_record(through_json(untaught.find_recipe("inpaint", "balanced").for_size((1024, 1024))))
    assert recorded.for_size((1024, 1024)) is recorded


def test_the_same_recipe_for_volumes():
    recipe = untaught.find_recipe("fit", "balanced")
    assert recipe.with_dimensions(2) is recipe
    assert recipe.with_dimensions(3).network == dataclasses.replace(recipe.network, dimensions=3)
    for name in ("inpaint", "denoise"):
        with pytest.raises(SettingError, match="pictures only"):
            untaught.find_recipe(name, "balanced").with_dimensions(3)
