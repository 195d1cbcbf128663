"""Sums: right, differentiable, and the same bits with any number of threads."""

import pytest
import torch

from untaught.backend.sums import mean, means, sums

SHAPES = [(1, 3, 211, 211), (2, 1, 64, 64), (1, 4096), (3, 5), (1, 1)]


def values(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_and_means_are_those_of_torch(shape):
    x = values(shape)
    exact = x.double().flatten(1)
    torch.testing.assert_close(sums(x).double(), exact.sum(1), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(means(x).double(), exact.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mean(x).double(), exact.mean(), rtol=1e-5, atol=1e-6)


def test_the_memory_layout_does_not_matter():
    x = values((2, 3, 40, 50))
    assert torch.equal(sums(x.contiguous(memory_format=torch.channels_last)), sums(x))


def test_the_gradient_is_that_of_a_sum():
    x = values((2, 3, 70, 70)).requires_grad_()
    (sums(x) * torch.tensor([2.0, -3.0])).sum().backward()
    assert torch.equal(x.grad, torch.tensor([2.0, -3.0]).view(2, 1, 1, 1).expand_as(x))


def test_the_number_of_threads_does_not_matter():
    before, x = torch.get_num_threads(), values((1, 3, 211, 211))
    try:
        found = []
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            found.append(float(sums(x)))
    finally:
        torch.set_num_threads(before)
    assert len(set(found)) == 1
