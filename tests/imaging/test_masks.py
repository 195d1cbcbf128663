"""Masks as people make them: each kind is understood and told, or refused with the values found."""

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw

from untaught import cli
from untaught.errors import InputError
from untaught.imaging import reading
from untaught.imaging.masks import array_mask, file_mask, grown
from untaught.imaging.picture import Picture

SIZE = (40, 48)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def hole():
    """A stroke and a blot, True where the picture is damaged."""
    damaged = np.zeros(SIZE, bool)
    damaged[10:14, 6:40] = True
    damaged[24:32, 20:28] = True
    return damaged


@pytest.fixture(scope="module")
def photo():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    waves = 120 + 60 * np.sin(x / 5) + 40 * np.cos(y / 4 + x / 9)
    return Picture(np.stack([waves, 255 - waves, waves / 2], -1).astype(np.uint8))


def rgba(colour, alpha):
    return Picture(np.broadcast_to(np.uint8(colour), (*SIZE, 3)).copy(), np.asarray(alpha, np.uint8))


def painted(photo, hole, colour):
    return Picture(np.where(hole[..., None], np.uint8(colour), photo.pixels))


def palette(hole, label=1):
    image = Image.fromarray(np.where(hole, label, 0).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *[0] * 600])
    return Picture(np.asarray(image.convert("RGB")))


PLAIN = {
    "0 and 255": lambda hole, _: Picture(np.where(hole, 0, 255).astype(np.uint8)),
    "0 and 1": lambda hole, _: Picture(np.where(hole, 0, 1).astype(np.uint8)),
    "0 and 255 of 16 bits": lambda hole, _: Picture(np.where(hole, 0, 255).astype(np.uint16)),
    "0 and 65535": lambda hole, _: Picture(np.where(hole, 0, 65535).astype(np.uint16)),
    "floats": lambda hole, _: Picture(np.where(hole, 0.0, 1.0).astype(np.float32)),
    "signed": lambda hole, _: Picture(np.where(hole, -1, 1).astype(np.int16)),
    "gray and white": lambda hole, _: Picture(np.where(hole, 90, 200).astype(np.uint8)),
    "red on white": lambda hole, _: Picture(
        np.where(hole[..., None], np.uint8([255, 0, 0]), np.uint8(255)).astype(np.uint8)
    ),
}
OTHERS = {
    "white strokes": (lambda hole, _: Picture(np.where(hole, 255, 0).astype(np.uint8)), "white covers"),
    "1 marks it": (lambda hole, _: Picture(hole.astype(np.uint8)), "white covers"),
    "palette label": (lambda hole, _: palette(hole), "white covers"),
    "red on black": (lambda hole, _: palette(hole, 2), "white covers"),
    "erased hole": (lambda hole, _: rgba(255, np.where(hole, 0, 255)), "transparent part"),
    "black erased": (lambda hole, _: rgba(0, np.where(hole, 0, 255)), "transparent part"),
    "layer": (lambda hole, _: rgba(255, np.where(hole, 255, 0)), "mostly transparent"),
    "red layer": (lambda hole, _: rgba((255, 0, 0), np.where(hole, 200, 0)), "mostly transparent"),
    "painted red": (lambda hole, photo: painted(photo, hole, (255, 0, 0)), "with paint on it"),
    "painted white": (lambda hole, photo: painted(photo, hole, (255, 255, 255)), "with paint on it"),
    "painted black": (lambda hole, photo: painted(photo, hole, (0, 0, 0)), "with paint on it"),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_masks_are_taken_without_a_word(kind, hole, photo):
    understood = file_mask(PLAIN[kind](hole, photo), picture=photo)
    np.testing.assert_array_equal(understood.known, ~hole)
    assert understood.notes == ()


@pytest.mark.parametrize("kind", OTHERS)
def test_other_clear_masks_are_recognised_and_told(kind, hole, photo):
    make, told = OTHERS[kind]
    understood = file_mask(make(hole, photo), picture=photo)
    np.testing.assert_array_equal(understood.known, ~hole)
    assert told in understood.notes[0]


@pytest.mark.parametrize(("marks", "inverse"), [("known", False), ("missing", True)])
def test_what_the_user_says_of_white_holds(marks, inverse, hole):
    for damaged in (hole, ~hole):
        white = damaged if inverse else ~damaged
        understood = file_mask(Picture(white.astype(np.uint8) * 255), marks=marks)
        np.testing.assert_array_equal(understood.known, ~damaged)
    layer = file_mask(rgba(255, np.where(hole, 255, 0)), marks=marks)
    np.testing.assert_array_equal(layer.known, hole if marks == "known" else ~hole)


def test_labels_mark_what_is_missing(hole):
    labels = np.zeros(SIZE, np.uint8)
    labels[hole] = 2
    labels[25:31, 22:27] = 7
    understood = file_mask(Picture(labels))
    np.testing.assert_array_equal(understood.known, ~hole)
    assert "labels (0, 2, 7)" in understood.notes[0]
    known = file_mask(Picture(labels), marks="known").known
    np.testing.assert_array_equal(known, hole)


def soft(scale=8):
    """The stroke drawn with smooth edges, white where it is known."""
    large = Image.new("L", (SIZE[1] * scale, SIZE[0] * scale), 255)
    draw = ImageDraw.Draw(large)
    draw.line([(60, 85), (310, 210)], fill=0, width=30)
    draw.ellipse([100, 200, 170, 270], fill=0)
    return np.asarray(large.resize(SIZE[::-1], Image.Resampling.BOX))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("inverse", [False, True])
def test_every_pixel_that_is_partly_covered_is_missing(depth, inverse):
    white = soft()
    values = (255 - white if inverse else white).astype(np.float64) / 255
    top = 1 if depth == np.float32 else np.iinfo(depth).max
    understood = file_mask(Picture((values * top).astype(depth)), marks="missing" if inverse else "auto")
    assert not understood.known[white < 248].any()
    assert understood.known[white == 255].all()
    assert "soft edges" in understood.notes[-1]


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_a_mask_that_went_through_jpeg_covers_what_it_covered(tmp_path, hole, quality):
    Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save(tmp_path / "mask.jpg", quality=quality)
    understood = reading.read_mask(tmp_path / "mask.jpg", SIZE)
    assert not understood.known[hole].any()
    assert understood.known.mean() > 0.6
    assert "is a JPEG" in understood.notes[0]
    narrow = reading.read_mask(tmp_path / "mask.jpg", SIZE, grow=0)
    assert narrow.known.mean() > understood.known.mean()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.linspace(0, 255, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint8), "from 0 to 255, and .* are neither"),
        (RNG.integers(0, 256, SIZE).astype(np.uint8), "from 0 to 255, and .* are neither"),
        (np.where(np.arange(SIZE[1]) < 18, 255, 0) * np.ones(SIZE), "has the values 0 and 255, and 38% of it is white"),
        (np.where(np.arange(SIZE[1]) < 20, 1, 0) * np.ones(SIZE), "has the values 0 and 1, and 42% of it is white"),
        (np.repeat(np.uint8([0, 3, 9]), 16) * np.ones(SIZE, np.uint8), r"labels \(0, 3, 9\)"),
    ],
)
def test_what_could_mean_two_things_is_refused_with_the_values_found(values, message):
    with pytest.raises(InputError, match=message):
        file_mask(Picture(values))


