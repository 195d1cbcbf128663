"""Many pictures: each is done once, whatever happens."""

from __future__ import annotations

import csv
import functools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import untaught
from untaught.batches import worker
from untaught.batches.ledger import Ledger, Row, Stage
from untaught.errors import InputError, Interrupted, SettingError
from untaught.imaging import writing
from untaught.imaging.picture import Picture

QUICK = {"noise": 20, "iterations": 2}


class Inline(Executor):
    """Does everything at once, in this process."""

    def __init__(self):
        self.orders = []

    def submit(self, function, /, *arguments, **named):
        self.orders += arguments
        future = Future()
        try:
            future.set_result(function(*arguments, **named))
        except RuntimeError as error:
            future.set_exception(error)
        return future


@pytest.fixture
def scans(tmp_path):
    """A folder of three pictures, one of them in a folder of its own, and a file that is none."""
    random = np.random.default_rng(0)
    folder = tmp_path / "scans"
    (folder / "deeper").mkdir(parents=True)
    for name in ("a.png", "b.tif", "deeper/a.png"):
        Image.fromarray(random.integers(0, 255, (16, 18), np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def stages(report):
    return {row.name: str(row.stage) for row in report.rows}


def test_each_picture_of_a_folder_is_done_as_it_would_be_alone(scans, tmp_path):
    report = untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **QUICK)
    assert stages(report) == {"a.png": "done", "b.tif": "done", "deeper/a.png": "done"}
    for name in stages(report):
        alone = untaught.denoise(np.asarray(Image.open(scans / name)), **QUICK).picture
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / name)), alone)


def test_again_only_what_is_missing_or_changed_is_done(scans, tmp_path):
    def done(**options):
        return untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **{**QUICK, **options}).done_now

    assert done() == 3
    assert done() == 0
    (tmp_path / "out/b.tif").unlink()
    assert done() == 1
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(scans / "a.png")
    assert done() == 1
    assert done(seed=1) == 3


def test_a_picture_that_fails_ends_nothing_and_is_tried_again_when_asked(scans, tmp_path):
    (scans / "broken.png").write_bytes(b"nothing")
    executor = Inline()
    report = untaught.batch("denoise", scans, tmp_path / "out", executor=executor, **QUICK)
    assert [row.name for row in report.failed] == ["broken.png"]
    assert "is not a picture" in report.failed[0].facts["error"]
    assert report.done_now == 3
    again = untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **QUICK)
    assert (again.done_now, len(again.failed)) == (0, 1)
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(scans / "broken.png")
    mended = untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **QUICK)
    assert (mended.done_now, len(mended.failed)) == (1, 0)


def test_retry_does_again_what_failed(scans, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the lights went out")

    with monkeypatch.context() as patched:
        patched.setattr("untaught.tasks.from_files.prepared", broken)
        report = untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **QUICK)
    assert {row.facts["error"] for row in report.rows} == {"RuntimeError: the lights went out"}
    assert untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **QUICK).done_now == 0
    assert untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), retry=True, **QUICK).done_now == 3


