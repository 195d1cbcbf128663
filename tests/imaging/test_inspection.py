"""Properties of a picture, and the treatment that is suggested."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize

from untaught import cli, inspect
from untaught.errors import InputError
from untaught.imaging.jpeg_tables import read_compression

PHOTO = data.astronaut()[:192, 128:320]
DRAW = np.random.default_rng(0)


def figures(picture, **more):
    return {finding.name: finding.value for finding in inspect(picture, **more).findings}


def salted(picture):
    hit = DRAW.random((*picture.shape[:2], *[1] * (picture.ndim - 2))) < 0.05
    return np.where(hit, DRAW.choice([0, 255], hit.shape), picture).astype(np.uint8)


def dropped(picture):
    return np.where(DRAW.random((*picture.shape[:2], *[1] * (picture.ndim - 2))) < 0.4, 0, picture)


def noisy(picture):
    return (picture + DRAW.normal(0, 15, picture.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("spoil", "treatment"),
    [
        (lambda picture: picture, ()),
        (noisy, ("denoise",)),
        (dropped, ("restore",)),
        (salted, ("denoise", "--kind", "impulse")),
    ],
)
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "camera"])
def test_the_treatment_fits_the_damage(spoil, treatment, name):
    assert inspect(spoil(getattr(data, name)()[:160, :160])).treatment == treatment


@pytest.mark.parametrize("level", [15, 40])
def test_grain_is_measured_and_treated(level):
    """Neighbours share grain, and its finest detail alone would tell too little of it."""
    grain = gaussian_filter(DRAW.normal(0, 1, (128, 128)), 0.8)
    found = inspect(100 + level * grain / grain.std(), value_range=(0, 255))
    figures = {finding.name: finding.value for finding in found.findings}
    assert figures["noise"] == pytest.approx(level, rel=0.15)
    assert figures["noise_length"] == pytest.approx(1.3, abs=0.5)
    assert found.treatment == ("denoise",)


@pytest.mark.parametrize("level", [5, 15, 40])
def test_the_noise_is_measured(level):
    gray = np.full((128, 128), 100.0) + DRAW.normal(0, level, (128, 128))
    assert figures(gray, value_range=(0, 255))["noise"] == pytest.approx(level, rel=0.1)


@pytest.mark.parametrize("factor", [1.5, 2, 3])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_an_enlargement_is_noticed(factor, name):
    small = getattr(data, name)()[:128, :128] / 255
    side = round(128 * factor)
    enlarged = (resize(small, (side, side), order=3) * 255).round().clip(0, 255).astype(np.uint8)
    assert figures(enlarged)["finest_detail"] == pytest.approx(factor, rel=0.4)
    assert figures((small * 255).astype(np.uint8))["finest_detail"] < 1.25


@pytest.mark.parametrize("quality", [10, 40, 70])
def test_the_quality_of_a_jpeg_is_read_from_its_tables(quality):
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", quality=quality)
    found = inspect(PHOTO, compression=read_compression(file.getvalue()))
    assert {finding.name: finding.value for finding in found.findings}["jpeg_quality"] == quality
    assert found.treatment == ("dejpeg",)


def test_bits_in_use():
    twelve = DRAW.integers(0, 4096, (64, 64)).astype(np.uint16)
    assert figures(twelve)["bits"] == 12
    assert figures(twelve << 4)["bits"] == 12
    assert figures(PHOTO)["bits"] == 8
    assert figures(np.float32(PHOTO / 255))["bits"] == "float32"


def test_unusual_pictures():
    spectrum = DRAW.random((32, 40, 7)).astype(np.float32)
    spectrum[3, 4] = np.nan
    assert figures(spectrum)["not_finite"] == pytest.approx(1 / 1280)
    assert figures(np.zeros((32, 32), np.uint8))["black"] == 1
    assert figures(np.full((32, 32), 255, np.uint8))["saturated"] == 1
    with pytest.raises(InputError, match="16 pixels"):
        inspect(np.zeros((8, 40)))
    with pytest.raises(InputError, match="NaN or infinite"):
        inspect(np.full((32, 32), np.nan))


def test_command(tmp_path, capsys):
    path = tmp_path / "photo.png"
    Image.fromarray(noisy(PHOTO)).save(path)
    assert cli.main(["inspect", str(path)]) == 0
    assert f"treat it with: untaught denoise {path} -o" in capsys.readouterr().out
    assert cli.main(["inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bits"] == 8
    assert cli.main(["inspect", str(tmp_path / "none.png")]) == 2


def waved(picture):
    y, x = np.indices(picture.shape[:2])
    return picture + 20 * np.sin(0.8 * x + 1.3 * y).reshape(*y.shape, *[1] * (picture.ndim - 2))


def banded(picture):
    return picture + DRAW.normal(0, 10, picture.shape[0]).reshape(-1, *[1] * (picture.ndim - 1))


MADE = {
    "clipped noise": (lambda picture: picture + DRAW.normal(0, 25, picture.shape), "denoise"),
    "much clipped noise": (lambda picture: 0.5 * picture + DRAW.normal(0, 30, picture.shape), "denoise"),
    "photons": (lambda picture: DRAW.poisson(picture / 10.0) * 10.0, "denoise"),
    "stripes": (banded, "lines or columns"),
    "waves": (waved, "regular pattern"),
    "blur": (lambda picture: gaussian_filter(picture.astype(float), (2.5, 2.5, 0)[: picture.ndim]), "blurred"),
}


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("name", ["astronaut", "camera"])
def test_made_damage_is_told_or_doubted(kind, name):
    spoil, says = MADE[kind]
    found = inspect(spoil(getattr(data, name)()[:160, 120:280]).round().clip(0, 255).astype(np.uint8))
    assert says in (" ".join(found.treatment) or found.doubt)
    assert not (found.treatment and found.doubt)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_a_raw_mosaic_is_recognised(name):
    colours = getattr(data, name)()[:128, 128:256]
    raw = colours[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = colours[::2, ::2, 0], colours[1::2, 1::2, 2]
    assert inspect(raw).treatment == ("demosaic",)
