"""Files in buckets and on servers: what works for a file of this machine works for them."""

import functools
import http.server
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import untaught
from untaught.cli import main
from untaught.errors import InputError, PictureError
from untaught.imaging import addresses, files

fsspec = pytest.importorskip("fsspec")

QUICK = {"noise": 20, "iterations": 2}
RANDOM = np.random.default_rng(0)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A bucket in memory, with two pictures in a folder, one below it, and one in a hidden folder."""
    monkeypatch.setattr("platformdirs.user_state_path", lambda _: tmp_path / "state")
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    for name in ("a.png", "b.png", "deeper/a.png", ".hidden/c.png"):
        Image.fromarray(RANDOM.integers(0, 255, (16, 18), np.uint8)).save(tmp_path / "one.png")
        system.pipe(f"/bucket/raw/{name}", (tmp_path / "one.png").read_bytes())
    system.pipe("/bucket/raw/notes.txt", b"no picture")
    yield system
    system.store.clear()


def array(system, name):
    with system.open(name) as file:
        return np.asarray(Image.open(file))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("s3://bucket/a.png", "s3://bucket/a.png"),
        (Path("s3://bucket/a.png"), "s3://bucket/a.png"),
        (Path("s3://bucket") / "deeper" / "a.png", "s3://bucket/deeper/a.png"),
        (Path("https://host/a.png?size=2"), "https://host/a.png?size=2"),
        (Path("file:///tmp/a.png"), "file:///tmp/a.png"),
        (Path("a.png"), ""),
        (Path("/tmp/s3:/a.png"), ""),
        (Path("c:/a.png"), ""),
        (Path("photo: one/a.png"), ""),
    ],
)
def test_a_path_stands_for_an_address(given, wanted):
    assert addresses.address(given) == wanted
    assert addresses.elsewhere(given) == bool(wanted)


def test_a_sentence_has_both_slashes():
    said = addresses.spelled(f"{Path('s3://bucket/a.png')} and {Path('file:///tmp/b')} are no pictures: see https://c")
    assert said == "s3://bucket/a.png and file:///tmp/b are no pictures: see https://c"


def test_a_task_reads_and_writes_in_a_bucket(bucket, tmp_path, capsys):
    words = ["denoise", "memory://bucket/raw/a.png", "-o", "memory://bucket/clean.png", "--record"]
    words += ["memory://bucket/clean.json", "--noise", "20", "--iterations", "2", "--quiet"]
    assert main(words) == 0, capsys.readouterr().err
    alone = untaught.denoise(array(bucket, "/bucket/raw/a.png"), **QUICK).picture
    np.testing.assert_array_equal(array(bucket, "/bucket/clean.png"), alone)
    record = json.loads(bucket.cat("/bucket/clean.json"))
    assert record["files"]["picture"]["path"] == "memory://bucket/raw/a.png"
    assert main(["repeat", "memory://bucket/clean.json", "-o", str(tmp_path / "again.png"), "--quiet"]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "again.png")), alone)
    assert not bucket.glob("/bucket/*.checkpoint")


def test_an_input_in_a_bucket_is_not_overwritten(bucket, capsys):
    before = bucket.cat("/bucket/raw/a.png")
    words = ["denoise", "memory://bucket/raw/a.png", "-o", "memory://bucket/raw/a.png", "--iterations", "2", "--quiet"]
    assert main(words) == 2
    assert "memory://bucket/raw/a.png is an input and would be overwritten" in capsys.readouterr().err
    assert bucket.cat("/bucket/raw/a.png") == before
    assert files.free_name(Path("memory://bucket/raw/a.png")).name == "a-2.png"


def test_a_batch_reads_and_writes_in_a_bucket(bucket, tmp_path):
    def done(**more):
        with ThreadPoolExecutor(2) as executor:
            given = {"executor": executor, **QUICK, **more}
            return untaught.batch("denoise", "memory://bucket/raw", "memory://bucket/clean", **given)

    report = done()
    assert [(row.name, str(row.stage)) for row in report.rows] == [
        ("a.png", "done"), ("b.png", "done"), ("deeper/a.png", "done"),
    ]  # fmt: skip
    for row in report.rows:
        alone = untaught.denoise(array(bucket, f"/bucket/raw/{row.name}"), **QUICK).picture
        np.testing.assert_array_equal(array(bucket, f"/bucket/clean/{row.name}"), alone)
    assert bucket.cat("/bucket/clean/summary.html").count(b"data:image/jpeg;base64") == 6
    assert b"memory://bucket/raw/a.png" in bucket.cat("/bucket/clean/summary.csv")
    assert not list(bucket.glob("/bucket/clean/.untaught/pictures/*.checkpoint"))
    times = {row.name: bucket.modified(f"/bucket/clean/{row.name}") for row in report.rows}
    assert done().done_now == 0
    # Another machine has no ledger; the records in the bucket tell it.
    (tmp_path / "state").rename(tmp_path / "away")
    assert done().done_now == 3
    assert times == {row.name: bucket.modified(f"/bucket/clean/{row.name}") for row in report.rows}
    bucket.rm("/bucket/clean/b.png")
    bucket.pipe("/bucket/raw/a.png", bucket.cat("/bucket/raw/deeper/a.png"))
    assert done().done_now == 2
    np.testing.assert_array_equal(array(bucket, "/bucket/clean/a.png"), array(bucket, "/bucket/clean/deeper/a.png"))


@pytest.mark.usefixtures("bucket")
def test_patterns_lists_and_masks_in_a_bucket(tmp_path):
    def planned(inputs, task="denoise", **more):
        rows = untaught.batch(task, inputs, tmp_path / "out", dry_run=True, **more).rows
        return {row.name: row.facts.get("error", "") for row in rows}

    assert list(planned("memory://bucket/raw/b*.png")) == ["b.png"]
    assert list(planned("memory://bucket/raw", recursive=False)) == ["a.png", "b.png"]
    assert list(planned("memory://bucket/raw/a.png")) == ["a.png"]
    found = planned("memory://bucket/raw/?.png", "inpaint", beside={"mask": "memory://bucket/raw/deeper"})
    assert found["a.png"] == ""
    assert "there is no mask called b" in found["b.png"]
    rows = ["picture,output", "a.png,one.png", "memory://bucket/raw/b.png,two.png"]
    fsspec.filesystem("memory").pipe("/bucket/raw/list.csv", "\n".join(rows).encode())
    with ThreadPoolExecutor(1) as executor:
        report = untaught.batch("denoise", "memory://bucket/raw/list.csv", tmp_path / "out", executor=executor, **QUICK)
    assert report.done_now == 2
    with pytest.raises(InputError, match="there is no file, folder or pattern memory://bucket/none"):
        planned("memory://bucket/none*.png")


def test_a_file_that_is_not_there(capsys):
    assert main(["denoise", "memory://bucket/none.png", "-o", "out.png", "--quiet"]) == 2
    assert "there is no file memory://bucket/none.png" in capsys.readouterr().err


@pytest.fixture
def served(tmp_path):
    """The folder of the test, on a web server."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore")
