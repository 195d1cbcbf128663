"""The parts of the studio by themselves: tasks, previews, queue, store, names, access control."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")

from untaught import cli
from untaught.errors import InputError, SettingError
from untaught.fitting import observers
from untaught.fitting.observers import Throttle
from untaught.studio.job_files import JobRequest, JobState
from untaught.studio.job_log import KeptPreviews, Pace
from untaught.studio.queue import Queue, RefusedError
from untaught.studio.reader_process import Readers
from untaught.studio.security import Access
from untaught.studio.sessions import Sessions
from untaught.studio.storage import FullError, MissingError, Store, default_folder, shown_name
from untaught.studio.task_schema import check_settings, command_line, find_offer, offers
from untaught.studio.worker_process import WorkerProcess


def test_the_tasks_and_their_command_lines_are_the_catalogues(capsys):
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
    assert cli.main(["restore", "a b.png", "-o", "out.png", *line.split("out.png ")[1].split()]) == 2
    assert "a b.png" in capsys.readouterr().err, "all options are accepted, and then the file is missing"
    line = command_line(task, {}, {"picture": "a.png", "mask": "m.png", "result": "b c.png"}, [5, 7])
    first, *more = line.split(" && ")
    assert first == "untaught restore a.png --mask m.png -o 'b c.png' --checkpoint 'b c.png.checkpoint'"
    assert more == [f"untaught resume 'b c.png.checkpoint' --continue-for {count}" for count in (5, 7)]


@pytest.mark.parametrize(
    "given",
    [{"recipe": "slow"}, {"seed": -1}, {"iterations": 0}, {"iterations": "x"}, {"colour": 1}, {"keep_known": "no"}],
)
def test_impossible_settings_are_refused(given):
    with pytest.raises(SettingError):
        check_settings(find_offer("inpaint"), given)


def test_the_time_left_goes_by_the_last_seconds():
    pace = Pace(1, 2.0)
    assert pace.at(1, 2.0) == 2
    slow = [pace.at(1 + number, 2.0 + number) for number in range(1, 20)]
    fast = [pace.at(20 + 10 * number, 21.0 + number) for number in range(1, 20)]
    assert slow == [1] * 19
    assert fast[:8] == sorted(fast[:8], reverse=True)
    assert fast[8:] == pytest.approx([0.1] * 11)


def test_previews_are_few_and_dense_where_the_picture_changes():
    previews, dropped = KeptPreviews([], most=20), []
    for iteration in range(1, 1001, 3):
        dropped += previews.add(iteration, best=400)
    assert len(previews.kept) == 20
    assert previews.kept[0] == 1
    assert previews.kept[-1] == 1000
    assert min(abs(kept - 400) for kept in previews.kept) <= 2
    gaps = np.diff(previews.kept)
    assert gaps[0] < gaps[-2]
    assert set(dropped).isdisjoint(previews.kept)
    assert previews.add(50, best=40)[0] > 50  # continuing from a checkpoint makes later previews outdated


WORKER = """
import sys
sys.stdin.readline()
sys.exit(0 if sys.stdin.readline() == "finish\\n" else 3)
"""


async def start_idler(_):
    """Start a worker that does nothing until it is told to end."""
    idler = asyncio.create_subprocess_exec(sys.executable, "-S", "-c", WORKER, stdin=asyncio.subprocess.PIPE)
    return WorkerProcess(await idler)


def request_of(identity, **settings):
    return JobRequest(
        id=identity,
        picture="0" * 16,
        name="photo",
        task="inpaint",
        settings=settings,
        crop=None,
        whole=None,
        width=4,
        height=4,
        names={"picture": "a.png", "result": "b.png"},
        files={"picture": "a.png", "result": "b.png"},
        continue_for=[],
    )


def test_jobs_that_wait_are_moved_and_all_are_renamed(tmp_path):
    queue, jobs = Queue(Store(tmp_path), start_idler), []
    for number in range(4):
        with queue.store.adding("jobs") as (identity, folder):
            request, state = request_of(identity), JobState.queued(queue.next_turn())
            request.write(folder)
            state.write(folder)
        queue.add(identity, request, state)
        jobs.append(identity)
        assert queue.place_of(identity) == (number + 1, number + 1)
    queue.move(jobs[2], -1)
    queue.move(jobs[0], 1000)
    queue.move(jobs[3], -1000)
    queue.rename(jobs[1], "grandmother")
    expected = [jobs[3], jobs[2], jobs[1], jobs[0]]
    assert queue.waiting() == expected
    again = Queue(queue.store, start_idler)
    assert again.waiting() == expected, "after a restart too"
    request = again.request(jobs[1])
    assert (request.name, request.names["result"]) == ("grandmother", "grandmother-restored.png")
    queue.cancel(jobs[1])
    assert queue.place_of(jobs[1]) is None
    with pytest.raises(RefusedError, match="only one that waits"):
        queue.move(jobs[1], 1)


def test_each_device_fits_one_job_at_a_time(tmp_path):
    async def follow():
        queue = Queue(Store(tmp_path), start_idler)
        running = asyncio.create_task(queue.run())

        async def now_running(*devices):
            expected = {jobs[device] for device in devices}
            until = time.monotonic() + 60
            while {name for name in queue.all() if queue.state(name).state == "running"} != expected:
                assert time.monotonic() < until, devices
                await asyncio.sleep(0.01)

        jobs = {}
        for device in ("cuda:0", "cuda:1", "cuda", None, "cpu"):
            with queue.store.adding("jobs") as (identity, folder):
                settings = {} if device is None else {"device": device}
                request, state = request_of(identity, **settings), JobState.queued()
                request.write(folder)
                state.write(folder)
            queue.add(identity, request, state)
            jobs[device] = identity
        await now_running("cuda:0", "cuda:1")
        assert queue.waiting() == [jobs["cuda"], jobs[None], jobs["cpu"]]
        queue.wish(jobs["cuda:0"], "finish")
        await now_running("cuda:1", "cuda")
        assert queue.state(jobs["cuda:0"]).state == "done"
        queue.cancel(jobs["cuda"])
        queue.wish(jobs["cuda:1"], "pause")
        await now_running(None)  # it may use any device, so it runs alone
        assert queue.state(jobs["cuda:1"]).state == "paused"
        queue.wish(jobs[None], "finish")
        await now_running("cpu")
        queue.resume(jobs["cuda"])
        await now_running("cpu", "cuda")
        await queue.close()
        assert queue.state(jobs["cpu"]).state == "running", "the next server queues it again"
        await running

    asyncio.run(follow())


def test_a_worker_is_ready_while_the_studio_is_used(tmp_path, monkeypatch):
    async def follow():
        started = []

        async def start(log):
            started.append(await start_idler(log))
            return started[-1]

        async def until(condition):
            end = time.monotonic() + 60
            while not condition():
                assert time.monotonic() < end
                await asyncio.sleep(0.01)

        queue = Queue(Store(tmp_path), start)
        running = asyncio.create_task(queue.run())
        await until(lambda: len(started) == 1)
        monkeypatch.setattr("untaught.studio.spare_worker._SECONDS_TO_KEEP", 0.2)
        queue.note_use()
        queue._more.set()
        await until(lambda: started[0].ended)
        await asyncio.sleep(0.1)
        assert len(started) == 1, "nobody uses the studio"
        monkeypatch.setattr("untaught.studio.spare_worker._SECONDS_TO_KEEP", 600.0)
        queue.note_use()
        await until(lambda: len(started) == 2)
        await asyncio.sleep(0.1)
        assert not started[1].ended
        await queue.close()
        await running
        for worker in started:
            await worker.wait()

    asyncio.run(follow())


@pytest.mark.parametrize("cost", [0.001, 0.2])
def test_previews_take_no_more_than_their_share(monkeypatch, cost):
    now, made = [0.0], []
    monkeypatch.setattr(observers.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(observers.time, "thread_time", lambda: now[0])

    def make():
        now[0] += cost
        made.append(now[0])

    throttle = Throttle(make, 1.0)
    while now[0] < 100:
        now[0] += 0.05
        throttle(None)
    assert len(made) * cost < 0.05 * now[0]
    assert len(made) > (90 if cost < 0.04 else 15)
    assert np.diff(made).min() >= 1.0


@pytest.mark.parametrize("jump", [-3e9, 3e9], ids=["back", "forth"])
def test_nothing_is_removed_when_the_clock_jumps(tmp_path, monkeypatch, jump):
    store = Store(tmp_path)
    made = []
    for kind, age in (("jobs", 2e8), ("pictures", 0.0)):
        with store.adding(kind) as (identity, folder):
            (folder / "file").write_bytes(b"x" * 1000)
        os.utime(store.folder / kind / identity / "file", (time.time() - age,) * 2)
        os.utime(store.folder / kind / identity, (time.time() - age,) * 2)
        made.append(identity)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    store.largest = 0
    contents = Store(tmp_path).contents()
    assert [(entry["id"], entry["bytes"]) for entry in contents] == [(identity, 1000) for identity in made]
    assert Store(tmp_path).largest == 0


def test_jobs_keep_their_order_when_the_clock_is_put_back(tmp_path, monkeypatch):
    queue, names = Queue(Store(tmp_path)), []
    for now in (5000.0, 10.0, 20.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        with queue.store.adding("jobs") as (identity, _):
            pass
        queue.add(identity, request_of(identity), JobState.queued(queue.next_turn()))
        names.append(identity)
    assert queue.waiting() == names
    assert queue.all() == names[::-1]


def test_the_store_refuses_uploads_on_a_full_disk_and_names_it_does_not_have(tmp_path):
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
def test_file_names_of_clients_are_made_safe_to_show(name, shown):
    assert shown_name(name) == shown


def test_without_the_extra_it_says_how_to_install_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [name for name in sys.modules if name.startswith("untaught.studio.server")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["studio", "--folder", str(tmp_path), "--no-browser"]) == 2
    assert 'pip install "untaught[studio]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--host", "0.0.0.0"], "by --token-file"),
        (["--token-file", "short.txt"], "16"),
        (["--token-file", "empty.txt"], "16"),
        (["--token-file", "none.txt"], "none.txt"),
        (["--token", "a-token-that-all-can-read"], "--token"),
        (["--port", "70000"], "--port"),
        (["--certificate", "short.txt"], "--key"),
        (["--certificate", "short.txt", "--key", "short.txt"], "cannot be used with the key"),
    ],
)
def test_impossible_addresses_are_refused(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("short\n")
    (tmp_path / "empty.txt").write_text("")
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
def test_hosts_that_are_accepted(bound, host, known, tmp_path):
    assert Access(bound, 80, "a-token-of-the-tests", Sessions(tmp_path / "s")).knows_host(host) is known


@pytest.mark.parametrize("token", ["", "short", "x" * 15, " " * 20, "with a space in it", "a\nline-break-in-it"])
def test_tokens_that_protect_nothing_are_refused(token, tmp_path):
    with pytest.raises(InputError, match="token has"):
        Access("127.0.0.1", 80, token, Sessions(tmp_path / "s"))


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff\xfe" * 20])
def test_a_damaged_token_file_is_replaced(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    token = Store(tmp_path).token()
    assert len(token) >= 16
    assert Store(tmp_path).token() == token


def test_the_folder_of_earlier_versions_is_used_if_it_exists(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_folder().parts[-2:] == ("untaught", "studio")
    assert not default_folder().exists()
    old = tmp_path / ".untaught" / "studio"
    old.mkdir(parents=True)
    assert default_folder() == old


def test_the_log_of_earlier_workers_is_kept(tmp_path):
    log = tmp_path / "worker.log"

    async def start_and_leave():
        worker = await WorkerProcess.start(log)
        worker.kill()
        await worker.wait()

    log.write_text("from an earlier worker\n")
    asyncio.run(start_and_leave())
    assert log.read_text().startswith("from an earlier worker\n")
    log.write_bytes(b"x" * (2**20 + 1))
    asyncio.run(start_and_leave())
    assert log.stat().st_size < 2**20
    assert (tmp_path / "worker.old.log").stat().st_size > 2**20


def test_uploads_marks_and_proposals_import_no_torch(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / "file", "PNG")
    code = """
import os, sys
from PIL import Image
from untaught.studio import file_reader
os.chdir(sys.argv[1])
file_reader.read_picture()
file_reader.search(["auto 0.5"], "original.png", "")
Image.new("L", (50, 40), 255).save("file", "PNG")
file_reader.read_mask("50", "40")
print([name for name in ("torch", "skimage") if name in sys.modules])
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("}\n[]\n")


def test_what_is_slow_keeps_no_upload_waiting(monkeypatch):
    class Process:
        returncode = 0

        async def communicate(self, question):
            if b"inspection" in question:
                await asyncio.Event().wait()
            return b'{"read": 1}', b""

        def kill(self):
            pass

    async def start():
        return Process()

    async def read_beside_inspections():
        readers = Readers()
        slow = [asyncio.create_task(readers.run(Path(), "inspection")) for _ in range(5)]
        await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(readers.run(Path(), "mask"), 5)
        finally:
            for one in slow:
                one.cancel()
            await asyncio.gather(*slow, return_exceptions=True)

    monkeypatch.setattr("untaught.studio.reader_process._start", start)
    assert asyncio.run(read_beside_inspections()) == {"read": 1}
