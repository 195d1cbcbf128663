"""The page on small screens, with long names, and with what the user is asked first."""

import io
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from studio_page import choose_task, chosen_task, looks_of, open_photo, start, until, visit

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

LONG = "ANameWithoutAnySpacesThatGoesOnAndOnForSixtyLettersAndMoreOfThem.png"
RIGHT_TO_LEFT = "صورة قديمة من بيت العائلة في الصيف قبل خمسين سنة.png"
COVERED = """() => {
    const found = [];
    document.getElementById("zip").hidden = false;  // as where several results are done
    for (const one of document.querySelectorAll("button, input, select, a, summary, [role=slider]")) {
        const seen = one.checkVisibility({ visibilityProperty: true, opacityProperty: true });
        if (!seen || one.closest("dialog")) continue;
        one.scrollIntoView({ block: "center", inline: "center" });
        const box = one.getBoundingClientRect(), name = one.id || one.outerHTML.slice(0, 60);
        if (!box.width || !box.height) continue;
        if (box.left < -1 || box.right > innerWidth + 1) found.push(`${name} is out of sight`);
        const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
        if (one.contains(top) || top?.contains(one) && top.closest("label")) continue;
        found.push(`${name} is covered by ${top?.outerHTML.slice(0, 60)}`);
    }
    return found;
}"""
SIZES = {"phone": (390, 844), "200 % zoom": (640, 400), "tablet": (820, 1180), "narrow": (900, 700), "low": (1024, 600)}


@pytest.fixture(scope="module")
def places(studio, photo):
    """Addresses of every state of the page, for pictures with long names."""
    rtl = studio.upload((photo / "photo.png").read_bytes(), RIGHT_TO_LEFT)["id"]
    picture = studio.upload((photo / "photo.png").read_bytes(), LONG)["id"]
    studio.client.put(f"pictures/{picture}/mask", content=(photo / "mask.png").read_bytes())
    body = {"picture": picture, "task": "inpaint", "settings": {"recipe": "fast", "iterations": 3}}
    job = studio.post("jobs", body, 201)["id"]
    studio.wait_for(job, "done")
    return {"home": "", "paint": f"picture={picture}", "right to left": f"picture={rtl}", "done": f"job={job}"}


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_out_of_sight_or_covered(page, studio, places, size):
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    for place, address in places.items():
        page.goto(f"{studio.home}/#{address}")
        page.locator({"home": "#empty", "done": "#download"}.get(place, "#task")).wait_for()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, place
        if place == "paint" and width > 860:
            box = page.locator("#task").bounding_box()
            assert box["y"] + box["height"] < height, "the task cannot be seen"
            assert page.locator("#start").bounding_box()["y"] < height - 40
        page.evaluate("() => { for (const one of document.querySelectorAll('#panel details')) one.open = true; }")
        assert page.evaluate(COVERED) == [], place
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, place


def test_marks_are_asked_for_only_where_they_are_used(page, photo):
    open_photo(page, photo)
    for task, used in (("denoise", False), ("inpaint", True), ("deblur", False), ("restore", True)):
        choose_task(page, task)
        assert page.is_visible("#marks-part") == used
        assert page.is_visible("#tools") == used
        playwright.expect(page.locator("#start")).to_be_enabled(enabled=task != "inpaint")


def test_the_task_is_chosen_by_what_the_picture_shows(page, tmp_path):
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:96, 0:96] / 96
    clean = np.stack([0.5 + 0.4 * np.sin(9 * x), y, x * y], -1) * 255
    dropped = np.where(random.random((96, 96, 1)) < 0.5, clean.clip(1), 0)
    Image.fromarray(dropped.astype(np.uint8)).save(tmp_path / "dropped.png")
    open_photo(page, tmp_path, "dropped.png")
    page.locator("#task [value=restore][aria-checked=true]").wait_for()
    assert page.is_visible("#inspected")
    assert page.inner_text("#unsure") == "Probably: single pixels are lost."
    choose_task(page, "denoise")
    page.wait_for_timeout(300)
    assert chosen_task(page) == "denoise"


def test_a_page_of_several_and_its_value_range(page, tmp_path):
    values = np.add.outer(np.arange(48), np.arange(40)).astype(np.uint16) * 20
    tifffile.imwrite(tmp_path / "scan.tif", np.stack([values, values + 500]), photometric="minisblack")
    page.set_input_files("#file", tmp_path / "scan.tif")
    page.locator("#pages-part").wait_for()
    assert "2 pages" in page.inner_text("#pages-about")
    page.fill("#page-number", "2")
    page.press("#page-number", "Enter")
    until(page, "document.getElementById('subject').textContent.includes('16 bits · 5')")
    playwright.expect(page.locator("#page-number")).to_have_value("2")
    choose_task(page, "denoise")
    page.click("#more summary")
    black, white = (page.get_by_label(f"Value of {end}") for end in ("black", "white"))
    assert 500 <= float(black.get_attribute("placeholder")) < 600
    white.fill("much")
    page.click("#start")
    playwright.expect(page.locator("#wrong")).to_contain_text("Value range is 2 values")
    playwright.expect(black).to_be_focused()
    white.fill("4095")
    playwright.expect(page.locator("#wrong")).to_have_count(0)
    chosen = page.evaluate("async () => (await import('/static/form.js')).chosenSettings()")
    assert chosen["value_range"] == [black.get_attribute("placeholder"), "4095"]


