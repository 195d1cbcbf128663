"""Results looked at, compared, changed in strength, and taken away in several formats."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from studio_page import until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def picture(studio, photo):
    identity = studio.upload((photo / "photo.png").read_bytes())["id"]
    studio.client.put(f"pictures/{identity}/mask", content=(photo / "mask.png").read_bytes())
    return identity


def fitted(studio, picture, task="denoise", **settings):
    settings = {"recipe": "fast", "iterations": 3, **settings}
    job = studio.post("jobs", {"picture": picture, "task": task, "settings": settings}, 201)["id"]
    studio.wait_for(job, "done")
    return job


@pytest.fixture(scope="module")
def denoised(studio, picture):
    return fitted(studio, picture, noise=10)


def result(studio, job):
    return studio.client.get(f"jobs/{job}/files/result").content


@pytest.mark.slow
def test_another_strength_is_what_a_fit_with_it_gives_and_the_slider_shows(studio, picture, denoised):
    views = [studio.client.get(f"jobs/{denoised}/files/{name}").content for name in ("before", "denoised", "smoothed")]
    before, full, smoothed = (np.asarray(Image.open(io.BytesIO(one))).astype(float) for one in views)
    assert views[1] == result(studio, denoised)
    for strength, expected in ((0.5, (before + full) / 2), (1.25, (full + smoothed) / 2)):
        studio.post(f"jobs/{denoised}/strength", {"strength": strength})
        assert f"--strength {strength}" in studio.wait_for(denoised, "done")["command"]
        made = result(studio, denoised)
        assert np.abs(np.asarray(Image.open(io.BytesIO(made))) - expected).max() <= 1.5
    assert made == result(studio, fitted(studio, picture, noise=10, strength=1.25))
    assert studio.client.post(f"jobs/{denoised}/strength", json={"strength": 9}).status_code == 422


@pytest.mark.slow
def test_results_in_other_formats(studio, denoised):
    def export(form, quality=95):
        answer = studio.client.get(f"jobs/{denoised}/export", params={"format": form, "quality": quality})
        assert answer.status_code == 200, answer.text
        return answer

    original = np.asarray(Image.open(io.BytesIO(result(studio, denoised))))
    for form, extension in (("png", "png"), ("jpeg", "jpg"), ("tiff", "tif"), ("webp", "webp"), ("pair", "png")):
        answer = export(form, 100)
        assert answer.headers["content-disposition"].endswith(f".{extension}")
        image = Image.open(io.BytesIO(answer.content))
        if form == "pair":
            assert image.size[0] > 2 * 64
            np.testing.assert_array_equal(np.asarray(image)[:, -64:], original)
        elif form == "jpeg":
            assert np.abs(np.asarray(image).astype(float) - original).mean() < 3
        else:
            np.testing.assert_array_equal(np.asarray(image), original)
    for form in ("jpeg", "webp"):
        assert len(export(form, 30).content) < len(export(form, 90).content)
    assert not list((studio.folder / "pictures").glob(".new-*"))


@pytest.mark.parametrize("values", [np.uint16, np.float32])
def test_a_deep_picture_with_holes_becomes_a_jpeg(values, tmp_path, monkeypatch):
    from untaught.imaging.picture import Picture
    from untaught.imaging.reading import read
    from untaught.imaging.writing import write
    from untaught.studio.exports import export

    monkeypatch.chdir(tmp_path)
    top = 65535 if values is np.uint16 else 1
    shades = np.linspace(0, top, 20 * 20 * 3).reshape(20, 20, 3).astype(values)
    write("deep.tif", Picture(shades, np.full((20, 20), top, values)))
    export("deep.tif", "deep.tif", "deep.tif", "export.jpg", "jpeg", "95")
    found = read("export.jpg").pixels.astype(float)
    assert np.abs(found - shades.astype(float) * (255 / top)).max() < 12
    export("deep.tif", "deep.tif", "deep.tif", "export.png", "pair", "95")
    assert read("export.png").pixels.shape == (20, 42, 3)
    write("black.png", Picture(np.zeros((40, 40), np.uint8)))
    export("deep.tif", "deep.tif", "black.png", "export.gif", "gif", "95")
    with Image.open("export.gif") as turns:
        assert (turns.size, turns.n_frames) == ((20, 20), 2)
        assert np.asarray(turns.convert("L")).max() == 0
        turns.seek(1)
        assert np.asarray(turns.convert("L")).mean() > 100


def test_a_histogram_of_before_and_after(page, studio, denoised):
    page.goto(f"{studio.home}/#job={denoised}")
    until(page, "document.body.dataset.shown === 'result'")
    assert page.is_hidden("#histogram")
    page.keyboard.press("g")
    page.locator("#histogram").wait_for()
    assert page.get_attribute("#histogram-toggle", "aria-pressed") == "true"
    ink = """() => {
        const chart = document.getElementById("histogram-chart"), half = [0, 0];
        const { data } = chart.getContext("2d").getImageData(0, 0, chart.width, chart.height);
        for (let at = 3; at < data.length; at += 4) {
            if (data[at]) half[2 * ((at >> 2) % chart.width) < chart.width ? 0 : 1]++;
        }
        return half;
    }"""
    assert min(page.evaluate(ink)) > 0
    page.evaluate("""async () => {
        const { levels } = await import("/static/stage.js"), { Histogram } = await import("/static/histogram.js");
        const values = new Uint8ClampedArray(4 * 64 * 64).fill(250);
        const bright = await levels(await createImageBitmap(new ImageData(values, 64, 64)));
        new Histogram({ before: bright, after: bright, against: null }).draw();
    }""")
    dark, light = page.evaluate(ink)
    assert light > 4 * dark
    page.keyboard.press("g")
    assert page.is_hidden("#histogram")


def test_a_result_is_restored_again(page, studio, denoised):
    page.goto(f"{studio.home}/#job={denoised}")
    page.click("#use")
    page.locator("#paint-panel").wait_for()
    until(page, "location.hash.startsWith('#picture=')")
    added = page.url.partition("picture=")[2]
    assert studio.client.get(f"pictures/{added}/view").content == result(studio, denoised)
    assert page.inner_text("#subject").startswith("photo-restored")


@pytest.mark.slow
def test_two_results_side_by_side_a_loupe_and_a_strength(page, studio, picture, denoised):
    other = fitted(studio, picture, noise=10, iterations=2)
    page.goto(f"{studio.home}/#job={denoised}")
    page.locator(f"#against option[value='{other}']").wait_for(state="attached")
    until(page, "document.body.dataset.shown === 'result'")
    page.select_option("#against", other)
    playwright.expect(page.locator("#tag-before")).to_contain_text("Iterations: 2")
    page.click("[data-view=side]")
    page.locator("#canvas").hover()
    plain = pixels(page)
    page.keyboard.down("l")
    assert (pixels(page) != plain).any()
    page.keyboard.up("l")
    np.testing.assert_array_equal(pixels(page), plain)
    page.click("#pixels")
    playwright.expect(page.locator("#zoom-shown")).to_have_text("100 %")
    page.locator("#strength-after").fill("0.5")
    playwright.expect(page.locator("#job-about")).to_contain_text("0.5", timeout=30_000)
    assert studio.get(f"jobs/{denoised}")["settings"]["strength"] == 0.5
    page.click("#downloads summary")
    page.select_option("#format", "webp")
    with page.expect_download() as download:
        page.click("#export")
    assert Image.open(download.value.path()).format == "WEBP"


def test_a_moment_is_kept(page, studio, picture):
    body = {"picture": picture, "task": "inpaint", "settings": {"iterations": 100_000}}
    job = studio.post("jobs", body, 201)["id"]
    studio.wait_until(lambda: len(studio.get(f"jobs/{job}/moments")["iterations"]) > 1)
    studio.post(f"jobs/{job}/cancel")
    page.goto(f"{studio.home}/#job={job}")
    until(page, "!document.getElementById('moment').disabled")
    assert page.is_hidden("#keep-moment")
    page.locator("#moment").fill("0")
    shown = studio.get(f"jobs/{job}/moments")["iterations"][0]
    until(page, f"document.body.dataset.shown === '{shown}'")
    with page.expect_download() as download:
        page.click("#keep-moment")
    assert download.value.suggested_filename == f"photo-{shown}.png"
    kept = np.asarray(Image.open(download.value.path()).convert("RGB"))
    before = np.asarray(Image.open(io.BytesIO(studio.client.get(f"jobs/{job}/files/before").content)).convert("RGB"))
    known = np.asarray(Image.open(io.BytesIO(studio.client.get(f"jobs/{job}/files/mask").content)).convert("L")) > 0
    np.testing.assert_array_equal(kept[known], before[known])
    assert (kept != before)[~known].any()


@pytest.mark.slow
def test_what_was_not_marked_is_shown_from_the_original(page, studio, picture):
    """Previews are JPEGs, and would show their blocks everywhere."""
    body = {"picture": picture, "task": "inpaint", "settings": {"iterations": 100_000}}
    job = studio.post("jobs", body, 201)["id"]
    assert studio.client.post(f"jobs/{job}/strength", json={"strength": 1}).status_code == 422
    page.goto(f"{studio.home}/#job={job}")
    until(page, "Number(document.body.dataset.shown) > 0")
    page.click("[data-view=after]")
    page.click("#pause")  # nothing changes any more
    playwright.expect(page.locator("#job-title")).to_have_text("Paused", timeout=60_000)
    page.wait_for_timeout(500)
    after = pixels(page)
    page.keyboard.down("b")
    before = pixels(page)
    page.keyboard.up("b")
    studio.post(f"jobs/{job}/cancel")
    changed = (after != before).any(-1)
    rows = np.flatnonzero(changed.any(1))
    assert changed.any(), "the marked places are restored"
    # The marks are six rows of sixty-four.
    assert np.ptp(rows) < 0.2 * shown_height(page)


def shown_height(page):
    return 64 * float(page.inner_text("#zoom-shown").split()[0]) / 100


def pixels(page):
    """The canvas, (H, W, 4)."""
    data = page.evaluate(
        """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(
            () => resolve(document.getElementById('canvas').toDataURL().split(',')[1]))))"""
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def test_a_film_of_before_and_after(tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    from untaught.imaging.picture import Picture
    from untaught.imaging.writing import write
    from untaught.studio.exports import export

    monkeypatch.chdir(tmp_path)
    write("before.png", Picture(np.full((41, 63), 20, np.uint8)))
    write("after.png", Picture(np.full((41, 63, 3), 230, np.uint8)))
    export("after.png", "after.png", "before.png", "export.mp4", "mp4", "95")
    with av.open("export.mp4") as film:
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
        assert film.streams.video[0].codec_context.name == "h264"
    assert frames[0].shape == (40, 62)
    assert np.abs(frames[0].astype(int) - 20).max() < 8
    assert np.abs(frames[-1].astype(int) - 230).max() < 8
    middle = frames[len(frames) * 50 // 114]
    assert middle[:, 4].mean() > 200
    assert middle[:, -4].mean() < 40


def test_a_film_is_offered_only_where_it_can_be_written(page, studio, monkeypatch):
    import importlib.util

    from untaught.errors import InputError
    from untaught.imaging.picture import Picture
    from untaught.studio import exports
    from untaught.studio.previews import as_film

    can = importlib.util.find_spec("av") is not None
    assert ("mp4" in studio.get("tasks")["exports"]) is can
    # Until the page knows what is offered, it is hidden.
    until(page, f"document.querySelector('#format [value=mp4]').hidden === {str(not can).lower()}")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "mp4" not in exports.offered()
    black = Picture(np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match=r"untaught\[film\]"):
        as_film(black, black)


def test_the_card_of_a_job_shows_its_result(page, studio, picture, denoised):
    jobs = [fitted(studio, picture, noise=10 + number) for number in range(6)]
    small = np.asarray(
        Image.open(io.BytesIO(studio.client.get(f"jobs/{jobs[0]}/files/thumbnail").content)).convert("L")
    )
    whole = np.asarray(Image.open(io.BytesIO(result(studio, jobs[0]))).convert("L"))
    assert np.abs(small.astype(float) - whole).mean() < 2
    page.set_viewport_size({"width": 1024, "height": 600})
    page.goto(f"{studio.home}/#job={denoised}")
    current = page.locator(f"[data-job='{denoised}'][aria-current=true]")
    playwright.expect(current).to_be_in_viewport(ratio=0.99)
    zip_, card = page.locator("#zip").bounding_box(), current.bounding_box()
    assert card["x"] + card["width"] <= zip_["x"] + 1
    assert page.locator(f"[data-job='{denoised}'] img").get_attribute("src").split("-")[1] == "done"
