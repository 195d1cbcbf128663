"""Volumes go through the same doors as pictures: laws, shapes, refusals, files."""

import dataclasses
import io
import itertools
import json

import numpy as np
import pytest
import tifffile
import torch
from rich.console import Console

import untaught
from untaught import cli
from untaught.cli import display as terminal
from untaught.errors import InputError, SettingError
from untaught.fitting import checkpoint
from untaught.fitting.stopping import HeldOut
from untaught.imaging import writing
from untaught.priors.blocks import strides
from untaught.priors.encoder_decoder import EncoderDecoder, NetworkSettings
from untaught.priors.inputs import CoordinateInput
from untaught.recipes import RECIPES
from untaught.tasks.preparation import prepare
from untaught.tasks.registry import TASKS


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """A smooth one: (6, 12, 10), uint16."""
    z, y, x = np.mgrid[0:6, 0:12, 0:10] / 12
    return ((0.5 + 0.4 * np.sin(4 * x + 3 * y + 5 * z)) * 65535).round().astype(np.uint16)


@pytest.fixture(scope="module")
def known(volume) -> np.ndarray:
    return np.random.default_rng(1).random(volume.shape) > 0.4


@pytest.fixture(scope="module")
def held_out(tiny):
    """A recipe of two stages."""
    stopping = dataclasses.replace(RECIPES["volume"]["balanced"].stopping, held_out=0.1, every=3, patience=9)
    return dataclasses.replace(tiny, stopping=stopping, iterations=20)


# The network -------------------------------------------------------------------------------------------------------


def test_short_axes_are_not_halved():
    assert strides((3, 5)) == (2, 2)
    assert strides((1, 8, 64)) == (1, 2, 2)
    assert strides((7, 7, 7)) == (1, 1, 1)


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 9, 17), (2, 31, 5), (8, 8, 8), (13, 20, 33), (40, 3, 3)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"upsampling": "nearest", "downsampling": "average"},
        {"skip_tap": "output", "downsampling": "max"},
        {"padding": "zero", "down_kernel_size": 5},
    ],
)
def test_a_network_takes_volumes_of_any_size(size, changes):
    settings = NetworkSettings(
        dimensions=3,
        input_channels=4,
        down_channels=(6, 8, 8),
        up_channels=(6, 8, 8),
        skip_channels=(2, 2, 2),
        **changes,
    )
    network = EncoderDecoder(settings, 2, torch.Generator().manual_seed(0))
    out = network(torch.rand(1, 4, *size))
    assert out.shape == (1, 2, *size)
    assert out.isfinite().all()
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("change", [{"upsampling": "bicubic"}, {"downsampling": "lanczos2"}, {"dimensions": 4}])
def test_what_a_network_for_volumes_has_not_is_refused(change):
    with pytest.raises(SettingError, match=r"volumes have|is one of 2, 3"):
        NetworkSettings(**{"dimensions": 3, **change})


# The laws ----------------------------------------------------------------------------------------------------------


def test_known_voxels_come_back_to_the_bit_and_hidden_ones_cannot_leak(volume, known, held_out):
    before = volume.copy()
    plain = untaught.inpaint(volume, known, volume=True, recipe=held_out)
    changed = untaught.inpaint(np.where(known, volume, 7), known, volume=True, recipe=held_out)
    np.testing.assert_array_equal(plain.picture, changed.picture)
    assert plain.history["loss"] == changed.history["loss"]
    np.testing.assert_array_equal(plain.picture[known], volume[known])
    np.testing.assert_array_equal(volume, before)
    assert plain.picture.dtype == volume.dtype
    assert plain.uncertainty.shape == volume.shape
    assert plain.recipe["network"]["dimensions"] == 3
    assert plain.engine["kernels"] is None


def test_what_was_missing_is_nearer_than_the_mean(volume, known, tiny):
    result = untaught.restore(volume, known, volume=True, recipe=tiny, iterations=100).picture.astype(float)
    error = np.abs(result - volume)[~known].mean()
    assert error < 0.5 * np.abs(volume[known].mean() - volume)[~known].mean()


@pytest.mark.parametrize("moment", [1, 10, 18])
def test_resuming_gives_the_same_volume_to_the_bit(volume, known, held_out, moment, tmp_path):
    job = prepare("restore", volume, known, volume=True, recipe=held_out, runs=2)
    whole = job.begin().finish()
    first = job.begin()
    list(itertools.islice(iter(first), min(moment, whole.iterations - 1)))
    checkpoint.save(tmp_path / "moment", first.snapshot())
    again = job.begin(checkpoint.load(tmp_path / "moment")).finish()
    np.testing.assert_array_equal(again.picture, whole.picture)
    np.testing.assert_array_equal(again.uncertainty, whole.uncertainty)
    assert again.history["loss"] == whole.history["loss"]