def test_the_picture_itself_is_no_mask(photo):
    with pytest.raises(InputError, match="the mask is the picture itself, and no pure colour"):
        file_mask(photo, picture=photo)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (255, 0, 255), (0, 255, 255)])
def test_a_pure_colour_in_the_picture_itself_marks_what_is_missing(photo, hole, colour):
    marked = painted(photo, hole, colour)
    understood = file_mask(marked, picture=marked)
    assert not understood.known[hole].any()
    assert understood.known[~grown(hole, 1, (0, 1))].all()
    two = Picture(marked.pixels.copy())
    two.pixels[:3] = (0, 0, 255)
    with pytest.raises(InputError, match="one colour is wanted"):
        file_mask(two, picture=two)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.3, 0.45])
def test_scattered_white_is_what_is_known(share):
    white = np.random.default_rng(1).random((64, 64)) < share
    assert np.array_equal(file_mask(Picture(white.astype(np.uint8) * 255)).known, white)


@pytest.mark.parametrize("marks", ["known", "missing"])
def test_a_mask_file_of_most_of_the_picture_is_told_once(tmp_path, monkeypatch, capsys, photo, hole, marks):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo.pixels).save("p.png")
    Image.fromarray(hole if marks == "known" else ~hole).save("m.png")
    assert (
        cli.main(["inpaint", "p.png", "--mask", "m.png", "--mask-marks", marks, "-o", "o.png", "--iterations", "1"])
        == 0
    )
    said = capsys.readouterr().err
    assert said.count("of the picture is missing by this mask") == 1
    assert f"--mask-marks {'missing' if marks == 'known' else 'known'}" in said


