"""Many tabs and many streams: the page loads, and every answer comes."""

import json
import socket
import time

import pytest

from running_studio import TOKEN
from studio_page import marked, open_photo, start, until, visit

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def open_tabs(page, address, count):
    tabs = []
    for _ in range(count):
        tabs.append(page.context.new_page())
        tabs[-1].goto(address)
    return tabs


def check_the_last_of(count, page, studio, photo):
    """Open tabs on a job, and then one more on a picture."""
    open_photo(page, photo)
    picture = page.url
    page.set_input_files("#mask-file", photo / "mask.png")
    playwright.expect(page.locator("#saved")).to_have_text("Marks saved")
    job = start(page, 100_000)
    studio.post(f"jobs/{job}/cancel")
    open_tabs(page, page.url, count)
    last = page.context.new_page()
    started = time.monotonic()
    last.goto(picture)
    playwright.expect(last.locator("#missing")).to_contain_text("6.2%", timeout=20_000)
    took = time.monotonic() - started
    assert "6.2%" in marked(last)
    return took


@pytest.mark.slow
@pytest.mark.timed
def test_more_tabs_than_a_browser_has_connections(page, studio, photo):
    assert check_the_last_of(8, page, studio, photo) < 8


@pytest.mark.slow
@pytest.mark.timed
def test_thirty_tabs(page, studio, photo):
    assert check_the_last_of(30, page, studio, photo) < 4


@pytest.mark.slow
def test_a_second_tab_follows_a_job_to_its_end(page, studio, photo):
    open_photo(page, photo)
    page.set_input_files("#mask-file", photo / "mask.png")
    playwright.expect(page.locator("#saved")).to_have_text("Marks saved")
    job = start(page, 6)
    (other,) = open_tabs(page, page.url, 1)
    for shown in (page, other):
        shown.bring_to_front()
        playwright.expect(shown.locator("#job-title")).to_have_text("Restored", timeout=60_000)
        until(shown, "!document.getElementById('moment').disabled")
    iterations = studio.get(f"jobs/{job}")["result"]["iterations"]
    assert other.text_content("#iteration") == page.text_content("#iteration") == str(iterations)
    studio.client.delete(f"jobs/{job}")
    other.locator("#empty").wait_for()


def test_the_cookie_is_for_no_other_server_of_this_machine(page, studio):
    assert page.url.startswith("http://untaught-")
    assert len(page.context.cookies()) == 1
    assert page.context.cookies("http://127.0.0.1:1/") == []
    assert page.context.cookies("http://localhost:1/") == []
    page.click("#log-out")
    page.click("#leaving [value=here]")
    page.locator("text=Open the address").wait_for()
    visit(page, studio)
    page.locator("#empty").wait_for()


def test_the_stream_of_a_job_ends_with_the_job(studio, photo):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    studio.client.put(f"pictures/{picture}/mask", content=(photo / "mask.png").read_bytes())
    body = {"picture": picture, "task": "inpaint", "settings": {"recipe": "fast", "iterations": 2}}
    job = studio.post("jobs", body, 201)["id"]
    with studio.client.stream("GET", f"jobs/{job}/events") as events:
        lines = list(events.iter_lines())
    last = json.loads([line for line in lines if line.startswith("data: {")][-1].removeprefix("data: "))
    assert last["state"] == "done"
    offset = [line for line in lines if line.startswith("id: ")][-1].removeprefix("id: ")
    again = studio.client.get(f"jobs/{job}/events", headers={"last-event-id": offset})
    assert again.status_code == 204, "a browser that connects again stops"
    log = studio.get(f"jobs/{job}/log")
    assert log["offset"] == int(offset)
    assert log["lines"][-1]["iteration"] == last["progress"]["iteration"]
    assert studio.get(f"jobs/{job}/log?after={offset}")["lines"] == []
    for impossible in ("-1", "9" * 30, "x"):
        assert studio.client.get(f"jobs/{job}/log?after={impossible}").status_code == 422


@pytest.mark.slow
@pytest.mark.timed
def test_streams_that_nobody_reads_slow_no_answer(studio, photo):
    port = int(studio.base.rpartition(":")[2])
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    mask = (photo / "mask.png").read_bytes()
    streams = []
    try:
        for _ in range(200):
            streams.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            head = f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            streams[-1].sendall(head.encode())
        slowest = 0.0
        for _ in range(10):
            studio.client.put(f"pictures/{picture}/mask", content=mask)
            studio.client.delete(f"pictures/{picture}/mask")
            started = time.monotonic()
            studio.get("tasks")
            slowest = max(slowest, time.monotonic() - started)
    finally:
        for stream in streams:
            stream.close()
    assert slowest < 1, "seconds for an answer, of 2 before"
