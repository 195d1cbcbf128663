import numpy as np
import pytest
import torch
from scipy import signal

from untaught.errors import InputError, SettingError
from untaught.physics.blur import Blur, UnknownBlur, blur_kernel


def test_blur_is_a_convolution():
    picture, kernel = np.random.default_rng(0).random((2, 12, 10)), np.random.default_rng(1).random((3, 4))
    expected = np.stack([signal.convolve2d(plane, kernel, mode="valid") for plane in picture])
    found = Blur(torch.from_numpy(kernel))(torch.from_numpy(picture)[None])[0]
    np.testing.assert_allclose(found, expected)


def test_an_unknown_blur_starts_as_a_known_one():
    unknown = UnknownBlur((5, 7))
    kernel = unknown.kernel.detach()
    assert float(kernel.sum()) == pytest.approx(1)
    picture = torch.rand(1, 3, 12, 14)
    torch.testing.assert_close(unknown(picture).detach(), Blur(kernel)(picture))


@pytest.mark.parametrize("name", ["gaussian", "disk", "motion"])
def test_named_kernels(name):
    kernel = blur_kernel(name, 2.0, 90.0)
    assert abs(float(kernel.sum()) - 1) < 1e-5
    torch.testing.assert_close(kernel, kernel.flip(0, 1))
    if name == "motion":
        assert kernel.sum(0).argmax() == kernel.shape[1] // 2
        assert float(kernel.sum(0).max()) > 0.99


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Blur(torch.zeros(3, 3)), InputError, "not all zero"),
        (lambda: Blur(torch.ones(3)), InputError, r"shape \(3,\)"),
        (lambda: Blur(torch.full((3, 3), torch.nan)), InputError, "finite"),
        (lambda: Blur(torch.ones(3, 3)).output_size((2, 9)), InputError, "3 x 3 pixels, is larger than the picture"),
        (lambda: UnknownBlur((3, 3)).output_size((2, 9)), InputError, "is larger than the picture, 9 x 2"),
        (lambda: blur_kernel("disk", 0), SettingError, "found a blur radius of 0"),
        (lambda: blur_kernel("square", 2), SettingError, "choose gaussian, disk or motion"),
    ],
)
def test_impossible_blurs_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
