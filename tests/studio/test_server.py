"""The studio's HTTP interface: jobs from upload to download, crashes, and refused requests."""

import concurrent.futures
import contextlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image

import untaught
from running_studio import TOKEN, RunningStudio

pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with RunningStudio(tmp_path_factory.mktemp("studio")) as running:
        yield running


@pytest.fixture(scope="module")
def photo():
    y, x = np.mgrid[0:48, 0:40] / 48
    channels = [0.5 + 0.4 * np.sin(5 * x + 2 * y), 0.3 + 0.6 * x, 0.8 - 0.5 * y * x]
    return (np.stack(channels, -1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def mask():
    known = np.full((48, 40), 255, np.uint8)
    known[20:25, 8:30] = 0
    return known


def as_png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def painted(studio, photo, mask):
    picture = studio.upload(as_png(photo))
    answer = studio.client.put(f"pictures/{picture['id']}/mask", content=as_png(mask))
    assert answer.status_code == 200
    return picture["id"]


def begin(studio, picture, **settings):
    body = {"picture": picture, "task": "inpaint", "settings": {"recipe": "fast", "iterations": 12, **settings}}
    return studio.post("jobs", body, status=201)["id"]


def file_of(studio, job, which):
    return studio.client.get(f"jobs/{job}/files/{which}")


# From upload to download ---------------------------------------------------------------------------------------------


def type_in(command, folder):
    for line in command.split(" && "):
        # Sums depend on the number of threads: the same as the studio's here.
        subprocess.run(
            [sys.executable, "-m", *line.split(), "--quiet"],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
        )


def same_pictures(path, content):
    ours, theirs = Image.open(path), Image.open(io.BytesIO(content))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_later_results_of_a_picture_have_numbers(studio, photo, mask):
    one, other = painted(studio, photo, mask), painted(studio, photo, mask)
    jobs = [begin(studio, picture, iterations=2) for picture in (one, one, other, one)]
    names = [studio.get(f"jobs/{job}")["command"].partition(" -o ")[2].split()[0] for job in jobs]
    assert names == [f"photo-restored{number}.png" for number in ("", "-2", "", "-3")]
    for job in jobs:
        studio.wait_for(job, "done")
    assert f"{names[1]}" in file_of(studio, f"{jobs[1]}", "result?download=1").headers["content-disposition"]


@pytest.mark.slow
def test_a_job_gives_what_the_command_line_gives(studio, photo, mask, tmp_path):
    job = begin(studio, painted(studio, photo, mask), seed=5)
    facts = studio.wait_for(job, "done")
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "photo-mask.png")
    assert facts["command"].startswith("untaught inpaint photo.png --mask photo-mask.png -o photo-restored.png")
    type_in(facts["command"], tmp_path)
    same_pictures(tmp_path / "photo-restored.png", file_of(studio, job, "result").content)
    record = file_of(studio, job, "record").json()
    assert record["task"] == "inpaint"
    assert record["seed"] == 5
    assert record["result"]["iterations"] == facts["result"]["iterations"]


def test_progress_is_sent_and_previews_are_kept(studio, photo, mask):
    job = begin(studio, painted(studio, photo, mask))
    studio.wait_for(job, "done")
    moments = studio.get(f"jobs/{job}/moments")["iterations"]
    assert moments[0] == 1
    first = studio.client.get(f"jobs/{job}/moments/1")
    assert Image.open(io.BytesIO(first.content)).size == (40, 48)
    again = studio.client.get(f"jobs/{job}/moments/1", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    film = studio.client.get(f"jobs/{job}/film")
    assert film.headers["content-type"] == "image/gif"
    with studio.client.stream("GET", f"jobs/{job}/events") as events:
        text = ""
        for line in events.iter_lines():
            text += line + "\n"
            if "event: job\n" in text and "event: progress\n" in text and line == "":
                break
    assert '"iteration": 1' in text
    preview = file_of(studio, job, "preview")
    again = studio.client.get(f"jobs/{job}/files/preview", headers={"if-none-match": preview.headers["etag"]})
    assert again.status_code == 304


def test_a_filter_answers_before_a_denoising_begins(studio, photo):
    noisy = photo + np.random.default_rng(0).normal(0, 20, photo.shape)
    picture = studio.upload(as_png(noisy.clip(0, 255).round().astype(np.uint8)))["id"]
    job = studio.post(
        "jobs", {"picture": picture, "task": "denoise", "settings": {"recipe": "fast", "iterations": 3}}, status=201
    )["id"]
    studio.wait_for(job, "done")
    # A network that has only begun is worse than the filter, and is not shown until the end.
    assert studio.get(f"jobs/{job}/moments")["iterations"] == [0, 3]
    first, *others = studio.get(f"jobs/{job}/log")["lines"]
    assert (first["iteration"], first["moment"], first["until"]) == (0, 0, 3)
    assert "loss" not in first
    assert [one["iteration"] for one in others][:1] == [1]
    shown = np.asarray(Image.open(io.BytesIO(studio.client.get(f"jobs/{job}/moments/0").content)), np.float32)
    assert np.abs(shown - photo).mean() < 0.7 * np.abs(noisy - photo).mean()


def test_the_networks_picture_follows_also_where_there_is_no_noise(studio, photo):
    """It is farther from a clean picture than the filter's for as long as it is fitted."""
    body = {"picture": studio.upload(as_png(photo))["id"], "task": "denoise"}
    job = studio.post("jobs", {**body, "settings": {"recipe": "fast", "iterations": 100_000}}, status=201)["id"]
    try:
        studio.wait_until(lambda: len(studio.get(f"jobs/{job}/moments")["iterations"]) > 1, seconds=60)
    finally:
        studio.post(f"jobs/{job}/cancel")


def test_another_strength_of_a_suggestion_measures_nothing_again(studio, photo):
    damaged = np.kron(photo, np.ones((8, 8, 1), np.uint8))
    damaged[60:62, 20:300] = damaged[100:300, 200:203] = 255
    one, two = studio.upload(as_png(damaged))["id"], studio.upload(as_png(damaged[::-1].copy()))["id"]

    def suggested(picture, strength, kind="auto"):
        answer = studio.client.get(f"pictures/{picture}/proposal", params={"kind": kind, "strength": strength})
        assert answer.status_code == 200
        return np.asarray(Image.open(io.BytesIO(answer.content))) > 127

    for picture, pixels in ((one, damaged), (two, damaged[::-1]), (one, damaged)):
        for strength in (0.5, 1, 0.1):
            np.testing.assert_array_equal(
                suggested(picture, strength), untaught.propose_mask(pixels, strength=strength)
            )
    started = time.monotonic()
    for percent in range(0, 101, 5):
        suggested(one, percent / 100)
    assert time.monotonic() - started < 5
    assert studio.client.get(f"pictures/{one}/proposal", params={"kind": "auto", "strength": 2}).status_code == 422


@pytest.mark.slow
def test_a_continued_job_gives_what_the_command_line_gives(studio, photo, mask, tmp_path):
    job = begin(studio, painted(studio, photo, mask), iterations=6)
    studio.wait_for(job, "done")
    for iterations in (3, 4):
        studio.post(f"jobs/{job}/continue", {"iterations": iterations})
        facts = studio.wait_for(job, "done")
    assert facts["result"]["iterations"] > 10
    assert facts["result"]["repeatable"]
    assert file_of(studio, job, "record").json()["command"] == facts["command"]
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "photo-mask.png")
    type_in(facts["command"], tmp_path)
    same_pictures(tmp_path / "photo-restored.png", file_of(studio, job, "result").content)


@pytest.mark.slow
def test_a_job_stopped_by_the_user_cannot_be_repeated(studio, photo, mask):
    job = begin(studio, painted(studio, photo, mask), iterations=100_000)
    studio.wait_until(lambda: iteration(studio, job) > 2)
    studio.post(f"jobs/{job}/finish")
    stopped = studio.wait_for(job, "done")["result"]
    assert (stopped["stop_reason"], stopped["repeatable"]) == ("it was cancelled", False)
    studio.post(f"jobs/{job}/continue", {"iterations": 2})
    longer = studio.wait_for(job, "done")["result"]
    assert (longer["stop_reason"], longer["repeatable"]) == ("the iteration limit was reached", False)
    assert longer["iterations"] == stopped["iterations"] + 2


@pytest.mark.slow
def test_a_jpeg_is_read_with_its_own_tables(studio, photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "photo.jpg", quality=20)
    picture = studio.upload((tmp_path / "photo.jpg").read_bytes(), "photo.jpg")["id"]
    body = {"picture": picture, "task": "dejpeg", "settings": {"consistent": True, "iterations": 4}}
    part = studio.post("jobs", {**body, "crop": [5, 17, 20, 16]}, 201)["id"]
    bare = studio.upload(as_png(photo))["id"]
    refused = studio.client.post("jobs", json={**body, "picture": bare})
    assert refused.status_code == 422
    facts = studio.wait_for(part, "done")
    assert facts["crop"] == [0, 16, 32, 32], "whole blocks"
    (tmp_path / "photo-part.png").write_bytes(file_of(studio, part, "picture").content)
    type_in(facts["command"], tmp_path)
    same_pictures(tmp_path / "photo-part-restored.png", file_of(studio, part, "result").content)
    assert "how it was compressed" in refused.json()["detail"]


def test_a_part_can_be_tried(studio, photo, mask):
    picture = painted(studio, photo, mask)
    body = {
        "picture": picture,
        "task": "inpaint",
        "settings": {"recipe": "fast", "iterations": 5},
        "crop": [4, 14, 24, 20],
    }
    job = studio.post("jobs", body, status=201)["id"]
    studio.wait_for(job, "done")
    assert Image.open(io.BytesIO(file_of(studio, job, "result").content)).size == (24, 20)


@pytest.mark.slow
def test_every_task_on_offer_takes_its_defaults(studio, photo, mask):
    picture = painted(studio, photo, mask)
    for role, second in (("guide", photo), ("other", photo[::-1])):
        assert studio.client.put(f"pictures/{picture}/files/{role}", content=as_png(second)).status_code == 200
    jobs = {}
    for task in studio.get("tasks")["tasks"]:
        settings = {"iterations": 2, **({"radius": "1.5"} if task["name"] == "deblur" else {})}
        if task["name"] in ("dejpeg", "demosaic", "restore"):
            continue  # they need another kind of picture
        body = {"picture": picture, "task": task["name"], "settings": settings}
        jobs[task["name"]] = studio.post("jobs", body, status=201)["id"]
    for name, job in jobs.items():
        least = 1 if name == "denoise" else 2  # a picture without noise is not fitted
        assert studio.wait_for(job, "done")["result"]["iterations"] >= least, name


def stack_of(*pages):
    import tifffile

    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            writer.write(page)
    return file.getvalue()


def test_a_page_of_several_with_sixteen_bits_comes_back(studio, mask):
    import tifffile

    deep = np.random.default_rng(0).integers(500, 3000, (3, 48, 40)).astype(np.uint16)
    first = studio.upload(stack_of(*deep), "my.scan.tif")
    assert (first["page"], first["pages"], first["depth"]) == (1, 3, "uint16")
    assert studio.client.post(f"pictures/{first['id']}/pages/4").status_code == 422
    second = studio.post(f"pictures/{first['id']}/pages/2", status=201)
    assert (second["name"], second["page"], second["pages"]) == ("my.scan", 2, 3)
    assert studio.client.get(f"pictures/{first['id']}").status_code == 404, "nothing was done with it"
    studio.client.put(f"pictures/{second['id']}/mask", content=as_png(mask))
    third = studio.post(f"pictures/{second['id']}/pages/3", status=201)
    assert studio.get(f"pictures/{second['id']}")["has_mask"], "marks are not lost"
    assert not third["has_mask"]
    refused = studio.client.post(
        "jobs", json={"picture": second["id"], "task": "inpaint", "settings": {"value_range": ["0", "x"]}}
    )
    assert (refused.status_code, refused.json()["field"]) == (422, "value_range")
    job = begin(studio, second["id"], iterations=2, value_range=["0", "4095"])
    facts = studio.wait_for(job, "done")
    assert facts["command"].startswith("untaught inpaint my.scan.tif --page 2 --mask my.scan-page2-mask.png")
    assert "--value-range 0 4095" in facts["command"]
    options = file_of(studio, job, "record").json()["options"]
    assert (options["page"], options["value_range"]) == (2, [0, 4095])
    before, after = (
        np.asarray(Image.open(io.BytesIO(file_of(studio, job, one).content))) for one in ("before", "view")
    )
    np.testing.assert_allclose(before, np.round(deep[1] / 4095 * 255), atol=1)
    np.testing.assert_array_equal(after[mask == 255], before[mask == 255], "both are shown in one range")
    answer = studio.client.get(f"jobs/{job}/files/result", params={"download": True})
    assert "my.scan-page2-restored.tif" in answer.headers["content-disposition"]
    restored = tifffile.imread(io.BytesIO(answer.content))
    assert restored.dtype == np.uint16
    np.testing.assert_array_equal(restored[mask == 255], deep[1][mask == 255])


@pytest.mark.slow
def test_a_page_gives_what_the_command_line_gives(studio, tmp_path):
    import tifffile

    (tmp_path / "scan.tif").write_bytes(
        stack_of(*np.random.default_rng(0).integers(500, 3000, (3, 48, 40)).astype(np.uint16))
    )
    first = studio.upload((tmp_path / "scan.tif").read_bytes(), "scan.tif")["id"]
    second = studio.post(f"pictures/{first}/pages/2", status=201)["id"]
    settings = {"iterations": 3, "value_range": [0, 4095]}
    job = studio.post("jobs", {"picture": second, "task": "denoise", "settings": settings}, 201)["id"]
    type_in(studio.wait_for(job, "done")["command"], tmp_path)
    ours = tifffile.imread(io.BytesIO(file_of(studio, job, "result").content))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "scan-page2-restored.tif"), ours)
    part = studio.post(
        "jobs", {"picture": second, "task": "denoise", "settings": settings, "crop": [0, 0, 24, 20]}, 201
    )
    facts = studio.wait_for(part["id"], "done")
    assert facts["command"].startswith("untaught denoise scan-page2-part.tif -o")
    (tmp_path / "scan-page2-part.tif").write_bytes(file_of(studio, part["id"], "picture").content)
    type_in(facts["command"], tmp_path)
    ours = tifffile.imread(io.BytesIO(file_of(studio, part["id"], "result").content))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "scan-page2-part-restored.tif"), ours)


