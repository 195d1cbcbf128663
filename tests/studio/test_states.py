"""What the page says and offers where something has ended, failed, or not begun."""

import pytest

from running_studio import RunningStudio
from studio_page import drag, open_photo, until, visit

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
LONG = {"task": "denoise", "settings": {"recipe": "fast", "iterations": 100_000}}
SHORT = {"task": "denoise", "settings": {"recipe": "fast", "iterations": 3}}


@pytest.fixture
def picture(studio, photo):
    return studio.upload((photo / "photo.png").read_bytes())["id"]


def test_a_job_that_waits_has_nothing_to_compare_and_no_checkpoint(page, studio, picture):
    running, waiting = (studio.post("jobs", {"picture": picture, **LONG}, 201)["id"] for _ in range(2))
    page.goto(f"{studio.home}/#job={waiting}")
    playwright.expect(page.locator("#why")).to_contain_text("Another job")
    for part in ("#compare", "#divider", "#tag-after"):
        assert page.is_hidden(part), part
    page.click("#cancel")
    playwright.expect(page.locator("#why")).to_contain_text("had not begun")
    page.goto(f"{studio.home}/#job={running}")
    page.locator("#divider").wait_for()
    assert page.is_visible("#compare")
    assert page.is_hidden("#to-latest")  # it is shown already
    page.click("#cancel")
    playwright.expect(page.locator("#why")).to_contain_text("checkpoint")


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_the_divider_sweeps_once_at_the_end(page, studio, picture, motion):
    page.emulate_media(reduced_motion=motion)
    job = studio.post("jobs", {"picture": picture, **LONG}, 201)["id"]
    page.goto(f"{studio.home}/#job={job}")
    page.locator("#divider").wait_for()
    page.evaluate("""() => {
        const divider = document.getElementById("divider");
        window.seen = [];
        new MutationObserver(() => window.seen.push(Number(divider.getAttribute("aria-valuenow"))))
            .observe(divider, { attributes: true, attributeFilter: ["aria-valuenow"] });
    }""")
    studio.post(f"jobs/{job}/finish")
    playwright.expect(page.locator("#job-title")).to_have_text("Restored", timeout=60_000)
    if motion == "reduce":
        page.wait_for_timeout(2000)
        assert page.evaluate("() => window.seen") == []
        return
    until(page, "window.seen.length && Math.min(...window.seen) < 20")
    until(page, "window.seen.at(-1) === 50")
    assert page.evaluate("() => Math.max(...window.seen)") > 80


def test_what_was_compared_with_is_not_kept_for_another_job(page, studio, picture):
    jobs = []
    for noise in (10, 20, 30):
        settings = {**SHORT["settings"], "noise": noise}
        jobs.append(studio.post("jobs", {"picture": picture, "task": "denoise", "settings": settings}, 201)["id"])
    for job in jobs:
        studio.wait_for(job, "done")
    page.goto(f"{studio.home}/#job={jobs[0]}")
    page.locator(f"#against option[value='{jobs[2]}']").wait_for(state="attached")
    page.select_option("#against", jobs[2])
    playwright.expect(page.locator("#tag-before")).to_contain_text("30")
    page.goto(f"{studio.home}/#job={jobs[1]}")
    page.locator(f"#against option[value='{jobs[0]}']").wait_for(state="attached")
    assert page.input_value("#against") == ""
    assert page.inner_text("#tag-before") == "Before"


def test_a_notice_and_what_is_opened_are_in_sight_on_a_phone(page, photo):
    page.set_viewport_size({"width": 390, "height": 844})
    open_photo(page, photo)
    drag(page, (0.4, 0.5), (0.6, 0.5))
    playwright.expect(page.locator("#start")).to_be_enabled()
    page.route("**/api/jobs", lambda route: route.abort())
    page.locator("#start").scroll_into_view_if_needed()
    page.click("#start")
    playwright.expect(page.locator("#notice")).to_contain_text("does not answer")
    playwright.expect(page.locator("#notice")).to_be_in_viewport()
    page.evaluate("() => scrollTo(0, 9999)")
    page.evaluate("() => { location.hash = ''; }")
    page.locator("#empty").wait_for()
    assert page.evaluate("() => scrollY") == 0


