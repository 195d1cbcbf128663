"""What the tests of the studio's page do in it."""

from __future__ import annotations

import io
import re
import shutil
import time

import numpy as np
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def visit(page, studio):
    """Open the printed address, which leads to the page."""
    page.goto(studio.address)
    page.wait_for_url(lambda url: "token" not in url)


def start(page, iterations):
    # A click would fold it again.
    if page.locator("#more").get_attribute("open") is None:
        page.locator("#more summary").click()
    page.locator("#option-iterations, [data-option=iterations] input, [data-option=iterations]").first.fill(
        str(iterations)
    )
    page.click("#start")
    page.locator("#job-panel").wait_for()
    return re.search("[0-9a-f]{16}", page.url.partition("#")[2]).group()


def until(page, expression, seconds=60):
    """Wait until an expression is true; Playwright's own function needs eval, which the page's policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(f"() => {expression}"):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


def open_photo(page, photo, name="photo.png"):
    page.set_input_files("#file", photo / name)
    page.locator("#tools").wait_for()
    until(page, "location.hash.startsWith('#picture=')")


def choose_task(page, name):
    """Click the card of a task, or of one of the damages that it treats."""
    if page.is_visible("#task-other"):
        page.click("#task-other")
    page.click(f"#task [data-card={name}]")


def chosen_task(page):
    return page.get_attribute("#task [aria-checked=true]", "value")


def marked(page):
    return page.locator("#missing").inner_text()


def drag(page, *points):
    """Paint a line through points, given as shares of the canvas."""
    box = page.locator("#canvas").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


def share(page):
    """Return how much is marked, in per cent."""
    text = marked(page)
    return 0.0 if text.startswith("Nothing") else float(text.split("%")[0])


def exported(page):
    """Return the present mask, True where the picture is missing."""
    with page.expect_download() as download:
        page.click("#export-mask")
    return np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("L")) == 0


def looks_of(page, canvas="canvas"):
    """Return a canvas as an image once everything has been drawn."""
    return page.evaluate(
        """(canvas) => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(
            () => resolve(document.getElementById(canvas).toDataURL()))))""",
        canvas,
    )
