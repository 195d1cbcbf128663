"""A running studio, a browser and a page of it, shared by the tests of the page."""

import re

import numpy as np
import pytest
from PIL import Image

from running_studio import RunningStudio
from studio_page import CHROMIUM, visit


@pytest.fixture(scope="session")
def shared_studio(tmp_path_factory):
    with RunningStudio(tmp_path_factory.mktemp("studio")) as running:
        running.wait_until(lambda: running.get("examples")["complete"])
        yield running


@pytest.fixture(scope="module")
def studio(shared_studio):
    """One for all, because to start it takes as long as several tests; each file ends the jobs that it began."""
    yield shared_studio
    for job in shared_studio.get("jobs")["jobs"]:
        shared_studio.client.delete(f"jobs/{job['id']}")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium was not found: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser, studio):
    context = browser.new_context(viewport={"width": 1100, "height": 760})
    opened = context.new_page()
    opened.hosts, opened.complaints = set(), []
    opened.on("request", lambda request: opened.hosts.add(re.split(r"[/:]+", request.url)[1]))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    visit(opened, studio)
    yield opened
    assert all(host.endswith(".localhost") or not host for host in opened.hosts), "a request left this machine"
    assert not opened.complaints
    context.close()


@pytest.fixture(scope="session")
def photo(tmp_path_factory):
    """A folder with a picture of 64 x 64 pixels and a mask."""
    folder = tmp_path_factory.mktemp("photo")
    y, x = np.mgrid[0:64, 0:64] / 64
    waves = np.stack([0.5 + 0.4 * np.sin(9 * x), y, x * y], -1)
    Image.fromarray((waves * 255).astype(np.uint8)).save(folder / "photo.png")
    known = np.full((64, 64), 255, np.uint8)
    known[20:26, 8:50] = 0
    Image.fromarray(known).save(folder / "mask.png")
    return folder
