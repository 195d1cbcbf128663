import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from untaught.imaging.metrics import psnr, ssim

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 7)])
def test_agrees_with_scikit_image(shape):
    one, other = RNG.random(shape), RNG.random(shape)
    assert psnr(one, other) == pytest.approx(peak_signal_noise_ratio(one, other, data_range=1))
    axis = None if len(shape) == 2 else -1
    expected = structural_similarity(
        one, other, data_range=1, channel_axis=axis, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(one, other) == pytest.approx(expected)


def test_psnr_where():
    one = np.zeros((4, 4, 3))
    other = one.copy()
    other[0, 0] = 0.1
    where = np.zeros((4, 4), bool)
    where[0, 0] = True
    assert psnr(one, other, where) == pytest.approx(20)
    assert psnr(one, other, ~where) == float("inf")


def test_ssim_of_a_picture_too_small_for_its_window_is_nan():
    assert np.isnan(ssim(np.zeros((10, 40)), np.zeros((10, 40))))
