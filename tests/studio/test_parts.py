"""The parts of the studio by themselves: offers, moments, the store, names, proposals, the door."""

import asyncio
import os
import sys
import time

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")

from untaught import cli
from untaught.errors import SettingError
from untaught.studio import worker
from untaught.studio.mask_suggestions import propose
from untaught.studio.queue import Queue
from untaught.studio.security import Door
from untaught.studio.storage import FullError, MissingError, Store, shown_name, write_json
from untaught.studio.task_schema import check_settings, command_line, find_offer, offers
from untaught.studio.worker import Moments


def test_the_offers_are_tasks():
    names = [task.name for task in offers()]
    assert {"inpaint", "restore"} <= set(names)
    task = find_offer("restore")
    settings = check_settings(
        task, {"recipe": "fast", "time_budget": "2m", "seed": 3.0, "runs": "", "keep_known": False}
    )
    assert settings == {"recipe": "fast", "time_budget": 120.0, "seed": 3, "keep_known": False}
    line = command_line(task, settings, {"picture": "a b.png", "result": "out.png"})
    assert line.startswith("untaught restore 'a b.png' -o out.png --network-output")
    assert line.split("out.png ")[1] == "--network-output --recipe fast --time-budget 120.0 --seed 3"
    line = command_line(task, {}, {"picture": "a.png", "mask": "m.png", "result": "b c.png"}, [5, 7])
    first, *more = line.split(" && ")
    assert first == "untaught restore a.png --mask m.png -o 'b c.png' --checkpoint 'b c.png.checkpoint'"
    assert more == [f"untaught resume 'b c.png.checkpoint' --continue-for {count}" for count in (5, 7)]


@pytest.mark.parametrize(
    "given",
    [{"recipe": "slow"}, {"seed": -1}, {"iterations": 0}, {"iterations": "x"}, {"colour": 1}, {"keep_known": "no"}],
)
def test_settings_that_cannot_be_are_refused(given):
    with pytest.raises(SettingError):
        check_settings(find_offer("inpaint"), given)


def test_moments_are_few_and_dense_where_the_picture_changes():
    moments, dropped = Moments([], most=20), []
    for iteration in range(1, 1001, 3):
        dropped += moments.add(iteration, best=400)
    assert len(moments.kept) == 20
    assert moments.kept[0] == 1
    assert moments.kept[-1] == 1000
    assert min(abs(kept - 400) for kept in moments.kept) <= 2
    gaps = np.diff(moments.kept)
    assert gaps[0] < gaps[-2]
    assert set(dropped).isdisjoint(moments.kept)
    assert moments.add(50, best=40)[0] > 50  # going on from a checkpoint takes back what came later


WORKER = """
import sys
sys.stdin.readline()
sys.exit(0 if sys.stdin.readline() == "finish\\n" else 3)
"""


class QueueOfIdlers(Queue):
    """Whose workers have nothing to do, and end when they are told to."""

    async def _worker(self):
        return await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", WORKER, stdin=asyncio.subprocess.PIPE)


def test_one_job_a_device_at_a_time(tmp_path):
    async def follow():
        queue = QueueOfIdlers(Store(tmp_path))
        running = asyncio.create_task(queue.run())

        async def now_running(*devices):
            expected = {jobs[device] for device in devices}
            until = time.monotonic() + 60
            while {name for name in queue.all() if queue.state(name)["state"] == "running"} != expected:
                assert time.monotonic() < until, devices
                await asyncio.sleep(0.01)

        jobs = {}
        for device in ("cuda:0", "cuda:1", "cuda", None, "cpu"):
            with queue.store.adding("jobs") as (identity, folder):
                settings = {} if device is None else {"device": device}
                write_json(folder / "request.json", {"settings": settings, "continue_for": []})
                write_json(folder / "state.json", {})
            queue.add(identity)
            jobs[device] = identity
        await now_running("cuda:0", "cuda:1")
        assert queue.waiting() == [jobs["cuda"], jobs[None], jobs["cpu"]]
        queue.wish(jobs["cuda:0"], "finish")
        await now_running("cuda:1", "cuda")
        assert queue.state(jobs["cuda:0"])["state"] == "done"
        queue.cancel(jobs["cuda"])
        queue.wish(jobs["cuda:1"], "pause")
        await now_running(None)  # which may be any device, so it has them all
        assert queue.state(jobs["cuda:1"])["state"] == "paused"
        queue.wish(jobs[None], "finish")
        await now_running("cpu")
        queue.resume(jobs["cuda"])
        await now_running("cpu", "cuda")
        await queue.close()
        assert queue.state(jobs["cpu"])["state"] == "running", "it is taken up at the next start"
        await running

    asyncio.run(follow())


