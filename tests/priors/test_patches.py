"""Patches: crops that cover the whole picture again and again."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from untaught.priors.patches import Patches, inside, patch_count, patch_size, windows


@settings(deadline=None, max_examples=15)
@given(height=st.integers(1, 60), width=st.integers(1, 60), side=st.integers(8, 40))
def test_they_cover_the_whole_picture_again_and_again(height, width, side):
    picture = torch.arange(height * width).view(1, 1, height, width)
    patches = Patches((height, width), side, picture.device)
    if max(height, width) <= side:
        (cut,), place = patches.cut(picture)
        assert cut is picture
        assert place is None
        return
    times = torch.zeros(height, width, dtype=torch.int64)
    # A sweep has at most one patch more along an axis than the picture holds.
    sweep = (height // side + 2) * (width // side + 2)
    for _ in range(3 * sweep):
        (cut,), (rows, columns) = patches.cut(picture)
        assert cut.shape[2:] == patch_size((height, width), side)
        assert torch.equal(cut[0, 0], picture[0, 0][rows[0][:, None], columns[0]])
        times[rows[0][:, None], columns[0]] += 1
    assert times.min() >= 2


def test_they_continue_from_a_state():
    patches, again = (Patches((40, 30), 16, torch.device("cpu")) for _ in range(2))
    picture = torch.rand(1, 1, 40, 30)
    for _ in range(5):
        patches.cut(picture)
    moment = {name: value.clone() for name, value in patches.state().items()}
    (expected,), _ = patches.cut(picture)
    again.restore(moment)
    (cut,), _ = again.cut(picture)
    assert torch.equal(cut, expected)


def test_how_many_a_picture_holds():
    assert patch_count((512, 300), 512) == 1
    assert patch_count((1024, 1024), 512) == 4
    assert patch_count((300, 1024), 512) == 2


@pytest.mark.parametrize(
    ("size", "strips"), [((100, 300), ()), ((40, 50), ()), ((128, 400), [(0, 64, 0, 400), (64, 128, 30, 90)])]
)
def test_windows_cover_what_is_wanted_once(size, strips):
    counts = torch.zeros(size, dtype=torch.int64)
    for window, (top, bottom, left, right) in windows(size, 64, 8, None, strips):
        counts[top:bottom, left:right] += 1
        assert max(window[1] - window[0], window[3] - window[2]) <= 64
        assert window[0] <= top < bottom <= window[1]
        assert window[2] <= left < right <= window[3]
    assert torch.equal(counts, inside(size, strips).long() if strips else torch.ones_like(counts))


def test_windows_without_a_wanted_pixel_are_left_out():
    wanted = torch.zeros(200, 200, dtype=torch.bool)
    wanted[150, 20] = True
    ((window, part),) = windows((200, 200), 64, 8, wanted)
    assert part[0] <= 150 < part[1]
    assert part[2] <= 20 < part[3]
    # The rim is not used but where the picture ends.
    assert part[0] - window[0] == 8
    assert part[2] == window[2] == 0
