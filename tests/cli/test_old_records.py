"""Records and checkpoints that version 0.1 has written can still be repeated and resumed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from untaught.cli import main

OLD = Path(__file__).parents[1] / "data" / "records-0.1"
GREY_LEVELS = 3  # processors round differently
IN_THE_MEAN = 2
"""Grey levels. The last step of denoising is a better filter than it was: the fit is the same, the picture is not."""


@pytest.fixture
def in_old_folder(tmp_path, monkeypatch):
    """A copy of the old records, as the current folder: their paths are relative to it."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")


def assert_alike(made, expected):
    made, old, expected = (
        np.asarray(Image.open(name)).astype(int)
        for name in (f"{made}.png", f"{expected}.png", f"{expected}{'-now' * expected.startswith('r2r')}.png")
    )
    assert made.shape == old.shape
    assert np.abs(made - expected).max() <= GREY_LEVELS
    assert np.abs(made - old).mean() <= IN_THE_MEAN


@pytest.mark.usefixtures("in_old_folder")
@pytest.mark.parametrize("name", ["masked", "r2r", "noise", "grid"])
def test_an_old_record_can_be_repeated(name):
    assert main(["repeat", f"{name}.json", "-o", "again.png", "--quiet"]) == 0
    assert_alike("again", name)


@pytest.mark.usefixtures("in_old_folder")
@pytest.mark.parametrize("name", ["masked", "r2r"])
def test_an_old_interrupted_run_can_be_resumed(name):
    assert main(["resume", f"{name}-open.checkpoint", "-o", "resumed.png", "--quiet"]) == 0
    assert_alike("resumed", name)


@pytest.mark.usefixtures("in_old_folder")
@pytest.mark.parametrize("name", ["masked", "r2r", "noise", "grid"])
def test_an_old_run_can_be_continued(name):
    assert main(["resume", f"{name}.checkpoint", "--continue-for", "5", "-o", "continued.png", "--quiet"]) == 0
    assert_alike("continued", f"{name}-continued")
