"""The studio's page in Chromium: painting, starting, watching and comparing, and how fast it responds."""

import io
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from running_studio import RunningStudio
from studio_page import drag, exported, looks_of, marked, open_photo, share, start, until, visit

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


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


@pytest.mark.slow
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
    shown = set()
    studio.wait_until(lambda: shown.add(page.evaluate("() => document.body.dataset.shown")) or len(shown) > 3, 60)
    divider = page.locator("#divider")
    where = divider.get_attribute("aria-valuenow")
    divider.focus()
    page.keyboard.press("ArrowLeft")
    assert divider.get_attribute("aria-valuenow") != where
    page.reload()
    playwright.expect(page.locator("#job-title")).to_have_text("Restoring", timeout=20000)
    page.click("#cancel")
    playwright.expect(page.locator("#job-title")).to_have_text("Cancelled", timeout=5000)


@pytest.mark.slow
def test_a_job_to_its_end_and_its_download(page):
    open_example(page, 2)
    start(page, 4)
    playwright.expect(page.locator("#job-title")).to_have_text("Restored", timeout=90000)
    with page.expect_download() as download:
        page.click("#download")
    picture = Image.open(download.value.path())
    assert picture.size[0] > 100
    assert page.text_content("#command").startswith("untaught inpaint")


def test_a_photograph_of_twelve_megapixels_can_be_painted_on(page):
    """The brush follows the pointer at 20 frames a second or more; on two idle cores, far more."""
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


def test_painting_tools(page, photo):
    open_photo(page, photo)
    assert page.is_disabled("#start")
    assert marked(page) == "Nothing is marked yet"
    size = int(page.input_value("#brush-size"))
    page.keyboard.press("]")
    assert int(page.input_value("#brush-size")) > size
    shares = []
    for tool, points in (("rectangle", [(0.42, 0.42), (0.58, 0.58)]), ("lasso", [(0.3, 0.3), (0.4, 0.3), (0.35, 0.4)])):
        page.click(f"[data-tool={tool}]")
        drag(page, *points)
        shares.append(float(marked(page).split("%")[0]))
    page.click("#grow")
    shares.append(float(marked(page).split("%")[0]))
    assert shares == sorted(set(shares))
    page.click("#shrink")
    page.keyboard.press("e")
    drag(page, (0.42, 0.5), (0.58, 0.5))
    assert float(marked(page).split("%")[0]) < shares[-1]
    page.click("#invert")
    for _ in range(6):
        page.keyboard.press("Control+z")
    assert marked(page) == "Nothing is marked yet"
    assert page.is_disabled("#undo")
    page.focus("#canvas")  # without a pointer
    page.keyboard.press("b")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "%" in marked(page)
    page.set_input_files("#mask-file", photo / "mask.png")
    until(page, "document.getElementById('missing').textContent.startsWith('6.2')")
    with page.expect_download() as download:
        page.click("#export-mask")
    exported = np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("L"))
    np.testing.assert_array_equal(exported, np.asarray(Image.open(photo / "mask.png")))


