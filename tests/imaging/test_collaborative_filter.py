import numpy as np
import pytest
import torch
from skimage import data
from skimage.restoration import denoise_nl_means

from untaught.imaging.collaborative_filter import collaborative_filter
from untaught.imaging.metrics import psnr

CAMERA = data.camera()[40:140, 180:300] / 255


def tensor(picture):
    return torch.from_numpy(picture).float()[None, None]


def test_the_mean_with_a_smooth_pilot_is_better_than_the_pilot():
    seen = CAMERA + np.random.default_rng(0).normal(0, 0.1, CAMERA.shape)
    pilot = denoise_nl_means(seen, 5, 6, h=0.06, sigma=0.1)
    filtered = collaborative_filter(tensor(pilot), tensor(seen), 0.1)[0, 0].numpy()
    assert psnr((filtered + pilot) / 2, CAMERA) > psnr(pilot, CAMERA) + 0.2


@pytest.mark.parametrize("shape", [(2, 3, 20, 17), (1, 1, 9, 40), (1, 2, 200, 8)])
def test_with_little_noise_the_picture_comes_back(shape):
    picture = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(collaborative_filter(picture, picture, 1e-4), picture, atol=2e-3, rtol=0)


def test_a_picture_smaller_than_a_block_is_returned_as_it_is():
    small = torch.rand(1, 1, 5, 9)
    assert torch.equal(collaborative_filter(small, small, 0.1), small)


def test_tiles_do_not_show():
    """A flat picture is filtered equally on both sides of a border between tiles."""
    noisy = 0.5 + 0.1 * torch.randn(1, 1, 40, 210, generator=torch.Generator().manual_seed(0))
    filtered = collaborative_filter(torch.full_like(noisy, 0.5), noisy, 0.1)
    deviation = filtered.std(dim=-2)[0, 0]
    assert deviation[180:205].mean() < 1.5 * deviation[60:180].mean() + 1e-3


def test_distant_repetitions_are_averaged():
    """Of a tile that repeats, each group is one block 16 times: little more than a quarter of the noise is left."""
    random = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 1, 10, 10, generator=random).repeat(1, 1, 6, 6)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=random)
    error = (collaborative_filter(clean, noisy, 0.1) - clean)[..., 8:-8, 8:-8]
    assert error.std() < 0.04
