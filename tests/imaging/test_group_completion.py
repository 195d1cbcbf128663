"""Filling in gaps by groups of similar blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from untaught.imaging import group_completion
from untaught.imaging.group_completion import AGAIN, FROM_SMOOTH, GroupCompletion, Schedule
from untaught.kernels import for_processor
from untaught.tasks.classical import fill

SHORT = Schedule((1.4, 0.5, 3), (2.7, 1.0, 2))


def weave(height: int = 64, width: int = 64, channels: int = 1) -> Tensor:
    """Stripes that a smooth filling loses, (1, C, H, W)."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    planes = [0.5 + 0.3 * torch.sin(0.9 * rows + (0.4 + 0.1 * number) * columns) for number in range(channels)]
    return torch.stack(planes)[None].float()


def dropped(picture: Tensor, share: float = 0.5, seed: int = 0) -> Tensor:
    generator = np.random.default_rng(seed)
    known = torch.from_numpy(generator.random(picture.shape[-2:]) > share)
    return known.expand_as(picture)


def error(one: Tensor, other: Tensor, where: Tensor) -> float:
    return float((one - other)[where].square().mean())


def completed(picture: Tensor, known: Tensor, schedule: Schedule = FROM_SMOOTH, **options: object) -> Tensor:
    completion = GroupCompletion(picture, known, schedule, **options)  # type: ignore[arg-type]
    while not completion.finished:
        completion.step()
    return completion.picture


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_what_repeats_is_completed_far_better_than_by_a_smooth_filling(channels: int) -> None:
    truth = weave(channels=channels)
    known = dropped(truth)
    smooth = fill(truth * known, known)
    result = completed(smooth, known)
    assert error(result, truth, ~known) < 0.05 * error(smooth, truth, ~known)
    assert torch.equal(result[known], truth[known])
    again = completed(result, known, AGAIN)
    assert error(again, truth, ~known) < 1.2 * error(result, truth, ~known)


def test_each_channel_may_miss_other_pixels() -> None:
    truth = weave(channels=3)
    known = torch.cat([dropped(truth[:, :1], 0.4, seed) for seed in range(3)], 1)
    smooth = fill(truth * known, known)
    result = completed(smooth, known)
    assert error(result, truth, ~known) < 0.2 * error(smooth, truth, ~known)
    assert torch.equal(result[known], truth[known])


@pytest.mark.parametrize("contrast", [0.02, 1.0])
def test_contrast_does_not_matter(contrast: float) -> None:
    truth = weave()
    known = dropped(truth)
    smooth = fill(truth * known, known)
    faint = completed(0.1 + contrast * smooth, known)
    assert torch.allclose((faint - 0.1) / contrast, completed(smooth, known), atol=2e-2)


@pytest.mark.parametrize(
    ("height", "width"), [(7, 40), (8, 8), (9, 30), (5, 5)], ids=["low", "one block", "narrow", "smaller than a block"]
)
def test_odd_sizes(height: int, width: int) -> None:
    truth = weave(height, width)
    known = dropped(truth)
    result = completed(truth * known, known, SHORT)
    assert result.isfinite().all()
    assert torch.equal(result[known], truth[known])
    if min(height, width) < 8:
        assert torch.equal(result, truth * known)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_picture_stays_flat(value: float) -> None:
    truth = torch.full((1, 3, 40, 40), value)
    known = dropped(truth)
    result = completed(truth, known)
    assert torch.allclose(result, truth, atol=1e-5)


def test_nothing_missing_takes_no_step() -> None:
    truth = weave()
    completion = GroupCompletion(truth, torch.ones_like(truth, dtype=torch.bool))
    assert completion.steps == 0
    assert completion.finished
    assert not completion.step()
    assert torch.equal(completion.picture, truth)


def test_it_continues_from_any_step_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_completion, "_TILE", 24)
    truth = torch.cat([weave(40, 56), weave(40, 56).flip(-1)])
    known = dropped(truth)
    smooth = fill(truth * known, known)
    whole = GroupCompletion(smooth, known, SHORT)
    moments = []
    while not whole.finished:
        moments.append((whole.done, whole.picture))
        whole.step()
    assert whole.steps == 2 * 2 * 3 * 5
    for done, picture in (moments[3], moments[17], moments[-1]):
        rest = GroupCompletion(picture, known, SHORT, done=done)
        assert rest.done == done
        while not rest.finished:
            rest.step()
        assert torch.equal(rest.picture, whole.picture)


def test_tiles_of_much_detail_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_completion, "_TILE", 24)
    truth = weave(48, 72)
    truth[..., :48] = 0.5 + 0.1 * torch.linspace(0, 1, 48)
    known = dropped(truth)
    smooth = fill(truth * known, known)
    completion = GroupCompletion(smooth, known, SHORT)
    for _ in range(2):
        while not completion.step():
            pass
    assert completion.done * 3 == completion.steps
    changed = completion.picture != smooth
    assert changed[..., 48:].any()
    assert not changed[..., :48].any()


