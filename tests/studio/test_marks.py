"""No stroke is lost: marks at the server and in every window of the page agree, whatever the user does."""

import io
import random
import time

import numpy as np
import pytest
from PIL import Image

from studio_page import drag, exported, open_photo, start, until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def picture_of(page):
    return page.url.rpartition("=")[2]


def stored(studio, picture):
    """Return the marks at the server, True where the picture is missing."""
    answer = studio.client.get(f"pictures/{picture}/mask")
    if answer.status_code == 404:
        return np.zeros((64, 64), bool)
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L")) == 0


def pixels(page):
    """Return how many pixels are marked; a share in per cent is too coarse to tell one dab more among many."""
    return int(page.locator("#missing").get_attribute("data-pixels"))


def agree(studio, *pages, least=0):
    """Wait until the pages show the marks of the server, so many pixels at least, and return these."""

    def now():
        # The server's marks are read last: what was on its way when a page said that all is saved has arrived by then.
        labels = [page.inner_text("#saved") for page in pages]
        shown = [pixels(page) for page in pages]
        marks = stored(studio, picture_of(pages[0]))
        seen[:] = [shown, marks.sum(), labels]
        saved = set(labels) <= {"", "Marks saved"} and set(shown) == {marks.sum()}
        return [marks] if saved and marks.sum() >= least else None

    seen = []
    try:
        return studio.wait_until(now, 20)[0]
    except AssertionError:
        raise AssertionError(f"the pages and the server do not agree on {least} or more: {seen}") from None


def dab(page, x, y):
    """Mark what is around a place, given as shares of the canvas, and return how many pixels are marked then."""
    page.bring_to_front()  # input to a page behind another one takes a second per event
    drag(page, (x, y), (x + 0.01, y))
    return pixels(page)


@pytest.fixture
def second(page, studio):
    """Another window of the same user."""
    other = page.context.new_page()
    other.goto(studio.home)
    yield other
    other.close()


def test_cleared_marks_are_gone(page, studio, photo):
    open_photo(page, photo)
    dab(page, 0.5, 0.5)
    assert agree(studio, page).any()
    page.click("#clear")
    assert not agree(studio, page).any()
    assert studio.get(f"pictures/{picture_of(page)}")["mask"] == ""
    page.reload()
    page.locator("#tools").wait_for()
    assert not agree(studio, page).any()
    assert page.is_disabled("#start")
    refused = studio.client.post("jobs", json={"picture": picture_of(page), "task": "inpaint"})
    assert refused.status_code == 422


@pytest.mark.parametrize("how", ["all known", "deleted"])
def test_an_empty_mask_is_no_mask(studio, photo, how):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    first = studio.client.put(f"pictures/{picture}/mask", content=(photo / "mask.png").read_bytes()).json()
    assert studio.get(f"pictures/{picture}")["mask"] == first["mask"] != ""
    if how == "deleted":
        studio.client.delete(f"pictures/{picture}/mask")
    else:
        file = io.BytesIO()
        Image.new("L", (64, 64), 255).save(file, "PNG")
        assert studio.client.put(f"pictures/{picture}/mask", content=file.getvalue()).json()["mask"] == ""
    assert studio.get(f"pictures/{picture}")["has_mask"] is False


def test_a_job_gets_the_marks_that_were_shown(studio, photo):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    mask = studio.client.put(f"pictures/{picture}/mask", content=(photo / "mask.png").read_bytes()).json()["mask"]
    body = {"picture": picture, "task": "inpaint", "settings": {"recipe": "fast", "iterations": 1}}
    for other in ("", "0" * 32):
        refused = studio.client.post("jobs", json={**body, "mask": other})
        assert refused.status_code == 409
        assert "another window" in refused.json()["detail"]
    late = studio.client.put(f"pictures/{picture}/mask?after={'0' * 32}", content=(photo / "mask.png").read_bytes())
    assert late.status_code == 412
    job = studio.post("jobs", {**body, "mask": mask}, 201)
    assert job["mask"] == mask
    studio.client.delete(f"jobs/{job['id']}")


def test_two_windows_share_their_marks(page, second, studio, photo):
    open_photo(page, photo)
    second.goto(page.url)
    second.locator("#tools").wait_for()
    dab(page, 0.4, 0.4)
    one = agree(studio, page, second)
    assert one.any()
    dab(second, 0.55, 0.6)
    both = agree(studio, page, second)
    assert both.sum() > one.sum()
    np.testing.assert_array_equal(both & one, one)
    second.click("#clear")
    assert not agree(studio, page, second).any()


def test_strokes_at_the_same_time_in_two_windows_are_both_kept(page, second, studio, photo):
    open_photo(page, photo)
    second.goto(page.url)
    second.locator("#tools").wait_for()
    held = []
    page.route("**/mask?*", lambda route: held.append(route))
    dab(page, 0.4, 0.4)
    mine = exported(page)
    assert held
    dab(second, 0.55, 0.6)
    theirs = agree(studio, second)
    for route in held:
        route.continue_()
    page.unroute("**/mask?*")
    np.testing.assert_array_equal(agree(studio, page, second), mine | theirs)


