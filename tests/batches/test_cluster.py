"""Workers elsewhere: bounded, lost, found again; each picture is done once, to the same bits."""

from __future__ import annotations

import contextlib
import os
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
from untaught.batches import clusters, execution, worker
from untaught.batches.ledger import Ledger, Stage
from untaught.cli import main
from untaught.errors import InputError, Interrupted, UntaughtError

QUICK = {"noise": 20, "iterations": 2}


def pictures(folder, count=3, broken=0):
    """Noise, some of it no picture."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:03}.png"
        Image.fromarray(random.integers(0, 255, random.integers(8, 20, 2), np.uint8)).save(path)
        if number >= count - broken:
            path.write_bytes(b"nothing")
    return folder


def results(folder):
    return {path.name: path.read_bytes() for path in folder.glob("[0-9]*.*")}


def stages(folder):
    with Ledger(folder / ".untaught") as ledger:
        return [row.stage for row in ledger]


class Later(Executor):
    """Holds what it is given until it is asked for more than it may hold."""

    def __init__(self):
        self.held, self.most = [], 0
        threading.Thread(target=self.work, daemon=True).start()

    def submit(self, function, /, *arguments):
        future = Future()
        self.held.append((future, function, arguments))
        self.most = max(self.most, len(self.held))
        return future

    def work(self):
        while True:
            time.sleep(0.01)
            if self.held:
                future, function, arguments = self.held.pop(0)
                future.set_result(function(*arguments))


def stub(order):
    order.output.parent.mkdir(parents=True, exist_ok=True)
    order.output.write_bytes(b"done")
    return {"seconds": 0}


def test_an_executor_has_a_bounded_number_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "_IN_FLIGHT", 4)
    monkeypatch.setattr(execution, "restore", stub)
    executor, seen = Later(), []
    report = untaught.batch(
        "denoise",
        pictures(tmp_path / "in", 20),
        tmp_path / "out",
        executor=executor,
        observer=lambda report: seen.append(report.done_now),
        **QUICK,
    )
    assert report.done_now == 20
    assert executor.most == 4
    assert (seen[-1], seen) == (20, sorted(seen)), "the observer is called with the end too"


class Lossy(Executor):
    """Calls off what it has, as a client does whose scheduler is gone; after a while it takes nothing more."""

    def __init__(self, losses, end=10**6):
        self.losses, self.left = losses, end

    def submit(self, function, /, *arguments, **named):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the scheduler is gone")
        future = Future()
        if self.losses:
            self.losses -= 1
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_result(function(*arguments, **named))
        return future


def test_what_is_called_off_is_handed_in_again(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "restore", stub)
    folder = pictures(tmp_path / "in")
    report = untaught.batch("denoise", folder, tmp_path / "out", executor=Lossy(losses=5), **QUICK)
    assert report.done_now == 3


def test_a_lost_executor_fails_no_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "restore", stub)
    folder, out = pictures(tmp_path / "in"), tmp_path / "out"
    with pytest.raises(UntaughtError, match=r"the scheduler is gone.*goes on from here"):
        untaught.batch("denoise", folder, out, executor=Lossy(losses=2, end=4), **QUICK)
    assert sorted(stages(out)) == [Stage.DONE, Stage.WAITING, Stage.WAITING]
    # One that calls off for ever is no endless loop.
    report = untaught.batch("denoise", folder, out, executor=Lossy(losses=10**6), **QUICK)
    assert (report.done_now, len(report.waiting)) == (0, 2)
    report = untaught.batch("denoise", folder, out, executor=Lossy(losses=0), **QUICK)
    assert (report.done_now, len(report.waiting)) == (2, 0)


def test_ctrl_c_calls_off_what_has_not_begun(tmp_path):
    class Interrupting(Lossy):
        def submit(self, function, /, *arguments, **named):
            if self.left < 2:
                raise KeyboardInterrupt
            return super().submit(function, *arguments, **named)

    folder, out = pictures(tmp_path / "in"), tmp_path / "out"
    with pytest.raises(Interrupted):
        untaught.batch("denoise", folder, out, executor=Interrupting(losses=1, end=2), **QUICK)
    assert Stage.FAILED not in stages(out)
    assert untaught.batch("denoise", folder, out, executor=Lossy(losses=0), **QUICK).waiting == ()


def test_two_workers_are_not_at_one_picture(tmp_path, monkeypatch):
    """As after a kill of the driver, when a worker of before is still at work."""
    fitted = []
    monkeypatch.setattr(worker, "_LOOK_SECONDS", 0.01)
    restored = worker._restored

    def slowly(order):
        fitted.append(order)
        time.sleep(0.2)
        return restored(order)

    monkeypatch.setattr(worker, "_restored", slowly)
    orders = []
    untaught.batch("denoise", pictures(tmp_path / "in", 1), tmp_path / "a", executor=Recorder(orders), **QUICK)
    with ThreadPoolExecutor(3) as executor:
        facts = list(executor.map(worker.restore, orders * 3))
    assert len(fitted) == 1
    assert facts[0] == facts[1] == facts[2]
    assert not list((tmp_path / "a").rglob("*.lock"))


class Recorder(Executor):
    """Only keeps what it is given."""

    def __init__(self, orders):
        self.orders = orders

    def submit(self, function, /, *arguments, **named):  # noqa: ARG002
        self.orders += arguments
        future = Future()
        future.set_result(None)
        return future


def test_a_worker_of_another_version_is_told(tmp_path, monkeypatch):
    orders = []
    untaught.batch("denoise", pictures(tmp_path / "in", 1), tmp_path / "out", executor=Recorder(orders), **QUICK)
    monkeypatch.setattr(untaught, "__version__", "0.0")
    assert "install the same" in worker.restore(orders[0])["error"]


@contextlib.contextmanager
def local_cluster(**options):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(dashboard_address=None, threads_per_worker=1, **options) as cluster:
        yield cluster


@pytest.mark.filterwarnings("ignore")
def test_the_command_gives_pictures_to_a_scheduler(tmp_path, capsys):
    folder, out = pictures(tmp_path / "in", broken=1), tmp_path / "out"
    with local_cluster(n_workers=2, processes=False) as cluster:
        words = ["batch", "denoise", folder, "-o", out, "--scheduler", cluster.scheduler_address]
        words = [str(word) for word in [*words, "--noise", 20, "--iterations", 2]]
        assert main(words) == 1
        assert "2 pictures done, 1 failed" in capsys.readouterr().out
        assert main([*words, "--retry"]) == 1
        assert "0 pictures done, 2 had been done before, 1 failed" in capsys.readouterr().out
    for name, content in results(out).items():
        alone = untaught.denoise(np.asarray(Image.open(folder / name)), **QUICK).picture
        assert np.array_equal(np.asarray(Image.open(out / name)), alone), content


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--scheduler", "tcp://a:1", "--cluster", "slurm"], "leave one of them out"),
        (["--cluster-option", "cores=1"], "name it by --cluster"),
        (["--scheduler", "tcp://a:1", "--workers", "2"], "leave out --workers"),
        (["--cluster", "pbs"], "say by --workers"),
        (["--cluster", "sge", "--workers", "2", "--cluster-option", "cores"], "a name and a value"),
        (["--cluster", "lsf", "--workers", "2"], "bsub, which is not on this machine"),
        (["--cluster", "condor", "--workers", "2"], "slurm"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, capsys, words, sentence):
    pytest.importorskip("dask_jobqueue")
    pictures(tmp_path / "in", 1)
    code = main(["batch", "denoise", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words])
    error = capsys.readouterr().err
    assert (code, sentence in error, error.count("\n")) == (2, True, 1), error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("library", "words", "line"),
    [
        ("distributed", ["--scheduler", "tcp://a:1"], 'pip install "untaught[cluster]"'),
        ("dask_jobqueue", ["--cluster", "slurm", "--workers", "2"], 'pip install "untaught[cluster]"'),
        ("dask_kubernetes", ["--cluster", "kubernetes", "--workers", "2"], "pip install dask-kubernetes"),
    ],
)
def test_a_missing_library_is_told(tmp_path, monkeypatch, capsys, library, words, line):
    monkeypatch.setitem(sys.modules, library, None)
    pictures(tmp_path / "in", 1)
    assert main(["batch", "denoise", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words]) == 2
    assert line in capsys.readouterr().err


def test_a_scheduler_that_is_not_there(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "_CONNECT_SECONDS", 0.2)
    with (
        pytest.raises(InputError, match="no Dask scheduler at"),
        clusters.connected("tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "command", "option", "line"),
    [
        ("slurm", "sbatch", {"job_extra_directives": ["--gres=gpu:1"]}, "#SBATCH --gres=gpu:1"),
        ("pbs", "qsub", {"resource_spec": "select=1:ncpus=4"}, "#PBS -l select=1:ncpus=4"),
        ("lsf", "bsub", {"ncpus": 4, "mem": 8 * 10**9, "use_stdin": True}, "#BSUB -n 4"),
        ("sge", "qsub", {"resource_spec": "gpu=1"}, "#$ -l gpu=1"),
    ],
)
def test_the_job_that_would_be_handed_in(monkeypatch, name, command, option, line):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr("shutil.which", lambda found: f"/bin/{found}" if found == command else None)
    common = {"cores": 4, "memory": "8GB", "walltime": "02:00", "scheduler_options": {"dashboard": False}}
    with contextlib.closing(clusters.make_cluster(name, {**common, **option})) as cluster:
        script = cluster.job_script()
    assert line in script.splitlines()
    assert "-m distributed.cli.dask_worker tcp://" in script
    assert "--memory-limit" in script
    with pytest.raises(InputError, match=f"{name} refuses the options"):
        clusters.make_cluster(name, {**common, "coars": 3})


SCHEDULER = """
import asyncio, sys
from distributed import Scheduler

