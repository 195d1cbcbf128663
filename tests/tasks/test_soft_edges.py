"""Soft edges: what is missing is replaced, and around it the result fades into the picture."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch

import untaught
from untaught.errors import InputError, SettingError
from untaught.tasks.preparation import prepare
from untaught.tasks.soft_edges import shares_of


def holed(shape=(24, 20)):
    known = np.ones(shape, bool)
    known[8:12, 6:12] = False
    return known


def test_the_share_falls_with_the_distance():
    shares = shares_of(holed(), 3)
    assert (shares[8:12, 6:12] == 1).all()
    np.testing.assert_allclose(shares[9, 12:17], [0.75, 0.5, 0.25, 0, 0])
    assert shares[7, 12] == pytest.approx(1 - 2**0.5 / 4)
    assert (shares_of(np.ones((3, 4), bool), 3) == 0).all()
    assert (shares_of(holed(), 0) == ~holed()).all()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_the_result_is_mixed_by_these_shares(picture, tiny, kind):
    top = 1 if kind is np.float32 else np.iinfo(kind).max
    image = (picture / 255 * top).astype(kind)
    known = holed(picture.shape[:2])
    shares = shares_of(known, 4)[..., None]
    soft = untaught.inpaint(image, known, recipe=tiny, feather=4)
    # The fit is the one of a mask that is wider by the edge.
    hard = untaught.inpaint(image, shares[..., 0] == 0, recipe=tiny)
    expected = image + shares * (hard.picture.astype(float) - image)
    assert soft.picture.dtype == kind
    assert np.abs(soft.picture - expected).max() <= (1 if top > 1 else 1e-6)
    np.testing.assert_array_equal(soft.picture[shares[..., 0] == 0], image[shares[..., 0] == 0])


@pytest.mark.parametrize("hidden", [0, 255])
def test_what_is_missing_cannot_leak(picture, tiny, hidden):
    known = holed(picture.shape[:2])
    changed = np.where(known[..., None], picture, np.uint8(hidden))
    results = [untaught.inpaint(one, known, recipe=tiny, feather=3).picture for one in (picture, changed)]
    np.testing.assert_array_equal(*results)


def test_strips_fade_as_the_whole_picture_does():
    """At the edge of the picture and beside another strip, too."""
    y, x = np.mgrid[:600, :500]
    image = (120 + 60 * np.sin(x / 9) + 40 * np.cos(y / 13)).astype(np.uint8)
    known = np.ones(image.shape, bool)
    known[100:103, 0:200] = False
    known[400:520, 497:500] = False
    job = prepare("inpaint", image, known, device="cpu", iterations=2, feather=8)
    assert job.problem.strips
    shares = shares_of(known, 8)
    # A picture of white, so that what comes back tells the shares.
    size = (1, 1, *job.problem.size)
    state = dataclasses.make_dataclass("State", ["picture", "average"])(torch.ones(size), torch.ones(size))
    made = np.asarray(job.picture(state)).astype(float)
    assert np.abs(made - (image + shares * (255 - image.astype(float)))).max() <= 1
    assert pickle.loads(pickle.dumps(job.problem.display_step)) is not None


def test_a_volume_fades_in_each_slice(tiny):
    volume = np.random.default_rng(0).random((4, 20, 20)).astype(np.float32)
    known = np.ones(volume.shape, bool)
    known[1, 5:9, 5:9] = False
    result = untaught.inpaint(volume, known, volume=True, recipe=tiny, iterations=2, feather=2).picture
    changed = result != volume
    assert changed[1, 3:11, 5:9].all()
    assert not changed[[0, 2, 3]].any()


def test_what_cannot_be_is_refused(picture):
    known = holed(picture.shape[:2])
    with pytest.raises(SettingError, match="network's own output has none"):
        untaught.inpaint(picture, known, feather=2, keep_known=False)
    with pytest.raises(SettingError, match="feather"):
        untaught.inpaint(picture, known, feather=33)
    with pytest.raises(InputError, match="make it narrower"):
        untaught.inpaint(picture, known, feather=32)
