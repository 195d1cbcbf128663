"""The studio's page in a real Chromium: painted on, started, watched, compared; how fast it answers."""

import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from running_studio import RunningStudio

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
    # The driver of the browser leaves a loop behind when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with RunningStudio(tmp_path_factory.mktemp("studio")) as running:
        running.wait_until(lambda: running.get("examples")["complete"])
        yield running


@pytest.fixture(scope="module")
def browser():
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
    opened.goto(studio.address)
    yield opened
    assert opened.hosts <= {"127.0.0.1", ""}, "a request has left this machine"
    assert not opened.complaints
    context.close()


def open_example(page, index=0):
    page.locator("#examples button").nth(index).click()
    page.locator("#paint-panel").wait_for()
    playwright.expect(page.locator("#missing")).to_contain_text("marked")
    playwright.expect(page.locator("#missing")).not_to_contain_text("Nothing")


def stroke(page, dx=60, dy=20, steps=10):
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=steps)
    page.mouse.up()


def start(page, iterations):
    page.locator("summary").click()
    page.locator("#option-iterations, [data-option=iterations] input, [data-option=iterations]").first.fill(
        str(iterations)
    )
    page.click("#start")
    page.locator("#job-panel").wait_for()
    return re.search("[0-9a-f]{16}", page.url.partition("#")[2]).group()


def test_from_an_example_to_a_cancelled_job(page, studio):
    open_example(page)
    before = page.locator("#missing").inner_text()
    for _ in range(12):
        page.keyboard.press("]")
    stroke(page, 200, 120)
    playwright.expect(page.locator("#missing")).not_to_have_text(before)
    page.keyboard.press("Control+z")
    playwright.expect(page.locator("#missing")).to_have_text(before)
    page.keyboard.press("Control+Shift+z")
    size = page.locator("#brush-size-shown").inner_text()
    page.keyboard.press("[")
    playwright.expect(page.locator("#brush-size-shown")).not_to_have_text(size)
    job = start(page, 2000)
    seen = set()

    def changed():
        seen.update(studio.get(f"jobs/{job}/moments")["iterations"])
        return len(seen) > 3

    studio.wait_until(changed, 90)
    divider = page.locator("#divider")
    where = divider.get_attribute("aria-valuenow")
    divider.focus()
    page.keyboard.press("ArrowLeft")
    assert divider.get_attribute("aria-valuenow") != where
    page.reload()
    playwright.expect(page.locator("#job-title")).to_have_text("Restoring", timeout=20000)
    page.click("#cancel")
    playwright.expect(page.locator("#job-title")).to_have_text("Cancelled", timeout=5000)


def test_a_job_to_its_end_and_its_download(page):
    open_example(page, 2)
    start(page, 4)
    playwright.expect(page.locator("#job-title")).to_have_text("Restored", timeout=90000)
    with page.expect_download() as download:
        page.click("#download")
    picture = Image.open(download.value.path())
    assert picture.size[0] > 100
    assert page.locator("#command").inner_text().startswith("untaught inpaint")


def test_a_photograph_of_twelve_megapixels_can_be_painted_on(page):
    """To paint on it takes less than two seconds, and the brush follows; on two idle cores, far less."""
    y, x = np.mgrid[0:3000, 0:4000].astype(np.float32)
    large = np.stack([x / 16, y / 12, (x + y) / 28], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(large).save(file, "JPEG", quality=90)
    page.set_input_files("#file", {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()})
    page.locator("#paint-panel").wait_for(timeout=15000)
    page.evaluate("""() => {
        window.frames_seen = []; let last = performance.now();
        const tick = (now) => { window.frames_seen.push(now - last); last = now; requestAnimationFrame(tick); };
        requestAnimationFrame(tick);
    }""")
    stroke(page, 300, 120, steps=60)
    frames = np.array(page.evaluate("() => window.frames_seen"))
    print(f"frame times in ms: median {np.median(frames):.0f}, 95 % {np.quantile(frames, 0.95):.0f}")
    assert np.median(frames) < 50
    playwright.expect(page.locator("#missing")).not_to_contain_text("Nothing")
