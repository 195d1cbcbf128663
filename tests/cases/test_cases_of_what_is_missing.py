"""What is missing and what is known: values that stand for nothing, holes, and masks as people make them."""

import runpy

import numpy as np
import pytest
import tifffile
from PIL import Image

from untaught import cli

pytestmark = pytest.mark.usefixtures("case")


def read(name):
    return np.asarray(Image.open(name))


def test_04_a_black_background_is_known(capsys):
    assert cli.main(["restore", "k_xray.png", "-o", "out.png", "--iterations", "2"]) == 0
    given, clean, found = read("k_xray.png"), read("k_xray_clean.png"), read("out.png")
    background = clean == 0
    assert found[background].max() == 0
    np.testing.assert_array_equal(found[given > 0], given[given > 0])
    assert "solid parts" in capsys.readouterr().err
    assert cli.main(["inspect", "k_xray.png"]) == 0
    assert "restore" in capsys.readouterr().out.splitlines()[-1]


def test_04_sea_level_is_known_and_voids_are_not():
    assert (
        cli.main(["restore", "t_srtm.tif", "--value-range", "-150", "150", "-o", "dem.tif", "--iterations", "2"]) == 0
    )
    given, found = tifffile.imread("t_srtm.tif"), tifffile.imread("dem.tif")
    np.testing.assert_array_equal(found[given != -32768], given[given != -32768])
    assert found.min() > -150


@pytest.mark.parametrize("words", ["restore k_cube_nan.tif", "inpaint k_cube.tif --mask k_cubemask.tif"])
def test_05_each_band_is_known_by_itself(words):
    for name in ("k_cube_nan.tif", "k_cube.tif", "k_cubemask.tif"):
        part = np.ascontiguousarray(tifffile.imread(name)[:32, :32])
        tifffile.imwrite(name, part, photometric="minisblack", planarconfig="contig")
    assert cli.main([*words.split(), "-o", "out.tif", "--iterations", "2"]) == 0
    given, found = tifffile.imread(words.split()[1]), tifffile.imread("out.tif")
    known = np.isfinite(given) if "nan" in words else tifffile.imread("k_cubemask.tif") > 0
    np.testing.assert_array_equal(found[known], given[known])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("words", ["inpaint a_erased.png --mask mask.png", "restore a_erased.png"])
def test_06_a_filled_hole_is_opaque(words):
    assert cli.main([*words.split(), "-o", "out.png", "--iterations", "2"]) == 0
    given, found = read("a_erased.png"), read("out.png")
    assert found[..., 3].min() == 255
    kept = given[..., 3] == 255
    if "mask" in words:
        kept &= read("mask.png") > 0
    np.testing.assert_array_equal(found[kept], given[kept])


def test_12_no_halo_from_hidden_colours():
    given, made = read("logo.png").copy(), []
    for colour in (0, 255):
        given[given[..., 3] == 0, :3] = colour
        Image.fromarray(given).save("logo.png")
        assert cli.main(["upscale", "logo.png", "--factor", "4", "-o", "out.png", "--iterations", "1"]) == 0
        made.append(read("out.png"))
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("mask", ["s_mask_aa", "s_mask_dil"])
def test_16_the_stamp_is_gone(rms, mask):
    assert cli.main(f"inpaint s_dated.png --mask {mask}.png --iterations 10 -o out.png".split()) == 0
    clean, dated, found = (read(name).astype(float) for name in ("s_clean.png", "s_dated.png", "out.png"))
    stamp = np.abs(dated - clean) > 1
    assert rms(found[stamp], clean[stamp]) < 0.25 * rms(dated[stamp], clean[stamp])


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        ("mask_inv", "white"),
        ("b_marked_red", "painted"),
        ("a_mask_layer", "layer"),
        ("a_mask_alpha", "transparent"),
        ("b_mask01", ""),
        ("b_mask_voc", ""),
    ],
)
def test_17_masks_are_understood_or_refused(capsys, mask, sentence):
    code = cli.main(f"inpaint photo.png --mask {mask}.png -o out.png --iterations 1".split())
    said = capsys.readouterr().err
    assert sentence in said
    if code == 0:
        assert (np.abs(read("out.png")[..., :3].astype(int) - read("photo.png")[..., :3]).max(-1) > 0).mean() < 0.5


def test_22_one_mask_for_all_frames():
    assert (
        cli.main(["inpaint", "k_vol.tif", "--mask", "k_vol_mask.png", "--volume", "-o", "out.tif", "--iterations", "1"])
        == 0
    )
    given, found, known = tifffile.imread("k_vol.tif"), tifffile.imread("out.tif"), read("k_vol_mask.png") > 0
    np.testing.assert_array_equal(found[:, known], given[:, known])
    assert (found[:, ~known] != given[:, ~known]).mean() > 0.5


def test_23_the_mask_of_a_masked_array_counts(capsys):
    runpy.run_path("repro.py")
    assert float(capsys.readouterr().out.split()[0]) < 0.7
