"""The page for people who see, hear or point in other ways: axe finds nothing, and keys are enough."""

import io
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from studio_page import choose_task, open_photo, until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_keys_are_enough_from_a_file_to_a_download(page, photo):
    """Nothing is clicked or pointed at; the file dialog is the system's own."""

    def press_until(wanted, key="Tab", most=80):
        for _ in range(most):
            if page.evaluate("(wanted) => document.activeElement.matches(wanted)", wanted):
                return
            page.keyboard.press(key)
        raise AssertionError(f"{key} does not come to {wanted}")

    page.on("filechooser", lambda _: None)  # the browser is told to hand over its dialogs before one opens
    page.locator("#examples button").first.wait_for()
    page.keyboard.press("Tab")
    stops = set()
    while (stop := page.evaluate("() => document.activeElement.id")) not in stops:
        stops.add(stop)
        page.keyboard.press("Tab")
    assert "canvas" not in stops  # it is below the first page
    press_until("#choose")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(photo / "photo.png")
    page.locator("#tools").wait_for()
    until(page, "location.hash.startsWith('#picture=')")
    playwright.expect(page.locator("#canvas")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#missing")).to_contain_text("marked")
    press_until("[data-option=recipe] [role=radio]")
    page.keyboard.press("ArrowLeft")
    playwright.expect(page.locator("[data-option=recipe] [value=fast]")).to_be_focused()
    press_until("#more summary")
    page.keyboard.press("Enter")
    press_until("[data-option=iterations]")
    page.keyboard.type("3")
    press_until("#start")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#job-title")).to_be_focused()
    page.locator("#download").wait_for(timeout=90_000)
    press_until("#download")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert Image.open(io.BytesIO(download.value.path().read_bytes())).size == (64, 64)


@pytest.fixture(scope="module")
def axe():
    found = find_spec("axe_playwright_python")
    if found is None:
        pytest.skip("axe is not installed: pip install axe-playwright-python")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def jobs(studio, photo):
    """A job in each state that stays."""
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    studio.client.put(f"pictures/{picture}/mask", content=(photo / "mask.png").read_bytes())
    body = {"picture": picture, "task": "inpaint", "settings": {"recipe": "fast", "iterations": 3}}
    done = studio.post("jobs", body, 201)["id"]
    studio.wait_for(done, "done")
    cancelled = studio.post("jobs", {**body, "settings": {"iterations": 100_000}}, 201)["id"]
    failed = studio.post("jobs", {**body, "settings": {"recipe": "fast", "iterations": 4}}, 201)["id"]
    damaged = studio.folder / "jobs" / failed / "picture.png"
    damaged.unlink()  # it is a link to the picture's own
    damaged.write_bytes(b"damaged")
    studio.post(f"jobs/{cancelled}/cancel")
    studio.wait_until(lambda: studio.get(f"jobs/{failed}")["state"] == "failed")
    running = studio.post("jobs", {**body, "settings": {"iterations": 100_000}}, 201)["id"]
    waiting = [studio.post("jobs", {**body, "settings": {"iterations": 100_000}}, 201)["id"] for _ in range(2)]
    yield {"done": done, "cancelled": cancelled, "failed": failed, "running": running, "queued": waiting[1]}
    for job in (*waiting, running):
        studio.post(f"jobs/{job}/cancel")


def findings(page, axe):
    """What axe finds in the page, as it is now."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe)
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")["violations"]
    return [f"{one['id']}: {node['target'][0]}: {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing(page, studio, photo, axe, jobs, theme):
    page.evaluate("(theme) => localStorage.setItem('theme', theme)", theme)
    page.reload()
    page.locator("#examples button").first.wait_for()
    found = {"empty": findings(page, axe)}
    open_photo(page, photo)
    found["picture"] = findings(page, axe)
    page.set_input_files("#mask-file", photo / "mask.png")
    page.locator("#more summary").click()
    playwright.expect(page.locator("#plan")).to_contain_text("on this machine", timeout=20_000)
    found["painting"] = findings(page, axe)
    choose_task(page, "deblur")
    page.click("#start")
    page.locator("#wrong").wait_for()
    found["refused"] = findings(page, axe)
    for state, job in jobs.items():
        page.goto(f"{studio.home}/#job={job}")
        until(page, f"document.getElementById('job-panel').dataset.state === '{state}'")
        page.evaluate("() => { for (const one of document.querySelectorAll('#job-panel details')) one.open = true; }")
        page.keyboard.press("g")
        page.locator("#histogram").wait_for()
        found[state] = findings(page, axe)
    page.click("#storage-open")
    page.locator("#storage-entries input").first.wait_for()
    found["storage"] = findings(page, axe)
    page.click("#storage-close")
    page.click("#log-out")
    found["log out"] = findings(page, axe)
    page.click("#leaving [value=no]")
    page.locator("li:has([data-job]) .remove").first.click()
    found["sure"] = findings(page, axe)
    page.click("#sure [value=no]")
    page.click("#rename")
    found["rename"] = findings(page, axe)
    assert {state: one for state, one in found.items() if one} == {}


def test_a_job_that_waits_is_moved_and_renamed_by_keys(page, studio, jobs):
    page.goto(f"{studio.home}/#job={jobs['queued']}")
    why = page.locator("#why")
    playwright.expect(why).to_contain_text("number 2 of 2")
    assert page.is_disabled("#later")
    page.focus("#earlier")
    page.keyboard.press("Enter")
    playwright.expect(why).to_contain_text("number 1 of 2")
    playwright.expect(page.locator("#later")).to_be_focused()
    playwright.expect(page.locator(f"[data-job='{jobs['queued']}'] small")).to_have_text("Waiting · 1")
    page.focus("#rename")
    page.keyboard.press("Enter")
    page.keyboard.type("Grandmother's house")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#subject")).to_contain_text("Grandmother's house")
    playwright.expect(page.locator(f"[data-job='{jobs['queued']}'] b")).to_have_text("Grandmother's house")
    page.goto(f"{studio.home}/#picture={studio.get('jobs/' + jobs['queued'])['picture']}")
    page.locator("#task").wait_for()
    playwright.expect(page.locator("#subject")).to_contain_text("8 bits")
    page.click("#rename")
    page.fill("#new-name", "v1.2")
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#subject")).to_contain_text("photo")
    page.click("#rename")
    page.fill("#new-name", "v1.2")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#subject")).to_contain_text("v1.2")