def test_a_browser_without_notifications_still_shows_the_end(page, studio, picture):
    page.evaluate("""() => {
        window.Notification = class {
            static permission = "granted";
            constructor() { throw new TypeError("not here"); }
        };
        Object.defineProperty(document, "hidden", { value: true, configurable: true });
    }""")
    job = studio.post("jobs", {"picture": picture, **SHORT}, 201)["id"]
    page.evaluate(f"() => {{ location.hash = 'job={job}'; }}")
    playwright.expect(page.locator("#job-title")).to_have_text("Restored", timeout=60_000)


def test_a_command_is_copied_also_without_a_clipboard_for_scripts(page, studio, picture):
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    job = studio.post("jobs", {"picture": picture, **SHORT}, 201)["id"]
    studio.wait_for(job, "done")
    page.evaluate(f"() => {{ location.hash = 'job={job}'; }}")
    page.locator("#download").wait_for()
    assert page.is_hidden("#copy-picture")
    page.click("#downloads summary")
    page.click("#copy")
    playwright.expect(page.locator("#copy")).to_have_text("Copied")


def test_a_session_that_has_ended_is_told(browser, tmp_path):
    with RunningStudio(tmp_path) as studio, browser.new_context() as context:
        page = context.new_page()
        visit(page, studio)
        page.locator("#examples button").first.wait_for()
        port = studio.home.rpartition(":")[2]
        studio.kill()
        said = page.locator("#connection")
        playwright.expect(said).to_contain_text("does not answer")
        context.clear_cookies()
        studio.start(port)
        playwright.expect(said).to_contain_text("session has ended", timeout=30_000)
        page.locator("#examples button").first.click()
        playwright.expect(page.locator("#empty-notice")).to_contain_text("session has ended")
        visit(context.new_page(), studio)
        until(page, "document.getElementById('connection').hidden")


def test_a_notification_tells_of_the_end_where_it_is_allowed(page, studio, picture):
    page.evaluate("""() => {
        window.told = [];
        window.Notification = class {
            static permission = "granted";
            constructor(title, { body }) { window.told.push(body); }
        };
        Object.defineProperty(document, "hidden", { value: true, configurable: true });
    }""")
    job = studio.post("jobs", {"picture": picture, **SHORT}, 201)["id"]
    studio.wait_for(job, "done")
    until(page, "window.told.length")
    assert page.evaluate("() => window.told") == ["photo: restored"]
    assert page.title().startswith("photo: restored")
    page.evaluate("""() => {
        Object.defineProperty(document, "hidden", { value: false, configurable: true });
        dispatchEvent(new Event("visibilitychange"));
    }""")
    assert page.title() == "untaught studio"


def test_the_result_is_copied_as_a_picture(page, studio, picture):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    job = studio.post("jobs", {"picture": picture, **SHORT}, 201)["id"]
    studio.wait_for(job, "done")
    page.goto(f"{studio.home}/#job={job}")
    page.click("#copy-picture")
    playwright.expect(page.locator("#copy-picture")).to_have_text("Copied")
    size = page.evaluate("""async () => {
        const [item] = await navigator.clipboard.read();
        const { width, height } = await createImageBitmap(await item.getType("image/png"));
        return [width, height];
    }""")
    assert size == [64, 64]


def test_the_loupe_shows_before_at_its_left_and_after_at_its_right(page):
    """Two plain pictures on a stage of their own; a pixel is looked at on each side of the loupe."""
    seen = page.evaluate("""async () => {
        const { Stage } = await import("/static/stage.js"), canvas = document.createElement("canvas");
        canvas.style.cssText = "position: fixed; inset: 0; width: 600px; height: 400px";
        const parent = document.createElement("div");
        parent.append(canvas);
        document.body.append(parent);
        const plain = (shade) => {
            const image = new ImageData(64, 64);
            new Uint32Array(image.data.buffer).fill(shade);
            return createImageBitmap(image);
        };
        const stage = new Stage(canvas);
        await stage.open(await plain(0xffffffff), 64, 64);
        await stage.setAfter(await plain(0xff202020));
        stage.view = "after";
        stage.loupe = true;
        stage.pointer = [300, 200];
        stage.draw();
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const scale = devicePixelRatio;
        const at = (x) => canvas.getContext("2d").getImageData(x * scale, 200 * scale, 1, 1).data[0];
        const found = [at(260), at(340)];
        parent.remove();
        return found;
    }""")
    assert seen == [255, 32]
