"""What files hold: samples, pages, metadata."""

import struct
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from untaught import cli
from untaught.imaging import reading

pytestmark = pytest.mark.usefixtures("case")


def read(name):
    return np.asarray(Image.open(name))


@pytest.mark.parametrize("name", ["w_artist", "w_copy", "w_date", "w_date0", "w_desc", "w_soft"])
@pytest.mark.parametrize("suffix", ["tif", pytest.param("png", marks=pytest.mark.slow)])
def test_03_texts_do_not_cost_the_picture(name, suffix):
    words = f"denoise {name}.tif --noise 5 --iterations 1 -o out.{suffix}"
    assert cli.main(words.split()) == 0
    assert reading.read(f"out.{suffix}").pixels.shape == tifffile.imread(f"{name}.tif").shape


@pytest.mark.parametrize("name", ["t_gray4", "t_gray4_miw", "t_gray12", "t_gray12_miw"])
def test_08_few_bits_fill_the_range(name):
    assert cli.main(f"inpaint {name}.tif --mask m2.png -o out.tif --iterations 1".split()) == 0
    found, known = tifffile.imread("out.tif"), read("m2.png") > 0
    given = tifffile.imread(f"{name}.tif").astype(float)
    top = 15 if "4" in name.split("_")[1] else 4095
    given = top - given if "miw" in name else given
    np.testing.assert_allclose(found[known], (given * (np.iinfo(found.dtype).max / top))[known], atol=0.51)


def test_09_alpha_is_not_inverted():
    assert cli.main(["inpaint", "t_miw_alpha.tif", "--mask", "m2.png", "-o", "out.tif", "--iterations", "1"]) == 0
    given, found = tifffile.imread("t_miw_alpha.tif"), tifffile.imread("out.tif")
    known = read("m2.png") > 0
    np.testing.assert_array_equal(found[..., 1], given[..., 1])
    np.testing.assert_array_equal(found[known, 0], 255 - given[known, 0])


@pytest.mark.parametrize("name", ["t_icclab", "t_ycbcr_lzw"])
def test_10_colours_become_rgb(name):
    assert cli.main(f"inpaint {name}.tif --mask m2.png -o out.tif --iterations 1".split()) == 0
    with tifffile.TiffFile("out.tif") as file:
        assert file.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
    given, found, known = tifffile.imread(f"{name}.tif"), tifffile.imread("out.tif").astype(float), read("m2.png") > 0
    # The lightness that the file states is that of the result.
    light = given[..., 0].astype(float)
    assert np.corrcoef(light[known], (found @ [0.299, 0.587, 0.114])[known])[0, 1] > 0.97
    if name == "t_ycbcr_lzw":
        np.testing.assert_allclose((found @ [0.299, 0.587, 0.114])[known], light[known], atol=12)


def test_13_the_thumbnail_does_not_show_what_was_removed():
    with Image.open("j_thumb.jpg") as given:
        comment = given.info.get("comment")
    for suffix in ("jpg", "png", "tif"):
        assert cli.main(f"inpaint j_thumb.jpg --mask j_mask.png -o out.{suffix} --iterations 1".split()) == 0
        with Image.open(f"out.{suffix}") as made:
            exif = made.getexif()
            assert exif.get_ifd(0x8769), suffix
            assert not any(tag in exif.get_ifd(1) for tag in (0x0201, 0x0202)), suffix
            if suffix == "jpg":
                assert made.info.get("comment") == comment
    assert cli.main(["upscale", "j_thumb.jpg", "--factor", "2", "-o", "up.jpg", "--iterations", "1"]) == 0
    with Image.open("up.jpg") as made:
        assert made.getexif().get_ifd(0x8769).get(0xA002, made.width) == made.width


