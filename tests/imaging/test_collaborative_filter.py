import numpy as np
import pytest
import torch
from skimage import data
from skimage.restoration import denoise_nl_means

from untaught.imaging.collaborative_filter import _cosines, _groups, _haar, collaborate
from untaught.imaging.metrics import psnr

CAMERA = data.camera()[40:140, 180:300] / 255


def tensor(picture):
    return torch.from_numpy(picture).float()[None, None]


def test_a_smooth_pilot_is_lifted():
    seen = CAMERA + np.random.default_rng(0).normal(0, 0.1, CAMERA.shape)
    pilot = denoise_nl_means(seen, 5, 6, h=0.06, sigma=0.1)
    filtered = collaborate(tensor(pilot), tensor(seen), 0.1)[0, 0].numpy()
    assert psnr((filtered + pilot) / 2, CAMERA) > psnr(pilot, CAMERA) + 0.2


@pytest.mark.parametrize("shape", [(2, 3, 20, 17), (1, 1, 9, 40), (1, 2, 200, 8)])
def test_with_little_noise_the_picture_comes_back(shape):
    picture = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(collaborate(picture, picture, 1e-4), picture, atol=2e-3, rtol=0)


def test_less_than_a_block_is_left_alone():
    small = torch.rand(1, 1, 5, 9)
    assert torch.equal(collaborate(small, small, 0.1), small)


def test_tiles_do_not_show():
    """A flat picture is filtered alike everywhere, across the border of two tiles too."""
    noisy = 0.5 + 0.1 * torch.randn(1, 1, 40, 210, generator=torch.Generator().manual_seed(0))
    filtered = collaborate(torch.full_like(noisy, 0.5), noisy, 0.1)
    deviation = filtered.std(dim=-2)[0, 0]
    assert deviation[180:205].mean() < 1.5 * deviation[60:180].mean() + 1e-3


def test_transforms_are_orthonormal():
    for matrix in (_cosines(8, torch.device("cpu")), _haar(16, torch.device("cpu"))):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-5, rtol=0)


def test_groups_hold_alike_blocks():
    """Of vertical stripes with a period of 6, partners are moved by that, or straight up and down."""
    stripes = torch.sin(torch.arange(40) * 2 * torch.pi / 6).expand(1, 40, 40).contiguous()
    groups = _groups(stripes)
    columns = groups[:121] % 33
    assert ((columns - columns[:, :1]) % 6 == 0).float().mean() > 0.99