@pytest.mark.parametrize("shape", [(1, 9, 7), (1, 1, 2), (3, 5, 7, 2), (9, 16, 17), (12, 1, 4, 1)])
def test_odd_sizes_and_channels(shape, tiny):
    rng = np.random.default_rng(0)
    values, seen = rng.random(shape, np.float32), rng.random(shape[:3]) > 0.5
    seen.flat[0], seen.flat[-1] = True, False
    result = untaught.restore(values, seen, volume=True, recipe=tiny, iterations=2).picture
    assert (result.shape, result.dtype) == (values.shape, values.dtype)
    np.testing.assert_array_equal(result[seen], values[seen])


def test_black_voxels_are_proposed(volume, known, tiny):
    result = untaught.restore(np.where(known, volume, 0), volume=True, recipe=tiny, iterations=2)
    assert result.missing == pytest.approx((~known).mean())


def test_a_batch_of_volumes_is_each_alone(tiny):
    batch = torch.rand(2, 1, 3, 9, 8)
    seen = torch.rand(3, 9, 8) > 0.4
    result = untaught.inpaint(batch, seen, volume=True, recipe=tiny).picture
    assert torch.equal(result[..., seen], batch[..., seen])
    torch.testing.assert_close(
        untaught.inpaint(batch[:1], seen, volume=True, recipe=tiny).picture, result[:1], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("kind", ["gaussian", "poisson", "impulse"])
def test_every_noise_of_a_volume(kind, tiny):
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[0:3, 0:17, 0:19]
    clean = 100 + 60 * np.sin(x / 5 + y / 7 + z)
    noisy = rng.poisson(clean) if kind == "poisson" else rng.normal(clean, 1 if kind == "impulse" else 20)
    noisy = noisy.clip(1, 255).astype(np.uint8)
    noisy[1, 5, 5] = 255
    result = untaught.denoise(noisy, kind=kind, volume=True, recipe=tiny, iterations=20).picture
    assert (result.shape, result.dtype) == (noisy.shape, noisy.dtype)
    assert (result != noisy).any()


def test_values_that_are_not_finite_are_filled_in_noisy_volumes(tiny):
    noisy = np.random.default_rng(0).normal(0.5, 0.1, (2, 9, 9)).clip(0, 1)
    noisy[0], noisy[1, 3, 3] = np.nan, np.inf
    assert np.isfinite(untaught.denoise(noisy, noise=0.1, volume=True, recipe=tiny, iterations=2).picture).all()


def test_an_operator_on_a_volume(tiny):
    original = torch.rand(1, 2, 5, 8, 9)

    def dimmed(picture: torch.Tensor) -> torch.Tensor:
        return picture / 2

    run = untaught.fit(dimmed(original), dimmed, recipe=tiny)
    assert run.finish().picture.shape == original.shape
    flat = untaught.fit(
        original.flatten(1), lambda x: x.flatten(1), recipe=tiny, channels=2, size=(5, 8, 9), iterations=1
    )
    operator = untaught.Mask(torch.rand(original.shape) > 0.5)
    assert untaught.fit(original, operator, recipe=tiny, iterations=2).finish().picture.shape == original.shape
    assert flat.job.recipe.network.dimensions == 3


# Refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": np.zeros((8, 8))},
            r"found an array of \(8, 8\): a volume is an array of \(D, H, W\) or \(D, H, W, C\)",
        ),
        ({"image": np.zeros((2, 2, 2, 2, 2))}, r"found an array of \(2, 2, 2, 2, 2\)"),
        ({"image": torch.zeros(1, 1, 8, 8)}, r"\(N, C, D, H, W\)"),
        ({"mask": np.ones((12, 9), bool)}, r"a mask of \(12, 9\) for a volume of \(6, 12, 10\)"),
        ({"mask": np.ones((6, 12, 10, 3), bool)}, "depth, height and width"),
        ({"volume": False, "image": np.zeros((6, 12, 10, 3))}, "volume=True"),
        ({"recipe": "printed"}, "there are balanced, fast, best"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(volume, known, change, message):
    with pytest.raises(InputError, match=message):
        untaught.inpaint(**{"image": volume, "mask": known, "volume": True, **change})


def test_recipes_for_pictures_are_refused(volume, known, tiny, masked):
    grid = CoordinateInput(kind="grid", channels=2)
    flat = dataclasses.replace(tiny, input=grid, network=dataclasses.replace(tiny.network, input_channels=2))
    shapes = dataclasses.replace(tiny, stopping=HeldOut(pattern="shapes"))
    for recipe, message in ((masked, "pictures only"), (shapes, "pictures only"), (flat, "3 axes has 3 channels")):
        with pytest.raises(SettingError, match=message):
            untaught.restore(volume, known, volume=True, recipe=recipe)


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if not task.volumes])
def test_tasks_for_pictures_refuse_volumes(volume, task):
    with pytest.raises(InputError, match=f"{task} is for pictures, not yet for volumes: inpaint, restore, denoise"):
        prepare(task, volume, volume=True)