@pytest.mark.parametrize("name", ["ij.tif", "ij_z.tif"])
def test_14_the_scale_of_imagej(name):
    words = f"denoise {name} --noise 5 -o out.tif --iterations 1"
    assert cli.main([*words.split(), *(["--volume"] if "z" in name else [])]) == 0
    with tifffile.TiffFile(name) as given, tifffile.TiffFile("out.tif") as made:
        assert made.is_imagej
        assert made.imagej_metadata["unit"] == given.imagej_metadata["unit"]
        own, old = (np.divide(*one.pages[0].tags["XResolution"].value) for one in (made, given))
        assert own == pytest.approx(old, rel=1e-5)


@pytest.mark.parametrize("name", ["ome_um.ome.tif", "sh.tif"])
def test_14_the_description_fits_the_upscaled_picture(name):
    assert cli.main(f"upscale {name} --factor 2 -o up.{name} --iterations 1".split()) == 0
    with tifffile.TiffFile(f"up.{name}") as file:
        assert file.pages[0].shape == (128, 128)
        assert file.series[0].shape == (128, 128)
        if "ome" in name:
            with tifffile.TiffFile(name) as old:
                sizes = [
                    float(tifffile.xml2dict(one.ome_metadata)["OME"]["Image"]["Pixels"]["PhysicalSizeX"])
                    for one in (file, old)
                ]
            assert sizes[0] == pytest.approx(sizes[1] / 2)


def test_15_the_place_on_the_map_stays():
    assert (
        cli.main(["restore", "t_demnan.tif", "--value-range", "150", "450", "-o", "out.tif", "--iterations", "2"]) == 0
    )
    with tifffile.TiffFile("t_demnan.tif") as given, tifffile.TiffFile("out.tif") as made:
        for tag in (33550, 33922, 34735, 42113):
            assert made.pages[0].tags[tag].value == given.pages[0].tags[tag].value
        old, new = given.asarray(), made.asarray()
    known = np.isfinite(old) & (old != -9999)
    assert not known.all()
    np.testing.assert_array_equal(new[known], old[known])
    assert new.min() > 150


@pytest.mark.parametrize("name", ["p_gama", "p_gama16"])
def test_19_the_colours_of_a_png_stay(case, name):
    assert cli.main(f"inpaint {name}.png --mask j_mask.png -o out.png --iterations 1".split()) == 0

    def chunks(path):
        content, place, found = path.read_bytes(), 8, {}
        while place < len(content):
            size, kind = struct.unpack(">I4s", content[place : place + 8])
            found[kind] = content[place + 8 : place + 8 + size]
            place += 12 + size
        return found

    given, made = chunks(case / f"{name}.png"), chunks(case / "out.png")
    for kind in (b"gAMA", b"cHRM", b"tEXt"):
        assert made.get(kind) == given.get(kind)
    assert b"gAMA" in made


@pytest.mark.parametrize("name", ["k_scanthumb", "k_rgb_ir_page"])
def test_20_the_page_of_a_scan(capsys, name):
    words = f"inpaint {name}.tif --mask k_mask.png -o out.tif --iterations 1"
    code = cli.main(words.split())
    if name == "k_rgb_ir_page":
        assert code == 2
        assert "--page" in capsys.readouterr().err
        code = cli.main([*words.split(), "--page", "1"])
    assert code == 0
    given, known = tifffile.imread(f"{name}.tif", key=0), read("k_mask.png") > 0
    np.testing.assert_array_equal(tifffile.imread("out.tif")[known], given[known])


@pytest.mark.parametrize(("name", "sentence"), [("j_12bit", "12 bits"), ("j_trunc", "cut off")])
def test_21_jpegs_that_are_refused(capsys, name, sentence):
    assert cli.main(["inspect", f"{name}.jpg"]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert ("damaged" in said) <= (name == "j_trunc")


def test_api_03_reading_comes_to_an_end():
    start = time.monotonic()
    assert cli.main(["inspect", "hang.ome.tif"]) in (0, 2)
    assert time.monotonic() - start < 40
