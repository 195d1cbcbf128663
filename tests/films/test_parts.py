"""What a film is made of: windows of frames, cuts, motion, means, masks, the filters' share of the noise."""

import weakref

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from made_films import damaged, logo, moved, noisy, pictures
from untaught.errors import InputError
from untaught.films import denoising, filling
from untaught.films.averaging import averaged
from untaught.films.denoising import denoised
from untaught.films.frames import Frame, Values, windows
from untaught.films.motion import at, chained, coarse, field, small, with_motion
from untaught.films.shots import Cuts
from untaught.films.sources import masks_of, open_film
from untaught.imaging.collaborative_filter import two_step_filter
from untaught.imaging.correlated_filter import Strength, filter_correlated
from untaught.imaging.ranges import Range
from untaught.imaging.real_noise import noise_model
from untaught.tasks.denoise import DenoiseSettings

BYTES = Range(low=0, high=255, stated=(0, 255))


def frames_of(arrays, known=None, shots=None):
    values = Values(BYTES, arrays[0])
    there = None if known is None else torch.from_numpy(known)
    return values, [
        Frame(number, 0 if shots is None else shots[number], values.planes(one), there)
        for number, one in enumerate(arrays)
    ]


def planes_of(arrays):
    return [frame.planes for frame in frames_of(arrays)[1]]


@pytest.mark.parametrize("like", [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint16), np.zeros((4, 5), "f4")])
def test_pixels_come_back_from_planes_to_the_bit(like):
    top = 1 if like.dtype.kind == "f" else np.iinfo(like.dtype).max
    values = Values(Range(low=0, high=top, stated=(0, top)), like)
    given = (np.random.default_rng(0).random(like.shape) * top).astype(like.dtype)
    assert (values.pixels(values.planes(given)) == given).all()


def test_a_window_is_of_one_shot_and_in_order():
    _, frames = frames_of(moved(7), shots=[0, 0, 0, 3, 3, 3, 3])
    found = [
        (frame.number, [one.number for one in before], [one.number for one in after])
        for frame, before, after in windows(frames, 2)
    ]
    assert found == [
        (0, [], [1, 2]),
        (1, [0], [2]),
        (2, [1, 0], []),
        (3, [], [4, 5]),
        (4, [3], [5, 6]),
        (5, [4, 3], [6]),
        (6, [5, 4], []),
    ]


@pytest.mark.parametrize("way", ["denoise", "inpaint"])
def test_memory_does_not_grow_with_the_length(monkeypatch, way):
    monkeypatch.setattr(filling, "_FARTHEST", 3)
    monkeypatch.setattr(denoising, "REACH", 3)
    alive, most = weakref.WeakSet(), 0
    array = moved(1, size=(24, 32))[0]
    values, known = Values(BYTES, array), torch.from_numpy(logo()[20:44, 20:52])

    def endless():
        for number in range(18):
            frame = Frame(number, 0, values.planes(array), known)
            alive.add(frame)
            yield frame

    stream = (
        denoised(endless(), values, {}, DenoiseSettings(noise=5))
        if way == "denoise"
        else filling.filled(endless(), values, {}, lambda _: None)
    )
    for _ in stream:
        most = max(most, len(alive))
    assert most <= 2 * 3 + 4


def test_cuts_are_found_and_a_moving_camera_is_none():
    film = [*moved(4, step=(3, 9), size=(200, 300)), *moved(4, photo=data.coffee(), size=(200, 300), corner=(0, 0))]
    assert starts(noisy(film, 40)) == [True, *[False] * 3, True, *[False] * 3]


def test_noise_alone_is_no_cut():
    assert starts(noisy([np.full((48, 64), 128, np.uint8)] * 4, 40)) == [True, False, False, False]


def starts(arrays):
    cuts, planes = Cuts(), planes_of(arrays)
    return [cuts.begins(one, other) for one, other in zip(planes, [*planes[1:], None], strict=True)]


def test_motion_is_that_of_the_camera():
    one, other = planes_of(moved(2, size=(128, 160), step=(2, -3)))
    found = field(small(one), small(other))
    inner = found[:, 12:-12, 12:-12].flatten(1).median(1).values
    assert inner.tolist() == pytest.approx([-2, 3], abs=0.2)


def test_motion_over_several_frames_adds_up():
    frames = list(with_motion(frames_of(moved(4, size=(128, 160), step=(1, 2)))[1], lambda one: one.planes))
    assert frames[0].back is None
    assert frames[-1].ahead is None
    *_, last = chained(one.ahead for one in frames[:3])
    middle = torch.tensor([[64.0], [80.0]])
    assert at(last, middle).flatten().tolist() == pytest.approx([-3, -6], abs=0.3)


def test_a_mean_has_as_much_less_noise_as_it_says():
    flat = [np.full((64, 64, 3), 120, np.uint8)] * 5
    given = planes_of(noisy(flat, 10))
    still = torch.zeros(2, 32, 32)
    mean, share = averaged(given[0], [(one, still) for one in given[1:]], torch.full((3, 1, 1), (10 / 255) ** 2))
    left = float((mean - 120 / 255).var() / (10 / 255) ** 2)
    assert left == pytest.approx(float(share.mean()), rel=0.15)
    assert left < 0.3