@pytest.mark.slow
def test_the_download_is_what_the_command_line_gives(page, photo, tmp_path):
    open_photo(page, photo)
    page.set_input_files("#mask-file", photo / "mask.png")
    until(page, "!document.getElementById('start').disabled")
    start(page, 12)
    page.locator("#download").wait_for(timeout=90_000)
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "photo-restored.png"
    words = page.text_content("#command").split()
    shutil.copy(photo / "photo.png", tmp_path)
    shutil.copy(photo / "mask.png", tmp_path / "photo-mask.png")
    subprocess.run(
        [sys.executable, "-m", *words, "--quiet"], cwd=tmp_path, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert download.value.path().read_bytes() == (tmp_path / "photo-restored.png").read_bytes()


@pytest.mark.slow
def test_a_stopped_job_says_that_it_cannot_be_repeated(page, studio, photo):
    open_photo(page, photo)
    page.set_input_files("#mask-file", photo / "mask.png")
    playwright.expect(page.locator("#start")).to_be_enabled()
    job = start(page, 100_000)
    studio.wait_until(lambda: studio.get(f"jobs/{job}")["progress"])
    page.click("#finish")
    finished_picture(page)
    assert "another picture" in page.text_content("#command-about")
    page.click("#details summary")
    page.fill("#more-iterations", "2")
    page.click("#continue")
    playwright.expect(page.locator("#notes")).to_contain_text("iteration limit", timeout=60_000)
    assert "another picture" in page.text_content("#command-about")


def test_a_refused_file_is_explained(page, tmp_path):
    (tmp_path / "letter.png").write_bytes(b"%PDF-1.7 not a picture")
    page.set_input_files("#file", tmp_path / "letter.png")
    page.locator("#empty-notice").wait_for()
    assert "PDF" in page.inner_text("#empty-notice")


def test_light_and_dark_and_labels(page):
    first = page.get_attribute("html", "data-theme")
    page.click("#theme")
    assert page.get_attribute("html", "data-theme") != first
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, canvas, [role=slider]')].filter((one) =>
        !(one.ariaLabel || one.textContent.trim() || one.labels?.length || one.type === 'file')
        ).map((one) => one.id)"""
    )
    assert unnamed == []


def test_a_picture_dropped_before_the_page_is_ready_stays(page, studio, photo):
    """The server answers in the worst order: the tasks after the picture is shown, then the upload."""
    held = []
    page.route("**/api/tasks", lambda route: held.append(route))
    page.route("**/api/pictures?name=*", lambda route: held.append(route))
    page.goto("about:blank")
    visit(page, studio)
    page.set_input_files("#file", photo / "photo.png")
    page.locator("#tools").wait_for()
    page.set_input_files("#mask-file", photo / "mask.png")
    playwright.expect(page.locator("#missing")).to_contain_text("6.2%")
    tasks, upload = held
    assert tasks.request.url.endswith("tasks")
    tasks.continue_()
    page.locator("#task [role=radio]").first.wait_for(state="attached")
    playwright.expect(page.locator("#start")).to_be_enabled()
    upload.continue_()
    until(page, "location.hash.startsWith('#picture=')")
    playwright.expect(page.locator("#missing")).to_contain_text("6.2%")
    playwright.expect(page.locator("#start")).to_be_enabled()


def finished_picture(page):
    playwright.expect(page.locator("#job-title")).to_have_text("Restored", timeout=120_000)
    page.locator("#download").wait_for()
    with page.expect_download() as download:
        page.click("#download")
    return download.value.path().read_bytes()


@pytest.mark.slow
def test_a_killed_studio_continues_to_the_same_picture(browser, photo, tmp_path):
    with RunningStudio(tmp_path) as studio, browser.new_context() as context:
        page = context.new_page()
        visit(page, studio)
        open_photo(page, photo)
        page.set_input_files("#mask-file", photo / "mask.png")
        playwright.expect(page.locator("#start")).to_be_enabled()
        job = start(page, 100)
        # A pause leaves a checkpoint to continue from.
        studio.wait_until(lambda: studio.get(f"jobs/{job}")["progress"])
        page.click("#pause")
        playwright.expect(page.locator("#job-title")).to_have_text("Paused", timeout=60_000)
        at = studio.get(f"jobs/{job}")["progress"]["iteration"]
        page.click("#resume")
        studio.wait_until(lambda: studio.get(f"jobs/{job}")["progress"]["iteration"] > at)
        studio.kill()
        page.locator("#connection").wait_for()
        assert (tmp_path / "jobs" / job / "checkpoint").exists()
        assert not (tmp_path / "jobs" / job / "result.json").exists()
        studio.start()
        visit(page, studio)
        page.locator(f"[data-job='{job}']").click()
        continued = finished_picture(page)
        assert page.locator("[data-job]").count() == 1
        page.click("#again")
        page.locator("#tools").wait_for()
        playwright.expect(page.locator("#start")).to_be_enabled()
        assert start(page, 100) != job
        assert finished_picture(page) == continued


# Strokes, steps, suggestions ----------------------------------------------------------------------------------------


def test_steps_go_back_and_forth(page, photo):
    open_photo(page, photo)
    shares = [share(page)]
    for height in (0.42, 0.5, 0.58):
        drag(page, (0.42, height), (0.58, height))
        shares.append(share(page))
    assert shares == sorted(set(shares))
    for before in shares[-2::-1]:
        page.click("#undo")
        assert share(page) == before
    assert page.is_disabled("#undo")
    for after in shares[1:]:
        page.click("#redo")
        assert share(page) == after
    assert page.is_disabled("#redo")
    page.keyboard.press("Control+z")
    assert share(page) == shares[2]
    page.keyboard.press("Control+y")
    assert share(page) == shares[3]
    page.keyboard.press("Control+z")
    drag(page, (0.5, 0.4), (0.5, 0.62))
    assert page.is_disabled("#redo"), "a new step removes the steps to redo"


def test_keys_make_the_brush_smaller_and_larger(page, photo):
    def size():
        return int(page.input_value("#brush-size"))

    def pressed(key):
        before = size()
        page.keyboard.press(key)
        return size() - before

    def dab():
        page.mouse.click(*middle)
        dabbed = share(page)
        page.click("#undo")
        return dabbed

    open_photo(page, photo)
    box = page.locator("#canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    small = dab()
    assert pressed("]") > 0
    while pressed("]"):
        pass
    assert str(size()) == page.get_attribute("#brush-size", "max")
    assert dab() > 10 * small
    assert pressed("[") < 0
    while pressed("["):
        pass
    assert size() == 1
    assert 0 < dab() < small


def test_fingers_paint_and_move(browser, studio, photo):
    with browser.new_context(viewport={"width": 1100, "height": 760}, has_touch=True) as context:
        page = context.new_page()
        visit(page, studio)
        open_photo(page, photo)
        box = page.locator("#canvas").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        session = context.new_cdp_session(page)

        def touch(kind, *fingers):
            points = [{"x": across, "y": down, "id": number} for number, (across, down) in enumerate(fingers)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        def swipe(*ways):
            """Move one finger along each way, from its first point to its second."""
            touch("touchStart", *(ways[0][:1]))
            if len(ways) > 1:
                touch("touchStart", *(way[0] for way in ways))
            for step in range(1, 9):
                touch("touchMove", *((a + (c - a) * step / 8, b + (d - b) * step / 8) for (a, b), (c, d) in ways))
            touch("touchEnd")

        swipe([(x - 60, y), (x + 60, y)])
        until(page, "!document.getElementById('undo').disabled")
        line = share(page)
        found = exported(page)
        assert found.any(0).sum() > 3 * found.any(1).sum() > 0
        # Two fingers move the picture, and the stroke that the first one began is undone.
        swipe([(x - 40, y), (x - 40, y + 70)], [(x + 40, y), (x + 40, y + 70)])
        zoomed = page.locator("#zoom-shown").inner_text()
        assert share(page) == line
        np.testing.assert_array_equal(exported(page), found)
        page.touchscreen.tap(x, y + 70)
        assert share(page) == line, "the line has moved with the picture"
        page.touchscreen.tap(x, y)
        until(page, f"parseFloat(document.getElementById('missing').textContent) > {line}")
        page.click("#undo")
        swipe([(x - 20, y), (x - 80, y)], [(x + 20, y), (x + 80, y)])
        assert int(page.locator("#zoom-shown").inner_text().split()[0]) > 1.5 * int(zoomed.split()[0])
        np.testing.assert_array_equal(exported(page), found)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A picture with damage of several kinds, and the masks of each."""
    random = np.random.default_rng(0)
    pixels = np.full((160, 160, 3), 120, np.uint8) + random.integers(0, 8, (160, 160, 3), np.uint8)
    lines = {kind: np.zeros((160, 160), bool) for kind in ("scratches", "dust", "black")}
    lines["scratches"][20:23, 16:140] = True
    for place in range(4):
        lines["dust"][60:64, 30 + 25 * place : 34 + 25 * place] = True
    lines["black"][100:118, 60:80] = True
    for (_, line), colour in zip(lines.items(), (20, 250, 0), strict=True):
        pixels[line] = colour
    path = tmp_path_factory.mktemp("damaged") / "damaged.png"
    Image.fromarray(pixels).save(path)
    return path, lines


