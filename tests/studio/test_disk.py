"""Two servers on one folder, and a disk that is full."""

import asyncio
import errno
import io
import subprocess
import sys
import time

import httpx
import pytest

pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")

from running_studio import TOKEN, RunningStudio, access_to
from untaught.errors import ObserverError
from untaught.imaging import files
from untaught.studio import worker
from untaught.studio.folder_lock import FolderLock, InUseError
from untaught.studio.job_files import JobRequest, JobState
from untaught.studio.queue import Queue
from untaught.studio.server import create_app
from untaught.studio.services import Services
from untaught.studio.storage import FullError, Store, is_full
from untaught.studio.worker_process import FULL, WorkerProcess


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, "no space")


def add_job(queue):
    with queue.store.adding("jobs") as (identity, _):
        names = {"picture": "picture.png", "result": "result.png"}
        request = JobRequest(
            id=identity,
            picture="0" * 16,
            name="photo",
            task="inpaint",
            settings={},
            crop=None,
            whole=None,
            width=4,
            height=4,
            names=names,
            files=names,
            continue_for=[],
        )
    queue.add(identity, request, JobState.queued())
    return identity


def test_a_second_server_points_to_the_first(tmp_path):
    words = [sys.executable, "-m", "untaught", "studio", "--no-browser", "--port", "0", "--folder", str(tmp_path)]
    with RunningStudio(tmp_path) as studio:
        second = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        assert studio.home in second.stdout
        assert "?token=" not in second.stdout, "only its user knows the token that the first was started with"
        assert "runs already" in second.stdout
    assert not (tmp_path / "address").exists()


def test_a_folder_has_one_lock(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(InUseError) as caught:
        FolderLock(tmp_path)
    assert caught.value.address == ""
    lock.tell("http://127.0.0.1:5")
    with pytest.raises(InUseError) as caught:
        FolderLock(tmp_path)
    assert caught.value.address == "http://127.0.0.1:5"
    lock.release()
    FolderLock(tmp_path).release()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_worker_recognises_a_full_disk_wherever_it_shows(code, monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(code, "no space")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="cannot be written") as caught:
        files.write_text(tmp_path / "x", "y")
    monkeypatch.undo()
    error = ObserverError("an observer failed")
    error.__cause__ = caught.value
    assert is_full(error)
    assert is_full(FullError())
    assert not is_full(ValueError())
    monkeypatch.setattr(worker, "_fit", lambda *_: (_ for _ in ()).throw(error))
    monkeypatch.setattr(worker, "_Wishes", lambda _: None)
    monkeypatch.setattr(worker.os, "dup2", lambda *_: None)
    assert worker.main(io.StringIO(f"{tmp_path}\n")) == FULL


REQUESTS = [
    ("POST", "pictures", {"content": b"x"}),
    ("POST", "jobs", {"json": {"picture": "0" * 16, "task": "inpaint"}}),
    ("PUT", "storage", {"json": {"largest": 5}}),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=[path for _, path, _ in REQUESTS])
def test_a_full_disk_is_said_in_words(tmp_path, monkeypatch, method, path, body):
    async def ask():
        app = create_app(Services(Store(tmp_path)), access_to(tmp_path))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://127.0.0.1/api/",
            headers={"authorization": f"Bearer {TOKEN}"},
        ) as client:
            return await client.request(method, path, **body)

    monkeypatch.setattr("untaught.studio.routes.jobs.picture_info", no_space)
    monkeypatch.setattr("untaught.studio.storage.write_text", no_space)
    monkeypatch.setattr("untaught.studio.services.Services.receive", no_space)
    answer = asyncio.run(ask())
    assert answer.status_code == 507
    assert "disk is full" in answer.json()["detail"]


IDLER = "import sys; sys.stdin.readline(); sys.stdin.readline()"


def test_waiting_jobs_go_on_once_there_is_space(tmp_path, monkeypatch):
    async def start_idler(_):
        words = [sys.executable, "-S", "-c", IDLER]
        return WorkerProcess(await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE))

    async def until(condition):
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)

    async def follow():
        queue = Queue(Store(tmp_path, spare=2**60), start_idler)
        running = asyncio.create_task(queue.run())
        identity = add_job(queue)
        await until(lambda: queue.full)
        assert queue.state(identity).state == "queued"
        queue.store.spare = 0
        await until(lambda: queue.state(identity).state == "running")
        assert not queue.full
        # A worker that finds the disk full leaves the job in the queue, and it is taken up again.
        queue._note_end(identity, FULL)
        assert queue.state(identity).state == "queued"
        queue._workers[identity].ask("finish")
        await until(lambda: queue.state(identity).state == "running")
        await queue.close()
        await running

    monkeypatch.setattr("untaught.studio.queue._SECONDS_BETWEEN_LOOKS", 0.1)
    asyncio.run(follow())


def test_a_state_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch, caplog):
    queue = Queue(Store(tmp_path))
    identity = add_job(queue)
    monkeypatch.setattr(JobState, "write", no_space)
    queue.cancel(identity)
    assert queue.state(identity).state == "cancelled"
    assert identity in caplog.text
