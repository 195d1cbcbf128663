"""A huge picture in tiles: as if it had been done at once, in any container, without steps where tiles meet."""

import contextlib
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from benchmarks.huge import step_at
from skimage import data

import untaught
from untaught.batches import learning
from untaught.batches.learning import learn
from untaught.batches.tiles import tiles, windows
from untaught.cli import main
from untaught.errors import InputError, PictureError, SettingError
from untaught.imaging import reading, stores
from untaught.imaging.ranges import working_range
from untaught.tasks import modelled_noise

RANDOM = np.random.default_rng(0)
NOISE = 2500
QUICK = {"noise": NOISE, "iterations": 2}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(learning, "SIDE", 32)
    monkeypatch.setattr(learning, "AROUND", 8)
    monkeypatch.setattr(learning, "_BLOCK", 16)
    monkeypatch.setattr(learning, "_DRAWS", 2)
    monkeypatch.setattr(stores, "_TILE", 16)
    monkeypatch.setattr(stores, "_SMALLEST", 32)


def noisy(shape=(70, 50)):
    """A photograph as 16 bits, with noise of standard deviation 2500."""
    crop = data.camera()[100 : 100 + shape[-2], 180 : 180 + shape[-1]].astype(float) * 200
    return (crop + RANDOM.normal(0, NOISE, shape)).clip(1, 65535).astype(np.uint16)


def zarr_of(path, values, axes, version="0.5"):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("full", data=values, chunks=(*(1 for _ in values.shape[:-2]), 16, 16))
    kinds = {"t": "time", "c": "channel"}
    multiscale = {
        "name": "cells",
        "axes": [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes],
        "datasets": [{"path": "full", "coordinateTransformations": [{"type": "scale", "scale": [0.5] * len(axes)}]}],
    }
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
    return path


def saved(path, values, axes="YX"):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".zarr":
        zarr_of(path, values, axes.lower())
    else:
        pytest.importorskip("zarr")
        metadata = {"axes": axes} if len(axes) > 2 else None
        tifffile.imwrite(path, values, bigtiff=True, tile=(16, 16), ome=len(axes) > 2, metadata=metadata)
    return path


