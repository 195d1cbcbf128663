import numpy as np
import pytest
import torch
from PIL import Image

from untaught.errors import InputError, SettingError
from untaught.physics.resampling import KERNELS, Downsample


@pytest.mark.parametrize(("kernel", "filter_"), [("bicubic", Image.Resampling.BICUBIC), ("area", Image.Resampling.BOX)])
def test_agrees_with_pillow_inside(kernel, filter_):
    """At the edges the two differ by rule: ours mirrors."""
    picture = np.random.default_rng(0).random((48, 36)).astype(np.float32)
    expected = np.asarray(Image.fromarray(picture).resize((12, 16), filter_))
    found = Downsample((48, 36), (16, 12), kernel)(torch.from_numpy(picture)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found[3:-3, 3:-3], expected[3:-3, 3:-3], atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("factor", [1.0, 1.7, 4.0])
def test_a_flat_picture_stays_flat(kernel, factor):
    size, smaller = (34, 51), (round(34 / factor), round(51 / factor))
    found = Downsample(size, smaller, kernel)(torch.full((1, 1, *size), 0.3))
    torch.testing.assert_close(found, torch.full((1, 1, *smaller), 0.3))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Downsample((4, 4), (8, 8)), InputError, r"\(4, 4\) .* cannot be reduced to \(8, 8\)"),
        (lambda: Downsample((8, 8), (4, 4), "sinc"), SettingError, "choose lanczos2, bicubic, area, gaussian"),
        (lambda: Downsample((8, 8), (4, 4))(torch.zeros(1, 1, 9, 8)), InputError, r"found a picture of \(9, 8\)"),
        (lambda: Downsample((8, 8), (4, 4)).input_size((5, 4)), InputError, r"found an observation of \(5, 4\)"),
    ],
)
def test_impossible_sizes_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