# The command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def stacks(tmp_path, volume, known, tiny, monkeypatch):
    """A folder with a clean volume, a damaged one and a mask."""
    monkeypatch.setattr("untaught.tasks.jobs.find_recipe", lambda *_: tiny)
    monkeypatch.chdir(tmp_path)
    for name, values in (("clean", volume), ("stack", np.where(known, volume, 9)), ("mask", known * np.uint8(255))):
        tifffile.imwrite(f"{name}.tif", values.astype(values.dtype), photometric="minisblack")
    return tmp_path


def run(words: str) -> int:
    return cli.main(words.split())


def test_the_command_line(stacks, volume, known, tiny, capsys):
    before = (stacks / "stack.tif").read_bytes()
    words = "inpaint stack.tif --mask mask.tif --volume -o out.tif --reference clean.tif --record run.json"
    assert run(f"{words} --iterations 3") == 0
    out = tifffile.imread("out.tif")
    assert (out.shape, out.dtype) == (volume.shape, volume.dtype)
    np.testing.assert_array_equal(out[known], volume[known])
    damaged = np.where(known, volume, 9).astype(volume.dtype)
    result = untaught.inpaint(damaged, known, volume=True, recipe=tiny, iterations=3)
    np.testing.assert_array_equal(out, result.picture)
    assert (stacks / "stack.tif").read_bytes() == before
    record = json.loads((stacks / "run.json").read_text())
    assert record["options"]["volume"] is True
    assert record["result"]["psnr_missing"] < record["result"]["psnr"]
    assert run("repeat run.json -o again.tif") == 0
    assert (stacks / "out.tif").read_bytes() == (stacks / "again.tif").read_bytes()
    capsys.readouterr()
    assert run("compare out.tif clean.tif --volume -o both.tif") == 0
    assert tifffile.imread("both.tif").shape == (6, 12, 30)
    assert "PSNR" in capsys.readouterr().out


def test_the_live_display_shows_the_slice_in_the_middle(volume, known, tiny, monkeypatch):
    shown = []
    real = terminal.as_blocks
    monkeypatch.setattr(terminal, "as_blocks", lambda picture, *size: (shown.append(picture), real(picture, *size))[1])
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    job = prepare("restore", volume, known, volume=True, recipe=tiny, iterations=1)
    with terminal.LiveDisplay(console) as display:
        job.run([display, lambda state: shown.append(state.average[0, :, 3].movedim(0, -1).numpy())])
    np.testing.assert_array_equal(*shown)


@pytest.mark.usefixtures("stacks")
def test_a_preview_is_the_slice_in_the_middle(volume, known, monkeypatch):
    shown = []
    real = writing.write

    def write(path, picture):
        shown.append((path.name, picture.pixels))
        return real(path, picture)

    monkeypatch.setattr(writing, "write", write)
    assert run("inpaint stack.tif --mask mask.tif --volume -o out.tif --iterations 3 --preview-every 2") == 0
    (name, slice_), (_, whole) = shown
    assert name == "out.preview.tif"
    assert whole.shape == volume.shape
    np.testing.assert_array_equal(slice_[known[3]], volume[3][known[3]])


def test_an_interrupted_command_goes_on(stacks, held_out, monkeypatch):
    monkeypatch.setattr("untaught.tasks.jobs.find_recipe", lambda *_: held_out)
    words = "restore stack.tif --mask mask.tif --volume"
    assert run(f"{words} -o whole.tif") == 0
    real = checkpoint.save
    moments = iter(range(100))

    def save(path, snapshot):
        real(path, snapshot)
        if next(moments) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save)
    run(f"{words} -o out.tif --checkpoint-every 0.0001s")
    monkeypatch.setattr(checkpoint, "save", real)
    assert run("resume out.tif.checkpoint") == 0
    assert (stacks / "out.tif").read_bytes() == (stacks / "whole.tif").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("inpaint stack.tif --mask narrow.tif --volume -o out.tif", "9 x 12 pixels and the picture 10 x 12 x 6"),
        ("inpaint stack.tif --mask mask.tif -o out.tif", "6 pages"),
        ("inpaint stack.tif --mask mask.tif --volume -o out.png", "choose .tif"),
        ("deblur stack.tif --radius 2 --volume -o out.tif", "deblur is for pictures"),
        ("compare stack.tif flat.tif --volume", "both must have the same shape"),
    ],
)
@pytest.mark.usefixtures("stacks")
def test_the_command_line_refuses_in_a_sentence(capsys, words, message):
    tifffile.imwrite("flat.tif", np.zeros((12, 10), np.uint8))
    tifffile.imwrite("narrow.tif", np.zeros((12, 9), np.uint8))
    assert run(words) == 2
    assert message in capsys.readouterr().err