def test_a_failed_job_shows_no_curve_of_another_one(page, studio, places):
    gray = io.BytesIO()
    Image.new("L", (20, 20), 90).save(gray, "JPEG")
    picture = studio.upload(gray.getvalue(), "gray.jpg")["id"]
    body = {"picture": picture, "task": "denoise", "settings": {"recipe": "fast", "iterations": 2}}
    job = studio.post("jobs", body, 201)["id"]
    studio.post(f"jobs/{job}/cancel")
    page.goto(f"{studio.home}/#job={job}")
    page.locator("#resume").wait_for()
    bare = looks_of(page, "chart")
    page.goto(f"{studio.home}/#{places['done']}")
    page.locator("#download").wait_for()
    until(page, "!document.getElementById('moment').disabled")
    assert looks_of(page, "chart") != bare
    page.goto(f"{studio.home}/#job={job}")
    page.locator("#resume").wait_for()
    assert looks_of(page, "chart") == bare


def test_several_pictures_at_once_and_their_results(page, studio, photo, places):
    (photo / "other.png").write_bytes((photo / "photo.png").read_bytes())
    page.set_input_files("#file", [photo / "photo.png", photo / "other.png"])
    page.locator("#paint-panel").wait_for()
    assert page.inner_text("#subject").startswith("photo")
    studio.wait_until(lambda: {"photo", "other"} <= {one["name"] for one in studio.get("pictures")["pictures"]})
    playwright.expect(page.locator("#together-part")).to_be_hidden()  # each needs marks of its own
    choose_task(page, "denoise")
    page.check("#together")
    job = start(page, 100_000)
    both = [one for one in studio.get("jobs")["jobs"] if one["settings"].get("iterations") == 100_000]
    assert [one["name"] for one in both] == ["other", "photo"]
    assert both[0]["settings"] == both[1]["settings"]
    assert both[1]["id"] == job
    for one in both:
        studio.post(f"jobs/{one['id']}/cancel")
    done = places["done"].removeprefix("job=")
    archive = zipfile.ZipFile(io.BytesIO(studio.client.get("results.zip").content))
    name = studio.get(f"jobs/{done}")["name"]
    result = studio.client.get(f"jobs/{done}/files/result").content
    assert archive.read(f"{name}-restored.png") == result
    assert not list(studio.folder.glob(".results-*"))


def test_what_was_found_in_one_is_found_in_the_others_that_came_with_it(page, studio, tmp_path):
    random = np.random.default_rng(0)
    for number, line in enumerate((30, 60)):
        scan = random.normal(120, 3, (96, 96)).clip(0, 255).astype(np.uint8)
        scan[10:86, line : line + 2] = 250
        Image.fromarray(scan).save(tmp_path / f"scan{number}.png")
    Image.new("L", (96, 96), 120).save(tmp_path / "clean.png")
    page.set_input_files("#file", [tmp_path / name for name in ("scan0.png", "scan1.png", "clean.png")])
    page.locator("#tools").wait_for()
    studio.wait_until(lambda: "clean" in [one["name"] for one in studio.get("pictures")["pictures"]])
    choose_task(page, "inpaint")
    assert page.is_hidden("#together-part")
    page.select_option("#proposal", "scratches")
    page.click("#propose")
    playwright.expect(page.locator("#together-text")).to_contain_text("Find the same in the others", timeout=20_000)
    page.check("#together")
    start(page, 100_000)
    playwright.expect(page.locator("#notice")).to_contain_text("clean: nothing of this kind stands out")
    jobs = {one["name"]: one for one in studio.get("jobs")["jobs"] if one["name"].startswith(("scan", "clean"))}
    assert set(jobs) == {"scan0", "scan1"}
    known = Image.open(io.BytesIO(studio.client.get(f"jobs/{jobs['scan1']['id']}/files/mask").content))
    missing = np.asarray(known.convert("L")) == 0
    assert missing[20:76, 60:62].all()
    assert not missing[:, :50].any()
    for one in jobs.values():
        studio.post(f"jobs/{one['id']}/cancel")


def test_the_end_of_a_job_is_told_in_the_title(page, studio, places):
    job = places["done"].removeprefix("job=")
    page.evaluate("() => Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    studio.post(f"jobs/{job}/continue", {"iterations": 2})
    studio.wait_for(job, "done")
    until(page, "document.title.includes('restored')")


SMALL = """() => [...document.querySelectorAll("button, input, select, a, summary, label.check, [role=slider]")]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest("dialog, label.check *"))
    .map((one) => [one.id || one.outerHTML.slice(0, 60), one.closest("label.check") ?? one])
    .map(([name, one]) => [name, one.getBoundingClientRect()])
    .filter(([name, { width, height }]) => Math.min(width, height) < 32 && height)
    .map(([name, { width, height }]) => `${name}: ${width} x ${height}`)"""


def test_fingers_find_large_targets(browser, studio, places):
    with browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as context:
        page = context.new_page()
        visit(page, studio)
        for place, address in places.items():
            page.goto(f"{studio.home}/#{address}")
            page.locator({"home": "#empty", "done": "#download"}.get(place, "#task")).wait_for()
            page.evaluate("() => { for (const one of document.querySelectorAll('#panel details')) one.open = true; }")
            assert page.evaluate(SMALL) == [], place
            assert page.evaluate("() => document.documentElement.scrollWidth") <= 390, place
            assert page.evaluate(COVERED) == [], place