@pytest.mark.parametrize("cost", [0.001, 0.2])
def test_previews_take_no_more_than_their_share(monkeypatch, cost):
    now, made = [0.0], []
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(worker.time, "thread_time", lambda: now[0])

    def make():
        now[0] += cost
        made.append(now[0])

    sparingly = worker._Sparingly(make, 1.0)
    while now[0] < 100:
        now[0] += 0.05
        sparingly(None)
    assert len(made) * cost < 0.05 * now[0]
    assert len(made) > (90 if cost < 0.04 else 15)
    assert np.diff(made).min() >= 1.0


def test_the_store_clears_what_is_old_and_what_is_too_much(tmp_path):
    store = Store(tmp_path, largest=2500, oldest=1000)
    made = []
    for age in (2000, 300, 200, 100):
        with store.adding("jobs") as (identity, folder):
            (folder / "file").write_bytes(b"x" * 1000)
        os.utime(store.folder / "jobs" / identity / "file", (time.time() - age,) * 2)
        os.utime(store.folder / "jobs" / identity, (time.time() - age,) * 2)
        made.append(identity)
    assert store.clear({made[1]}) == [made[0], made[2]]
    assert set(store.entries("jobs")) == {made[1], made[3]}


def test_the_store_refuses_what_does_not_fit_and_what_is_not_there(tmp_path):
    with pytest.raises(FullError):
        Store(tmp_path, spare=2**60).check_room()
    store = Store(tmp_path)
    for identity in ("", "..", "../jobs", "0" * 15, "0" * 16, "G" * 16):
        with pytest.raises(MissingError):
            store.entry("jobs", identity)
    with pytest.raises(ZeroDivisionError), store.adding("jobs"):
        raise ZeroDivisionError
    assert list((tmp_path / "jobs").iterdir()) == []
    assert store.token() == Store(tmp_path).token()
    assert (tmp_path / "token").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("photo.png", "photo"),
        ("../../etc/passwd", "passwd"),
        ("-rf.png", "rf"),
        ("a\r\nb.png", "a__b"),
        ("", "picture"),
    ],
)
def test_names_of_clients_are_shown_and_not_used(name, shown):
    assert shown_name(name) == shown


def test_proposals_find_what_is_thin_and_stands_out():
    rng = np.random.default_rng(0)
    picture = np.full((80, 80, 3), 120, np.uint8) + rng.integers(0, 8, (80, 80, 3), np.uint8)
    for kind, colour in (
        ("dark", (10, 10, 10)),
        ("bright", (250, 250, 250)),
        ("coloured", (250, 60, 60)),
        ("black", 0),
    ):
        scratched, line = picture.copy(), np.zeros((80, 80), bool)
        line[20:60, 30:32] = True
        scratched[line] = colour
        missing = ~propose(scratched, kind)
        assert missing[line].mean() > 0.9, kind
        assert missing.mean() < 0.1, kind
        assert not (~propose(picture, kind)).any(), kind


def test_it_says_how_to_install_what_it_needs(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [name for name in sys.modules if name.startswith("untaught.studio.server")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["studio", "--folder", str(tmp_path), "--no-browser"]) == 2
    assert 'pip install "untaught[studio]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["--host", "0.0.0.0"], "by --token"), (["--token", "short"], "16 characters"), (["--port", "70000"], "--port")],
)
def test_impossible_addresses_are_refused(words, expected, capsys, tmp_path):
    assert cli.main(["studio", "--folder", str(tmp_path), "--no-browser", *words]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bound", "host", "known"),
    [
        ("127.0.0.1", "127.0.0.1:5", True),
        ("127.0.0.1", "localhost:9", True),
        ("127.0.0.1", "[::1]:9", True),
        ("127.0.0.1", "192.168.0.2:9", False),
        ("0.0.0.0", "192.168.0.2:9", True),
        ("0.0.0.0", "evil.example", False),
        ("studio.local", "studio.local:80", True),
    ],
)
def test_hosts_that_the_door_knows(bound, host, known):
    assert Door(bound, 80, "token").knows(host) is known