@pytest.mark.parametrize("left", [0.02, 0.3, 0.6])
def test_marks_on_most_of_a_picture_stay_as_they_are(studio, photo, left):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    known = np.zeros((64, 64), np.uint8)
    known[: round(64 * left)] = 255
    file = io.BytesIO()
    Image.fromarray(known).save(file, "PNG")
    studio.client.put(f"pictures/{picture}/mask", content=file.getvalue())
    np.testing.assert_array_equal(stored(studio, picture), known == 0)


@pytest.mark.parametrize("leave", ["reload", "home", "another page", "a reload in the middle of a stroke"])
def test_a_stroke_is_kept_when_the_page_is_left_at_once(page, studio, photo, leave):
    open_photo(page, photo)
    address = page.url
    if leave != "home":  # the request is lost as well
        page.route("**/mask?*", lambda route: route.abort())
    if leave.startswith("a reload"):
        page.mouse.move(500, 400)
        page.mouse.down()
        page.mouse.move(520, 400)
    else:
        dab(page, 0.5, 0.5)
    if leave == "home":
        page.click("#home")
    elif leave == "another page":
        page.goto("about:blank")
    else:
        page.reload()
    page.unroute("**/mask?*")
    if leave != "home":
        page.goto("about:blank")
    page.goto(address)
    page.locator("#tools").wait_for()
    assert agree(studio, page).any()


def test_a_stroke_that_waits_in_the_browser_outlives_what_another_window_saves(page, second, studio, photo):
    open_photo(page, photo)
    address = page.url
    second.goto(address)
    second.locator("#tools").wait_for()
    page.route("**/mask?*", lambda route: route.abort())
    mine = dab(page, 0.5, 0.5)
    page.goto("about:blank")
    page.unroute("**/mask?*")
    theirs = dab(second, 0.4, 0.65)
    agree(studio, second, least=theirs)
    page.goto(address)
    page.locator("#tools").wait_for()
    assert agree(studio, page, second, least=mine + theirs).any()


def test_the_page_says_that_marks_are_saved_or_why_not(page, studio, photo):
    open_photo(page, photo)
    saved = page.locator("#saved")
    dab(page, 0.5, 0.5)
    playwright.expect(saved).to_have_text("Marks saved")
    page.route(
        "**/mask?*", lambda route: route.fulfill(status=507, json={"detail": "the disk is full: free some space"})
    )
    dab(page, 0.4, 0.4)
    playwright.expect(saved).to_have_text("Not saved: The disk is full: free some space.")
    page.click("#start")
    playwright.expect(page.locator("#notice")).to_contain_text("disk is full")
    page.unroute("**/mask?*")
    playwright.expect(saved).to_have_text("Marks saved", timeout=10_000)
    np.testing.assert_array_equal(stored(studio, picture_of(page)), exported(page))


def test_marks_are_not_called_saved_while_those_of_another_window_are_taken_over(page, second, studio, photo):
    open_photo(page, photo)
    dab(page, 0.5, 0.5)
    second.goto(page.url)
    second.locator("#tools").wait_for()
    agree(studio, page, second)
    held = []
    second.route("**/mask", lambda route: held.append(route))
    dab(page, 0.4, 0.4)
    studio.wait_until(lambda: second.wait_for_timeout(50) or held, 20)
    dab(second, 0.55, 0.6)
    playwright.expect(second.locator("#saved")).to_have_text("Saving…")
    for route in held:
        route.continue_()
    second.unroute("**/mask")
    playwright.expect(second.locator("#saved")).to_have_text("Marks saved")
    agree(studio, page, second)


@pytest.mark.parametrize("content", [b"%PDF-1.7 no picture", b"", b"GIF89a"])
def test_a_wrong_file_leaves_the_picture_and_its_marks(page, studio, photo, tmp_path, content):
    open_photo(page, photo)
    dab(page, 0.5, 0.5)
    before = agree(studio, page)
    (tmp_path / "letter.png").write_bytes(content)
    page.set_input_files("#file", tmp_path / "letter.png")
    page.locator("#notice").wait_for()
    np.testing.assert_array_equal(exported(page), before)
    dab(page, 0.4, 0.4)
    assert agree(studio, page).sum() > before.sum()


def test_a_picture_that_the_server_refuses_gives_the_last_one_back(page, studio, photo):
    open_photo(page, photo)
    address = page.url
    dab(page, 0.5, 0.5)
    before = agree(studio, page)
    page.route("**/pictures?name=*", lambda route: route.fulfill(status=507, json={"detail": "the disk is full"}))
    page.set_input_files("#file", photo / "photo.png")
    playwright.expect(page.locator("#notice")).to_have_text("The disk is full.")
    assert page.url == address
    np.testing.assert_array_equal(exported(page), before)


