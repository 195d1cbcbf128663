"""Damage is found, and what belongs to the picture is left alone. Floors are measured figures less a margin."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import untaught
from untaught.errors import InputError, SettingError
from untaught.imaging.damage import DATE_STYLES, date_stamp, scratches, specks, writing
from untaught.imaging.detection.proposal import KINDS, Search, propose


def portrait():
    return np.ascontiguousarray(data.astronaut()[:320, 60:380])


def coffee():
    return np.ascontiguousarray(data.coffee()[40:360, 140:460])


def covered(picture, known, value):
    return np.where(known if picture.ndim == 2 else known[..., None], picture, np.uint8(value))


def precision_and_recall(found, known):
    near = ndimage.binary_dilation(~known, np.ones((3, 3)))
    return near[~found].mean(), (~found)[~known].mean()


@pytest.mark.parametrize("picture", [portrait(), coffee()], ids=["portrait", "coffee"])
@pytest.mark.parametrize(
    ("kind", "mask", "value", "precision", "recall"),
    [
        ("scratches", scratches, 245, 0.8, 0.9),
        ("scratches", scratches, 10, 0.8, 0.6),
        ("text", writing, 245, 0.8, 0.85),
        ("text", writing, 128, 0.8, 0.85),
        ("dust", specks, 250, 0.7, 0.5),
    ],
)
def test_made_damage_is_found(picture, kind, mask, value, precision, recall):
    known = mask(*picture.shape[:2])
    damaged = covered(picture, known, value)
    for asked in ("auto", kind):
        found = precision_and_recall(untaught.propose_mask(damaged, asked), known)
        assert found[0] > precision, (asked, found)
        assert found[1] > recall, (asked, found)


@pytest.mark.parametrize("style", DATE_STYLES)
@pytest.mark.parametrize(
    ("colour", "corner"), [((255, 140, 30), 3), ((250, 60, 40), 2), ((255, 215, 60), 4), ((90, 240, 90), 0)]
)
@pytest.mark.parametrize("picture", [portrait(), data.chelsea()], ids=["portrait", "cat"])
def test_a_date_in_a_corner_is_found(picture, colour, corner, style):
    known = date_stamp(*picture.shape[:2], style=style, size=0.06, corner=corner)
    share = np.minimum(1, 1.3 * ndimage.gaussian_filter((~known).astype(float), 0.5))[..., None]
    damaged = np.rint(picture * (1 - share) + np.array(colour) * share).astype(np.uint8)
    found = propose(damaged, "text").known
    near = ndimage.binary_dilation(~known, np.ones((7, 7)))
    assert (~found)[~known].mean() > 0.9
    assert near[~found].mean() > 0.9
    assert "text" in propose(damaged).shares


def test_single_pixels_are_found_and_not_widened():
    picture = portrait()
    known = np.random.default_rng(0).random(picture.shape[:2]) > 0.001
    damaged = covered(picture, known, 255)
    found = untaught.propose_mask(damaged, "pixels")
    precision, recall = precision_and_recall(found, known)
    assert precision > 0.9
    assert recall > 0.6
    assert (~found).sum() < 1.2 * (~known).sum()


@pytest.mark.parametrize(
    "picture",
    [portrait(), coffee(), data.chelsea(), data.rocket(), data.camera(), data.grass()[:320, :320], data.brick()[:320]],
    ids=["portrait", "coffee", "chelsea", "rocket", "camera", "grass", "brick"],
)
def test_clean_pictures_are_left_alone(picture):
    assert (~untaught.propose_mask(picture)).mean() < 0.003


def test_nothing_is_found_in_noise_and_in_nothing():
    noise = np.random.default_rng(0).normal(128, 30, (200, 200)).clip(0, 255).astype(np.uint8)
    ramp = np.linspace(0, 1, 200 * 200).reshape(200, 200)
    for picture in (noise, ramp, np.zeros((200, 200)), np.full((20, 20, 3), np.nan), np.ones((1, 1)), np.ones((3, 40))):
        assert propose(picture).known.all()


@pytest.mark.parametrize("kind", ["scratches", "dust", "text", "pixels"])
def test_a_kind_is_found_by_itself(kind):
    random = np.random.default_rng(0)
    picture = random.normal(120, 3, (240, 240, 3)).astype(np.uint8)
    lines, dots, letters = (np.ones((240, 240), bool) for _ in range(3))
    lines[40:200, 30:33] = False
    dots[60:64, 80::40] = False
    letters[120:] = writing(120, 240)
    letters[:, :60] = True
    single = np.ones((240, 240), bool)
    single[20, 80::30] = False
    damage = {"scratches": lines, "dust": dots, "text": letters, "pixels": single}
    for known, value in zip(damage.values(), (10, 250, (220, 40, 60), 255), strict=True):
        picture[~known] = value
    found = propose(picture, kind)
    assert list(found.shares) == [kind]
    assert (~found.known)[~damage[kind]].mean() > 0.9
    others = [known for name, known in damage.items() if name != kind]
    assert (~found.known)[~np.all(others, 0)].mean() < 0.05
    assert found.marked == pytest.approx((~found.known).mean())


def test_black_pixels_are_zero_in_all_channels():
    picture = np.full((20, 20, 3), 9, np.uint8)
    picture[3, 4:7] = 0
    picture[9, 9] = (0, 0, 1)
    found = propose(picture, "black")
    assert (~found.known).sum() == 3
    assert found.names == "black pixels"


@pytest.mark.parametrize("make", [lambda one: one, lambda one: one.astype(np.uint16) * 16, lambda one: one / 255.0])
def test_the_type_of_the_values_does_not_matter(make):
    picture = data.camera()[:256, :256]
    known = scratches(256, 256)
    found = untaught.propose_mask(make(covered(picture, known, 245)))
    precision, recall = precision_and_recall(found, known)
    assert precision > 0.8
    assert recall > 0.9


def test_more_is_marked_with_more_strength():
    picture = portrait()
    known = specks(*picture.shape[:2])
    damaged = covered(picture, known, 250)
    marked = [propose(damaged, "dust", strength).marked for strength in (0.2, 0.5, 0.8)]
    assert marked[0] < marked[1] < marked[2]


def test_a_search_that_goes_on_finds_what_a_new_one_finds():
    damaged = covered(portrait(), scratches(320, 320) & writing(320, 320, 2), 245)
    damaged[[20, 90, 200], [30, 250, 160]] = 0
    goes_on = Search(damaged)
    for kind, strength in (("auto", 0.5), ("auto", 1), ("dust", 0), ("auto", 0), ("pixels", 0.7), ("auto", 0.55)):
        found, fresh = goes_on.propose(kind, strength), propose(damaged, kind, strength)
        np.testing.assert_array_equal(found.known, fresh.known)
        assert found.shares == fresh.shares


def test_names_are_listed_in_words():
    picture = portrait()
    known = scratches(320, 320)
    assert propose(covered(picture, known, 245)).names.startswith("scratches")


def test_what_is_no_picture_is_refused():
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        untaught.propose_mask(np.zeros(3))
    with pytest.raises(InputError, match="complex"):
        untaught.propose_mask(np.zeros((4, 4), complex))
    with pytest.raises(SettingError, match="scratches, dust, text"):
        untaught.propose_mask(np.zeros((4, 4)), "hair")
    with pytest.raises(SettingError, match="from 0 to 1"):
        untaught.propose_mask(np.zeros((4, 4)), strength=2)


def test_the_command_line_has_the_same_kinds():
    from typing import get_args

    from untaught.cli.options import Propose

    literal = get_args(get_args(Propose)[0])[0]
    assert get_args(literal) == KINDS