def test_what_differs_is_left_out_of_a_mean():
    one, other = planes_of([moved(1)[0], np.ascontiguousarray(moved(1)[0][::-1])])
    mean, share = averaged(one, [(other, torch.zeros(2, 32, 40))], torch.full((3, 1, 1), (1 / 255) ** 2))
    assert (mean - one).abs().mean() < 0.002
    assert share.median() > 0.9


@pytest.mark.parametrize("size", [(8, 8), (9, 30), (33, 10)])
def test_a_mean_of_small_and_odd_frames(size):
    one = planes_of(moved(1, size=size))[0]
    same = [(one, torch.zeros(2, -(-size[0] // 2), -(-size[1] // 2)))]
    mean, share = averaged(one, same, torch.full((3, 1, 1), 1e-3))
    assert torch.allclose(mean, one, atol=1e-5)
    assert torch.allclose(share, torch.full_like(share, 0.5), atol=1e-3)


def test_filters_remove_no_more_than_the_share_that_is_there():
    given = planes_of(noisy(moved(1, size=(64, 64)), 20))[0][None]
    whole, little = (two_step_filter(given, 20 / 255, torch.full_like(given, share)) - given for share in (1.0, 0.01))
    assert torch.allclose(whole + given, two_step_filter(given, 20 / 255), atol=1e-5)
    assert little.std() < 0.3 * whole.std()
    picture = given[0].movedim(0, -1).double().numpy()
    model = noise_model(picture)
    much, less = (
        filter_correlated(picture, model, Strength(), torch.full((3, 64, 64), share)) - picture for share in (1.0, 0.01)
    )
    assert np.allclose(much + picture, filter_correlated(picture, model, Strength()))
    assert less.std() < 0.3 * much.std()


def test_grain_that_pixels_share_is_modelled_once():
    random = np.random.default_rng(0)
    clean = moved(2, size=(96, 96), photo=data.coffee())
    grain = [ndimage.gaussian_filter(random.normal(0, 60, one.shape), (1, 1, 0)) for one in clean]
    given = [(one + more).round().clip(0, 255).astype(np.uint8) for one, more in zip(clean, grain, strict=True)]
    values, frames = frames_of(given)
    measured = {}
    made = [values.pixels(one.kept["result"]) for one in denoised(frames, values, measured, DenoiseSettings())]
    assert "model" in measured["0"]
    before, after = (
        np.mean([(a.astype(float) - b) ** 2 for a, b in zip(some, clean, strict=True)]) for some in (given, made)
    )
    assert after < 0.4 * before
    # From what is kept, as after an end in the middle, it is the same.
    again = denoised(frames_of(given)[1], values, measured, DenoiseSettings())
    assert all((values.pixels(one.kept["result"]) == other).all() for one, other in zip(again, made, strict=True))


def test_a_hole_that_nothing_shows_does_not_flicker():
    still = noisy(moved(6, step=(0, 0)), 2)
    known = logo()
    values, frames = frames_of(damaged(still, known), known)
    made = [values.pixels(one.kept["result"]) for one in filling.filled(frames, values, {}, lambda _: None)]
    changes = [np.std(one[~known].astype(float) - other[~known]) for one, other in zip(made[1:], made, strict=False)]
    assert max(changes) < 1.5


def test_a_frame_of_which_nothing_is_known_comes_from_its_neighbours():
    clean = moved(5, step=(0, 0))
    values, frames = frames_of(clean)
    frames[2].known = torch.zeros(64, 80, dtype=torch.bool)
    made = [values.pixels(one.kept["result"]) for one in filling.filled(frames, values, {}, lambda _: None)]
    assert np.isfinite(made[2]).all()
    assert (made[1] == clean[1]).all()


def test_pictures_are_in_the_order_of_their_numbers(tmp_path):
    film = open_film(pictures(tmp_path / "film", moved(11)))
    assert [one.name for one in film.files][-2:] == ["frame10.png", "frame11.png"]
    (tmp_path / "film" / "frame1.png").rename(tmp_path / "single.png")
    with pytest.raises(InputError, match="is one picture"):
        open_film(tmp_path / "single.png")
    with pytest.raises(InputError, match="there is no film"):
        open_film(tmp_path / "nothing*.png")


def test_masks_of_another_size_or_of_nothing_are_told(tmp_path):
    first = moved(1)[0]
    wrong = pictures(tmp_path / "wrong", [np.uint8(255) * logo()[:40]])
    read, _ = masks_of(wrong, first, "known", None)
    with pytest.raises(InputError, match="is 80 x 40 pixels and the film 80 x 64"):
        list(read())
    white = pictures(tmp_path / "white", [np.full((64, 80), 255, np.uint8)])
    with pytest.raises(InputError, match="all white or all black"):
        masks_of(white, first, "auto", None)


def test_a_fast_camera_is_followed_through_noise():
    one, other = planes_of(noisy(moved(2, size=(200, 260), step=(0, 40), corner=(150, 40)), 40))
    found = field(small(one), small(other))[:, 20:-20, 30:-20] - torch.tensor([0.0, -40.0])[:, None, None]
    assert found.norm(dim=0).median() < 0.5


def test_a_flat_part_moves_as_what_is_around_it():
    frames = moved(2, size=(200, 260), step=(-9, 24), corner=(150, 40))
    for frame in frames:
        frame[:, 200:] = 90
    one, other = planes_of(frames)
    found = coarse(small(one), small(other))[:, 40:60, 110:].flatten(1).median(1).values
    assert found.tolist() == pytest.approx([9, -24], abs=3)
