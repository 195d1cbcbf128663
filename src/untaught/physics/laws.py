"""Laws that hold for every operator. `check_laws` checks them on one of your own.

Each law takes an operator and the shape (N, C, H, W) of a picture for it, and raises an AssertionError if it does not
hold. Pictures are drawn with fixed seeds.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from untaught.errors import InputError
from untaught.physics.linear import Composed, DifferentiableOperator, Identity

__all__ = ["LAWS", "Law", "check_laws", "registered_operators"]

Law = Callable[[Any, tuple[int, ...]], None]


def registered_operators() -> list[type[DifferentiableOperator]]:
    """Return every class that derives from `DifferentiableOperator` and can be instantiated, wherever it was defined.

    Only modules that have been imported count.
    """
    found, queue = [], [DifferentiableOperator]
    while queue:
        queue += (kind := queue.pop()).__subclasses__()
        if kind not in found and not getattr(kind, "__abstractmethods__", None):
            found.append(kind)
    return found


def check_laws(operator: Any, shape: tuple[int, ...]) -> None:
    """Check all laws on an operator.

    Args:
        operator: any operator; laws that need an adjoint are skipped if it has none.
        shape: (N, C, H, W) of a picture for it, small.

    Raises:
        AssertionError: naming the law that does not hold.

    >>> check_laws(Identity(), (1, 3, 8, 8))
    """
    for law in LAWS:
        try:
            law(operator, shape)
        # Whatever an operator of the user's raises breaks the law that was being checked.
        except Exception as error:
            raise AssertionError(f"{type(operator).__name__} breaks the law {law.__name__}: {error}") from error


def adjoint(operator: Any, shape: tuple[int, ...]) -> None:
    """Re <A x, y> = <x, B y> for every picture x and observation y, where B is the adjoint."""
    if _is_linear(operator):
        x = _picture(shape)
        prediction = operator(x)
        y = _like(prediction)
        product = (prediction.conj() * y).real.sum()
        torch.testing.assert_close(product, (x * operator.adjoint(y)).sum())


def linearity(operator: Any, shape: tuple[int, ...]) -> None:
    """A (2 x - 3 y) = 2 A x - 3 A y."""
    if _is_linear(operator):
        x, y = _picture(shape), _picture(shape, seed=1)
        torch.testing.assert_close(operator(2 * x - 3 * y), 2 * operator(x) - 3 * operator(y))


def gradient(operator: Any, shape: tuple[int, ...]) -> None:
    """A gradient passes, finite and not zero everywhere; of a linear operator it is the adjoint."""
    x = _picture(shape).requires_grad_()
    prediction = operator(x)
    y = _like(prediction)
    (found,) = torch.autograd.grad(prediction, x, y)
    assert found.isfinite().all(), "the gradient is not finite"
    assert found.any(), "the gradient is zero"
    if _is_linear(operator):
        torch.testing.assert_close(found, operator.adjoint(y))


def precision(operator: Any, shape: tuple[int, ...]) -> None:
    """float32 stays float32 (or becomes complex64), float64 stays float64 (or becomes complex128)."""
    for kind in (torch.float32, torch.float64):
        prediction = operator(_picture(shape).to(kind))
        assert prediction.real.dtype == kind, f"{kind} became {prediction.dtype}"
        if _is_linear(operator):
            back = operator.adjoint(prediction)
            assert back.dtype == kind, f"the adjoint of {prediction.dtype} is {back.dtype}"


def device(operator: Any, shape: tuple[int, ...]) -> None:
    """The operator computes where it was moved to. Checked on torch's meta device, which every machine has."""
    if isinstance(operator, nn.Module):
        moved = copy.deepcopy(operator).to("meta")
        prediction = moved(_picture(shape).to("meta"))
        assert prediction.device.type == "meta", f"moved to meta, it computed on {prediction.device}"


def size(operator: Any, shape: tuple[int, ...]) -> None:
    """`output_size` is the size of the observation and `input_size` leads back to that of the picture."""
    if isinstance(operator, DifferentiableOperator):
        try:
            found = operator.output_size(shape[2:])
        except InputError:
            # A composition cannot tell if one of its parts is foreign.
            assert isinstance(operator, Composed), "output_size refuses its picture"
            return
        assert tuple(found) == tuple(operator(_picture(shape)).shape[2:]), f"output_size says {found}"
        assert tuple(operator.input_size(found)) == shape[2:], f"input_size says {operator.input_size(found)}"


def independence(operator: Any, shape: tuple[int, ...]) -> None:
    """Pictures of a batch do not influence each other, and a batch of two runs is observed run by run."""
    first, second = _picture(shape), _picture(shape, seed=1)
    both = operator(torch.cat([first, second]))
    torch.testing.assert_close(both, torch.cat([operator(first), operator(second)]))
    changed = torch.cat([first[:-1], second[-1:]])
    torch.testing.assert_close(operator(changed)[:-1], operator(first)[:-1])


def copies(operator: Any, shape: tuple[int, ...]) -> None:
    """A deep copy and a pickled copy do the same."""
    x = _picture(shape)
    for copied in (copy.deepcopy(operator), pickle.loads(pickle.dumps(operator))):  # noqa: S301 - written just before
        torch.testing.assert_close(copied(x), operator(x), rtol=0, atol=0)


def composition(operator: Any, shape: tuple[int, ...]) -> None:
    """``>>`` is associative, identities change nothing, and the result has an adjoint if the operator has."""
    x, nothing = _picture(shape), Identity()
    expected = operator(x)
    for composed in ((nothing >> operator) >> Identity(), nothing >> (operator >> Identity())):
        torch.testing.assert_close(composed(x), expected, rtol=0, atol=0)
        assert _is_linear(composed) == _is_linear(operator), "composed, it gained or lost its adjoint"
        if _is_linear(operator):
            y = _like(expected)
            adjoint: Callable[[Tensor], Tensor] = composed.adjoint
            torch.testing.assert_close(adjoint(y), operator.adjoint(y), rtol=0, atol=0)


LAWS: tuple[Law, ...] = (
    adjoint,
    linearity,
    gradient,
    precision,
    device,
    size,
    independence,
    copies,
    composition,
)


def _is_linear(operator: Any) -> bool:
    return callable(getattr(operator, "adjoint", None))


def _picture(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return a random picture in [0, 1]."""
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _like(prediction: Tensor) -> Tensor:
    random = torch.Generator().manual_seed(2)
    return torch.randn(prediction.shape, dtype=prediction.dtype, generator=random)
