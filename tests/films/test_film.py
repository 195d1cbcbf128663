"""Films as a whole: better than frame by frame, without flicker, over cuts, and on after being ended."""

import itertools
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import untaught
from made_films import damaged, logo, moved, noisy, pictures, psnr, video
from untaught.cli import main
from untaught.errors import InputError, Interrupted, SettingError
from untaught.films import driver, filling
from untaught.films.driver import film
from untaught.films.sources import open_film
from untaught.imaging.collaborative_filter import two_step_filter
from untaught.physics.resampling import Downsample
from untaught.tasks.classical import fill

pytest.importorskip("av")


def read(folder):
    return list(open_film(folder))


def frame_by_frame(frames, step):
    planes = [torch.from_numpy(frame).movedim(-1, 0)[None].float() / 255 for frame in frames]
    return [(step(one)[0].movedim(0, -1) * 255).round().clamp(0, 255).byte().numpy() for one in planes]


def test_what_other_frames_show_is_taken_from_there(tmp_path):
    clean, known = moved(8, step=(0, 3)), logo()
    source = pictures(tmp_path / "film", damaged(clean, known))
    Image.fromarray(known).save(tmp_path / "mask.png")
    report = film("inpaint", source, tmp_path / "out", mask=tmp_path / "mask.png")
    assert (report.frames, report.done_now, report.shots) == (8, 8, (0,))
    made = read(tmp_path / "out")
    for one, other in zip(made, clean, strict=True):
        assert (one[known] == other[known]).all()
    there = torch.from_numpy(known)[None, None].expand(1, 3, -1, -1)
    alone = frame_by_frame(damaged(clean, known), lambda one: fill(torch.where(there, one, 0), there))
    hidden = [[frame[~known] for frame in frames] for frames in (made, alone, clean)]
    assert psnr(hidden[0], hidden[2]) > psnr(hidden[1], hidden[2]) + 4


def test_noise_goes_further_down_than_frame_by_frame(tmp_path):
    clean = moved(6, step=(1, 2))
    given = noisy(clean, 20)
    film("denoise", pictures(tmp_path / "film", given), tmp_path / "out", noise=20)
    made = read(tmp_path / "out")
    alone = frame_by_frame(given, lambda one: two_step_filter(one, 20 / 255))
    assert psnr(made, clean) > psnr(alone, clean) + 1.5
    # What stands still in the film changes less from frame to frame.
    rough, smooth = (
        np.std([(b[2:-2, :-4] - a[3:-1, 2:-2]) for a, b in itertools.pairwise(one)])
        for one in ([frame.astype(float) for frame in frames] for frames in (alone, made))
    )
    assert smooth < rough