def test_suggested_masks_find_black_pixels(studio, photo):
    holed = photo.copy()
    holed[10:13, 5:20] = 0
    picture = studio.upload(as_png(holed))["id"]
    answer = studio.client.get(f"pictures/{picture}/proposal", params={"kind": "black"})
    proposed = np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))
    assert (proposed[10:13, 5:20] == 0).all()
    assert (proposed[30:] > 0).all()


# Pause, resume, cancel, continue, and crashes -----------------------------------------------------------------------


def iteration(studio, job):
    progress = studio.get(f"jobs/{job}")["progress"]
    return progress["iteration"] if progress else 0


@pytest.mark.slow
def test_a_job_is_paused_then_killed_and_then_continued(tmp_path, photo, mask):
    with RunningStudio(tmp_path) as studio:
        picture = painted(studio, photo, mask)
        undisturbed = begin(studio, picture, iterations=120)
        studio.wait_for(undisturbed, "done")
        job = begin(studio, picture, iterations=120)
        studio.wait_until(lambda: iteration(studio, job) > 5)
        studio.post(f"jobs/{job}/pause")
        studio.wait_for(job, "paused")
        at = iteration(studio, job)
        studio.post(f"jobs/{job}/resume")
        studio.wait_until(lambda: iteration(studio, job) > at)
        studio.kill()
        studio.start()
        whole = studio.wait_for(job, "done")
        assert file_of(studio, job, "result").content == file_of(studio, undisturbed, "result").content
        assert studio.post(f"jobs/{job}/continue", {"iterations": 7})["continue_for"] == [7]
        longer = studio.wait_for(job, "done")
        assert longer["result"]["iterations"] == whole["result"]["iterations"] + 7


