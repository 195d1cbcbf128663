"""Tasks on signals that fill a part of their container, with values that stand for nothing, and transparency.

A fit in the working range has to be the fit of the same data scaled by hand.
"""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.restoration import inpaint_biharmonic

import untaught
from untaught import cli
from untaught.errors import InputError
from untaught.imaging import reading
from untaught.tasks.preparation import prepare

SIDE = 32
Y, X = np.mgrid[:SIDE, :SIDE]
SCENE = (0.5 + 0.3 * np.sin(X / 4) + 0.19 * np.cos(Y / 3 + X / 7)).clip(0, 1)
RNG = np.random.default_rng(0)
NOISY = SCENE + RNG.normal(0, 0.06, SCENE.shape)
KNOWN = RNG.random(SCENE.shape) > 0.3


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def error(picture, clean):
    return -10 * np.log10(np.square(np.asarray(picture, np.float64) - clean).mean())


CONTAINERS = {
    "10 bits": (0, 1023, np.uint16, 0),
    "12 bits": (0, 4095, np.uint16, 0),
    "14 bits, offset": (1024, 9000, np.uint16, 0),
    "microscope": (100, 350, np.uint16, 0),
    "starry": (100, 400, np.uint16, 60000),
    "dark": (0, 40, np.uint8, 0),
    "floats": (0.02, 0.1, np.float32, 0),
}
TASKS = {
    "denoise": ({"noise": 0.06}, NOISY),
    "restore": ({"mask": KNOWN}, SCENE),
    "upscale": ({"factor": 2}, SCENE),
    "demosaic": ({}, SCENE),
}
STAR = tuple(np.argwhere(KNOWN[:20, 10:])[40] + (0, 10))


def stored(container, signal):
    """A signal in a container, and the same numbers scaled by hand."""
    low, span, kind, star = CONTAINERS[container]
    values = (low + span * signal.clip(0, 1)).astype(np.float32)
    values = (values if kind == np.float32 else values.round()).astype(kind)
    by_hand = ((values.astype(np.float64) - low) / span).clip(0, 1).astype(np.float32)
    if star:
        values[STAR] = star
    return values, by_hand


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_narrow_signal_is_shown_to_the_network_like_one_scaled_by_hand(task, container):
    options, signal = TASKS[task]
    values, by_hand = stored(container, signal)
    span = CONTAINERS[container][1]
    scaled = {**options, **({"noise": options["noise"] * span} if task == "denoise" else {})}
    own, other = prepare(task, values, **scaled).problem, prepare(task, by_hand, **options).problem
    both = own.known & other.known
    assert both.sum() >= other.known.sum() - 1
    apart = (other.observed.shape[-1] == SIDE) & (other.observed != own.observed) & both
    line = np.polyfit(other.observed[apart], own.observed[apart], 1) if apart.any() else (1, 0)
    assert 0.8 < line[0] < 1.05
    rest = own.observed - (line[0] * other.observed + line[1])
    both[..., STAR[0], STAR[1]] = False
    assert float(rest[both].abs().max()) < 1e-3
    if task == "denoise":
        assert own.noise == pytest.approx(line[0] * other.noise, rel=1e-3)
    assert "black and white are taken as" in " ".join(own.notes)


@pytest.mark.parametrize("task", ["denoise", "restore"])
@pytest.mark.parametrize("container", ["12 bits", "microscope", "starry", "dark"])
def test_a_narrow_signal_is_restored_like_one_scaled_by_hand(task, container):
    options, signal = TASKS[task]
    values, by_hand = stored(container, signal)
    low, span = CONTAINERS[container][:2]
    scaled = {**options, **({"noise": options["noise"] * span} if task == "denoise" else {})}
    own = untaught.run_task(task, values, iterations=40, **scaled).picture
    other = untaught.run_task(task, by_hand, iterations=40, **options).picture
    other = (other.astype(np.float64) * span).round() / span
    # Blocks of 8 x 8 that hold the star have none of its like.
    distance = np.maximum(abs(Y - STAR[0]), abs(X - STAR[1]))
    # A missing corner of the picture is extrapolated, whether there is a star or not.
    corner = (Y % (SIDE - 1) == 0) & (X % (SIDE - 1) == 0)
    for there, worse in ((distance > 8, 0.3), ((distance > 3) & (distance <= 8) & ~corner, 4.0)):
        mine = error((own.astype(np.float64) - low)[there] / span, SCENE[there])
        # An error that is smaller than that of rounding is none.
        rounding = 10 * np.log10(12 * span**2)
        assert mine > min(error(other[there], SCENE[there]), rounding) - worse
    if container == "starry":
        assert own[STAR] == 60000


