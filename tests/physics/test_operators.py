"""Laws over one list of operators: to cover a new one, add a line to OPERATORS."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import signal

import untaught
from untaught.errors import InputError
from untaught.physics.operator import Operator
from untaught.physics.operators import Blur, Downsample, Identity, Mask, Physics, blur_kernel

SHAPE = (1, 3, 12, 10)


def scattered(seed: int = 0) -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)) > 0.4


OPERATORS = {
    "identity": Identity(),
    "mask": Mask(scattered()),
    "mask of all channels": Mask(scattered()[:, :1]),
    "blur": Blur(torch.rand(3, 4, generator=torch.Generator().manual_seed(1))),
    "lanczos": Downsample((12, 10), (3, 4), "lanczos2"),
    "bicubic": Downsample((12, 10), (5, 10), "bicubic"),
    "area": Downsample((12, 10), (4, 5), "area"),
    "gaussian": Downsample((12, 10), (8, 3), "gaussian"),
    "composed": Blur(torch.ones(3, 1)) >> Downsample((10, 10), (5, 5)) >> Mask(torch.rand(1, 1, 5, 5) > 0.5),
}


@pytest.fixture(params=OPERATORS.values(), ids=OPERATORS.keys())
def operator(request):
    return request.param


def test_is_an_operator(operator):
    assert isinstance(operator, Operator)


def test_adjoint(operator):
    """<A x, y> = <x, Aᵀ y> for all x and y."""
    x = torch.randn(SHAPE, dtype=torch.float64)
    y = torch.randn(operator(x).shape, dtype=torch.float64)
    torch.testing.assert_close((operator(x) * y).sum(), (x * operator.adjoint(y)).sum())


def test_gradient_is_the_adjoint(operator):
    x = torch.randn(SHAPE, dtype=torch.float64, requires_grad=True)
    prediction = operator(x)
    y = torch.randn_like(prediction)
    (gradient,) = torch.autograd.grad(prediction, x, y)
    torch.testing.assert_close(gradient, operator.adjoint(y))


def test_linear(operator):
    x, y = torch.randn(SHAPE), torch.randn(SHAPE)
    torch.testing.assert_close(operator(2 * x - 3 * y), 2 * operator(x) - 3 * operator(y))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_keeps_the_type(operator, kind):
    assert operator(torch.zeros(SHAPE, dtype=kind)).dtype == kind


def test_a_mask_hides_even_what_is_not_a_number():
    known = scattered()
    picture = torch.where(known, 0.5, torch.nan)
    assert Mask(known)(picture).isfinite().all()


def test_a_mask_is_bool():
    with pytest.raises(InputError, match="bool"):
        Mask(torch.ones(SHAPE))


def test_sizes_are_told(operator):
    observed = operator(torch.zeros(SHAPE))
    assert operator.output_size((12, 10)) == tuple(observed.shape[-2:])


def test_composed_in_this_order():
    picture = torch.rand(SHAPE)
    blur, smaller = Blur(torch.rand(3, 3)), Downsample((10, 8), (5, 4))
    torch.testing.assert_close((blur >> smaller)(picture), smaller(blur(picture)))
    known = torch.rand(1, 1, 5, 4) > 0.5
    assert torch.equal((blur >> smaller >> Mask(known)).known, known)


def test_blur_is_a_convolution():
    picture, kernel = np.random.default_rng(0).random((2, 12, 10)), np.random.default_rng(1).random((3, 4))
    expected = np.stack([signal.convolve2d(plane, kernel, mode="valid") for plane in picture])
    found = Blur(torch.from_numpy(kernel))(torch.from_numpy(picture)[None])[0]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("kernel", "filter_"), [("bicubic", Image.Resampling.BICUBIC), ("area", Image.Resampling.BOX)])
def test_made_smaller_as_by_pillow(kernel, filter_):
    """Inside, where the rules for edges do not matter."""
    picture = np.random.default_rng(0).random((48, 36)).astype(np.float32)
    expected = np.asarray(Image.fromarray(picture).resize((12, 16), filter_))
    found = Downsample((48, 36), (16, 12), kernel)(torch.from_numpy(picture)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found[3:-3, 3:-3], expected[3:-3, 3:-3], atol=1e-5)


@pytest.mark.parametrize("kernel", ["lanczos2", "bicubic", "area", "gaussian"])
@pytest.mark.parametrize("factor", [1.0, 1.7, 4.0])
def test_a_flat_picture_stays_flat(kernel, factor):
    size, smaller = (34, 51), (round(34 / factor), round(51 / factor))
    found = Downsample(size, smaller, kernel)(torch.full((1, 1, *size), 0.3))
    torch.testing.assert_close(found, torch.full((1, 1, *smaller), 0.3))


@pytest.mark.parametrize("name", ["gaussian", "disk", "motion"])
def test_named_blurs(name):
    kernel = blur_kernel(name, 2.0, 90.0)
    assert abs(float(kernel.sum()) - 1) < 1e-5
    torch.testing.assert_close(kernel, kernel.flip(0, 1))
    if name == "motion":
        assert kernel.sum(0).argmax() == kernel.shape[1] // 2
        assert float(kernel.sum(0).max()) > 0.99


class Sensor:
    """Another library's operator."""

    def A(self, x):  # noqa: N802
        return x[..., ::2]

    def A_adjoint(self, y):  # noqa: N802
        return torch.stack([y, torch.zeros_like(y)], -1).flatten(-2)


def test_operators_of_other_libraries_are_taken_as_they_are(tiny):
    picture, sensor = torch.rand(1, 2, 8, 12), Sensor()
    operator = Physics(sensor)
    y = torch.rand(1, 2, 8, 6)
    torch.testing.assert_close((operator(picture) * y).sum(), (picture * operator.adjoint(y)).sum())
    run = untaught.fit(sensor.A(picture), sensor, size=(8, 12), recipe=tiny)
    assert list(run)[-1].average.shape == picture.shape


@pytest.mark.parametrize(
    "make",
    [
        lambda: Blur(torch.zeros(3, 3)),
        lambda: Blur(torch.ones(3, 3)).output_size((2, 9)),
        lambda: Downsample((4, 4), (8, 8)),
        lambda: Downsample((8, 8), (4, 4), "sinc"),
        lambda: Downsample((8, 8), (4, 4))(torch.zeros(1, 1, 9, 8)),
        lambda: blur_kernel("disk", 0),
        lambda: blur_kernel("square", 2),
        lambda: Physics(object()),
    ],
)
def test_what_cannot_be_meant_is_refused(make):
    with pytest.raises(InputError):
        make()
