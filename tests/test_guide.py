"""Denoising with a guide."""

import numpy as np
import pytest
from skimage import data
from skimage.transform import resize

import untaught
from untaught.errors import InputError
from untaught.metrics import psnr
from untaught.tasks import prepare

PHOTO = resize(data.astronaut()[:192, 128:320], (48, 48))
DRAW = np.random.default_rng(0)
DARK = PHOTO * [0.5, 0.35, 0.2]
NOISY = (DARK + DRAW.normal(0, 0.06, PHOTO.shape)).clip(0, 1)


def test_the_guide_helps_and_the_colours_stay():
    guided = untaught.guide(NOISY, PHOTO, noise=0.06, iterations=120)
    alone = untaught.denoise(NOISY, noise=0.06, iterations=120)
    assert psnr(guided.picture, DARK) > psnr(alone.picture, DARK) + 0.5
    assert np.abs(guided.picture.mean((0, 1)) - DARK.mean((0, 1))).max() < 0.02


def test_a_gray_guide_of_another_depth_and_the_same_seed(tiny):
    guide = (PHOTO.mean(2) * 65535).astype(np.uint16)
    one, other = (untaught.guide(NOISY, guide, recipe=tiny).picture for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("guide", "sentence"), [(PHOTO[:40], "48 x 40"), (np.full((48, 48), np.nan), "not finite"), (None, "needs a guide")]
)
def test_a_guide_that_is_of_no_use(guide, sentence):
    with pytest.raises(InputError, match=sentence):
        prepare("guide", NOISY, guide=guide)