@pytest.mark.parametrize("known", [0, 1, 255, -1e9])
@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_nan_in_a_mask_marks_what_is_missing(hole, known, nothing):
    understood = file_mask(Picture(np.where(hole, nothing, known).astype(np.float32)))
    np.testing.assert_array_equal(understood.known, ~hole)
    assert "not finite" in understood.notes[0]


def test_nan_beside_two_values_is_refused(hole):
    mask = np.where(hole, np.nan, RNG.random(SIZE) > 0.5).astype(np.float32)
    with pytest.raises(InputError, match="from 0 to 1, and 10"):
        file_mask(Picture(mask))


@pytest.mark.parametrize("kind", [bool, np.uint8, float])
def test_a_mask_of_most_of_the_picture_is_told(hole, kind):
    share = f"{1 - hole.mean():.0%} of the picture is missing"
    (note,) = array_mask(hole.astype(kind), axes=(0, 1)).notes
    assert note.startswith(share)
    assert array_mask(~hole, axes=(0, 1)).notes == ()
    scattered = np.random.default_rng(0).random(SIZE) < 0.2
    assert array_mask(scattered.astype(kind), axes=(0, 1)).notes == ()


def test_each_band_may_have_its_own_mask():
    known = RNG.random((*SIZE, 5)) > 0.1
    understood = file_mask(Picture(known.astype(np.uint8) * 255), picture=Picture(np.zeros((*SIZE, 5), np.float32)))
    np.testing.assert_array_equal(understood.known, known)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_one_mask_serves_all_slices(tmp_path, hole, suffix):
    values = np.where(hole, 0, 255).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / f"mask.{suffix}")
    understood = reading.read_mask(tmp_path / f"mask.{suffix}", (6, *SIZE))
    np.testing.assert_array_equal(understood.known, np.broadcast_to(~hole, (6, *SIZE)))
    assert "serves all 6 slices" in understood.notes[0]
    tifffile.imwrite(tmp_path / "all.tif", np.stack([values] * 6), photometric="minisblack")
    assert reading.read_mask(tmp_path / "all.tif", (6, *SIZE)).known.shape == (6, *SIZE)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_of_a_photograph_that_was_turned_is_turned_too(tmp_path, photo, hole, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo.pixels).save(tmp_path / "photo.png", exif=exif)
    Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save(tmp_path / "mask.png")
    Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save(tmp_path / "turned.png", exif=exif)
    picture = reading.read(tmp_path / "photo.png")
    one, other = (reading.read_mask(tmp_path / name, picture.size, picture) for name in ("mask.png", "turned.png"))
    np.testing.assert_array_equal(one.known, other.known)
    assert "EXIF" in one.notes[0]
    assert other.notes == ()


@pytest.mark.parametrize(("orientation", "side"), [(2, 20), (3, 20), (4, 20), (6, 20), (8, 20), (3, 30)])
def test_a_mask_without_orientation_of_the_same_size_is_told(tmp_path, orientation, side):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("L", (20, side), 128).save(tmp_path / "photo.png", exif=exif)
    mask = Image.new("L", (20, side), 255)
    mask.paste(0, (2, 3, 6, 7))
    mask.save(tmp_path / "mask.png")
    mask.save(tmp_path / "turned.png", exif=exif)
    picture = reading.read(tmp_path / "photo.png")
    told, plain = (reading.read_mask(tmp_path / name, picture.size, picture) for name in ("mask.png", "turned.png"))
    assert "as drawn on the picture as shown" in told.notes[0]
    assert plain.notes == ()
    assert not told.known[4, 4]


@pytest.mark.parametrize("pixels", [0, 1, 3])
def test_a_mask_grows(pixels):
    one = np.zeros((11, 11), bool)
    one[5, 5] = True
    assert grown(one, pixels, (0, 1)).sum() == (2 * pixels + 1) ** 2
    stack = np.stack([one, ~one.any(0) * one])
    assert grown(stack, pixels, (1, 2))[1].sum() == 0


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float64])
def test_arrays_of_two_values_and_soft_edges(kind):
    white = soft()
    known = array_mask((white / 255).astype(kind) if kind == np.float64 else (white == 255).astype(kind), axes=(0, 1))
    assert not known.known[white < 248].any()
    with pytest.raises(InputError, match="mask of complex128"):
        array_mask(white.astype(complex), axes=(0, 1))
    with pytest.raises(InputError, match="from 0 to 255"):
        array_mask(RNG.integers(0, 256, SIZE), axes=(0, 1))