def test_masks_are_matched_by_name(scans, tmp_path):
    masks = tmp_path / "masks"
    (masks / "deeper").mkdir(parents=True)
    mask = np.full((16, 18), 255, np.uint8)
    mask[4:6] = 0
    Image.fromarray(mask).save(masks / "a.png")
    Image.fromarray(mask[::-1].copy()).save(masks / "deeper/a.png")
    executor = Inline()
    report = untaught.batch("inpaint", scans, tmp_path / "out", beside={"mask": masks}, executor=executor, iterations=2)
    used = {order.files["picture"].name: order.files["mask"] for order in executor.orders}
    assert stages(report) == {"a.png": "done", "b.tif": "failed", "deeper/a.png": "done"}
    assert "there is no mask called b in" in report.failed[0].facts["error"]
    assert {order.files["mask"].parent.name for order in executor.orders} == {"masks", "deeper"}
    assert used["a.png"].parent.name in ("masks", "deeper")
    whole = untaught.batch(
        "inpaint", scans, tmp_path / "one", beside={"mask": masks / "a.png"}, executor=Inline(), iterations=2
    )
    assert whole.done_now == 3


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_has_settings_for_each_picture(tmp_path, kind):
    rows = [
        {"picture": "scans/a.png", "noise": "5", "output": "weak.png"},
        {"picture": "scans/a.png", "noise": "40", "output": "strong.png"},
        {"picture": "scans/b.tif", "noise": "wrong", "output": "b.tif"},
        {"picture": "scans/missing.png", "noise": "", "output": "missing.png"},
    ]
    table = tmp_path / f"table.{kind}"
    if kind == "csv":
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        table.write_text("\n".join(json.dumps(row) for row in rows))
    executor = Inline()
    report = untaught.batch("denoise", table, tmp_path / "out", executor=executor, iterations=2)
    assert stages(report) == {"weak.png": "done", "strong.png": "done", "b.tif": "failed", "missing.png": "failed"}
    assert [order.options["noise"] for order in executor.orders] == [5, 40]
    assert "noise" in report.rows[2].facts["error"]
    assert not np.array_equal(*(np.asarray(Image.open(tmp_path / "out" / f"{one}.png")) for one in ("weak", "strong")))


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"inputs": "nowhere"}, InputError, "there is no file, folder or pattern"),
        ({"inputs": "empty"}, InputError, "there is no picture"),
        ({"noize": 3}, SettingError, "did you mean noise"),
        ({"noise": "loud"}, SettingError, "noise"),
        ({"name": "all.png"}, InputError, "would both be written to all.png"),
        ({"name": "{stim}.png"}, SettingError, "{stem}, {suffix} and {folder}"),
        ({"name": "../{stem}.png"}, SettingError, "leads out of the folder"),
        ({"beside": {"mask": "scans"}}, InputError, "denoise takes no mask"),
        ({"workers": 0}, InputError, "workers is a number from 1"),
        ({"output": "scans"}, InputError, "would replace its own input"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(tmp_path, monkeypatch, change, error, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    given = {"inputs": "scans", "output": "out", **QUICK, **change}
    with pytest.raises(error, match=sentence):
        untaught.batch("denoise", executor=Inline(), **given)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_does_nothing(scans, tmp_path):
    report = untaught.batch("denoise", scans, tmp_path / "out", dry_run=True, **QUICK)
    assert stages(report) == dict.fromkeys(("a.png", "b.tif", "deeper/a.png"), "waiting")
    assert not (tmp_path / "out").exists()


def test_results_inside_the_inputs_are_no_inputs(scans):
    assert untaught.batch("denoise", scans, scans / "out", executor=Inline(), **QUICK).done_now == 3
    again = untaught.batch("denoise", scans, scans / "out", executor=Inline(), **QUICK)
    assert (again.done_now, len(again.rows)) == (0, 3)


def test_names_are_made_of_the_pictures_own(scans, tmp_path):
    report = untaught.batch(
        "denoise", scans, tmp_path / "out", name="{stem}-clean.tif", executor=Inline(), recursive=False, **QUICK
    )
    assert stages(report) == {"a-clean.tif": "done", "b-clean.tif": "done"}


def test_the_summary_shows_every_picture(scans, tmp_path):
    (scans / "<broken>.png").write_bytes(b"nothing")
    untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **QUICK)
    page = (tmp_path / "out/summary.html").read_text()
    assert page.count("<figure") == 4
    assert page.count("data:image/jpeg;base64") == 6
    assert "&lt;broken&gt;" in page
    rows = list(csv.DictReader((tmp_path / "out/summary.csv").read_text().splitlines()))
    assert {row["result"]: row["stage"] for row in rows}["<broken>.png"] == "failed"


def test_a_second_batch_in_the_folder_is_refused(scans, tmp_path):
    with Ledger(tmp_path / "out/.untaught"), pytest.raises(InputError, match="another batch is at work"):
        untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **QUICK)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000])
