"""Jobs that cannot succeed are refused before they are queued, at the field that is wrong."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from studio_page import choose_task, chosen_task, drag, open_photo, until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def as_png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def painted(studio, photo):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    studio.client.put(f"pictures/{picture}/mask", content=(photo / "mask.png").read_bytes())
    studio.wait_until(lambda: devices(studio))
    return picture


def devices(studio):
    settings = {one["name"]: one for one in studio.get("tasks")["tasks"][0]["settings"]}
    return settings["device"]["choices"]


DOOMED = [
    ("deblur", {}, None, "radius"),
    ("deblur", {"radius": "far"}, None, "radius"),
    ("deblur", {"radius": -1}, None, "radius"),
    ("demosaic", {}, None, ""),
    ("dejpeg", {"consistent": True}, None, "consistent"),
    ("inpaint", {"device": "cuda:93"}, None, "device"),
    ("inpaint", {"device": "gpu"}, None, "device"),
    ("inpaint", {"iterations": 0}, None, "iterations"),
    ("inpaint", {"seed": 1, "time_budget": "soon"}, None, "time_budget"),
    ("inpaint", {"feather": 3, "keep_known": False}, None, "feather"),
    ("inpaint", {"feather": 99}, None, "feather"),
    ("inpaint", {"volume": True}, None, "volume"),
    ("inpaint", {}, (0, 40, 20, 20), "region"),
    ("inpaint", {}, (8, 20, 16, 6), "region"),
    ("inpaint", {}, (56, 56, 20, 20), "region"),
    ("denoise", {}, (0, 0, 3, 3), "region"),
]


@pytest.mark.parametrize(("task", "settings", "crop", "field"), DOOMED)
def test_doomed_jobs_are_refused_at_the_field(studio, painted, task, settings, crop, field):
    before = studio.get("jobs")["jobs"]
    body = {"picture": painted, "task": task, "settings": settings, "crop": crop}
    answer = studio.client.post("jobs", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    detail = answer.json()["detail"]
    for word in ("None", "True", "_", "Error", "cuda:93 is not", "'"):
        assert word not in re.sub("'soon'|'far'|network's", "", detail), detail
    assert studio.get("jobs")["jobs"] == before


@pytest.mark.parametrize("crop", [None, (20, 20, 16, 16)])
def test_a_picture_that_is_all_marked_is_refused(studio, photo, crop):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    known = np.full((64, 64), 0, np.uint8)
    if crop is not None:
        known[:10] = 255
    studio.client.put(f"pictures/{picture}/mask", content=as_png(known))
    answer = studio.client.post("jobs", json={"picture": picture, "task": "inpaint", "crop": crop})
    assert answer.status_code == 422
    assert "all of the" in answer.json()["detail"]


def test_the_page_says_it_at_the_field(page, photo):
    open_photo(page, photo)
    choose_task(page, "deblur")
    page.click("#start")
    wrong = page.locator("[data-option=radius][aria-invalid=true]")
    wrong.wait_for()
    assert "radius" in page.inner_text("#wrong")
    assert page.evaluate("() => document.activeElement.dataset.option") == "radius"
    wrong.fill("1.5")
    playwright.expect(page.locator("#wrong")).to_have_count(0)
    until(page, "document.querySelector('select[data-option=device]') !== null")


def test_a_region_that_is_too_small_is_said(page, photo):
    open_photo(page, photo)
    page.set_input_files("#mask-file", photo / "mask.png")
    playwright.expect(page.locator("#start")).to_be_enabled()
    page.click("#try")
    drag(page, (0.5, 0.5), (0.505, 0.505))
    playwright.expect(page.locator("#notice")).to_contain_text("too small")


def test_settings_of_a_job_can_be_changed(page, studio, painted):
    body = {"picture": painted, "task": "denoise", "settings": {"recipe": "fast", "iterations": 7, "kind": "poisson"}}
    job = studio.post("jobs", body, 201)["id"]
    studio.post(f"jobs/{job}/cancel")
    page.goto(f"{studio.home}/#job={job}")
    page.locator("#change").click()
    page.locator("#paint-panel").wait_for()
    assert chosen_task(page) == "denoise"
    assert page.input_value("[data-option=iterations]") == "7"
    assert page.locator("[data-option=kind] [aria-checked=true]").text_content() == "Poisson"
    assert page.locator("[data-option=recipe] [aria-checked=true]").inner_text() == "Fast"


def test_a_plan_tells_the_time_and_the_notes_before_the_start(page, studio, photo, painted):
    body = {"picture": painted, "task": "inpaint", "settings": {"recipe": "fast", "iterations": 40}}
    told = studio.post("jobs/plan", body)
    assert told["iterations"] == 40
    assert 0 < told["seconds"] < 600
    shorter = studio.post(
        "jobs/plan", {**body, "settings": {"recipe": "fast", "iterations": 40, "time_budget": "0.001s"}}
    )
    assert shorter["seconds"] <= 0.001
    noted = studio.post("jobs/plan", {**body, "task": "denoise"})
    assert any("noise" in note for note in noted["notes"])
    refused = studio.client.post("jobs/plan", json={**body, "task": "deblur", "settings": {"radius": 40}})
    assert refused.status_code == 422, refused.text
    assert "blur" in refused.json()["detail"]
    assert str(studio.folder) not in refused.text
    assert all(job["picture"] != "0" * 16 for job in studio.get("jobs")["jobs"])
    open_photo(page, photo)
    page.set_input_files("#mask-file", photo / "mask.png")
    playwright.expect(page.locator("#plan")).to_contain_text("on this machine", timeout=20_000)


# Second pictures -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def second(studio, photo):
    """A picture with a guide, another mixture and a kernel."""
    pixels = np.asarray(Image.open(photo / "photo.png"))
    identity = studio.upload((photo / "photo.png").read_bytes())["id"]
    point = np.zeros((5, 5), np.uint8)
    point[2, 1:4] = 85
    shadow = (pixels * np.linspace(0.4, 1, 64)[None, :, None]).astype(np.uint8)
    for role, content in (("guide", as_jpeg(pixels)), ("other", as_png(shadow)), ("kernel", as_png(point))):
        answer = studio.client.put(f"pictures/{identity}/files/{role}?name=my-{role}.png", content=content)
        assert answer.status_code == 200, answer.text
    assert studio.get(f"pictures/{identity}")["files"] == {role: f"my-{role}" for role in ("guide", "other", "kernel")}
    return identity


def as_jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "settings", "crop"),
    [("guide", {"noise": 8}, (8, 8, 32, 40)), ("separate", {}, (0, 16, 64, 32)), ("deblur", {}, None)],
)
def test_a_second_picture_is_used(studio, second, task, settings, crop):
    body = {"picture": second, "task": task, "settings": {"iterations": 2, **settings}, "crop": crop}
    job = studio.post("jobs", body, 201)
    facts = studio.wait_for(job["id"], "done")
    role = {"guide": "guide", "separate": "other", "deblur": "kernel"}[task]
    assert f"--{role} photo" in facts["command"]
    result = Image.open(io.BytesIO(studio.client.get(f"jobs/{job['id']}/files/result").content))
    assert result.size == ((64, 64) if crop is None else crop[2:])
    layer = studio.client.get(f"jobs/{job['id']}/files/layer?download=1")
    assert layer.status_code == (200 if task == "separate" else 404)
    assert facts["has_layer"] == (task == "separate")


def test_a_second_picture_that_is_missing_or_does_not_fit_is_refused(studio, photo):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    for task, role in (("guide", "guide"), ("separate", "other")):
        answer = studio.client.post("jobs", json={"picture": picture, "task": task})
        assert answer.status_code == 422
        assert answer.json()["field"] == role
        assert "second picture" in answer.json()["detail"]
        small = as_png(np.zeros((20, 30), np.uint8))
        answer = studio.client.put(f"pictures/{picture}/files/{role}", content=small)
        assert answer.status_code == 422
        assert "30 x 20" in answer.json()["detail"] or "20 x 30" in answer.json()["detail"]
    assert studio.get(f"pictures/{picture}")["files"] == {}
    assert studio.client.put(f"pictures/{picture}/files/original", content=small).status_code == 422
    studio.client.put(f"pictures/{picture}/files/kernel", content=small)
    assert studio.client.delete(f"pictures/{picture}/files/kernel").status_code == 204
    assert not [path for path in (studio.folder / "pictures" / picture).iterdir() if path.name.startswith("kernel")]


def test_the_page_asks_for_a_second_picture(page, photo):
    open_photo(page, photo)
    assert page.is_hidden("#second-part")
    choose_task(page, "guide")
    assert page.is_disabled("#start")
    playwright.expect(page.locator("#plan")).to_contain_text("second picture")
    with page.expect_file_chooser() as chooser:
        page.click("[data-second=guide]")
    chooser.value.set_files(photo / "photo.png")
    playwright.expect(page.locator("#start")).to_be_enabled()
    playwright.expect(page.locator("[data-second=guide]")).to_be_focused()
    page.reload()
    page.locator("#task").wait_for()
    choose_task(page, "guide")
    playwright.expect(page.locator("#start")).to_be_enabled()
    page.get_by_role("button", name="Remove", exact=True).first.click()
    playwright.expect(page.locator("#start")).to_be_disabled()