def test_a_painted_picture_is_found_at_home(page, studio, photo):
    open_photo(page, photo)
    dab(page, 0.5, 0.5)
    before = agree(studio, page)
    picture = picture_of(page)
    page.click("#home")
    page.locator(f"[data-picture='{picture}']").click()
    page.locator("#tools").wait_for()
    np.testing.assert_array_equal(agree(studio, page), before)
    page.click("#home")
    page.locator(f"[data-picture='{picture}'] + .remove").click()
    page.locator("#sure [value=yes]").click()
    playwright.expect(page.locator(f"[data-picture='{picture}']")).to_have_count(0)
    assert studio.client.get(f"pictures/{picture}").status_code == 404


def test_storage_is_shown_and_only_the_user_removes(page, studio, photo):
    open_photo(page, photo)
    picture = picture_of(page)
    page.click("#storage-open")
    row = page.locator(f"#storage-entries input[value='{picture}']")
    row.check()
    page.fill("#storage-limit", "0")
    page.locator("#storage-limit").blur()
    playwright.expect(page.locator("#storage-open")).to_contain_text("Storage: ")
    assert studio.get("storage")["largest"] == 0
    assert picture in {entry["id"] for entry in studio.get("storage")["entries"]}
    page.locator(f"#storage-entries input[value='{picture}']").check()
    page.click("#storage-remove")
    page.locator("#sure [value=no]").click()
    assert studio.client.get(f"pictures/{picture}").status_code == 200
    page.click("#storage-remove")
    page.locator("#sure [value=yes]").click()
    playwright.expect(row).to_have_count(0)
    assert studio.client.get(f"pictures/{picture}").status_code == 404
    assert studio.client.put("storage", json={"largest": 20 * 2**30}).status_code == 204


def test_the_picture_of_an_unfinished_job_stays(studio, photo):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    studio.client.put(f"pictures/{picture}/mask", content=(photo / "mask.png").read_bytes())
    body = {"picture": picture, "task": "inpaint", "settings": {"recipe": "fast", "iterations": 100_000}}
    job = studio.post("jobs", body, 201)["id"]
    assert studio.client.delete(f"pictures/{picture}").status_code == 409
    for removal in ({"pictures": [picture]}, {"jobs": [job]}, {"pictures": [picture], "jobs": [job]}):
        assert studio.client.post("storage/remove", json=removal).status_code == 409
    studio.post(f"jobs/{job}/cancel")
    assert studio.post("storage/remove", {"pictures": [picture], "jobs": [job]}) == {"removed": 2}


def walk(page, other, studio, photo, steps, seed=0):
    """Do at random what a user may do, and check after each step that nothing was lost and nothing came back."""
    draw = random.Random(seed)
    open_photo(page, photo)
    address = page.url
    other.goto(address)
    other.locator("#tools").wait_for()
    marks = agree(studio, page, other)

    def place():
        return draw.uniform(0.38, 0.6), draw.uniform(0.3, 0.7)

    def reload():
        page.reload()
        page.locator("#tools").wait_for()

    def away(there):
        there()
        page.goto(address) if draw.random() < 0.5 else page.go_back()
        until(page, f"location.href === {address!r}")
        page.locator("#tools").wait_for()

    def paint_and_reload():
        # The stroke may be on its way still, or wait in the browser, when the page is there again.
        least = dab(page, *place())
        reload()
        return least

    def both():
        return max(dab(page, *place()), dab(other, *place()))

    def job():
        if page.is_disabled("#start"):
            return
        away(lambda: started.append(start(page, 1000)))
        studio.client.delete(f"jobs/{started.pop()}")

    more = {"dab": lambda: dab(page, *place()), "other": lambda: dab(other, *place()), "both": both,
            "paint and reload": paint_and_reload}  # fmt: skip
    same = {"reload": reload, "home": lambda: away(lambda: page.click("#home")), "job": job}
    any_ = {"undo": lambda: page.keyboard.press("Control+z"), "redo": lambda: page.keyboard.press("Control+y"),
            "clear": lambda: page.click("#clear")}  # fmt: skip
    done, started = [], []
    for _ in range(steps):
        page.bring_to_front()
        weights = {**dict.fromkeys(more, 4), **dict.fromkeys(same, 2), **dict.fromkeys(any_, 1), "job": 0.3}
        name = draw.choices(list(weights), list(weights.values()))[0]
        done.append(name)
        least = {**more, **same, **any_}[name]()
        try:
            now = agree(studio, page, other, least=least if name in more else 0)
        except AssertionError as error:
            raise AssertionError(f"{error} after {done}") from None
        lost, back = (marks & ~now).sum(), (now & ~marks).sum()
        assert name in any_ or not lost, f"{lost} marks are lost at the end of {done}"
        assert name not in same or not back, f"{back} marks came back at the end of {done}"
        marks = now
    for shown in (page, other):
        shown.bring_to_front()
        np.testing.assert_array_equal(exported(shown), marks)


def test_no_stroke_is_lost_in_a_short_walk(page, second, studio, photo):
    started = time.monotonic()
    walk(page, second, studio, photo, 6)
    assert time.monotonic() - started < 120


@pytest.mark.slow
def test_no_stroke_is_lost_in_a_long_walk(page, second, studio, photo):
    walk(page, second, studio, photo, 500, seed=1)
