"""An operator of deepinv, where that can be imported: the real thing beside the stand-in of tests/test_operators.py."""

import pytest
import torch

import untaught
from untaught.physics.operators import Blur, Physics, blur_kernel

physics = pytest.importorskip("deepinv.physics", reason="deepinv is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def blur():
    return physics.Blur(filter=blur_kernel("disk", 2)[None, None], padding="valid")


def test_it_is_taken_as_it_is(blur, tiny):
    observed = blur.A(torch.rand(1, 3, 24, 20))
    run = untaught.fit(observed, blur, size=(24, 20), recipe=tiny)
    *_, last = run
    assert last.average.shape == (1, 3, 24, 20)
    assert "observed again" in run.restoration().notes[-1]


def test_its_adjoint_is_the_adjoint(blur):
    operator = Physics(blur)
    picture, observation = torch.rand(1, 3, 24, 20), torch.rand(1, 3, 20, 16)
    torch.testing.assert_close((operator(picture) * observation).sum(), (picture * operator.adjoint(observation)).sum())


def test_its_blur_is_ours(blur):
    picture = torch.rand(1, 3, 24, 20)
    torch.testing.assert_close(blur.A(picture), Blur(blur_kernel("disk", 2))(picture))
