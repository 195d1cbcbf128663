"""What the tests of the docs share."""

import dataclasses

import pytest

import untaught


@pytest.fixture
def quick(tiny, monkeypatch):
    """Every recipe is a small one, so that an example runs in a second."""
    network = dataclasses.replace(tiny.network, input_channels=32)
    small = dataclasses.replace(tiny, network=network, input=untaught.NoiseInput())
    rows = {row: dict.fromkeys(recipes, small) for row, recipes in untaught.RECIPES.items()}
    monkeypatch.setattr("untaught.recipes.RECIPES", rows)
