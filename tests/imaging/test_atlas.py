"""An atlas: every damaged pixel is in one restored part, and nothing else changes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from untaught.imaging.atlas import LARGEST_PATCH, plan_atlas


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(100, 700),
    width=st.integers(100, 700),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), min_size=1, max_size=5),
    channels=st.sampled_from([None, 3]),
)
def test_what_is_cut_comes_back_to_its_place(height, width, places, channels):
    missing = np.zeros((height, width), bool)
    for down, right in places:
        top, left = int(down * height), int(right * width)
        missing[top : top + 9, left : left + 40] = True
    atlas = plan_atlas(missing)
    if atlas is None:
        return
    assert np.prod(atlas.size) < height * width
    picture = np.random.default_rng(0).random((height, width) if channels is None else (height, width, channels))
    damaged = np.where(missing if channels is None else missing[..., None], 0, picture)
    np.testing.assert_array_equal(atlas.paste(atlas.cut(picture), damaged), picture)
    assert (atlas.cut(missing).sum()) >= missing.sum()
    for top, bottom, left, right in atlas.strips:
        assert bottom - top >= LARGEST_PATCH
        assert right - left >= LARGEST_PATCH
    times = np.zeros(atlas.size, int)
    for top, bottom, left, right in atlas.strips:
        times[top:bottom, left:right] += 1
    assert times.max() == 1, "no strip lies on another"


def test_little_damage_needs_little_and_much_damage_the_whole_picture():
    missing = np.zeros((1500, 2000), bool)
    assert plan_atlas(missing) is None
    missing[700:705, 400:600] = True
    atlas = plan_atlas(missing)
    assert np.prod(atlas.size) < 0.03 * missing.size
    assert plan_atlas(np.random.default_rng(0).random(missing.shape) < 0.5) is None
    assert plan_atlas(missing[:128, :128]) is None
