"""Denoising with a guide."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize

import untaught
from untaught.errors import InputError
from untaught.imaging.metrics import psnr
from untaught.recipes import find_recipe
from untaught.tasks.preparation import prepare

PHOTO = resize(data.astronaut()[:192, 128:320], (48, 48))
DRAW = np.random.default_rng(0)
DARK = PHOTO * [0.5, 0.35, 0.2]
NOISY = (DARK + DRAW.normal(0, 0.06, PHOTO.shape)).clip(0, 1)


def test_the_guide_helps_and_the_colours_stay():
    guided = untaught.guide(NOISY, PHOTO, noise=0.06, iterations=120)
    alone = untaught.denoise(NOISY, noise=0.06, iterations=120)
    assert psnr(guided.picture, DARK) > psnr(alone.picture, DARK) + 0.5
    assert np.abs(guided.picture.mean((0, 1)) - DARK.mean((0, 1))).max() < 0.02


@pytest.mark.slow
def test_where_noise_is_correlated_the_network_sees_the_guide_alone():
    """Noise that neighbours share looks like a part of the picture."""
    flash = resize(data.astronaut()[:192, 128:320], (96, 96))
    dark = flash * [0.5, 0.35, 0.2]
    grain = gaussian_filter(np.random.default_rng(1).normal(0, 1, flash.shape), (0.8, 0.8, 0))
    grainy = (dark + grain / grain.std() * 0.06).clip(0, 1)
    job = prepare("guide", grainy, guide=flash, noise=0.06, iterations=110)
    assert not job.recipe.shows_picture
    assert any("the guide alone" in note for note in job.problem.notes)
    guided = job.run()
    beside = untaught.guide(grainy, flash, noise=0.06, recipe=find_recipe("guide", "balanced"), iterations=100)
    assert psnr(guided.picture, dark) > psnr(grainy, dark) + 5
    assert psnr(guided.picture, dark) > psnr(beside.picture, dark) + 1


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