@pytest.mark.slow
def test_suggestions_are_marked_and_undone(page, damaged):
    path, lines = damaged
    page.set_input_files("#file", path)
    until(page, "location.hash.startsWith('#picture=')")

    def look(act):
        with page.expect_response(lambda answer: "/proposal?" in answer.url):
            act()
        playwright.expect(page.locator("#propose")).to_have_attribute("aria-busy", "false")

    for kind, line in lines.items():
        page.select_option("#proposal", kind)
        look(lambda: page.click("#propose"))
        found = exported(page)
        assert found[line].mean() > 0.9, kind
        others = [other for name, other in lines.items() if name != kind]
        assert not found[np.any(others, 0)].any(), kind
        if kind == "dust":
            # A suggestion with another strength replaces the last one.
            look(lambda: page.locator("#strength").fill("60"))
            assert exported(page).sum() >= found.sum()
        page.click("#undo")
        playwright.expect(page.locator("#missing")).to_have_text("Nothing is marked yet")
        assert page.is_disabled("#undo")


def two_pieces(page):
    """Let the server find one piece, and another one from strength 0.5 on; return both."""
    one, two = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    one[8:20, 10:50], two[40:50, 10:50] = True, True

    def answer(route):
        strength = float(re.search(r"strength=([\d.]+)", route.request.url)[1])
        found = (one & (strength > 0)) | (two & (strength > 0.5))
        stream = io.BytesIO()
        Image.fromarray(np.where(found, 0, 255).astype(np.uint8)).save(stream, "PNG")
        route.fulfill(body=stream.getvalue(), content_type="image/png", headers={"x-missing": str(found.mean())})

    page.route("**/proposal?*", answer)
    return one, two


