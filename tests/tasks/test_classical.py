"""Classical methods on the same job: each makes a picture better, and hands it back as the job would."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.transform import resize

from untaught import cli
from untaught.imaging.metrics import psnr
from untaught.physics.blur import Blur, blur_kernel
from untaught.physics.resampling import Downsample
from untaught.tasks.classical import classical
from untaught.tasks.preparation import prepare

PHOTO = resize(data.astronaut()[:192, 128:320], (96, 96))
DRAW = np.random.default_rng(0)


def seen_by(operator):
    padded = np.pad(PHOTO, ((3, 3), (3, 3), (0, 0)), mode="reflect") if isinstance(operator, Blur) else PHOTO
    tensor = torch.from_numpy(np.moveaxis(padded, -1, 0)[None].copy()).float()
    return np.moveaxis(operator(tensor)[0].numpy(), 0, -1).clip(0, 1).astype(np.float64)


def mosaic():
    raw = PHOTO[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = PHOTO[::2, ::2, 0], PHOTO[1::2, 1::2, 2]
    return raw


NOISY = (PHOTO + DRAW.normal(0, 0.1, PHOTO.shape)).clip(0, 1)
KNOWN = DRAW.random(PHOTO.shape[:2]) < 0.5
CASES = {
    "restore": ((np.where(KNOWN[..., None], PHOTO, 0), KNOWN), {}, 25),
    "denoise": ((NOISY,), {"noise": 0.1}, 22),
    "guide": ((NOISY,), {"noise": 0.1, "guide": PHOTO}, 22),
    "upscale": ((seen_by(Downsample((96, 96), (48, 48))),), {"factor": 2}, 25),
    "deblur": ((seen_by(Blur(blur_kernel("disk", 3))),), {"blur": "disk", "radius": 3}, 21),
    "demosaic": ((mosaic(),), {}, 27),
    "dejpeg": ((NOISY,), {}, 22),
}


@pytest.mark.parametrize("task", CASES)
def test_each_makes_a_picture_of_it(task):
    pictures, settings, least = CASES[task]
    made = {name: method() for name, method in classical(prepare(task, *pictures, **settings)).items()}
    assert made
    for name, picture in made.items():
        assert picture.shape == PHOTO.shape
        assert picture.dtype == PHOTO.dtype
        if name not in ("median", "unsupervised Wiener"):
            assert psnr(picture, PHOTO) > least, name


def test_photons_are_counted_again():
    counts = DRAW.poisson(PHOTO * 50).astype(float)
    job = prepare("denoise", counts / 50, kind="poisson", gain=1 / 50, value_range=(0, 1))
    for method in classical(job).values():
        assert psnr(method().clip(0, 1), PHOTO) > 20


def test_what_is_known_is_kept():
    pictures, settings, _ = CASES["restore"]
    (method,) = classical(prepare("restore", *pictures, **settings)).values()
    np.testing.assert_array_equal(method()[KNOWN], PHOTO[KNOWN])


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, picture in (("clean", PHOTO), ("damaged", CASES["restore"][0][0]), ("known", KNOWN)):
        Image.fromarray((picture * 255).astype(np.uint8)).save(f"{name}.png")
    words = ["--mask", "known.png", "-o", "out.png", "--record", "run.json", "--iterations", "2", "--quiet"]
    assert cli.main(["restore", "damaged.png", *words, "--preset", "fast"]) == 0
    compare = ["compare", "damaged.png", "out.png", "--baselines", "run.json"]
    assert cli.main([*compare, "--reference", "clean.png", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["biharmonic"]["psnr"] > told["first"]["psnr"] + 5
    assert told["biharmonic"]["seconds"] > 0
    assert cli.main(compare) == 2
    assert "--reference" in capsys.readouterr().err


def test_only_a_recipe_that_fills_in_smoothly_says_so():
    known = np.ones(PHOTO.shape[:2], bool)
    known[30:70, 30:70] = False

    def notes(recipe):
        return " ".join(prepare("inpaint", PHOTO, known, recipe=recipe).problem.notes)

    assert "a hole 40 pixels across, which is filled in smoothly" in notes("balanced")
    assert "with the recipe paper-hole" in notes("fast")
    assert "smoothly" not in notes("paper-hole")