def test_a_damaged_ledger_is_named(scans, tmp_path, content):
    untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **QUICK)
    (tmp_path / "out/.untaught/ledger.sqlite").write_bytes(content)
    for more in ("-wal", "-shm"):
        (tmp_path / f"out/.untaught/ledger.sqlite{more}").unlink(missing_ok=True)
    if content:
        with pytest.raises(InputError, match="is damaged"):
            untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **QUICK)
    else:
        # An empty one is a new one; the records still know what was done.
        executor = Inline()
        untaught.batch("denoise", scans, tmp_path / "out", executor=executor, **QUICK)
        assert all(worker._done_before(order) for order in executor.orders)


def test_the_ledger_of_a_later_version_is_left_alone(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.write(Row(name="a", fingerprint="1", stage=Stage.DONE, facts={"seconds": 1}))
        assert list(ledger) == [Row(name="a", fingerprint="1", stage=Stage.DONE, facts={"seconds": 1})]
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("PRAGMA user_version=9")
    connection.close()
    for _ in range(2):  # the folder stays free
        with pytest.raises(InputError, match="of version 9"), Ledger(tmp_path):
            pass


def test_a_picture_in_work_goes_on_from_its_checkpoint(scans, tmp_path, monkeypatch):
    """To the same bits, and a checkpoint of other settings is not used."""
    stop = threading.Event()
    stop.set()
    monkeypatch.setattr(worker, "_stopping", stop)
    longer = {"noise": 20, "iterations": 6}
    report = untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **longer)
    assert len(report.waiting) == 3
    assert len(list((tmp_path / "out/.untaught/pictures").glob("*.checkpoint"))) == 3
    stop.clear()
    report = untaught.batch("denoise", scans, tmp_path / "out", executor=Inline(), **longer)
    assert report.done_now == 3
    assert not list((tmp_path / "out/.untaught/pictures").glob("*.checkpoint"))
    for name in stages(report):
        alone = untaught.denoise(np.asarray(Image.open(scans / name)), **longer).picture
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / name)), alone)


def test_any_executor_does(scans, tmp_path):
    with ThreadPoolExecutor(2) as executor:
        report = untaught.batch("denoise", scans, tmp_path / "out", executor=executor, **QUICK)
    assert report.done_now == 3


SCRIPT = """
import sys, untaught
if __name__ == "__main__":
    workers, iterations = map(int, sys.argv[3:])
    report = untaught.batch("denoise", *sys.argv[1:3], workers=workers, noise=20, iterations=iterations)
    print([str(row.stage) for row in report.rows], report.done_now)
"""


def started(scans, out, iterations, tmp_path, workers=2):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), str(scans), str(out), str(workers), str(iterations)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def children(process):
    """The worker processes, by the memory that torch takes."""
    import psutil

    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if "spawn_main" in " ".join(one.cmdline()) and one.memory_info().rss > 1e8]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def mixed(folder, count, broken):
    """Pictures of all sizes and types, the last of them empty, no picture, and cut off."""
    random = np.random.default_rng(1)
    folder.mkdir()
    kinds = [("png", np.uint8, ()), ("tif", np.uint16, (2,)), ("webp", np.uint8, (3,)), ("png", np.uint16, (3,))]
    for number in range(count):
        suffix, kind, channels = kinds[number % len(kinds)]
        values = random.random((*random.integers(8, 20, 2), *channels))
        whole = values * np.iinfo(kind).max
        path = folder / f"{number:03}.{suffix}"
        writing.write(path, Picture(whole.astype(kind)))
        if number >= count - broken:
            path.write_bytes((b"", b"nothing", path.read_bytes()[:60])[number % 3])
    return folder