def test_marks_follow_the_slider_while_it_moves(page, studio, photo):
    one, two = two_pieces(page)

    def move(*percents, name="input"):
        for percent in percents:
            page.locator("#strength").evaluate(
                "(slider, [value, name]) => { slider.value = value; slider.dispatchEvent(new Event(name)); }",
                [percent, name],
            )

    def show(found):
        until(page, f"document.getElementById('missing').dataset.pixels == {found.sum()}")
        playwright.expect(page.locator("#propose")).to_have_attribute("aria-busy", "false")

    open_photo(page, photo)
    move(75)  # nothing was looked for yet
    assert page.locator("#missing").get_attribute("data-pixels") in (None, "0")
    move(50)
    page.click("#propose")
    show(one)
    playwright.expect(page.locator("#saved")).to_have_text("Marks saved")
    move(75)
    show(one | two)
    move(60, 40, 90, 30)
    show(one)
    move(80)
    show(one | two)
    assert page.locator("#propose").inner_text() == "Find"
    move(80, name="change")
    show(one | two)
    picture = page.url[-16:]

    def kept():
        answer = studio.client.get(f"pictures/{picture}/mask")
        return np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))) < 128, one | two)

    studio.wait_until(kept, 20)
    page.click("#undo")
    playwright.expect(page.locator("#missing")).to_have_text("Nothing is marked yet")


def test_another_strength_leaves_what_the_user_has_done(page, photo):
    one, two = two_pieces(page)

    def strength(percent):
        with page.expect_response(lambda answer: "/proposal?" in answer.url):
            page.locator("#strength").fill(str(percent))
        playwright.expect(page.locator("#propose")).to_have_attribute("aria-busy", "false")
        return exported(page)

    open_photo(page, photo)
    page.click("#propose")
    until(page, "document.getElementById('missing').dataset.pixels > 0")
    np.testing.assert_array_equal(exported(page), one)
    np.testing.assert_array_equal(strength(75), one | two)
    np.testing.assert_array_equal(strength(50), one)
    assert (strength(75) == one | two).all()
    page.click("[data-tool=rectangle]")
    drag(page, (0.48, 0.55), (0.54, 0.75))  # over some of the second piece, too
    drawn = exported(page)
    own = drawn & ~one & ~two
    columns = own.any(0)
    assert own.any()
    page.keyboard.down("Alt")
    drag(page, (0.48, 0.2), (0.54, 0.3))
    page.keyboard.up("Alt")
    dropped = drawn & ~exported(page)
    assert (dropped & one).any()
    kept = strength(50)
    np.testing.assert_array_equal(kept, (one & ~dropped) | own | (two & columns & drawn))
    np.testing.assert_array_equal(strength(75), (one & ~dropped) | own | two)
    np.testing.assert_array_equal(strength(0), own | (two & columns))
    page.click("#clear")
    np.testing.assert_array_equal(strength(50), one)


