"""The reconstructor for deepinv, with physics of its kind, and with its own where it can be imported."""

import pytest
import torch

from untaught.interop.deepinv import Untaught


class Fade:
    """Light is lost to the right."""

    def A(self, x):  # noqa: N802
        return x * torch.linspace(1, 0.5, x.shape[-1])

    A_adjoint = A

    def __call__(self, _):
        raise AssertionError("a call adds noise, in deepinv")


def test_it_gives_a_picture_for_each_measurement(tiny):
    model = Untaught(recipe=tiny)
    picture = model(torch.rand(2, 3, 16, 16), Fade(), some_option=1)
    assert picture.shape == (2, 3, 16, 16)
    assert model.last.iterations == tiny.iterations
    assert list(model.parameters()) == []


def test_the_size_may_be_given(tiny):
    assert Untaught((1, 16, 16), recipe=tiny)(torch.rand(1, 1, 16, 16), Fade()).shape == (1, 1, 16, 16)


@pytest.mark.parametrize("kind", ["Downsampling", "Inpainting", "BlurFFT"])
def test_it_explains_measurements_of_deepinvs_physics(kind):
    try:
        import deepinv
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch raises RuntimeError
        pytest.skip(f"deepinv cannot be imported: {error}")
    options = {
        "Downsampling": {"img_size": (1, 32, 32), "factor": 2, "filter": "bicubic"},
        "Inpainting": {"img_size": (1, 32, 32), "mask": 0.5},
        "BlurFFT": {"img_size": (1, 32, 32), "filter": deepinv.physics.functional.blur.gaussian_blur(1.0)},
    }
    physics = getattr(deepinv.physics, kind)(**options[kind])
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    clean = (0.5 + 0.4 * torch.sin(5 * x + 3 * y))[None, None]
    observed = physics.A(clean)
    found = Untaught(iterations=150)(observed, physics)
    assert found.shape == clean.shape
    assert float((physics.A(found) - observed).square().mean()) < 0.002
    assert float((found - clean).square().mean()) < 0.01