async def main():
    async with Scheduler(host="127.0.0.1", port=int(sys.argv[1]), dashboard=False) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()

asyncio.run(main())
"""

WORKERS = """
import asyncio, sys
from distributed import Nanny

async def main():
    options = {"nthreads": 1, "death_timeout": 300}
    async with Nanny(sys.argv[1], **options) as one, Nanny(sys.argv[1], **options) as two:
        await asyncio.gather(one.finished(), two.finished())

if __name__ == "__main__":
    asyncio.run(main())
"""


def begun(script, *words, **options):
    return subprocess.Popen([sys.executable, "-c", script, *map(str, words)], text=True, **options)


def ended(*processes):
    """Kill them with all that they have begun."""
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        process.communicate()


def done(out):
    """Names and times of the results that the ledger knows; empty before there is one."""
    path = out / ".untaught/ledger.sqlite"
    if not path.exists():
        return {}
    with contextlib.closing(sqlite3.connect(path)) as rows:
        found = rows.execute("SELECT name FROM pictures WHERE stage = 'done'").fetchall()
    return {name: (out / name).stat().st_mtime_ns for (name,) in found}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_workers_drivers_and_schedulers_are_killed(tmp_path):
    """Each picture is done once, to the same bits; what is broken is in the summary."""
    pytest.importorskip("distributed")
    import psutil

    folder, out = pictures(tmp_path / "in", 60, broken=3), tmp_path / "out"
    untaught.batch("denoise", folder, tmp_path / "alone", executor=Lossy(losses=0), **QUICK)
    scheduler = begun(SCHEDULER, 0, stdout=subprocess.PIPE)
    address = scheduler.stdout.readline().strip()
    (tmp_path / "workers.py").write_text(WORKERS)
    words = [sys.executable, "-m", "untaught", "batch", "denoise", folder, "-o", out, "--scheduler", address]
    words = [str(word) for word in [*words, "--noise", 20, "--iterations", 2, "--quiet"]]
    workers = subprocess.Popen([sys.executable, str(tmp_path / "workers.py"), address])
    driver = subprocess.Popen(words)
    before = {}
    try:
        for number, who in enumerate(("worker", "scheduler", "driver", "worker", "all", "worker")):
            end = time.monotonic() + 120
            while len(done(out)) < 8 * (number + 1):
                assert time.monotonic() < end, f"it stands still after {number} kills"
                assert driver.poll() is None
                time.sleep(0.05)
            now = done(out)
            assert before.items() <= now.items(), "what was done is done again"
            before = now
            if who == "worker":
                family = psutil.Process(workers.pid).children(recursive=True)
                next(one for one in family if one.memory_info().rss > 1e8).kill()
                continue
            if who in ("scheduler", "all"):
                ended(scheduler)
                scheduler = begun(SCHEDULER, address.rpartition(":")[2], stdout=subprocess.DEVNULL)
            if who in ("driver", "all"):
                driver.kill()
                driver.communicate()
                driver = subprocess.Popen(words)
            if who in ("scheduler", "all"):
                # Workers end with their scheduler; whatever began them begins them again.
                ended(workers)
                workers = subprocess.Popen([sys.executable, str(tmp_path / "workers.py"), address])
        assert driver.wait(120) == 1
    finally:
        ended(driver, workers, scheduler)
    assert before.items() <= done(out).items(), "what was done is done again"
    assert results(out) == results(tmp_path / "alone")
    assert (out / "summary.csv").read_text().count(",failed,") == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_stays_away_ends_the_batch(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "_CONNECT_SECONDS", 2)
    scheduler = begun(SCHEDULER, 0, stdout=subprocess.PIPE)
    address = scheduler.stdout.readline().strip()
    folder, out = pictures(tmp_path / "in"), tmp_path / "out"
    killing = threading.Timer(2, scheduler.kill)
    killing.start()
    try:
        with pytest.raises(UntaughtError, match="goes on from here"), clusters.connected(address) as executor:
            untaught.batch("denoise", folder, out, executor=executor, **QUICK)
    finally:
        ended(scheduler)
    assert set(stages(out)) == {Stage.WAITING}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_jobs_that_end_are_handed_in_again(tmp_path, monkeypatch):
    """As at the end of their time; by the jobs that dask-jobqueue runs on this machine."""
    pytest.importorskip("dask_jobqueue")
    import psutil

    monkeypatch.setitem(clusters.CLUSTERS, "slurm", ("dask_jobqueue.local", "LocalCluster"))
    folder, killed = pictures(tmp_path / "in", 30), []

    def kill(report):
        if report.done_now > 5 and not killed:
            killed.extend(
                one for one in psutil.Process().children(recursive=True) if "dask_worker" in " ".join(one.cmdline())
            )
            for one in killed:
                one.kill()

    options = {"cores": 1, "memory": "2GB", "scheduler_options": {"dashboard": False}}
    with clusters.connected(None, "slurm", 1, options) as executor:
        report = untaught.batch("denoise", folder, tmp_path / "out", executor=executor, observer=kill, **QUICK)
    assert killed
    assert report.done_now == 30