def test_nothing_goes_across_a_cut(tmp_path):
    first, second = moved(5), moved(4, photo=data.coffee())
    known = logo()
    Image.fromarray(known).save(tmp_path / "mask.png")
    source = pictures(tmp_path / "film", damaged([*first, *second], known))
    report = film("inpaint", source, tmp_path / "out", mask=tmp_path / "mask.png")
    assert report.shots == (0, 5)
    alone = pictures(tmp_path / "alone", damaged(second, known))
    film("inpaint", alone, tmp_path / "out alone", mask=tmp_path / "mask.png")
    for one, other in zip(read(tmp_path / "out")[5:], read(tmp_path / "out alone"), strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("task", ["inpaint", "denoise"])
def test_a_film_that_was_ended_goes_on_and_is_the_same(tmp_path, monkeypatch, task):
    monkeypatch.setattr(driver, "_BEFORE", 6)
    monkeypatch.setattr(filling, "_FARTHEST", 4)
    clean, known = [*moved(3), *moved(9, photo=data.coffee())], logo()
    Image.fromarray(known).save(tmp_path / "mask.png")
    more = {"mask": tmp_path / "mask.png"} if task == "inpaint" else {}
    source = video(tmp_path / "in.mkv", damaged(noisy(clean, 6), known))
    film(task, source, tmp_path / "whole.mkv", **more)

    def end(done, _):
        if done == stop:
            raise KeyboardInterrupt

    for stop in (2, 5, 11):
        with pytest.raises(Interrupted):
            film(task, source, tmp_path / "parts.mkv", observer=end, **more)
        kept = json.loads((tmp_path / "parts.mkv.frames/film.json").read_text())
        assert kept["finished"] == stop
    report = film(task, source, tmp_path / "parts.mkv", **more)
    assert report.done_now == 1
    for one, other in zip(read(tmp_path / "whole.mkv"), read(tmp_path / "parts.mkv"), strict=True):
        assert (one == other).all()
    assert not (tmp_path / "parts.mkv.frames").exists()


@pytest.mark.slow
def test_a_film_that_was_killed_goes_on_and_is_the_same(tmp_path):
    source = video(tmp_path / "in.mkv", noisy(moved(9), 10))
    film("denoise", source, tmp_path / "whole.mkv")
    words = [sys.executable, "-m", "untaught", "film", "denoise", str(source), "-o", str(tmp_path / "parts.mkv")]
    ledger, done = tmp_path / "parts.mkv.frames/film.json", 0
    while done < 7:
        with subprocess.Popen(words) as process:
            before = done
            while process.poll() is None and done < before + 2:
                time.sleep(0.01)
                if ledger.exists():
                    done = json.loads(ledger.read_text())["finished"]
            process.kill()
    assert film("denoise", source, tmp_path / "parts.mkv").done_now <= 2
    for one, other in zip(read(tmp_path / "whole.mkv"), read(tmp_path / "parts.mkv"), strict=True):
        assert (one == other).all()


def test_other_settings_begin_anew(tmp_path):
    source = pictures(tmp_path / "film", noisy(moved(2), 10))
    assert film("denoise", source, tmp_path / "out").done_now == 2
    assert film("denoise", source, tmp_path / "out").done_now == 0
    assert film("denoise", source, tmp_path / "out", noise=12).done_now == 2


def test_the_strength_is_that_of_the_shot(tmp_path):
    measured = []

    def look(*_):
        measured.append(json.loads((tmp_path / "out/.untaught/film.json").read_text())["measured"])

    given = [*noisy(moved(3), 15), *noisy(moved(3, photo=data.coffee()), 5)]
    report = film("denoise", pictures(tmp_path / "film", given), tmp_path / "out", observer=look)
    assert [note[:36] for note in report.notes] == [
        "from frame 0 on the noise has a stan",
        "from frame 3 on the noise has a stan",
    ]
    assert set(measured[-1]) == {"0", "3"}
    assert measured[-1]["0"] * 255 == pytest.approx(15, abs=2)
    assert measured[-1]["3"] * 255 == pytest.approx(5, abs=2)


@pytest.mark.parametrize("kind", ["folder", "video", "white is missing"])
def test_a_mask_that_moves(tmp_path, kind):
    clean = moved(5, step=(0, 0))
    masks = [np.roll(logo(), 4 * number, 1) for number in range(5)]
    masks[2] = np.ones_like(masks[2])
    given = [np.where(known[..., None], frame, 0) for frame, known in zip(clean, masks, strict=True)]
    drawn = [np.uint8(255) * (known ^ (kind == "white is missing")) for known in masks]
    mask = video(tmp_path / "mask.mkv", drawn, fmt="gray") if kind == "video" else pictures(tmp_path / "masks", drawn)
    film("inpaint", pictures(tmp_path / "film", given), tmp_path / "out", mask=mask, grow=0)
    made = read(tmp_path / "out")
    assert (made[2] == clean[2]).all()
    assert psnr(made, clean) > 35


def test_black_pixels_are_found_in_each_frame(tmp_path):
    clean, random = moved(4), np.random.default_rng(0)
    given = [np.where(random.random((64, 80, 1)) < 0.3, 0, np.maximum(frame, 1)).astype(np.uint8) for frame in clean]
    film("restore", pictures(tmp_path / "film", given, ".tif"), tmp_path / "out")
    assert psnr(read(tmp_path / "out"), clean) > 30


def test_neighbours_show_more_than_a_frame_alone(tmp_path):
    large = moved(5, size=(96, 128), step=(1, 3))
    shrink = Downsample((96, 128), (48, 64), "area")
    given = frame_by_frame(large, shrink)
    report = film("upscale", video(tmp_path / "in.mkv", given), tmp_path / "out.mkv", factor=2, kernel="area")
    assert report.frames == 5
    film("upscale", video(tmp_path / "one.mkv", given[2:3]), tmp_path / "alone.mkv", factor=2, kernel="area")
    together, alone = (read(tmp_path / name)[place] for name, place in (("out.mkv", 2), ("alone.mkv", 0)))
    inner = (slice(8, -8), slice(8, -8))
    assert psnr([together[inner]], [large[2][inner]]) > psnr([alone[inner]], [large[2][inner]]) + 0.5


def test_names_types_and_metadata_of_pictures_stay(tmp_path):
    source = tmp_path / "film"
    source.mkdir()
    for number, frame in enumerate(noisy(moved(2), 8), start=9):
        Image.fromarray(frame).save(source / f"a{number}.png", dpi=(300, 300))
    (source / "notes.txt").write_text("no frame")
    film("denoise", str(source / "a*.png"), tmp_path / "out", noise=8)
    assert sorted(one.name for one in (tmp_path / "out").glob("*.png")) == ["a10.png", "a9.png"]
    with Image.open(tmp_path / "out/a10.png") as made:
        assert round(made.info["dpi"][0]) == 300


@pytest.mark.parametrize(
    ("task", "options", "match"),
    [
        ("deblur", {}, "for pictures"),
        ("nonsense", {}, "nonsense"),
        ("inpaint", {}, "needs a mask"),
        ("denoise", {"mask": "m.png"}, "takes no mask"),
        ("upscale", {"mask": "m.png"}, "takes no mask"),
        ("denoise", {"kind": "poisson"}, "gaussian only"),
        ("denoise", {"codec": "h264"}, "are for videos"),
    ],
)
def test_what_does_not_go_is_told(tmp_path, task, options, match):
    source = pictures(tmp_path / "film", moved(1))
    with pytest.raises((InputError, SettingError), match=match):
        film(task, source, tmp_path / "out", **options)


def test_masks_that_end_too_soon_are_told(tmp_path):
    source = pictures(tmp_path / "film", moved(3))
    mask = pictures(tmp_path / "masks", [np.uint8(255) * logo()] * 2)
    with pytest.raises(InputError, match="ends before frame 2"):
        film("inpaint", source, tmp_path / "out", mask=mask)


def test_the_command(tmp_path, capsys):
    source = video(tmp_path / "in.mp4", noisy(moved(2), 10), "libx264", "yuv444p", sound=True)
    assert main(["film", "denoise", str(source), "-o", str(tmp_path / "out.mp4"), "--noise", "10"]) == 0
    assert f"2 frames; see {tmp_path / 'out.mp4'}" in capsys.readouterr().out
    assert main(["film", "denoise", str(source), "-o", str(source)]) == 2
    assert main(["film", "deblur", str(source), "-o", str(tmp_path / "out.mp4")]) == 2
    assert main(["film", "denoise", str(tmp_path / "none"), "-o", str(tmp_path / "out.mp4")]) == 2
    assert untaught.film is film
