import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from untaught.errors import InputError
from untaught.imaging.jpeg_tables import compression_for_quality, read_compression
from untaught.physics.jpeg import JPEG

PHOTO = data.coffee()[100:137, 200:243]


def tensor(pixels):
    planes = pixels if pixels.ndim == 3 else pixels[..., None]
    return torch.from_numpy(planes / 255).float().permute(2, 0, 1)[None]


@pytest.mark.parametrize("pixels", [PHOTO, np.ascontiguousarray(PHOTO[..., 0])], ids=["rgb", "gray"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_agrees_with_libjpeg(pixels, subsampling):
    """Up to coefficients halfway between two steps, which may be rounded either way."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=20, subsampling=subsampling)
    expected = tensor(np.asarray(Image.open(file)))
    found = JPEG(read_compression(file.getvalue()))(tensor(pixels)).clamp(0, 1)
    assert (found - expected).abs().mean() < 1.2 / 255
    assert (found - tensor(pixels)).abs().mean() > 2 / 255


def test_compressing_twice_changes_nothing():
    operator = JPEG(compression_for_quality(20, 1))
    once = operator(torch.rand(2, 1, 24, 19, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(operator(once)[..., :16], once[..., :16])


def test_the_gradient_passes_the_rounding():
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)
    JPEG(compression_for_quality(10, 3))(picture).square().sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().mean() > 0.01


def test_another_number_of_channels_is_refused():
    with pytest.raises(InputError, match="found a picture of 1 channels: this JPEG has 3"):
        JPEG(compression_for_quality(20, 3))(torch.zeros(1, 1, 8, 8))