def test_tiles_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = weave(96, 96)
    known = dropped(truth)
    smooth = fill(truth * known, known)
    whole = completed(smooth, known)
    monkeypatch.setattr(group_completion, "_TILE", 32)
    tiled = completed(smooth, known)
    assert error(tiled, truth, ~known) < 2 * error(whole, truth, ~known) + 1e-6


def test_strips_do_not_see_each_other() -> None:
    truth = weave(64, 64)
    known = dropped(truth)
    smooth = fill(truth * known, known)
    strips = [(0, 32, 0, 64), (32, 64, 0, 64)]
    other = smooth.clone()
    other[..., 32:, :] = 0.9
    one = completed(smooth, known, SHORT, strips=strips)
    # Both are measured by the picture's contrast, so it must not differ.
    two = GroupCompletion(other, known, SHORT, strips)
    two._scales = GroupCompletion(smooth, known, SHORT, strips)._scales
    while not two.finished:
        two.step()
    assert torch.equal(one[..., :32, :], two.picture[..., :32, :])


def test_only_a_share_is_taken() -> None:
    truth = weave(40, 40)
    known = dropped(truth)
    smooth = fill(truth * known, known)
    all_of_it = completed(smooth, known, SHORT)
    half = completed(
        smooth, known, SHORT, share=lambda number, rows, columns: torch.full_like(smooth[number, :, rows, columns], 0.5)
    )
    assert torch.allclose(half, (smooth + all_of_it) / 2, atol=1e-6)


def test_the_number_of_threads_does_not_change_the_bits() -> None:
    truth = weave(56, 72, 3)
    known = dropped(truth)
    smooth = fill(truth * known, known)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(completed(smooth, known, SHORT))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


# The compiled kernels ------------------------------------------------------------------------------------------------

compiled = pytest.mark.skipif(for_processor() is None, reason="no kernels here")


def groups_of(picture: Tensor, known: Tensor, monkeypatch: pytest.MonkeyPatch, *, kernels: bool) -> Any:
    if not kernels:
        monkeypatch.setattr(group_completion, "for_processor", lambda: None)
    made = group_completion._Groups(picture[0].mean(0), ~known[0].all(0))
    monkeypatch.undo()
    return made


@pytest.mark.usefixtures("each_processor")
@pytest.mark.parametrize("size", [(64, 70), (8, 8), (9, 30), (40, 12)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_kernels_agree_with_torch(size: tuple[int, int], channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = weave(*size, channels)
    noisy = truth + 0.05 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    known = dropped(truth)
    plain, fast = (groups_of(noisy, known, monkeypatch, kernels=one) for one in (False, True))
    # A few distances are equal up to rounding.
    assert (plain._members == fast._members).float().mean() > 0.995
    fast._members = plain._members.int()
    for adaptive in (False, True):
        for threshold in (0.0, 0.1, 0.5, 100.0):
            wanted, found = (one.filtered(noisy[0], threshold, adaptive=adaptive) for one in (plain, fast))
            off = (wanted - found).abs()
            # A component at the threshold is kept by one and not by the other.
            assert off.mean() < 3e-5
            assert off.max() < 5e-3


@compiled
def test_sixteen_matrices_are_decomposed_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    # Groups of all kinds in one batch: flat, of rank one, two equal values, noise, very faint and very strong.
    picture = torch.zeros(1, 1, 64, 64)
    picture[..., :16, :] = 0.7
    picture[..., 16:32, :] = weave(16, 64) * 1e-4
    picture[..., 32:48, ::2] = 1.0
    picture[..., 48:, :] = torch.rand(1, 1, 16, 64, generator=torch.Generator().manual_seed(1))
    known = dropped(picture)
    plain, fast = (groups_of(picture, known, monkeypatch, kernels=one) for one in (False, True))
    fast._members = plain._members.int()
    for threshold in (1e-5, 1e-3, 0.3):
        wanted, found = (one.filtered(picture[0], threshold, adaptive=True) for one in (plain, fast))
        assert found.isfinite().all()
        assert (wanted - found).abs().mean() < 2e-5


@compiled
def test_any_number_of_threads_gives_the_same_bits() -> None:
    truth = weave(80, 80, 3)
    known = dropped(truth)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        try:
            found.append(completed(truth * known, known, SHORT))
        finally:
            torch.set_num_threads(before)
    assert all(torch.equal(one, found[0]) for one in found)


def test_kernels_that_are_switched_off_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNTAUGHT_KERNELS", "off")
    assert for_processor() is None
    monkeypatch.delenv("UNTAUGHT_KERNELS")
    torch._C._set_mkldnn_enabled(False)
    try:
        assert for_processor() is None
    finally:
        torch._C._set_mkldnn_enabled(True)
