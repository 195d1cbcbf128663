"""Signals that do not fill their container: the result is better than the input."""

import re
import runpy

import numpy as np
import pytest
import tifffile

import untaught
from untaught import cli


def cut(names, side):
    """Keep a corner of pictures, so that a fit takes seconds."""
    for name in names:
        tifffile.imwrite(f"{name}.tif", tifffile.imread(f"{name}.tif")[-side:, -side:])


@pytest.mark.usefixtures("case")
@pytest.mark.parametrize(
    ("name", "clean", "most"),
    [
        ("n_noisy20", "n_clean", 0.6),
        pytest.param("n_noisy5", "n_clean", 0.95, marks=pytest.mark.slow),
        pytest.param("d12L", "d12L_clean", 0.8, marks=pytest.mark.slow),
        pytest.param("e_astro", "e_astro_clean", 0.8, marks=pytest.mark.slow),
    ],
)
def test_01_denoise(rms, name, clean, most):
    cut((name, clean), 48)
    assert cli.main(["denoise", f"{name}.tif", "-o", "out.tif", "--iterations", "50", "--quiet"]) == 0
    given, wanted, found = (tifffile.imread(f"{one}.tif") for one in (name, clean, "out"))
    assert rms(found, wanted) < most * rms(given, wanted)
    assert found.dtype == given.dtype


@pytest.mark.usefixtures("case")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["m_raw12", "m_raw10"])
def test_02_demosaic(rms, name):
    assert cli.main(["demosaic", f"{name}.tif", "-o", "out.tif", "--iterations", "200", "--quiet"]) == 0
    clean, found = tifffile.imread(f"{name}_clean.tif"), tifffile.imread("out.tif")
    assert 20 * np.log10(clean.max() / rms(found, clean)) > 31
    assert found.max() < 1.1 * clean.max()


@pytest.mark.usefixtures("case")
def test_02_restore(rms):
    assert cli.main(["restore", "r_drop.tif", "--mask", "r_mask.tif", "-o", "out.tif", "--iterations", "40"]) == 0
    clean, found = tifffile.imread("r_clean.tif"), tifffile.imread("out.tif")
    known = tifffile.imread("r_mask.tif") > 0
    np.testing.assert_array_equal(found[known], clean[known])
    assert 20 * np.log10(4000 / rms(found, clean)) > 30


@pytest.mark.usefixtures("case")
@pytest.mark.slow
def test_api_01_dim_microscope_picture(rms):
    noisy, clean, mask = (tifffile.imread(f"{name}.tif")[-64:, -64:] for name in ("noisy", "clean", "mask"))
    assert rms(untaught.denoise(noisy, iterations=50).picture, clean) < 0.8 * rms(noisy, clean)
    restored = untaught.restore(clean, mask > 0, iterations=20)
    error = -20 * np.log10(rms(restored.picture[mask == 0], clean[mask == 0]) / 300)
    assert error > 22
    assert restored.expected_psnr == pytest.approx(error, abs=3)


def sky():
    clean = 100 + 200 * np.exp(-(((np.mgrid[:64, :64] - 32) ** 2).sum(0)) / 200)
    return clean, np.random.default_rng(0).normal(0, 10, clean.shape)


@pytest.mark.parametrize("given", [(0, 65535), pytest.param(None, marks=pytest.mark.slow)])
def test_api_05_small_noise_beside_a_star(rms, given):
    clean, noise = sky()
    clean[30, 40] += 60000
    away = np.ones(clean.shape, bool)
    away[26:35, 36:45] = False
    observed = (clean + noise).astype("f4" if given else "u2")
    found = untaught.denoise(observed, value_range=given, noise=10, iterations=50).picture
    assert rms(found[away], clean[away]) < 6
    assert found[30, 40] == observed[30, 40]


@pytest.mark.parametrize("given", [(0, 1000), (0, 300)])
def test_api_06_stars_beyond_the_range(given):
    clean, noise = sky()
    places = (10, 30), (10, 40)
    clean[places] += 5000, 20000
    observed = (clean + noise).astype("f4")
    result = untaught.denoise(observed, value_range=given, noise=10, iterations=2)
    np.testing.assert_array_equal(result.picture[places], observed[places])
    assert any("carried over as they are" in note for note in result.notes)


def test_api_07_each_channel_has_its_own_noise(rms):
    y, x = np.mgrid[:48, :48]
    clean = np.stack([100 + 60 * np.sin(x / 4) + 30 * np.cos(y / 3), 90 + 70 * np.cos(x / 5 + y / 7)], -1)
    observed = (clean + np.random.default_rng(0).normal(0, 1, clean.shape) * [2, 40]).astype("f4")
    found = untaught.denoise(observed, value_range=(0, 255), iterations=50).picture
    assert rms(found[..., 0], clean[..., 0]) < rms(observed[..., 0], clean[..., 0])
    assert rms(found[..., 1], clean[..., 1]) < 20


@pytest.mark.usefixtures("case")
@pytest.mark.slow
def test_api_07_the_good_channel_of_a_photograph_gains(capsys):
    runpy.run_path("repro.py")
    together, alone = capsys.readouterr().out.splitlines()
    # The notes at the end have figures, too.
    (given, *_), (good, bad, *_) = (re.findall(r"\d\d\.\d+", part) for part in together.split("together"))
    assert float(good) > float(given)
    assert float(bad) > 23
    assert float(re.findall(r"\d\d\.\d+", alone)[0]) > float(given)