def test_what_was_dropped_stays_dropped(page, photo):
    one, two = two_pieces(page)
    open_photo(page, photo)
    find = page.locator("#find-for-me")
    find.click()  # where it is asked for, above Start
    until(page, "document.getElementById('missing').dataset.pixels > 0")
    playwright.expect(page.locator("#propose")).to_be_focused()
    playwright.expect(find).to_be_hidden()
    np.testing.assert_array_equal(exported(page), one)
    click_at(page, 0.5, 0.25)
    playwright.expect(page.locator("#missing")).to_have_text("Nothing is marked yet")
    for kind, strength, found in (("auto", 50, one & two), ("dust", 50, one & two), ("scratches", 75, two)):
        page.locator("#strength").evaluate("(slider, value) => { slider.value = value; }", strength)
        page.select_option("#proposal", kind)
        with page.expect_response(lambda answer: "/proposal?" in answer.url):
            page.click("#propose")
        playwright.expect(page.locator("#propose")).to_have_attribute("aria-busy", "false")
        np.testing.assert_array_equal(exported(page), found)
    page.click("#clear")  # all begins anew
    with page.expect_response(lambda answer: "/proposal?" in answer.url):
        page.click("#propose")
    playwright.expect(page.locator("#propose")).to_have_attribute("aria-busy", "false")
    np.testing.assert_array_equal(exported(page), one | two)


# Regions, uncertainty -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_region_is_tried_and_then_the_whole_picture(page, studio, photo):
    open_photo(page, photo)
    page.set_input_files("#mask-file", photo / "mask.png")
    playwright.expect(page.locator("#start")).to_be_enabled()
    page.locator("#more summary").click()
    page.locator("[data-option=iterations]").fill("6")
    page.click("#try")
    page.keyboard.press("Escape")
    assert page.get_attribute("#try", "aria-pressed") == "false"
    page.click("#try")
    drag(page, (0.4, 0.3), (0.6, 0.7))
    page.locator("#job-panel").wait_for()
    part = Image.open(io.BytesIO(finished_picture(page)))
    job = studio.get(f"jobs/{page.url[-16:]}")
    assert list(part.size) == job["crop"][2:]
    assert 16 <= min(part.size) <= max(part.size) < 64
    assert "part" in page.inner_text("#job-about")
    page.click("#whole")
    until(page, f"!location.hash.endsWith('{job['id']}')")
    whole = Image.open(io.BytesIO(finished_picture(page)))
    assert whole.size == (64, 64)
    # Known pixels are those of the picture in both.
    left, top, wide, tall = job["crop"]
    known = np.asarray(Image.open(photo / "mask.png"))[top : top + tall, left : left + wide] > 0
    same = np.asarray(whole)[top : top + tall, left : left + wide]
    np.testing.assert_array_equal(np.asarray(part)[known], same[known])


@pytest.mark.slow
def test_uncertainty_is_laid_over(page, photo):
    open_photo(page, photo)
    page.set_input_files("#mask-file", photo / "mask.png")
    playwright.expect(page.locator("#start")).to_be_enabled()
    start(page, 30)
    finished_picture(page)
    until(page, "document.body.dataset.shown === 'result'")
    page.click("[data-view=after]")
    without = looks_of(page)
    page.check("#uncertainty")
    deadline = time.monotonic() + 30
    while (over := looks_of(page)) == without:
        assert time.monotonic() < deadline, "no map appeared"
    page.uncheck("#uncertainty")
    while looks_of(page) != without:
        assert time.monotonic() < deadline + 30, "the map did not disappear"
    with page.expect_download() as download:
        page.click("#downloads summary")
        page.click("#download-uncertainty")
    assert download.value.suggested_filename == "photo-uncertainty.tif"
    assert over != without


# More ways to mark -------------------------------------------------------------------------------------------------


def click_at(page, x, y, **more):
    """Click at a place given as shares of the picture, which is fitted into the canvas."""
    box = page.locator("#canvas").bounding_box()
    page.locator("#canvas").click(position={"x": x * box["width"], "y": y * box["height"]}, **more)


