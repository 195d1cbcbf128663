"""Upscaling, deblurring and demosaicing: small pictures, few iterations."""

import dataclasses

import numpy as np
import pytest
import torch
from skimage import data
from skimage.transform import resize

import untaught
from untaught.errors import InputError
from untaught.imaging.metrics import psnr
from untaught.physics.blur import Blur, blur_kernel
from untaught.physics.resampling import Downsample
from untaught.recipes import find_recipe
from untaught.tasks.preparation import prepare

CAMERA = data.camera()[60:124, 180:244] / 255


def tensor(picture):
    return torch.from_numpy(picture).float()[None, None]


@pytest.fixture(scope="module")
def small():
    balanced = find_recipe("upscale", "balanced")
    network = dataclasses.replace(
        balanced.network,
        down_channels=(16, 32, 32),
        up_channels=(16, 32, 32),
        skip_channels=(8,) * 3,
        upsampling="bilinear",
    )
    return dataclasses.replace(balanced, network=network, iterations=150, averaging=0.95)


def test_upscaled_and_made_smaller_again_it_is_what_was_given(small):
    seen = Downsample((64, 64), (32, 32))(tensor(CAMERA))[0, 0].numpy().clip(0, 1)
    result = untaught.upscale(seen, 2, recipe=small)
    assert result.picture.shape == (64, 64)
    again = Downsample((64, 64), (32, 32))(tensor(result.picture))[0, 0].numpy()
    assert psnr(again, seen) > 27


def test_a_fraction_and_colours_of_any_type(tiny):
    photo = data.coffee()[:20, :30]
    assert untaught.upscale(photo, 1.5, recipe=tiny).picture.shape == (30, 45, 3)
    assert untaught.upscale(photo.astype(np.uint16), 2.25, recipe=tiny).picture.dtype == np.uint16


@pytest.mark.slow
def test_a_blur_is_undone(small):
    patient = dataclasses.replace(small, iterations=300)
    kernel = blur_kernel("disk", 4)
    margin = kernel.shape[0] // 2
    seen = Blur(kernel)(tensor(np.pad(CAMERA, margin, mode="reflect")))[0, 0].numpy()
    named = untaught.deblur(seen, blur="disk", radius=4, recipe=patient)
    assert named.picture.shape == seen.shape
    assert psnr(named.picture, CAMERA) > psnr(seen, CAMERA) + 1
    given = untaught.deblur(seen, 255 * kernel.numpy(), recipe=patient)
    assert abs(psnr(given.picture, CAMERA) - psnr(named.picture, CAMERA)) < 0.5


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_what_the_sensor_has_seen_is_kept(pattern, masked):
    photo = resize(data.astronaut()[:128, 180:308], (32, 32))
    raw = np.zeros((32, 32))
    for place, colour in enumerate(pattern):
        rows, columns = slice(place // 2, None, 2), slice(place % 2, None, 2)
        raw[rows, columns] = photo[rows, columns, "RGB".index(colour)]
    result = untaught.demosaic(raw, pattern=pattern, recipe=masked)
    assert result.picture.shape == (32, 32, 3)
    assert psnr(result.picture, photo) > 17
    for place, colour in enumerate(pattern):
        rows, columns = slice(place // 2, None, 2), slice(place % 2, None, 2)
        np.testing.assert_array_equal(result.picture[rows, columns, "RGB".index(colour)], raw[rows, columns])


SMALL = np.full((12, 10), 90, np.uint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: untaught.upscale(SMALL, 0), "between 1.5 and 16"),
        (lambda: untaught.upscale(SMALL, -2), "between 1.5 and 16"),
        (lambda: untaught.upscale(SMALL, 2, kernel="sinc"), "lanczos2, bicubic, area, gaussian"),
        (lambda: untaught.deblur(SMALL), "needs a kernel"),
        (lambda: untaught.deblur(SMALL, np.ones((13, 3))), "larger than the picture"),
        (lambda: untaught.deblur(SMALL, np.zeros((3, 3))), "positive sum"),
        (lambda: untaught.deblur(SMALL, blur="disk", radius=-1), "radius is a number above 0 and below 1000"),
        (lambda: untaught.deblur(SMALL, blur="square", radius=1), "one of gaussian, disk, motion, unknown"),
        (lambda: untaught.demosaic(SMALL, pattern="RGB"), "RGGB"),
        (lambda: untaught.demosaic(np.zeros((8, 8, 3), np.uint8)), "one channel"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    "options",
    [
        {"blur": "disk", "radius": 400},
        {"blur": "motion", "radius": 300},
        {"blur": "gaussian", "radius": 130},
        {"blur": "unknown", "radius": 400},
        {"kernel": np.ones((401, 401))},
    ],
)
def test_a_kernel_that_would_take_hours_is_refused(options):
    with pytest.raises(InputError, match="would take hours"):
        prepare("deblur", np.full((900, 900), 90, np.uint8), **options)