def test_cancel_is_immediate(studio, photo, mask):
    job = begin(studio, painted(studio, photo, mask), iterations=100_000)
    studio.wait_until(lambda: iteration(studio, job) > 2)
    studio.post(f"jobs/{job}/cancel")
    studio.wait_for(job, "cancelled", seconds=3)
    assert studio.client.delete(f"jobs/{job}").status_code == 204
    assert studio.client.get(f"jobs/{job}").status_code == 404


# Refused requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "", "cookie": "untaught-1=x"}, 401),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "jobs"), ("POST", "jobs"), ("GET", "tasks"), ("GET", "openapi.json")]
)
def test_strangers_are_refused(studio, headers, status, method, path):
    answer = studio.client.request(method, path, headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    assert studio.client.get("tasks").status_code == 200


def test_the_address_sets_a_cookie_that_scripts_cannot_read(studio):
    with httpx.Client(trust_env=False) as client:
        assert client.get(studio.base).status_code == 401
        answer = client.get(f"{studio.base}/?{studio.address.partition('?')[2]}")
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        page = client.get(studio.base)
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert TOKEN not in page.text


TRAVERSALS = [
    "%2e%2e",
    "....//",
    "..%2f..%2fetc%2fpasswd",
    "%2fetc%2fpasswd",
    "%00",
    "....",
    "0123456789abcdef%2f..",
    "C:%5Cx",
]


@pytest.mark.parametrize("evil", TRAVERSALS)
def test_no_path_of_a_client_touches_the_disk(studio, photo, evil):
    paths = ["pictures/{}", "pictures/{}/view", "jobs/{}", "jobs/{}/film", "jobs/{}/moments/1", "examples/{}/thumbnail"]
    job_paths = ["jobs/0123456789abcdef/files/{}", "jobs/0123456789abcdef/moments/{}"]
    for path in [*paths, *job_paths]:
        answer = studio.client.get(path.format(evil))
        assert answer.status_code in (400, 404, 405, 422), (path, answer.status_code)
        assert "root:" not in answer.text
    for body in ({"picture": evil, "task": "inpaint"}, {"picture": "0123456789abcdef", "task": evil}):
        assert studio.client.post("jobs", json=body).status_code in (404, 422)
    named = studio.upload(as_png(photo), f"{evil}/../../x.png")
    assert "/" not in named["name"]
    assert "\\" not in named["name"]


def bomb():
    """Return a small PNG whose header says 100000 x 100000 pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content",
    [
        bomb(),
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"GIF89a" + bytes(20),
        b"<html><script>alert(1)</script></html>",
        b"\xff\xd8\xff\xe0 not a picture",
        b"%PDF-1.4 \x89PNG\r\n\x1a\n",
        b"",
    ],
    ids=["bomb", "svg", "gif", "html", "cut", "polyglot", "empty"],
)
def test_files_that_are_no_pictures_are_refused(studio, content):
    answer = studio.client.post("pictures", params={"name": "x.png"}, content=content)
    assert answer.status_code in (400, 422)
    assert str(studio.folder) not in answer.text
    assert "Traceback" not in answer.text
    assert studio.client.get("tasks").status_code == 200


def test_a_picture_with_a_script_behind_it_is_served_as_a_picture(studio, photo):
    picture = studio.upload(as_png(photo) + b"<script>alert(1)</script>")["id"]
    view = studio.client.get(f"pictures/{picture}/view")
    assert view.headers["content-type"] == "image/png"
    assert view.headers["x-content-type-options"] == "nosniff"


def test_two_gigabytes_are_refused_unread(studio):
    port = int(studio.base.rpartition(":")[2])
    head = (
        f"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {2 * 2**30}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(200)
    assert studio.client.get("tasks").status_code == 200


def test_the_size_of_json_is_counted_while_it_streams(studio):
    def endless():
        for _ in range(200):
            yield b" " * 1024

    answer = studio.client.post("jobs", content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_an_upload_that_never_ends_is_cut_off(studio):
    port = int(studio.base.rpartition(":")[2])
    head = (
        f"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk, sent = b"100000\r\n" + bytes(2**20) + b"\r\n", 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode())
        with contextlib.suppress(OSError):
            while sent < 2048:
                connection.sendall(chunk)
                sent += 1
    assert 500 < sent < 700  # MiB
    assert studio.client.get("tasks").status_code == 200
    assert not list((studio.folder / "pictures").glob(".new-*"))


@pytest.mark.slow
def test_fifty_uploads_at_once(studio, photo):
    content = as_png(photo)

    def upload(_):
        return studio.client.post("pictures", params={"name": "x.png"}, content=content).status_code

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(upload, range(50)))
    assert set(statuses) <= {201, 503}
    assert 201 in statuses
    assert studio.client.get("tasks").status_code == 200


def test_bad_settings_get_a_message(studio, photo, mask):
    picture = painted(studio, photo, mask)
    for settings in ({"iterations": 0}, {"recipe": "bst"}, {"nonsense": 1}, {"seed": -1}, {"time_budget": "soon"}):
        answer = studio.client.post("jobs", json={"picture": picture, "task": "inpaint", "settings": settings})
        assert answer.status_code == 422, settings
        assert json.dumps(answer.json())
    bare = studio.upload(as_png(photo))["id"]
    answer = studio.client.post("jobs", json={"picture": bare, "task": "inpaint"})
    assert "no mask" in answer.json()["detail"]


def test_ctrl_c_ends_the_server_while_a_page_follows_it(tmp_path):
    studio = RunningStudio(tmp_path)
    with studio.client.stream("GET", "events") as events:
        lines = events.iter_lines()
        assert next(lines) == "event: jobs"
        studio.process.send_signal(signal.SIGINT)
        assert studio.process.wait(15) in (0, 130)
        with contextlib.suppress(httpx.RemoteProtocolError):
            assert all("error" not in line.lower() for line in lines)
    studio.client.close()
    studio.process.stdout.close()


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_the_server_ends_quietly_while_all_its_helpers_are_at_work(tmp_path, sent):
    """Whoever waits for one is told so at once, and what is cut off prints nothing."""
    noise = as_png(np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8))
    errors = (tmp_path / "errors").open("w+", encoding="utf-8")
    studio = RunningStudio(tmp_path / "studio", errors)
    path = f"pictures/{studio.upload(noise)['id']}"
    body = {"picture": path.removeprefix("pictures/"), "task": "denoise"}
    requests = {
        "inspection": lambda: studio.client.get(f"{path}/inspection"),
        "proposal": lambda: studio.client.get(f"{path}/proposal", params={"kind": "scratches"}),
        "reading": lambda: studio.client.post("pictures", content=noise),
        "mask": lambda: studio.client.put(f"{path}/mask", content=noise),
        "plan": lambda: studio.client.post("jobs/plan", json=body),
    }
    port = int(studio.base.rpartition(":")[2])
    head = f"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as slow, concurrent.futures.ThreadPoolExecutor(8) as pool:
        if sent == signal.SIGINT:
            slow.sendall(f"{head}Content-Length: 9\r\n\r\nx".encode())
        answers = {name: pool.submit(request) for name, request in requests.items()}
        time.sleep(0.3)
        studio.process.send_signal(sent)
        assert studio.process.wait(15) in (0, 130, -sent)
    told = {name: answer.result().status_code for name, answer in answers.items()}
    assert set(told.values()) <= {200, 201, 422, 503}, told
    assert (told["inspection"], told["plan"]) == (503, 503)
    errors.seek(0)
    assert errors.read() == ""
    errors.close()
    studio.client.close()
    studio.process.stdout.close()