def loaded(path):
    store = stores.open_store(path)
    found = np.asarray(store.array[...])
    store.close()
    return found


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".tif"])
def test_each_container_gives_the_same(tmp_path, suffix):
    values = noisy()
    report = tiles("denoise", saved(tmp_path / f"in{suffix}", values), tmp_path / f"out{suffix}", **QUICK)
    assert (report.tiles, report.left) == (4, 0)
    result = loaded(tmp_path / f"out{suffix}")
    tiles("denoise", saved(tmp_path / "again.npy", values), tmp_path / "again-out.npy", **QUICK)
    np.testing.assert_array_equal(result, np.load(tmp_path / "again-out.npy"))
    assert result.dtype == values.dtype
    clean = data.camera()[100:170, 180:230].astype(float) * 200
    assert np.abs(result - clean).mean() < 0.8 * np.abs(values - clean).mean()
    assert {path.suffix for path in tmp_path.iterdir()} <= {".npy", suffix}, "nothing else is left"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_axes_channels_and_scale_of_ome_zarr(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    values = np.stack([noisy((2, 40, 36)), noisy((2, 40, 36)) // 4])[None]  # T C Z Y X
    path = zarr_of(tmp_path / "in.zarr", values, "tczyx", version)
    tiles("denoise", path, tmp_path / "out.zarr", select={"c": 1, "z": (1, 2)}, **QUICK)
    group = zarr.open_group(str(tmp_path / "out.zarr"), mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    own = group.attrs["multiscales"] if version == "0.4" else group.attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in own[0]["axes"]] == list("tczyx")
    scales = [one["coordinateTransformations"][0]["scale"] for one in own[0]["datasets"]]
    assert scales == [[0.5] * 5, [0.5, 0.5, 0.5, 1.0, 1.0]]
    # The slice is the second of its stack, and lies half a unit further.
    moved = own[0]["datasets"][0]["coordinateTransformations"][1]["translation"]
    assert moved == [0, 0.5, 0.5, 0, 0]
    whole, half = np.asarray(group["0"][...]), np.asarray(group["1"][...])
    assert (whole.shape, half.shape) == ((1, 1, 1, 40, 36), (1, 1, 1, 20, 18))
    means = whole[0, 0, 0].reshape(20, 2, 18, 2).mean((1, 3))
    np.testing.assert_allclose(half[0, 0, 0], means, atol=0.51)


def test_a_tiff_has_its_pyramid_and_its_place(tmp_path):
    pytest.importorskip("zarr")
    values = noisy()
    values[::7, ::5] = 0
    tags = [(33550, 12, 3, (2.0, 2.0, 0.0), True), (42113, 2, None, "0", True)]
    tifffile.imwrite(tmp_path / "in.tif", values, bigtiff=True, tile=(16, 16), extratags=tags, metadata=None)
    tiles("denoise", tmp_path / "in.tif", tmp_path / "out.tif", **QUICK)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.is_bigtiff
        assert [level.shape for level in file.series[0].levels] == [(70, 50), (35, 25), (18, 13)][
            : len(file.series[0].levels)
        ]
        assert len(file.series[0].levels) > 1
        assert file.pages.first.tags[33550].value == (2.0, 2.0, 0.0)
    result = loaded(tmp_path / "out.tif")
    # What the file says is missing is filled in from around it.
    assert np.abs(result[::7, ::5].astype(float) - np.roll(result, 1, 1)[::7, ::5]).mean() < 2 * NOISE
    assert reading.read(tmp_path / "out.tif").pixels.shape == (70, 50)


def test_only_what_is_missing_is_filled_in(tmp_path):
    values, mask = noisy(), np.ones((70, 50), bool)
    mask[:20][RANDOM.random((20, 50)) < 0.3] = False
    np.save(tmp_path / "in.npy", np.where(mask, values, 0))
    np.save(tmp_path / "mask.npy", mask)
    report = tiles("inpaint", tmp_path / "in.npy", tmp_path / "out.npy", mask=tmp_path / "mask.npy", iterations=2)
    result = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(result[mask], values[mask])
    assert np.abs(result[~mask] - values[~mask].astype(float)).mean() < 2 * NOISE
    assert report.left == 2, "the lower tiles have nothing missing"
    tiles("restore", tmp_path / "in.npy", tmp_path / "restored.npy", iterations=2)
    np.testing.assert_allclose(np.load(tmp_path / "restored.npy")[mask], values[mask])


@pytest.mark.parametrize("labelled", [False, True])
def test_lazy_arrays_stay_what_they_are(labelled):
    array = pytest.importorskip("dask.array")
    values = noisy((2, 70, 50))
    lazy = array.from_array(values, chunks=(1, 40, 50))
    if labelled:
        xarray = pytest.importorskip("xarray")
        lazy = xarray.DataArray(lazy, dims=("c", "y", "x"), coords={"c": ["red", "green"]}, attrs={"stain": "dapi"})
    report = tiles("denoise", lazy, axes="CYX", **QUICK)
    result = report.output
    assert type(result) is type(lazy)
    assert (result.chunks, result.dtype) == (lazy.chunks, lazy.dtype)
    if labelled:
        assert (list(result.c.values), result.attrs) == (["red", "green"], {"stain": "dapi"})
    clean = data.camera()[100:170, 180:230].astype(float) * 200
    made = np.asarray(result)
    assert np.abs(made - clean).mean() < 0.8 * np.abs(values - clean).mean()


def test_a_step_is_seen():
    field = np.add.outer(np.arange(64.0), np.arange(64.0))
    field[:, 32:] += 5
    assert step_at(field, [32], 1) == pytest.approx(5)
    assert step_at(field, [32], 0) == step_at(field, [20], 1) == 0


@pytest.mark.parametrize("light", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_there_is_no_step_where_tiles_meet(tmp_path, monkeypatch, light):
    """On a slope, where a step would show; by the network, and by the filter for noise of light."""
    for name, value in (("_BLOCK", 48), ("SIDE", 64), ("AROUND", 24), ("_DRAWS", 4)):
        monkeypatch.setattr(learning, name, value)
    slope = np.add.outer(np.linspace(2000, 9000, 128), np.linspace(0, 9000, 128))
    deviation = np.sqrt(slope) * 8 if light else 500
    np.save(tmp_path / "in.npy", (slope + RANDOM.normal(0, 1, slope.shape) * deviation).astype(np.uint16))
    options = {} if light else {"noise": 500}
    report = tiles("denoise", tmp_path / "in.npy", tmp_path / "out.npy", iterations=20, **options)
    assert any("light" in note for note in report.notes) == light
    assert not any("not handed out" in note for note in report.notes), report.notes
    result = np.load(tmp_path / "out.npy").astype(float)
    assert (report.tiles, report.left) == (4, 0)
    assert np.sqrt(((result - slope) ** 2).mean()) < 0.75 * np.mean(deviation)
    for axis in (0, 1):
        assert step_at(result - slope, [40, 64, 88], axis) < 0.1 * np.mean(deviation)


def test_a_part_is_restored_as_the_whole_says():
    """The range of a dark tile is that of the whole."""
    values = np.concatenate([noisy((64, 64)), noisy((64, 64)) // 16 + 100])
    learnt = learn("denoise", [(values, None)], QUICK)
    assert learnt.range_ == dataclasses.replace(
        working_range(values[None, None], None), tolerance=learnt.range_.tolerance
    )
    dark = learnt.restored(values[64:])
    assert np.abs(dark - values[64:].astype(float)).mean() < NOISE


def test_a_large_picture_is_filtered_as_in_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(modelled_noise, "_FITTED", 1000)
    values = noisy()
    report = tiles("denoise", saved(tmp_path / "in.npy", values), tmp_path / "out.npy", noise=NOISE)
    whole = untaught.denoise(values, noise=NOISE)
    assert set(report.notes) & set(whole.notes) == {modelled_noise.FILTERED_ONLY}
    difference = np.load(tmp_path / "out.npy").astype(float) - whole.picture
    assert np.abs(difference).mean() < 0.1 * np.abs(values - whole.picture.astype(float)).mean()


def test_windows_cover_everything():
    for length in (8, 31, 97, 100):
        found = windows(length)
        assert (found[0].start, found[-1].stop) == (0, length)
        for one, other in itertools.pairwise(found):
            assert one.start < other.start
            assert one.stop - other.start == 16


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"task": "dejpeg"}, InputError, "needs the whole picture"),
        ({"kind": "poisson"}, SettingError, "gaussian only"),
        ({"volume": True}, SettingError, "leave out volume"),
        ({"output": None}, InputError, "needs an output"),
        ({"output": "out.png"}, PictureError, "choose .zarr, .tif or .npy"),
        ({"output": "in.npy"}, PictureError, "is there already"),
        ({"image": "none.npy"}, PictureError, "there is no file or folder"),
        ({"image": "text.tif"}, PictureError, "cannot be read part by part"),
        ({"select": {"q": 1}}, InputError, "there is no Q"),
        ({"select": {"y": (5, 100)}}, InputError, "Y goes from 0 to 69"),
        ({"axes": "TYX"}, PictureError, "name each"),
        ({"axes": "XY"}, PictureError, "Y and X"),
        ({"mask": np.ones((3, 3))}, InputError, "the mask has the shape"),
        ({"recipe": "printed"}, SettingError, "draws one whole picture"),
        ({"noize": 2}, SettingError, "did you mean noise"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, monkeypatch, change, error, sentence):
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", noisy())
    (tmp_path / "text.tif").write_text("no picture")
    given = {"task": "denoise", "image": "in.npy", "output": "out.npy", **QUICK, **change}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=sentence):
        tiles(given.pop("task"), given.pop("image"), given.pop("output"), **given)
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_line(tmp_path, capsys):
    np.save(tmp_path / "in.npy", noisy((2, 40, 36)))
    words = ["tiles", "denoise", tmp_path / "in.npy", "-o", tmp_path / "out.npy", "--select", "Z=1", "--noise", NOISE]
    assert main([*map(str, words), "--iterations", "2"]) == 0
    assert np.load(tmp_path / "out.npy").shape == (1, 40, 36)
    assert "1 tiles" in capsys.readouterr().out
    assert main([*map(str, words), "--iterations", "2"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_missing_library_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    tifffile.imwrite(tmp_path / "in.tif", noisy())
    with pytest.raises(InputError, match=r'pip install "untaught\[huge\]"'):
        tiles("denoise", tmp_path / "in.tif", tmp_path / "out.tif", **QUICK)


def test_axes_and_pixel_size_of_an_ome_tiff(tmp_path):
    pytest.importorskip("zarr")
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(tmp_path / "in.ome.tif", noisy((2, 20, 18)), ome=True, metadata=metadata)
    tiles("denoise", tmp_path / "in.ome.tif", tmp_path / "out.tif", **QUICK)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert (file.series[0].axes, file.series[0].shape) == ("CYX", (2, 20, 18))
        assert 'PhysicalSizeX="0.25"' in file.ome_metadata
        assert 'PhysicalSizeXUnit="µm"' in file.ome_metadata


class Stopped(BaseException):
    """As a kill, at a tile."""


def stopping_after(count):
    seen = []

    def observer(done, total):
        seen.append((done, total))
        if len(seen) == count:
            raise Stopped

    return observer, seen


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".tif"])
def test_one_that_was_stopped_goes_on(tmp_path, monkeypatch, suffix):
    """Bands that are done are not done again, what was learnt is kept, and the bits are the same."""
    pytest.importorskip("zarr")
    values = noisy((2, 70, 50))
    path, out = saved(tmp_path / f"in{suffix}", values, "CYX"), tmp_path / f"out{suffix}"
    learnt = []
    fitted = learning._fitted
    monkeypatch.setattr(learning, "_fitted", lambda *given: learnt.append(0) or fitted(*given))
    tiles("denoise", path, tmp_path / f"alone{suffix}", axes="CYX", **QUICK)
    assert len(learnt) == 2
    places = []
    for count in (3, 1, 2, 4, 100):
        observer, seen = stopping_after(count)
        try:
            report = tiles("denoise", path, out, axes="CYX", observer=observer, **QUICK)
        except Stopped:
            assert not out.exists()
        places.append(seen[0][0])
    # Two tiles are a band, and eight are all: only a band that was not written yet is done again.
    assert places == [1, 3, 3, 3, 5]
    assert (report.tiles, len(learnt)) == (8, 4)
    np.testing.assert_array_equal(loaded(out), loaded(tmp_path / f"alone{suffix}"))
    assert {one.name for one in tmp_path.iterdir()} == {path.name, out.name, f"alone{suffix}"}


def test_another_picture_or_setting_begins_anew(tmp_path):
    def firsts(count=3, **options):
        observer, seen = stopping_after(count)
        with pytest.raises(Stopped):
            tiles("denoise", tmp_path / "in.npy", tmp_path / "out.npy", observer=observer, **{**QUICK, **options})
        return seen[0][0]

    np.save(tmp_path / "in.npy", noisy())
    assert [firsts(), firsts(seed=1)] == [1, 1]
    np.save(tmp_path / "in.npy", noisy())
    assert [firsts(seed=1), firsts(count=1, seed=1)] == [1, 3]


def test_two_do_not_write_one_picture(tmp_path):
    np.save(tmp_path / "in.npy", noisy())

    def again(*_):
        with pytest.raises(PictureError, match="by another process"):
            tiles("denoise", tmp_path / "in.npy", tmp_path / "out.npy", **QUICK)

    tiles("denoise", tmp_path / "in.npy", tmp_path / "out.npy", observer=again, **QUICK)
    assert (tmp_path / "out.npy").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".tif"])
def test_one_that_is_killed_goes_on(tmp_path, suffix):
    """By SIGKILL, at any moment: also while it learns, and while the pyramid is made."""
    pytest.importorskip("zarr")
    saved(tmp_path / f"in{suffix}", noisy((400, 300)))
    (tmp_path / "script.py").write_text(
        "import sys\nfrom untaught.batches import learning\nfrom untaught.batches.tiles import tiles\n"
        "learning.SIDE, learning.AROUND, learning._BLOCK = 64, 16, 32\n"
        f"tiles('denoise', *sys.argv[1:], noise={NOISE}, iterations=4)\n"
    )
    words = [sys.executable, tmp_path / "script.py", tmp_path / f"in{suffix}"]
    subprocess.run([*words, tmp_path / f"alone{suffix}"], check=True)
    random, seen = np.random.default_rng(0), []
    part = tmp_path / f"out{suffix}.part"

    def bands():
        with contextlib.suppress(FileNotFoundError):
            return json.loads((part / "progress.json").read_text())["bands"]
        return 0 if (part / "identity").exists() else -1

    for wanted in (0, 1, 2, 4, 6):
        process = subprocess.Popen([*words, tmp_path / f"out{suffix}"])
        while bands() < wanted and process.poll() is None:
            time.sleep(0.002)
        time.sleep(0.02 * random.random())
        process.kill()
        process.wait()
        seen.append(bands())
    # Before the last kill all may have been done.
    assert seen[:-1] == sorted(seen[:-1])
    assert seen[3] >= 4
    if not (tmp_path / f"out{suffix}").exists():
        subprocess.run([*words, tmp_path / f"out{suffix}"], check=True)
    np.testing.assert_array_equal(loaded(tmp_path / f"out{suffix}"), loaded(tmp_path / f"alone{suffix}"))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_own_reader_of_ome_zarr_opens_it(tmp_path, version):
    io = pytest.importorskip("ome_zarr.io")
    reader = pytest.importorskip("ome_zarr.reader")
    path = zarr_of(tmp_path / "in.zarr", noisy((2, 70, 50)), "cyx", version)
    tiles("denoise", path, tmp_path / "out.zarr", **QUICK)
    (node,) = reader.Reader(io.parse_url(tmp_path / "out.zarr"))()
    assert [axis["name"] for axis in node.metadata["axes"]] == ["c", "y", "x"]
    whole, half, *_ = (np.asarray(level) for level in node.data)
    np.testing.assert_array_equal(whole, loaded(tmp_path / "out.zarr"))
    means = whole.reshape(2, 35, 2, 25, 2).mean((2, 4))
    np.testing.assert_allclose(half, means, atol=0.51)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_models_of_ome_zarr_accept_what_is_said(tmp_path, version):
    models = pytest.importorskip(f"ome_zarr_models.v0{version[-1]}.image")
    path = zarr_of(tmp_path / "in.zarr", noisy((2, 70, 50)), "cyx", version)
    tiles("denoise", path, tmp_path / "out.zarr", **QUICK)
    import zarr

    said = dict(zarr.open_group(str(tmp_path / "out.zarr"), mode="r").attrs)
    found = models.ImageAttrs.model_validate(said if version == "0.4" else said["ome"])
    assert [one.path for one in found.multiscales[0].datasets] == ["0", "1", "2"]
