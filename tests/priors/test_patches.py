"""Patches: crops that cover the whole picture again and again."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from untaught.priors.patches import Patches, patch_count, patch_size


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
