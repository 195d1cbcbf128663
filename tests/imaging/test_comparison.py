"""Comparing two pictures, from Python and by the command."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from untaught import cli
from untaught.errors import InputError
from untaught.imaging.comparison import closeness, side_by_side


@pytest.fixture
def pair(picture):
    noise = np.random.default_rng(0).normal(0, 20, picture.shape)
    return picture, (picture + noise).round().clip(0, 255).astype(np.uint8)


def test_equal_pictures_have_an_infinite_psnr(pair):
    near = closeness(pair[0] / 255, pair[0] / 255)
    assert near.psnr == float("inf")
    assert near.ssim == pytest.approx(1)


def test_values_outside_the_range_are_clipped():
    assert closeness(np.full((4, 4, 1), 1.5), np.ones((4, 4, 1))).psnr == float("inf")


def test_not_finite_is_refused():
    with pytest.raises(InputError, match="not finite"):
        closeness(np.full((4, 4, 1), np.nan), np.ones((4, 4, 1)))


def test_the_difference_is_that_of_the_second(pair):
    clean, noisy = (one / 255 for one in pair)
    row, gain = side_by_side(noisy, clean, clean)
    assert row.shape == (24, 60, 3)
    assert not row[:, 40:].any()
    assert gain == 1
    row, gain = side_by_side(clean, noisy)
    difference = np.abs(pair[1].astype(float) - pair[0])
    np.testing.assert_allclose(row[:, 40:], (difference * gain).clip(0, 255), atol=0.51)
    assert gain > 2


def test_twelve_channels_are_not_shown():
    with pytest.raises(InputError, match="12"):
        side_by_side(np.zeros((4, 4, 12)), np.zeros((4, 4, 12)))


@pytest.fixture
def folder(tmp_path, pair, monkeypatch):
    for name, one in zip(("clean", "noisy"), pair, strict=True):
        Image.fromarray(one).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_command(folder, pair, capsys):
    words = ["compare", "noisy.png", "clean.png", "--reference", "clean.png", "-o", "row.png", "--json"]
    assert cli.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    wanted = peak_signal_noise_ratio(*pair)
    assert told["first"]["psnr"] == pytest.approx(wanted, abs=1e-4)
    assert told["second"]["psnr"] is None  # equal: JSON has no infinity
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "row.png"))[:, :20], pair[1])
    assert cli.main(["compare", "noisy.png", "clean.png"]) == 0
    assert f"PSNR {wanted:.2f} dB" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_other_sizes_and_overwriting_are_refused_in_one_sentence(pair, capsys):
    Image.fromarray(pair[0][:20]).save("small.png")
    assert cli.main(["compare", "small.png", "clean.png"]) == 2
    assert cli.main(["compare", "noisy.png", "clean.png", "-o", "clean.png"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "20 x 20 x 3" in "".join(lines)
    assert "24 x 20 x 3" in "".join(lines)
