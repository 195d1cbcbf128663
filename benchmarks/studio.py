"""The studio in Chromium: how fast it responds, and screenshots of each of its states.

    python -m benchmarks.studio             # everything
    python -m benchmarks.studio previews    # only the cost of previews: needs no browser and no idle machine
    python -m benchmarks.studio tabs        # only thirty tabs, and the upload of a photograph
    python -m benchmarks.studio first       # only the time to the first answer of three tasks
    python -m benchmarks.studio screens     # only the screenshots

Needs Debian's chromium. Writes docs/figures/studio.json, docs/figures/studio-*.jpg and the table of
docs/lab-notes/studio.md.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, sync_playwright
from skimage import data

from benchmarks.reference import DOCS
from benchmarks.tables import replace_table

FRAMES = """() => {
    window.frames_seen = []; let last = performance.now();
    const tick = (now) => { window.frames_seen.push(now - last); last = now; requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
}"""


def wait_until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise SystemExit(f"the page did not get there in {seconds:g} s")


def picture_file(pixels: np.ndarray[Any, Any], kind: str) -> FilePayload:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return {"name": f"photo.{kind.lower()}", "mimeType": f"image/{kind.lower()}", "buffer": file.getvalue()}


def stroke(page: Page, dx: int, dy: int, steps: int) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2 - dx / 2, box["y"] + box["height"] / 2 - dy / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=steps)
    page.mouse.up()


def shoot(page: Page, state: str) -> None:
    page.wait_for_timeout(700)
    shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shown.save(DOCS / f"figures/studio-{state}.jpg", quality=85, optimize=True)


def measure(page: Page) -> dict[str, float]:
    y, x = np.mgrid[0:3000, 0:4000].astype(np.float32)
    large = np.stack([x / 16, y / 12, (x + y) / 28], -1).astype(np.uint8)
    file = picture_file(large, "JPEG")
    started = time.perf_counter()
    page.set_input_files("#file", file)
    page.locator("#paint-panel").wait_for()
    paintable = time.perf_counter() - started
    page.evaluate(FRAMES)
    stroke(page, 400, 160, 80)
    frames = page.evaluate("() => window.frames_seen")
    page.locator("#home").click()
    return {
        "seconds to a paintable canvas, 12 megapixels": paintable,
        "brush at 4000 x 3000: median frame, ms": median(frames),
        "brush at 4000 x 3000: 95 % of frames, ms": quantiles(frames, n=20)[-1],
    }


def damaged() -> dict[str, np.ndarray[Any, Any]]:
    """A photograph of 512 x 512 pixels for each of three tasks."""
    clean, random = data.astronaut(), np.random.default_rng(0)
    return {
        "inpaint": clean,
        "restore": np.where(random.random((512, 512, 1)) < 0.5, clean, 0).astype(np.uint8),
        "denoise": (clean + random.normal(0, 25, clean.shape)).clip(0, 255).astype(np.uint8),
    }


def first_answers(page: Page) -> dict[str, float]:
    """The time from Start to the first picture on the page, by task: the median of three jobs."""
    found: dict[str, float] = {}
    for task, pixels in damaged().items():
        seconds = [first_answer(page, task, pixels) for _ in range(3)]
        found[f"seconds from Start to the first answer, 512 x 512, {task}"] = median(seconds)
    return found


def first_answer(page: Page, task: str, pixels: np.ndarray[Any, Any]) -> float:
    page.locator("#examples button").first.wait_for(timeout=120_000)
    page.set_input_files("#file", picture_file(pixels, "PNG"))
    page.locator("#paint-panel").wait_for()
    if page.locator("#task-other").is_visible():
        page.click("#task-other")
    page.click(f"[data-card={task}]")
    if task == "inpaint":
        stroke(page, 120, 60, 12)
    wait_until(lambda: page.locator("#plan").inner_text() not in ("", "Looking how long it takes…"))
    page.wait_for_timeout(2_000)  # the worker is ready
    page.evaluate("() => { delete document.body.dataset.shown; }")
    started = time.perf_counter()
    page.click("#start")
    wait_until(lambda: page.evaluate("() => document.body.dataset.shown"))
    seconds = time.perf_counter() - started
    page.click("#cancel")
    wait_until(lambda: page.locator("#job-title").inner_text() == "Cancelled")
    page.locator("#home").click()
    return seconds


def tour(page: Page) -> None:
    page.locator("#examples button").nth(2).wait_for(timeout=60_000)
    shoot(page, "empty")
    page.set_input_files("#file", {"name": "notes.png", "mimeType": "image/png", "buffer": b"not a picture"})
    page.locator("#empty-notice").wait_for()
    shoot(page, "error")
    grainy = data.coffee() + np.random.default_rng(0).normal(0, 28, data.coffee().shape)
    page.set_input_files("#file", picture_file(grainy.clip(0, 255).astype(np.uint8), "PNG"))
    page.locator("#inspected").wait_for()
    shoot(page, "asking")
    page.locator("#home").click()
    page.locator("#examples button").nth(0).click()
    page.locator("#paint-panel").wait_for()
    page.wait_for_timeout(500)
    stroke(page, 140, 70, 12)
    shoot(page, "painting")
    page.locator(".segments button", has_text="Fast").click()
    page.click("#start")
    wait_until(lambda: re.match("[0-9]", page.locator("#iteration").text_content() or ""))
    page.wait_for_timeout(5_000)
    shoot(page, "running")
    wait_until(lambda: page.locator("#job-title").inner_text() == "Restored", 300)
    page.wait_for_timeout(3_000)  # until the divider has swept over the picture
    shoot(page, "finished")
    page.click("#theme")
    shoot(page, "dark")
    page.click("#theme")
    page.set_viewport_size({"width": 390, "height": 844})
    shoot(page, "phone")


def seconds_to_load(page: Page, address: str, shown: str) -> float:
    started = time.perf_counter()
    page.goto(address)
    page.locator(shown).first.wait_for(timeout=120_000)
    return time.perf_counter() - started


def thirty_tabs(browser: Browser, address: str) -> dict[str, float]:
    """The time that a page takes to load beside none and beside thirty others, all of which show a job."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    seconds_to_load(page, address, "#examples button")
    page.set_input_files("#file", picture_file(data.astronaut(), "PNG"))
    page.locator("#paint-panel").wait_for(timeout=120_000)
    stroke(page, 120, 60, 12)
    wait_until(lambda: page.locator("#saved").inner_text() == "Marks saved")
    home = page.url.partition("#")[0]
    alone = median(seconds_to_load(page, f"{home}?{turn}", "#examples button") for turn in range(5))
    page.goto(f"{home}#")
    page.locator("#pictures button").first.click()
    wait_until(lambda: page.locator("#start").is_enabled())
    page.click("#start")
    wait_until(lambda: re.match("[0-9]", page.locator("#iteration").text_content() or ""))
    page.click("#pause")  # the fit would take the processors from the tabs
    wait_until(lambda: page.locator("#job-title").inner_text() == "Paused")
    job = page.url
    others = [context.new_page() for _ in range(29)]
    for other in others:
        seconds_to_load(other, job, "#job-title")
    last = context.new_page()
    beside = median(seconds_to_load(last, f"{home}?{turn}", "#examples button") for turn in range(5, 10))
    context.close()
    return {
        "seconds to load the page, no other tab": alone,
        "seconds to load the page beside 30 tabs with a job": beside,
        "the latter, divided by the former": beside / alone,
    }


def upload(page: Page) -> dict[str, float]:
    y, x = np.mgrid[0:1250, 0:1600].astype(np.float32)
    grain = np.random.default_rng(0).normal(0, 6, (1250, 1600))
    photograph = np.stack([x / 8 + grain, y / 6 + grain, (x + y) / 14 + grain], -1).clip(0, 255).astype(np.uint8)
    file = picture_file(photograph, "JPEG")
    shown, stored = [], []
    page.locator("#examples button").first.wait_for(timeout=120_000)
    for _ in range(3):
        page.locator("#home").click()
        page.locator("#choose").wait_for()
        started = time.perf_counter()
        page.set_input_files("#file", file)
        page.locator("#tools").wait_for()
        shown.append(time.perf_counter() - started)
        wait_until(lambda: page.evaluate("() => location.hash").startswith("#picture="))
        stored.append(time.perf_counter() - started)
    return {
        "seconds to a paintable canvas, 2 megapixels": median(shown),
        "seconds until it is uploaded and checked": median(stored),
    }


def tabs() -> dict[str, float]:
    with chromium_and_studio() as (browser, address):
        return {**upload(opened(browser, address)), **thirty_tabs(browser, address)}


def preview_share(client: httpx.Client, side: int, seconds: float) -> float:
    """The time for log lines and previews in per cent of the time for fitting, over the first seconds of a job."""
    pixels = np.asarray(Image.fromarray(data.astronaut()).resize((side, side)))
    known = np.full((side, side), 255, np.uint8)
    known[side // 3 : side // 3 + side // 20, side // 8 : side // 2] = 0
    picture = client.post("pictures", content=picture_file(pixels, "PNG")["buffer"]).json()["id"]
    client.put(f"pictures/{picture}/mask", content=picture_file(known, "PNG")["buffer"]).raise_for_status()
    wanted = {"picture": picture, "task": "inpaint", "settings": {"iterations": 100_000}}
    job = client.post("jobs", json=wanted).raise_for_status().json()["id"]

    def far_enough() -> Any:
        line = client.get(f"jobs/{job}").json()["progress"]
        return line if line and line["elapsed"] >= seconds else None

    line = wait_until(far_enough, 20 * seconds)
    client.post(f"jobs/{job}/cancel").raise_for_status()
    return float(100 * line["aside"] / (line["elapsed"] - line["aside"]))


def previews() -> dict[str, float]:
    # One thread: more threads make the fit faster, but not the previews.
    with running_studio({"OMP_NUM_THREADS": "1"}) as address:
        page, _, token = address.partition("/?token=")
        base = f"http://127.0.0.1:{page.rpartition(':')[2]}"
        bearer = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"{base}/api/", headers=bearer, timeout=120, trust_env=False) as client:
            return {
                f"previews, % of the fit's time, {side} x {side}": preview_share(client, side, seconds)
                for side, seconds in ((512, 60), (1536, 120))
            }


@contextmanager
def running_studio(environment: dict[str, str]) -> Iterator[str]:
    """Run a studio with these environment variables, and yield its address."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "untaught", "studio", "--no-browser", "--port", "0", "--folder", folder]
        server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()
            server.wait()


def opened(browser: Browser, address: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(address)
    return page


@contextmanager
def chromium_and_studio() -> Iterator[tuple[Browser, str]]:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium was not found: apt-get install chromium")
    with running_studio({}) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser, address
        browser.close()


def in_a_browser() -> dict[str, float]:
    with chromium_and_studio() as (browser, address):
        return measure(opened(browser, address))


def first() -> dict[str, float]:
    with chromium_and_studio() as (browser, address):
        return first_answers(opened(browser, address))


def screens() -> None:
    with chromium_and_studio() as (browser, address):
        tour(opened(browser, address))


def main(words: list[str]) -> None:
    if words not in ([], ["previews"], ["tabs"], ["first"], ["screens"]):
        raise SystemExit(__doc__)
    if words in ([], ["screens"]):
        screens()
    if words == ["screens"]:
        return
    path = DOCS / "figures/studio.json"
    figures = json.loads(path.read_text()) if words else in_a_browser()
    for name, study in (("first", first), ("previews", previews), ("tabs", tabs)):
        if words in ([], [name]):
            figures |= study()
    path.write_text(json.dumps(figures, indent=1) + "\n")
    rows = [f"| {name} | {value:.2g} |" for name, value in figures.items()]
    replace_table(DOCS / "lab-notes/studio.md", "studio", "\n".join(["| what | measured |", "| --- | --- |", *rows]))


if __name__ == "__main__":
    main(sys.argv[1:])