@pytest.mark.parametrize(
    ("task", "options"), [("upscale", {"factor": 2}), ("upscale", {"factor": 3}), ("demosaic", {})]
)
def test_a_star_keeps_its_peak_where_the_picture_gets_more_values(task, options):
    values, _ = stored("starry", SCENE)
    result = untaught.run_task(task, values, iterations=1, **options).picture
    assert 0.95 * 60000 < result.max() <= 65535
    place = np.unravel_index(result.argmax(), result.shape)
    assert np.abs(np.array(place[:2]) * SIDE / result.shape[0] - STAR).max() < 1.5
    away = np.ones(result.shape[:2], bool)
    top, left = (np.array(STAR) * result.shape[0] // SIDE).tolist()
    away[max(0, top - 6) : top + 9, max(0, left - 6) : left + 9] = False
    assert result[away].max() < 700
    assert result.min() >= 0


@pytest.mark.parametrize("noise", [5, 20])
def test_figures_and_the_record_have_the_working_range(noise, capsys):
    clean = (100 + 350 * SCENE).astype(np.uint16)
    tifffile.imwrite("clean.tif", clean)
    tifffile.imwrite("noisy.tif", (clean + RNG.normal(0, noise, clean.shape)).clip(0).astype(np.uint16))
    words = "denoise noisy.tif -o out.tif --iterations 3 --reference clean.tif --record run.json"
    assert cli.main(words.split()) == 0
    record = json.loads(reading.Path("run.json").read_text())
    low, high = record["range"]
    assert 0 <= low < 100
    assert 400 < high < 800
    mean_square = np.square(tifffile.imread("out.tif").astype(float) - clean).mean()
    assert record["result"]["psnr"] == pytest.approx(10 * np.log10((high - low) ** 2 / mean_square), abs=0.01)
    assert "black and white are taken as" in capsys.readouterr().err
    assert cli.main(["repeat", "run.json", "-o", "again.tif", "--quiet"]) == 0
    np.testing.assert_array_equal(tifffile.imread("again.tif"), tifffile.imread("out.tif"))
    # A stated range is that of figures, whatever the fit works in.
    assert cli.main([*words.split(), "--value-range", "0", "65535"]) == 0
    mean_square = np.square(tifffile.imread("out.tif").astype(float) - clean).mean()
    record = json.loads(reading.Path("run.json").read_text())
    assert record["result"]["psnr"] == pytest.approx(10 * np.log10(65535**2 / mean_square), abs=0.01)
    assert record["range"] == [low, high]


def test_the_expected_error_has_the_stated_range():
    picture = (100 + 350 * SCENE).astype(np.uint16)
    own, stated = (untaught.restore(picture, KNOWN, iterations=20, value_range=range_) for range_ in (None, (0, 65535)))
    np.testing.assert_array_equal(own.picture, stated.picture)
    gain = 20 * np.log10(65535 / (prepare("restore", picture, KNOWN).problem.layout.figures_range[1] - 80))
    assert stated.expected_psnr - own.expected_psnr == pytest.approx(gain, abs=1)


def test_compare_uses_the_range_of_the_reference(capsys):
    clean = (100 + 350 * SCENE).astype(np.uint16)
    for name, change in (("a", 10), ("b", 40), ("clean", 0)):
        tifffile.imwrite(f"{name}.tif", clean + np.uint16(change))
    assert cli.main(["compare", "a.tif", "b.tif", "--reference", "clean.tif", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 25 < found["first"]["psnr"] < 40
    assert found["first"]["psnr"] - found["second"]["psnr"] == pytest.approx(20 * np.log10(4), abs=0.2)


def test_values_beyond_a_stated_range_are_not_cut_off():
    sky = 100 + 800 * SCENE
    sky[8, 9], sky[20, 21] = 5100, 20100
    result = untaught.denoise(sky.astype(np.float32), value_range=(0, 1000), noise=10, iterations=3)
    assert (result.picture[8, 9], result.picture[20, 21]) == (5100, 20100)
    assert "carried over" in result.notes[0]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("task", ["inpaint", "restore"])
def test_what_is_missing_among_values_beyond_the_range_is_beyond_it_too(task, sign):
    # A small light in a picture that is dull elsewhere, and the reverse.
    light = 100 * np.exp(-((X - 12) ** 2 + (Y - 15) ** 2) / 2)
    clean = (120 + sign * (10 * SCENE + light)).round().astype(np.uint8)
    observed = np.where(KNOWN, clean, 0).astype(np.uint8)
    result = getattr(untaught, task)(observed, KNOWN, iterations=2)
    assert any("beyond it are carried over" in note for note in result.notes)
    plain = inpaint_biharmonic(observed / 255, ~KNOWN)
    missing = ~KNOWN
    rounded = (255 * plain[missing]).round()
    assert error(result.picture[missing], clean[missing]) > error(rounded, clean[missing]) - 2


def test_lost_pixels_are_not_carried_over():
    picture = (100 + 300 * SCENE).astype(np.uint16)
    picture[5, 6], picture[20, 3] = 65535, 0
    result = untaught.denoise(picture, kind="impulse", iterations=3)
    assert result.picture.max() < 1000


@pytest.mark.parametrize(
    "options", [{"noise": 2}, {}, {"kind": "poisson", "gain": 0.5}, {"noise": 2, "recipe": "printed"}]
)
@pytest.mark.parametrize("channels", [0, 3])
def test_a_result_that_the_noise_does_not_explain_is_not_handed_out(options, channels):
    picture = (255 * NOISY.clip(0, 1)).astype(np.uint8)
    picture = np.stack([picture] * channels, -1) if channels else picture
    short = untaught.denoise(picture, iterations=1, **options)
    assert any("is not handed out" in note for note in short.notes)
    clean = 255 * SCENE if not channels else 255 * SCENE[..., None]
    error, given = (np.square(one.astype(float) - clean).mean() for one in (short.picture, picture))
    assert error < 1.05 * given


def test_a_result_that_the_noise_explains_is_handed_out():
    picture = (255 * NOISY.clip(0, 1)).astype(np.uint8)
    good = untaught.denoise(picture, noise=0.06 * 255, iterations=60)
    assert not any("explains" in note for note in good.notes)


def test_hand_made_black_and_white_of_a_jpeg_stay():
    dark = (40 * SCENE).astype(np.uint8)
    layout = prepare("dejpeg", dark).problem.layout
    assert (layout.low, layout.high) == (0, 255)


# Values that stand for nothing --------------------------------------------------------------------------------------


def test_a_background_is_not_taken_for_missing():
    body = (Y - 16) ** 2 + (X - 16) ** 2 < 150
    xray = np.where(body, 60 + 150 * SCENE, 0).astype(np.uint8)
    lost = body & (RNG.random(body.shape) < 0.08)
    lost &= (Y - 16) ** 2 + (X - 16) ** 2 < 100
    result = untaught.restore(np.where(lost, 0, xray).astype(np.uint8), iterations=3)
    assert not result.picture[~body].any()
    np.testing.assert_array_equal(result.picture[~lost], xray[~lost])
    assert result.picture[lost].min() > 30
    assert "solid parts" in result.notes[0]
    with pytest.raises(InputError, match=r"are exactly black, in solid parts.* missing_value=0"):
        untaught.restore(xray)
    everything = untaught.restore(xray, missing_value=0, iterations=2)
    assert everything.picture[~body].all()


@pytest.mark.parametrize(
    "options", [{"missing_value": -9999}, {"missing_value": [-149, -9999]}, {"missing_value": (-9999.0,)}]
)
@pytest.mark.parametrize("task", ["restore", "denoise", "upscale"])
def test_a_value_may_stand_for_nothing(options, task):
    height = (130 * SCENE - 20).round().astype(np.int16)
    height[:, :6] = 0
    voids = RNG.random(height.shape) < 0.1
    voids[:, :6] = False
    more = {"denoise": {"noise": 5}, "upscale": {"factor": 2}}.get(task, {})
    given = np.where(voids, -9999, height).astype(np.int16)
    result = untaught.run_task(task, given, value_range=(-150, 150), iterations=3, **more, **options)
    assert result.picture.min() >= -150
    if task == "restore":
        np.testing.assert_array_equal(result.picture[~voids], height[~voids])
        assert "exactly 0 and are taken as known" in result.notes[0]


def test_the_file_says_what_stands_for_nothing(capsys):
    height = np.where(Y < 10, 0, 100 * SCENE).astype(np.int16)
    voids = (RNG.random(height.shape) < 0.1) & (Y > 12)
    tifffile.imwrite(
        "srtm.tif", np.where(voids, -32768, height).astype(np.int16), extratags=[(42113, 2, 0, "-32768", True)]
    )
    assert cli.main(["restore", "srtm.tif", "--value-range", "-150", "150", "-o", "out.tif", "--iterations", "2"]) == 0
    result = tifffile.imread("out.tif")
    np.testing.assert_array_equal(result[~voids], height[~voids])
    assert result.min() > -150
    assert f"{voids.mean():.1%} of the values" in capsys.readouterr().err
    words = "restore srtm.tif --value-range -150 150 -o out.tif --iterations 2 --missing-value 0 --missing-value 1"
    assert cli.main([*words.split(), "--record", "run.json"]) == 0
    assert json.loads(reading.Path("run.json").read_text())["options"]["missing_value"] == [0, 1]
    assert tifffile.imread("out.tif")[:8].any()
    assert cli.main(["repeat", "run.json", "-o", "again.tif", "--quiet"]) == 0
    np.testing.assert_array_equal(tifffile.imread("again.tif"), tifffile.imread("out.tif"))


@pytest.mark.parametrize("bands", [2, 5, 24])
def test_a_lost_value_does_not_discard_the_other_bands(bands):
    cube = np.stack([np.roll(SCENE, band, 1) for band in range(bands)], -1).astype(np.float32)
    given = cube.copy()
    for band in range(bands):
        given[:, band, band] = np.nan
    result = untaught.restore(given, iterations=2)
    lost = np.isnan(given)
    assert result.missing == pytest.approx(lost.mean())
    np.testing.assert_array_equal(result.picture[~lost], cube[~lost])
    assert np.isfinite(result.picture).all()


def test_a_mask_for_each_band():
    cube = np.stack([SCENE, SCENE**2, 1 - SCENE, SCENE / 2, SCENE], -1).astype(np.float32)
    known = RNG.random(cube.shape) > 0.2
    tifffile.imwrite("cube.tif", cube, photometric="minisblack", planarconfig="contig")
    tifffile.imwrite("mask.tif", known.astype(np.uint8) * 255, photometric="minisblack", planarconfig="contig")
    assert cli.main(["inpaint", "cube.tif", "--mask", "mask.tif", "-o", "out.tif", "--iterations", "2"]) == 0
    np.testing.assert_array_equal(tifffile.imread("out.tif")[known], cube[known])


@pytest.mark.parametrize("task", ["restore", "denoise", "inpaint"])
def test_masked_arrays_are_masks(task):
    bad = np.zeros(SCENE.shape, bool)
    bad[10:14, 5:28] = True
    given = np.ma.masked_array(np.where(bad, 0.97, 0.2 * SCENE + 0.4).astype(np.float32), mask=bad)
    more = {"denoise": {"noise": 0.02}, "inpaint": {"mask": np.where(X < 2, False, True)}}.get(task, {})
    result = untaught.run_task(task, given, iterations=2, **more)
    assert not isinstance(result.picture, np.ma.MaskedArray)
    if task != "denoise":
        assert result.picture[bad].max() < 0.8
        assert result.missing > bad.mean() - 1e-6


@pytest.mark.parametrize("shape", [(8, 12, 10), (1, 12, 10), (12, 10)])
def test_one_mask_for_all_frames(shape):
    film = (255 * RNG.random((8, 12, 10))).astype(np.uint8)
    mask = np.ones((12, 10), bool)
    mask[3:6, 4:8] = False
    result = untaught.inpaint(film, np.broadcast_to(mask, shape), volume=True, iterations=1)
    np.testing.assert_array_equal(result.picture[:, mask], film[:, mask])


# Transparency and masks from files ----------------------------------------------------------------------------------


def transparent(hole, colour=0):
    pixels = np.stack([255 * SCENE, 200 * SCENE, 90 + 60 * SCENE, np.full(SCENE.shape, 255)], -1).astype(np.uint8)
    pixels[hole, :3], pixels[hole, 3] = colour, 0
    return pixels


@pytest.mark.parametrize(
    "words",
    ["inpaint photo.png --mask mask.png", "restore photo.png", "inpaint photo.png --mask photo.png --grow 1"],
)
def test_a_hole_that_was_erased_is_opaque_when_it_is_filled(words):
    hole = (abs(Y - 12) < 4) & (abs(X - 20) < 5)
    given = transparent(hole)
    Image.fromarray(given).save("photo.png")
    Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save("mask.png")
    assert cli.main([*words.split(), "-o", "out.png", "--iterations", "2"]) == 0
    result = np.asarray(Image.open("out.png"))
    assert (result[..., 3] == 255).all()
    assert result[hole, 2].min() > 60
    if "--grow" not in words:
        np.testing.assert_array_equal(result[~hole], given[~hole])


@pytest.mark.parametrize("task", ["inpaint logo.png --mask mask.png", "denoise logo.png --noise 4"])
def test_a_transparent_background_stays_as_it_was(task):
    background = (Y - 16) ** 2 + (X - 16) ** 2 > 120
    given = transparent(background, colour=(1, 2, 3))
    Image.fromarray(given).save("logo.png")
    Image.fromarray(np.where((abs(Y - 16) < 2) & (X < 20), 0, 255).astype(np.uint8)).save("mask.png")
    assert cli.main([*task.split(), "-o", "out.png", "--iterations", "2"]) == 0
    result = np.asarray(Image.open("out.png"))
    np.testing.assert_array_equal(result[..., 3], given[..., 3])
    kept = background & ~((abs(Y - 16) < 2) & (X < 20))
    np.testing.assert_array_equal(result[kept], given[kept])
    with pytest.raises(InputError, match="of the picture is transparent"):
        prepare("restore", given[..., :3], hidden=background)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (0, 255, 0)])
def test_colours_under_transparency_do_not_bleed(colour):
    background = (Y - 16) ** 2 + (X - 16) ** 2 > 120
    results = []
    for hidden in ((90, 91, 92), colour):
        Image.fromarray(transparent(background, colour=hidden)).save("logo.png")
        assert cli.main(["upscale", "logo.png", "--factor", "2", "-o", "out.png", "--iterations", "5", "--quiet"]) == 0
        results.append(np.asarray(Image.open("out.png")))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", ["mask.png", "mask.jpg", "copy.png"])
def test_a_stamp_with_soft_edges_is_removed(name):
    cover = np.clip(3 - abs(Y + 0.3 * X - 20), 0, 1)
    clean = np.stack([120 + 60 * SCENE, 100 + 80 * SCENE, 90 + 30 * SCENE], -1)
    stamped = (clean * (1 - cover[..., None]) + 255 * cover[..., None]).round().astype(np.uint8)
    Image.fromarray(stamped).save("photo.png")
    mask = Image.fromarray((255 * (1 - cover)).round().astype(np.uint8))
    if name == "copy.png":
        mask = Image.fromarray(np.where((cover > 0)[..., None], np.uint8([255, 0, 0]), stamped))
    mask.save(name)
    words = ["inpaint", "photo.png", "--mask", name, "-o", "out.png", "--iterations", "5"]
    assert cli.main(words) == 0
    result = np.asarray(Image.open("out.png")).astype(float)
    assert np.abs(result - clean)[cover > 0].mean() < 12
    assert np.abs(result - clean).max() < 60


@pytest.mark.parametrize("top", [1023, 4095, 16383])
def test_a_file_may_say_what_is_black_and_white(capsys, top):
    values = (0.9 * top * SCENE).astype(np.uint16)
    tags = [(281, 3, 1, top, True), (280, 3, 1, 0, True)]
    tifffile.imwrite("raw.tif", values, extratags=tags)
    words = "denoise raw.tif --noise 9 -o out.tif --iterations 1 --record run.json --reference raw.tif"
    assert cli.main(words.split()) == 0
    assert f"black and white are 0 and {top}" in capsys.readouterr().err
    record = json.loads(reading.Path("run.json").read_text())
    assert record["range"] == [0, top]
    tifffile.imwrite("wrong.tif", values, extratags=[(281, 3, 1, top // 4, True)])
    assert reading.read("wrong.tif").levels is None
    tifffile.imwrite("plain.tif", values)
    assert reading.read("plain.tif").levels is None
    # Samples that are widened, as those of few bits, are no longer those that the tags speak of.
    tifffile.imwrite("packed.tif", values, bitspersample=top.bit_length(), extratags=tags)
    packed = reading.read("packed.tif")
    assert packed.levels is None
    np.testing.assert_allclose(packed.pixels, values * (65535 / top), atol=0.51)
    tifffile.imwrite("stack.tif", np.stack([values, values]), extratags=tags, metadata=None)
    assert reading.read("stack.tif", volume=True).levels == (0, top)


@pytest.mark.parametrize(
    ("kind", "code", "low", "high"), [(np.float32, 11, 0, 500), (np.int16, 8, -100, 900), (np.float64, 12, -1, 1)]
)
def test_the_ends_of_floats_and_signed_numbers_may_be_stated(kind, code, low, high):
    values = (low + (high - low) * SCENE).astype(kind)
    ends = [(340, code, 1, kind(low), True), (341, code, 1, kind(high), True)]
    for tags, wanted in ((ends, (low, high)), (ends[:1], None), ([(340, code, 1, kind(high), True), ends[1]], None)):
        tifffile.imwrite("a.tif", values, extratags=tags)
        assert reading.read("a.tif").levels == wanted
    values[3, 3] = high + 1
    tifffile.imwrite("a.tif", values, extratags=ends)
    assert reading.read("a.tif").levels is None


@pytest.mark.parametrize("bits", [17, 20, 24, 31])
def test_long_samples_of_few_bits_fill_the_range_that_they_have(bits):
    values = (SCENE * ((1 << bits) - 1)).astype(np.uint32)
    tifffile.imwrite("a.tif", values, bitspersample=bits)
    picture = reading.read("a.tif")
    assert picture.levels == (0, 2**32 - 1)
    np.testing.assert_allclose(picture.pixels / (2**32 - 1), values / ((1 << bits) - 1), atol=1e-9)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_transparent_background_does_not_count_as_free_of_noise(share):
    noisy = (200 * NOISY + 20).clip(0, 255)
    noisy = (np.tile(noisy, (2, 2)) + RNG.normal(0, 3, (64, 64))).clip(0, 255)
    hidden = np.arange(64)[:, None] < 64 * share + np.zeros((1, 64))
    picture = np.where(hidden, 0, noisy).astype(np.uint8)
    whole, part = (
        prepare("denoise", one, hidden=gone).problem.noise
        for one, gone in ((noisy.astype(np.uint8), None), (picture, hidden))
    )
    assert part == pytest.approx(whole, rel=0.25)