def results(out):
    return {path.name: path.read_bytes() for path in out.glob("[0-9]*.*")}


def done_in_the_ledger(out):
    connection = sqlite3.connect(out / ".untaught/ledger.sqlite")
    found = connection.execute("SELECT name FROM pictures WHERE stage = 'done'").fetchall()
    connection.close()
    return {name: (out / name).stat().st_mtime_ns for (name,) in found}


def until_results(out, count, process):
    until(lambda: process.poll() is not None or (out.is_dir() and len(results(out)) >= count), 120)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_mixed_pictures_and_a_kill(tmp_path):
    folder, out = mixed(tmp_path / "mixed", 12, 3), tmp_path / "out"
    alone = untaught.batch("denoise", folder, tmp_path / "alone", executor=Inline(), **QUICK)
    assert (alone.done_now, len(alone.failed)) == (9, 3)
    process = started(folder, out, 2, tmp_path, workers=1)
    until_results(out, 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = done_in_the_ledger(out)
    report = untaught.batch("denoise", folder, out, workers=1, **QUICK)
    assert len(report.failed) == 3
    assert report.done_now == 9 - len(before)
    assert results(out) == results(tmp_path / "alone")
    assert before.items() <= done_in_the_ledger(out).items(), "what was done is done again"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ten_kills_among_200_pictures(tmp_path):
    """Workers, the driver and all of them are killed at random moments; each picture is done once, to the same bits."""
    folder, out = mixed(tmp_path / "mixed", 200, 3), tmp_path / "out"
    untaught.batch("denoise", folder, tmp_path / "alone", executor=Inline(), **QUICK)
    moments = sorted(np.random.default_rng(2).integers(0, 195, 10))
    process, before = started(folder, out, 2, tmp_path), {}
    for number, moment in enumerate(moments):
        until_results(out, moment, process)
        who = ("a worker", "the driver", "everybody")[number % 3]
        if who == "a worker":
            until(functools.partial(children, process))[0].kill()
            continue
        os.killpg(process.pid, signal.SIGKILL) if who == "everybody" else process.kill()
        process.communicate()
        assert process.returncode != 0, "it was done before it was killed"
        now = done_in_the_ledger(out)
        assert before.items() <= now.items(), "what was done is done again"
        before = now
        process = started(folder, out, 2, tmp_path)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert (printed.count("'done'"), printed.count("'failed'")) == (197, 3)
    assert before.items() <= done_in_the_ledger(out).items(), "what was done is done again"
    assert results(out) == results(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("who", ["a worker", "the driver", "everybody", "ctrl-c"])
def test_whoever_is_killed_each_picture_is_done_once(scans, tmp_path, who):
    out = tmp_path / "out"
    process = started(scans, out, 150, tmp_path)
    until(lambda: (out / "a.png").exists() or (children(process) and (out / ".untaught/pictures").exists()))
    if who == "a worker":
        children(process)[0].kill()
    elif who == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    elif who == "everybody":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        # Its workers see that it is gone, and end.
        process.kill()
    process.communicate(timeout=120)
    assert (process.returncode == 0) == (who == "a worker")
    again = started(scans, out, 150, tmp_path)
    printed, errors = again.communicate(timeout=180)
    assert "['done', 'done', 'done']" in printed, errors
    for name in ("a.png", "b.tif", "deeper/a.png"):
        alone = untaught.denoise(np.asarray(Image.open(scans / name)), noise=20, iterations=150).picture
        assert np.array_equal(np.asarray(Image.open(out / name)), alone)


def test_ctrl_c_is_an_interruption(scans, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent.futures.wait", interrupted)
    with pytest.raises(Interrupted):
        untaught.batch("denoise", scans, tmp_path / "out", workers=1, noise=20, iterations=1000)
    with Ledger(tmp_path / "out/.untaught") as ledger:
        assert {row.stage for row in ledger} <= {Stage.WAITING, Stage.DONE}
