"""Operators of other libraries: stand-ins for each form, and deepinv's own where it can be imported."""

import pytest
import torch

import untaught
from untaught.errors import InputError
from untaught.physics.blur import Blur, blur_kernel
from untaught.physics.foreign import adapt
from untaught.physics.laws import check_laws
from untaught.physics.linear import Identity


class Sensor:
    """Every second column."""

    def A(self, x):  # noqa: N802
        return x[..., ::2]

    def A_adjoint(self, y):  # noqa: N802
        return torch.stack([y, torch.zeros_like(y)], -1).flatten(-2)


class NoisySensor(torch.nn.Module, Sensor):
    """A module whose call adds noise, as deepinv's does."""

    def __init__(self):
        super().__init__()
        self.register_buffer("gain", torch.tensor(2.0))

    def A(self, x):  # noqa: N802
        return self.gain.to(x.dtype) * x[..., ::2]

    def A_adjoint(self, y):  # noqa: N802
        return self.gain.to(y.dtype) * super().A_adjoint(y)

    def forward(self, x):
        return self.A(x) + torch.randn_like(x[..., ::2])


class ForwardAndAdjoint:
    forward, adjoint = Sensor.A, Sensor.A_adjoint


class CallAndAdjoint:
    __call__, adjoint = Sensor.A, Sensor.A_adjoint


FOREIGN = [Sensor(), NoisySensor(), ForwardAndAdjoint(), CallAndAdjoint()]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda one: type(one).__name__)
def test_it_obeys_the_laws_alone_and_composed(foreign):
    check_laws(adapt(foreign), (2, 3, 6, 8))
    check_laws(foreign >> Blur(torch.ones(2, 2)), (2, 3, 6, 8))
    composed = Blur(torch.ones(2, 3)) >> foreign
    picture = torch.rand(1, 3, 7, 10)
    torch.testing.assert_close(composed(picture), adapt(foreign)(Blur(torch.ones(2, 3))(picture)))
    assert callable(composed.adjoint)


def test_without_an_adjoint_it_is_not_linear():
    class Saturates:
        def A(self, x):  # noqa: N802
            return x.tanh()

    for foreign in (Saturates(), torch.nn.Tanh()):
        assert not hasattr(adapt(foreign), "adjoint")
        assert not hasattr(Identity() >> foreign, "adjoint")
        torch.testing.assert_close((Identity() >> foreign)(torch.ones(1, 1, 2, 2)), torch.ones(1, 1, 2, 2).tanh())


def test_what_is_no_operator_is_refused():
    with pytest.raises(InputError, match="found a object: an operator is a differentiable callable"):
        adapt(object())


def test_a_fit_takes_it_as_it_is(tiny):
    picture = torch.rand(1, 2, 8, 12)
    run = untaught.fit(Sensor().A(picture), Sensor(), size=(8, 12), recipe=tiny)
    assert list(run)[-1].average.shape == picture.shape


def test_a_fit_takes_deepinv_as_it_is(tiny):
    physics = pytest.importorskip("deepinv.physics", reason="deepinv is not installed", exc_type=ImportError)
    blur = physics.Blur(filter=blur_kernel("disk", 2)[None, None], padding="valid")
    picture, observation = torch.rand(1, 3, 24, 20), torch.rand(1, 3, 20, 16)
    torch.testing.assert_close(blur.A(picture), Blur(blur_kernel("disk", 2))(picture))
    operator = adapt(blur)
    torch.testing.assert_close((operator(picture) * observation).sum(), (picture * operator.adjoint(observation)).sum())
    run = untaught.fit(blur.A(picture), blur, size=(24, 20), recipe=tiny)
    *_, last = run
    assert last.average.shape == (1, 3, 24, 20)
    assert "the operator maps the result" in run.restoration().notes[-1]