def test_pictures_of_a_web_server(served, tmp_path, capsys):
    pytest.importorskip("aiohttp")
    values = RANDOM.integers(0, 255, (16, 18), np.uint8)
    Image.fromarray(values).save(tmp_path / "in.png")
    words = ["denoise", f"{served}/in.png", "--noise", "20", "--iterations", "2", "--quiet"]
    assert main([*words, "-o", str(tmp_path / "out.png")]) == 0, capsys.readouterr().err
    alone = untaught.denoise(values, **QUICK).picture
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), alone)
    assert main([*words, "-o", f"{served}/out.png"]) == 2
    assert "a web server only gives" in capsys.readouterr().err
    words[1] = f"{served}/none.png"
    assert main([*words, "-o", str(tmp_path / "out.png")]) == 2
    assert f"there is no file {served}/none.png" in capsys.readouterr().err


def test_files_by_their_addresses(tmp_path):
    path = Path(f"file://{tmp_path}/new/a.txt")
    files.write_text(path, "one")
    assert (files.read_bytes(path), files.exists(path)) == (b"one", True)
    files.remove(path)
    files.remove(path)
    assert not files.exists(path)


@pytest.mark.parametrize(
    ("library", "address"),
    [("fsspec", "memory://a.png"), ("s3fs", "s3://bucket/a.png"), ("gcsfs", "gs://bucket/a.png")],
)
def test_a_missing_library_is_told(monkeypatch, capsys, library, address):
    monkeypatch.setitem(sys.modules, library, None)
    assert main(["denoise", address, "-o", "out.png"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert 'pip install "untaught[remote]"' in error
    assert address in error


def test_a_library_that_no_extra_installs_is_told(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "adlfs", None)
    assert main(["denoise", "az://box/a.png", "-o", "out.png"]) == 2
    assert "az://box/a.png cannot be read yet: Install adlfs" in capsys.readouterr().err


def test_an_error_of_a_store_is_one_sentence(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no credentials\nat line 12")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.cat_file", fail)
    with pytest.raises(PictureError, match=r"memory://a.png cannot be read: no credentials$"):
        files.read_bytes("memory://a.png")


@pytest.mark.usefixtures("bucket")
def test_an_ome_zarr_in_a_bucket(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group("memory://bucket/in.zarr", mode="w")
    group.create_array("0", data=RANDOM.integers(0, 999, (40, 36), np.uint16), chunks=(16, 16))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    report = untaught.tiles("denoise", "memory://bucket/in.zarr", tmp_path / "out.npy", **QUICK)
    assert report.tiles == 1
    assert np.load(tmp_path / "out.npy").shape == (40, 36)
    with pytest.raises(PictureError, match="name a file of this machine"):
        untaught.tiles("denoise", "memory://bucket/in.zarr", "memory://bucket/out.zarr", **QUICK)
    with pytest.raises(PictureError, match="copy it first"):
        untaught.tiles("denoise", "memory://bucket/raw/a.tif", tmp_path / "out.tif", **QUICK)