def test_shift_draws_a_straight_line_from_the_last_stroke(page, photo):
    open_photo(page, photo)
    click_at(page, 0.42, 0.5)
    dab = share(page)
    click_at(page, 0.58, 0.5, modifiers=["Shift"])
    line = share(page)
    assert line > 4 * dab
    rows, columns = np.nonzero(exported(page))
    assert np.ptp(columns) > 3 * np.ptp(rows)
    page.click("#undo")
    assert share(page) == dab


def test_the_wand_marks_what_is_connected_and_of_one_colour(page, tmp_path):
    shades = np.full((60, 60, 3), 90, np.uint8)
    shades[10:30, 10:30] = (200, 40, 30)  # a patch, with some variation
    shades[10:30, 20:30] += 6
    shades[40:50, 40:50] = (200, 40, 30)  # the same colour elsewhere
    Image.fromarray(shades).save(tmp_path / "patches.png")
    open_photo(page, tmp_path, "patches.png")
    page.keyboard.press("w")
    assert page.is_visible("#tolerance")
    assert page.is_hidden("#brush-size")
    page.focus("#canvas")  # the middle of the picture is its ground
    page.keyboard.press("Enter")
    expected = binary_dilation((shades == 90).all(2), np.ones((3, 3)))  # edges are soft
    np.testing.assert_array_equal(exported(page), expected)
    page.click("#invert")
    page.click("[data-tool=pick]")
    assert share(page) == pytest.approx(100 * (1 - expected.mean()), abs=0.6)


def test_a_click_drops_and_keeps_a_piece(page, photo):
    open_photo(page, photo)
    page.click("[data-tool=rectangle]")
    drag(page, (0.42, 0.42), (0.46, 0.46))
    one = share(page)
    drag(page, (0.54, 0.54), (0.58, 0.58))
    both = share(page)
    marks = exported(page)
    page.keyboard.press("k")
    click_at(page, 0.56, 0.56)
    assert share(page) == one
    click_at(page, 0.56, 0.56)
    assert share(page) == both
    np.testing.assert_array_equal(exported(page), marks)
    click_at(page, 0.5, 0.35)  # nothing there
    assert share(page) == both


def test_marks_are_hidden_by_h_and_have_a_colour(page, photo):
    open_photo(page, photo)
    bare = looks_of(page)
    page.keyboard.press("r")
    drag(page, (0.42, 0.42), (0.56, 0.56))
    page.mouse.move(5, 300)
    first = looks_of(page)
    page.keyboard.press("h")
    assert looks_of(page) == bare
    page.keyboard.press("h")
    assert looks_of(page) == first
    page.click("#looks summary")
    page.click("[data-colour='#19c37d']")
    green = looks_of(page)
    assert green not in (first, bare)
    page.locator("#opacity").fill("30")
    assert looks_of(page) not in (first, bare, green)
    page.reload()
    page.locator("#tools").wait_for()
    assert page.get_attribute("[data-colour='#19c37d']", "aria-checked") == "true"
    assert page.input_value("#opacity") == "30"


@pytest.mark.parametrize(
    ("colour", "marks"), [((150, 90, 60), "blue"), ((70, 120, 180), "yellow"), ((90, 90, 90), "red")]
)
def test_marks_have_a_colour_that_the_picture_does_not_have(page, tmp_path, colour, marks):
    Image.new("RGB", (64, 64), colour).save(tmp_path / "plain.png")
    open_photo(page, tmp_path, "plain.png")
    assert page.get_attribute(".swatches [aria-checked=true]", "aria-label").lower() == marks


def test_a_question_mark_shows_the_keys(page, photo):
    open_photo(page, photo)
    page.keyboard.press("?")
    playwright.expect(page.locator("#keys")).to_contain_text("Magic wand")
    page.keyboard.press("Escape")
    assert page.is_hidden("#keys")


def test_a_phone_is_not_told_of_keys(browser, studio, photo):
    with browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as context:
        page = context.new_page()
        visit(page, studio)
        open_photo(page, photo)
        labels = "[...document.querySelectorAll('[aria-label]')].map((one) => one.ariaLabel)"
        spoken = page.evaluate(f"() => [document.body.innerText, ...{labels}]")
        assert not [text for text in spoken if any(key in text for key in ("Ctrl", "Shift", "Esc", "wheel", "(B", "("))]
