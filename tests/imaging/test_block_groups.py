import numpy as np
import pytest
import torch

from untaught.imaging import block_groups
from untaught.imaging.block_groups import BLOCK, GROUP, features, reference_blocks, shrunk, similar_blocks
from untaught.imaging.correlated_filter import _shift_table
from untaught.kernels import for_processor


def picture(height, width, channels=1, seed=0):
    """Waves and noise, (C, H, W)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = torch.sin(0.4 * x + 0.2 * y) / 4 + 0.5
    return waves + 0.1 * torch.randn(channels, height, width, generator=torch.Generator().manual_seed(seed))


def table():
    """For noise that neighbours share."""
    distance = np.add.outer(np.arange(8) ** 2, np.arange(8) ** 2)
    return _shift_table(np.exp(-distance / 4))


@pytest.fixture
def in_turn(monkeypatch):
    """Calls a function without kernels and with them."""

    def call(function, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(block_groups, "for_processor", lambda: None)
            plain = function(*arguments, **options)
        assert for_processor() is not None
        return plain, function(*arguments, **options)

    return call


@pytest.mark.usefixtures("each_processor")
@pytest.mark.parametrize("size", [(8, 8), (9, 30), (70, 64)], ids=str)
@pytest.mark.parametrize("doubt", [0.0, 0.5])
def test_the_kernels_find_the_same_blocks(size, doubt, in_turn):
    compared = features(picture(*size, 3), [28, 10, 10])
    plain, fast = in_turn(similar_blocks, compared, *reference_blocks(compared, 3), GROUP, 12, doubt)
    # A few distances are equal up to rounding.
    assert (plain == fast).float().mean() > 0.995


@pytest.mark.usefixtures("each_processor")
@pytest.mark.parametrize("size", [(8, 8), (9, 30), (70, 64)], ids=str)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("guided", [False, True])
def test_the_kernels_remove_the_same_noise(size, shared, guided, in_turn):
    plane, pilot = picture(*size)[0], picture(*size, seed=1)[0]
    compared = features(pilot[None], [28])
    groups = similar_blocks(compared, *reference_blocks(compared, 3), GROUP, 12)
    variance = torch.linspace(2e-2, 1e-3, len(groups))
    options = {"pilot": pilot, "excess": 1.5} if guided else {"threshold": 3.0}
    plain, fast = in_turn(shrunk, plane, groups, variance, table=table() if shared else None, **options)
    assert (plain - plane).abs().mean() > 0.01
    # A coefficient at the threshold is kept by one and not by the other.
    off = (plain - fast).abs()
    assert off.mean() < 1e-5
    assert off.max() < (1e-5 if guided else 1e-2)


@pytest.mark.skipif(for_processor() is None, reason="no kernels here")
def test_any_number_of_threads_gives_the_same_bits():
    plane = picture(90, 80)[0]
    compared = features(plane[None], [28])
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        try:
            groups = similar_blocks(compared, *reference_blocks(compared, 3), GROUP, 12)
            variance = torch.full((len(groups),), 0.01)
            found.append(shrunk(plane, groups, variance, table=table(), threshold=3.0))
        finally:
            torch.set_num_threads(before)
    assert all(torch.equal(one, found[0]) for one in found)


def test_a_picture_of_one_block_is_its_own_partner():
    compared = features(torch.rand(1, BLOCK, BLOCK), [28])
    assert similar_blocks(compared, *reference_blocks(compared, 3), GROUP, 12).tolist() == [[0] * GROUP]
