import numpy as np

from untaught.imaging.damage import dropped_pixels, holes, scratches, writing


def test_made_masks_have_the_size_and_share_asked_for():
    text = writing(200, 300)
    assert text.shape == (200, 300)
    assert 0.05 < (~text).mean() < 0.3
    dropped = dropped_pixels(100, 120, share=0.7, seed=1)
    assert abs((~dropped).mean() - 0.7) < 0.03
    np.testing.assert_array_equal(dropped, dropped_pixels(100, 120, share=0.7, seed=1))
    lines = scratches(200, 300)
    assert lines.shape == (200, 300)
    assert 0.01 < (~lines).mean() < 0.2
    np.testing.assert_allclose((~holes(96, 128, 0.25)).mean(), 0.25, atol=0.001)
    np.testing.assert_array_equal(holes(40, 50, seed=2), holes(40, 50, seed=2))
