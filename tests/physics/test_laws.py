"""Every operator of the package, found by itself, obeys every law. A new one needs no line here."""

import importlib
import pkgutil

import pytest
import torch

import untaught.physics
from untaught.physics.blur import Blur
from untaught.physics.fourier import Fourier
from untaught.physics.laws import LAWS, check_laws, registered_operators
from untaught.physics.linear import Identity, LinearOperator, Mask
from untaught.physics.operator import Operator
from untaught.physics.resampling import Downsample

for module in pkgutil.iter_modules(untaught.physics.__path__):
    importlib.import_module(f"untaught.physics.{module.name}")

EXAMPLES = [
    pytest.param(operator, shape, id=f"{kind.__name__} {number}")
    for kind in registered_operators()
    if kind.__module__.startswith("untaught.")
    for number, (operator, shape) in enumerate(kind.examples())
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("operator", "shape"), EXAMPLES)
def test_law(operator, shape, law):
    law(operator, shape)


@pytest.mark.parametrize(("operator", "shape"), EXAMPLES)
def test_is_an_operator(operator, shape):  # noqa: ARG001
    assert isinstance(operator, Operator)


@pytest.mark.parametrize(("operator", "shape"), EXAMPLES)
def test_bfloat16_stays_unless_the_observation_is_complex(operator, shape):
    found = operator(torch.zeros(shape, dtype=torch.bfloat16)).dtype
    assert found in (torch.bfloat16, torch.complex64)


@pytest.mark.parametrize(
    "operator",
    [
        Blur(torch.ones(3, 1)) >> Downsample((10, 10), (5, 5)) >> Mask(torch.rand(1, 1, 5, 5) > 0.5),
        Fourier() >> Mask(torch.rand(2, 1, 12, 10) > 0.5),
        Fourier() >> Mask(torch.rand(12, 1) > 0.5),
        Mask(torch.rand(2, 3, 12, 10) > 0.5) >> torch.exp >> Blur(torch.ones(2, 2)),
    ],
    ids=["blurred, reduced, masked", "k-space per picture", "k-space lines", "not linear"],
)
def test_compositions_obey_the_laws(operator):
    check_laws(operator, (2, 3, 12, 10))


def test_an_operator_of_a_user_is_found_and_checked():
    class Negative(LinearOperator):
        def forward(self, picture):
            return -picture

        def adjoint(self, observation):
            return -observation

        @classmethod
        def examples(cls):
            return [(cls(), (1, 2, 4, 4))]

    assert Negative in registered_operators()
    (operator, shape) = Negative.examples()[0]
    for law in LAWS:
        if law.__name__ != "copies":  # a class inside a function cannot be pickled
            law(operator, shape)


class WrongAdjoint(Identity):
    def adjoint(self, observation):
        return 2 * observation


class WrongSize(Identity):
    def forward(self, picture):
        return picture[..., 1:]

    def adjoint(self, observation):
        return torch.nn.functional.pad(observation, (1, 0))


class MixesPictures(Identity):
    def forward(self, picture):
        return picture - picture.mean(0)


class Stays(Identity):
    def __init__(self):
        super().__init__()
        self.factor = torch.ones(1, 3, 4, 4)  # not a buffer

    def forward(self, picture):
        return self.factor.to(picture.dtype) * picture


class Forgets(Identity):
    def forward(self, picture):
        return picture.float().to(picture.dtype) if picture.dtype == torch.float64 else picture.double()


class NotLinear(Identity):
    def forward(self, picture):
        return picture.square()


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (WrongAdjoint, "adjoint"),
        (WrongSize, "size"),
        (MixesPictures, "adjoint"),
        (Stays, "device"),
        (Forgets, "precision"),
        (NotLinear, "adjoint"),
    ],
)
def test_a_broken_operator_breaks_a_law(kind, law):
    with pytest.raises(AssertionError, match=f"{kind.__name__} breaks the law {law}"):
        check_laws(kind(), (1, 3, 4, 4))


def test_pictures_that_influence_each_other_break_a_law():
    with pytest.raises(AssertionError, match="breaks the law independence"):
        check_laws(lambda pictures: pictures / pictures.mean(), (2, 3, 4, 4))


def test_a_class_without_examples_says_so():
    class Nameless(LinearOperator):
        def forward(self, picture):
            return picture

        def adjoint(self, observation):
            return observation

    with pytest.raises(NotImplementedError, match=r"Nameless needs examples\(\)"):
        Nameless.examples()
