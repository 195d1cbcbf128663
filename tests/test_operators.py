"""Laws over one list of operators: to cover a new one, add a line to OPERATORS."""

import pytest
import torch

from untaught.contracts import Operator
from untaught.errors import InputError
from untaught.operators import Identity, Mask

SHAPE = (1, 3, 12, 10)


def scattered(seed: int = 0) -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)) > 0.4


OPERATORS = {
    "identity": Identity(),
    "mask": Mask(scattered()),
    "mask of all channels": Mask(scattered()[:, :1]),
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
