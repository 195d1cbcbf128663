"""The studio starts and answers if any one of its files is missing, empty, cut or has a flipped bit."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys

import httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")

from running_studio import TOKEN, access_to
from untaught.studio.job_files import JobRequest, JobState, last_line, new_lines
from untaught.studio.previews import film
from untaught.studio.server import create_app
from untaught.studio.services import Services
from untaught.studio.storage import Store

WAYS = ("missing", "empty", "cut", "a folder")


def as_file(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def add_job(store, state="paused"):
    """Add a small job with all of its files."""
    with store.adding("jobs") as (identity, folder):
        pixels = np.tile(np.arange(0, 160, 5, dtype=np.uint8), (32, 1))
        (folder / "picture.png").write_bytes(as_file(np.stack([pixels] * 3, -1)))
        known = np.full((32, 32), 255, np.uint8)
        known[10:14, 5:25] = 0
        (folder / "mask.png").write_bytes(as_file(known))
        (folder / "thumbnail.jpg").write_bytes(as_file(pixels, "JPEG"))
        (folder / "moments").mkdir()
        for iteration in (1, 2):
            (folder / "moments" / f"{iteration:07d}.jpg").write_bytes(as_file(pixels, "JPEG"))
        lines = [{"iteration": iteration, "until": 4, "moment": iteration, "dropped": []} for iteration in (1, 2)]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "result.png").write_bytes(as_file(pixels))
        (folder / "result.json").write_text(json.dumps({"iterations": 2, "notes": [], "repeatable": True}))
        (folder / "record.json").write_text("{}")
        JobRequest(
            id=identity,
            picture="0" * 16,
            name="photo",
            task="inpaint",
            settings={"recipe": "fast", "iterations": 4},
            crop=None,
            whole=None,
            width=32,
            height=32,
            names={"picture": "photo.png", "mask": "photo-mask.png", "result": "photo-restored.png"},
            files={"picture": "picture.png", "mask": "mask.png", "result": "result.png"},
            continue_for=[],
        ).write(folder)
        JobState(state=state, message="", created=5, turn=5).write(folder)
    return identity


def damage(path, way):
    content = path.read_bytes()
    path.unlink()
    if way == "a folder":
        path.mkdir()
    elif way != "missing":
        path.write_bytes(b"" if way == "empty" else content[: len(content) // 2])


def ask(store, *paths, headers=None):
    """Return the answers of a new server to GET requests."""

    async def get_all():
        app = create_app(Services(store), access_to(store.folder))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://127.0.0.1/api/",
            headers={"authorization": f"Bearer {TOKEN}", **(headers or {})},
        ) as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(get_all())


JOB_FILES = [
    "state.json",
    "request.json",
    "log.jsonl",
    "result.json",
    "record.json",
    "result.png",
    "picture.png",
    "mask.png",
    "thumbnail.jpg",
    "moments/0000001.jpg",
    "moments/0000002.jpg",
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", JOB_FILES)
def test_a_damaged_file_of_a_job_harms_no_other_job(tmp_path, caplog, name, way):
    store = Store(tmp_path)
    hurt, sound = add_job(store, "done"), add_job(store)
    damage(tmp_path / "jobs" / hurt / name, way)
    with caplog.at_level(logging.WARNING):
        jobs, one, film, moments, other = ask(
            store, "jobs", f"jobs/{hurt}", f"jobs/{hurt}/film", f"jobs/{hurt}/moments", f"jobs/{sound}"
        )
    assert jobs.status_code == other.status_code == 200
    facts = {job["id"]: job for job in jobs.json()["jobs"]}
    assert facts[sound]["state"] == "paused"
    if name == "request.json":
        assert set(facts) == {sound}
        assert one.status_code == film.status_code == 404
        assert (tmp_path / "damaged" / f"jobs-{hurt}" / "state.json").exists()
        assert "request.json" in caplog.text
        return
    assert one.status_code == film.status_code == moments.status_code == 200
    assert moments.json()["iterations"]
    if name == "state.json":
        assert facts[hurt]["state"] == "failed"
        assert "state.json" in facts[hurt]["message"]
        assert "resume" in facts[hurt]["message"]
        assert "state.json" in caplog.text
        assert JobState.read(tmp_path / "jobs" / hurt).state == "failed"
    else:
        assert facts[hurt]["state"] == "done"
        assert (facts[hurt]["result"] is None) == (name == "result.json")
    if name == "result.json" and way != "missing":
        assert (tmp_path / "jobs" / hurt / "result.json.damaged").exists()
        assert "result.json" in caplog.text


def test_an_empty_job_folder_is_set_aside(tmp_path, caplog):
    store = Store(tmp_path)
    (tmp_path / "jobs" / ("a" * 16)).mkdir()
    (tmp_path / "jobs" / ("b" * 16)).write_text("not a folder")
    sound = add_job(store)
    (jobs,) = ask(store, "jobs")
    assert [job["id"] for job in jobs.json()["jobs"]] == [sound]
    assert (tmp_path / "damaged" / f"jobs-{'a' * 16}").is_dir()
    assert "a" * 16 in caplog.text


@pytest.mark.parametrize(
    ("name", "changes"),
    [("request.json", {"task": "nonsense"}), ("request.json", {"files": 3}), ("state.json", {"state": "lost"})],
)
def test_impossible_values_count_as_damage(tmp_path, name, changes):
    store = Store(tmp_path)
    path = tmp_path / "jobs" / add_job(store) / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    (jobs,) = ask(store, "jobs")
    assert jobs.status_code == 200
    assert [job["state"] for job in jobs.json()["jobs"]] == ([] if name == "request.json" else ["failed"])


def all_paths(identity):
    job = f"jobs/{identity}"
    files = ("thumbnail", "picture", "before", "mask", "preview", "view", "result", "record", "log", "uncertainty")
    return [job, f"{job}/moments", f"{job}/moments/1", *(f"{job}/files/{file}" for file in files)]


def flipped(content, seed):
    """Return the content with one bit turned round."""
    place = np.random.default_rng(seed).integers(len(content) * 8)
    changed = bytearray(content)
    changed[place // 8] ^= 1 << (place % 8)
    return bytes(changed)


def check_flips(tmp_path, name, seeds):
    for seed in seeds:
        store = Store(tmp_path / str(seed))
        hurt, sound = add_job(store, "done"), add_job(store)
        path = store.folder / "jobs" / hurt / name
        path.write_bytes(flipped(path.read_bytes(), seed))
        paths = ["jobs", "storage", f"jobs/{sound}", *all_paths(sound), *all_paths(hurt)]
        answers = dict(zip(paths, ask(store, *paths), strict=True))
        statuses = {path: answer.status_code for path, answer in answers.items()}
        assert set(statuses.values()) <= {200, 404}, (seed, statuses)
        assert statuses["jobs"] == statuses["storage"] == statuses[f"jobs/{sound}"] == 200
        for answer in (answers["jobs"], answers["storage"]):
            json.loads(answer.content, parse_constant=pytest.fail)
        listed = {job["id"] for job in answers["jobs"].json()["jobs"]}
        assert listed == {sound, hurt} or answers["storage"].json()["damaged"] == [f"jobs-{hurt}"]


@pytest.mark.parametrize("name", JOB_FILES)
def test_a_flipped_bit_harms_no_other_job(tmp_path, name):
    check_flips(tmp_path, name, range(6 if name.endswith("json") else 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in JOB_FILES if "json" in name])
def test_no_flipped_bit_harms_another_job(tmp_path, name):
    check_flips(tmp_path, name, range(100, 300))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("state.json", '"created": 1e999'),
        ("request.json", '"id": "00000000000000ff"'),
        ("request.json", '"width": -3'),
        ("request.json", '"files": {"picture": "../state.json", "result": "a.png"}'),
        ("request.json", '"names": {}'),
        ("result.json", '"notes": [3]'),
        ("result.json", '"expected_psnr": NaN'),
        ("log.jsonl", '"loss": NaN'),
        ("log.jsonl", '"iteration": 1e999'),
        ("log.jsonl", '"until": "x"'),
    ],
)
def test_values_that_cannot_be_reach_no_client(tmp_path, name, changes):
    store = Store(tmp_path)
    path = tmp_path / "jobs" / add_job(store, "done") / name
    path.write_text(path.read_text().rstrip()[:-1] + f", {changes}}}\n")
    jobs, storage = ask(store, "jobs", "storage")
    assert jobs.status_code == storage.status_code == 200
    for job in json.loads(jobs.content, parse_constant=pytest.fail)["jobs"]:
        assert job["created"] == 5 or job["state"] == "failed"
        assert job["result"] is None or name != "result.json"
        assert job["progress"]["iteration"] == (1 if name == "log.jsonl" else 2)


@pytest.mark.parametrize("name", ["request.json", "state.json", ""])
def test_files_that_vanish_while_the_server_runs_harm_no_other_job(tmp_path, name):
    async def follow():
        studio = Services(store)
        folder = tmp_path / "jobs" / hurt
        for path in [folder / name] if name else [*folder.glob("moments/*"), *folder.glob("*.*")]:
            path.unlink()
        if not name:
            (folder / "moments").rmdir()
            folder.rmdir()
        app = create_app(studio, access_to(store.folder))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://127.0.0.1/api/",
            headers={"authorization": f"Bearer {TOKEN}"},
        ) as client:
            return await client.get("jobs"), await client.get(f"jobs/{hurt}")

    store = Store(tmp_path)
    hurt, sound = add_job(store), add_job(store)
    jobs, one = asyncio.run(follow())
    assert {job["id"] for job in jobs.json()["jobs"]} == ({hurt, sound} if name else {sound})
    assert one.status_code == (200 if name else 404)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["empty", "cut"])
@pytest.mark.parametrize("name", ["checkpoint", "log.jsonl", "moments/0000001.jpg", "state.json"])
def test_a_worker_comes_to_the_same_result_with_a_damaged_file(tmp_path, name, way):
    def fit():
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "untaught.studio.worker"],
            stdin=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        with worker:
            worker.stdin.write(f"{folder}\n")
            worker.stdin.flush()
            assert worker.wait(120) == 0
        return (folder / "worker.log").read_text()

    store = Store(tmp_path)
    folder = tmp_path / "jobs" / add_job(store)
    assert "damaged" not in fit()
    result = (folder / "result.png").read_bytes()
    damage(folder / name, way)
    said = fit()
    assert (folder / "result.png").read_bytes() == result
    iterations = json.loads((folder / "result.json").read_text())["iterations"]
    assert last_line(folder / "log.jsonl")["iteration"] == iterations
    if name == "checkpoint":
        assert "checkpoint.damaged" in said
        assert (folder / "checkpoint.damaged").exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["info.json", "original.png"])
def test_a_damaged_picture_is_refused_and_not_an_error(tmp_path, name, way):
    store = Store(tmp_path)
    with store.adding("pictures") as (identity, folder):
        (folder / "original.png").write_bytes(as_file(np.zeros((8, 8), np.uint8)))
        info = {"id": identity, "name": "photo", "width": 8, "height": 8, "format": "PNG", "result": ".png"}
        (folder / "info.json").write_text(json.dumps(info))
    damage(folder.with_name(identity) / name, way)
    answers = ask(store, f"pictures/{identity}", f"pictures/{identity}/proposal?kind=scratches", "jobs")
    expected = [200, 422] if name == "original.png" and way != "missing" else [404, 404]
    assert [answer.status_code for answer in answers] == [*expected, 200]
    if expected[0] == 404:
        assert (tmp_path / "damaged" / f"pictures-{identity}").is_dir()


def test_half_a_line_of_a_log_is_left_out(tmp_path):
    log = tmp_path / "log.jsonl"
    assert last_line(log) is None
    assert new_lines(log, 0) == ([], 0)
    log.write_bytes(b'{"iteration": 1}\n{"itera{"iteration": 2}\n\xff\n7\n{"iteration": 3}\n{"iteration": 4}\n{"it')
    lines, offset = new_lines(log, 0)
    assert [json.loads(line)["iteration"] for line in lines] == [1, 3, 4]
    assert new_lines(log, offset) == ([], offset)
    assert last_line(log) == {"iteration": 4}
    log.write_bytes(b'{"iteration": 1}\n{"itera{"iteration": 2}\n')
    assert last_line(log) == {"iteration": 1}


def test_the_film_leaves_out_pictures_that_cannot_be_read(tmp_path):
    paths = [tmp_path / name for name in ("1.jpg", "2.jpg", "3.jpg")]
    paths[0].write_bytes(as_file(np.zeros((8, 8), np.uint8), "JPEG"))
    paths[1].write_bytes(b"")
    paths[2].write_bytes(as_file(np.full((8, 8), 255, np.uint8), "JPEG"))
    with Image.open(io.BytesIO(film(paths))) as shown:
        assert shown.n_frames == 2


@pytest.mark.parametrize("sent", ["9" * 6, "9" * 20, "9" * 5000, "-1", "x", "\u0663"])
def test_an_impossible_event_id_means_the_beginning(tmp_path, sent):
    async def first_event():
        studio = Services(store)
        app = create_app(studio, access_to(store.folder))
        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/api/jobs/{job}/events",
            "query_string": b"",
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"authorization", f"Bearer {TOKEN}".encode()),
                (b"last-event-id", sent.encode()),
            ],
        }
        said, enough = [], asyncio.Event()

        async def receive():
            await enough.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            said.append(message)
            if b"progress" in message.get("body", b""):
                enough.set()

        await asyncio.wait_for(app(scope, receive, send), 20)
        return said

    store = Store(tmp_path)
    job = add_job(store)
    said = asyncio.run(first_event())
    assert said[0]["status"] == 200
    assert b'"iteration": 1' in said[1]["body"]
