"""Volumes: the pages of a file, restored together, of which one slice is looked at."""

import io

import numpy as np
import pytest
import tifffile

from studio_page import choose_task, until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

PAGES = 4


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """A file with slices of different brightness."""
    noise = np.random.default_rng(0).normal(0, 6, (PAGES, 40, 48))
    slices = np.arange(PAGES)[:, None, None] * 50 + 40 + noise
    path = tmp_path_factory.mktemp("volume") / "scan.tif"
    tifffile.imwrite(path, slices.clip(0, 255).astype(np.uint8), photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def third(studio, volume):
    """Its third page, as a picture of the studio."""
    first = studio.upload(volume.read_bytes(), "scan.tif")["id"]
    return studio.post(f"pictures/{first}/pages/3", status=201)["id"]


def fitted(studio, picture, crop=None, **settings):
    settings = {"volume": True, "recipe": "fast", "iterations": 2, **settings}
    body = {"picture": picture, "task": "denoise", "settings": settings, "crop": crop}
    return studio.wait_for(studio.post("jobs", body, 201)["id"], "done")


@pytest.fixture(scope="module")
def restored(studio, third):
    return fitted(studio, third, noise=6)


def pages_of(content):
    return tifffile.imread(io.BytesIO(content))


def test_all_slices_are_restored_and_one_is_shown(studio, volume, restored):
    job = f"jobs/{restored['id']}"
    result = pages_of(studio.client.get(f"{job}/files/result").content)
    assert result.shape == (PAGES, 40, 48)
    assert np.abs(result.mean((1, 2)) - tifffile.imread(volume).mean((1, 2))).max() < 12
    assert "--volume" in restored["command"]
    assert "--page" not in restored["command"]
    assert restored["command"].startswith("untaught denoise scan.tif -o scan-restored.tif ")
    seen = np.asarray(_image(studio.client.get(f"{job}/files/view").content))
    np.testing.assert_array_equal(seen, result[2])
    for number in (1, PAGES):
        after, before = (studio.client.get(f"{job}/slices/{number}/{which}") for which in ("after", "before"))
        np.testing.assert_array_equal(np.asarray(_image(after.content)), result[number - 1])
        assert np.asarray(_image(before.content)).shape == (40, 48)
    assert studio.client.get(f"{job}/slices/{PAGES + 1}/after").status_code == 404
    record = studio.get(f"{job}/files/record")
    assert record["options"]["volume"] is True
    again = studio.post(f"{job}/picture", status=201)
    assert (again["page"], again["pages"]) == (3, PAGES)


def _image(content):
    from PIL import Image

    return Image.open(io.BytesIO(content))


def test_only_a_tiff_holds_all_slices(studio, restored):
    for form, shape in (("tiff", (PAGES, 40, 48)), ("png", (40, 48)), ("jpeg", (40, 48))):
        answer = studio.client.get(f"jobs/{restored['id']}/export", params={"format": form})
        found = pages_of(answer.content) if form == "tiff" else np.asarray(_image(answer.content))
        assert found.shape == shape


def test_marks_count_in_each_slice_of_a_region(studio, third):
    known = np.full((40, 48), 255, np.uint8)
    known[10:14, 10:30] = 0
    file = io.BytesIO()
    from PIL import Image

    Image.fromarray(known).save(file, "PNG")
    assert studio.client.put(f"pictures/{third}/mask", content=file.getvalue()).status_code == 200
    settings = {"volume": True, "recipe": "fast", "iterations": 2, "feather": 2}
    body = {"picture": third, "task": "inpaint", "settings": settings, "crop": (4, 4, 32, 24)}
    job = studio.wait_for(studio.post("jobs", body, 201)["id"], "done")
    result = pages_of(studio.client.get(f"jobs/{job['id']}/files/result").content)
    before = pages_of(studio.client.get(f"jobs/{job['id']}/files/picture").content)
    assert result.shape == before.shape == (PAGES, 24, 32)
    changed = result != before
    assert changed[:, 6:10, 6:26].any((1, 2)).all()
    assert not changed[:, 14:].any()
    assert studio.client.delete(f"pictures/{third}/mask").status_code == 204


def test_one_picture_is_no_volume(studio, photo):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    body = {"picture": picture, "task": "denoise", "settings": {"volume": True}}
    refused = studio.client.post("jobs", json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, "volume")


def test_pages_of_different_sizes_are_no_volume(studio):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for side in (40, 60):
            writer.write(np.full((side, side), 90, np.uint8), photometric="minisblack")
    picture = studio.upload(file.getvalue(), "album.tif")
    assert (picture["pages"], picture["width"]) == (2, 40)
    body = {"picture": picture["id"], "task": "denoise", "settings": {"volume": True}}
    refused = studio.client.post("jobs", json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, "volume"), refused.text
    assert "60" in refused.json()["detail"]


def test_the_page_offers_it_and_shows_each_slice(page, studio, third, restored, photo):
    page.goto(f"{studio.home}/#picture={third}")
    page.locator("#pages-part").wait_for()
    choose_task(page, "denoise")
    assert page.is_visible("[data-option=volume]")
    choose_task(page, "upscale")
    assert page.locator("[data-option=volume]").count() == 0
    page.goto(f"{studio.home}/#job={restored['id']}")
    until(page, "document.body.dataset.shown === 'result'")
    assert page.input_value("#slice") == "3"
    page.fill("#slice", "1")
    page.press("#slice", "Enter")
    until(page, "document.body.dataset.shown === 'slice 1'")
    page.goto(f"{studio.home}/#")
    page.set_input_files("#file", photo / "photo.png")
    until(page, "location.hash.startsWith('#picture=')")
    choose_task(page, "denoise")
    assert page.is_hidden("[data-option=volume]")


def test_channels_that_are_not_shown_are_told(page, tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (30, 40, 5), np.uint8)
    tifffile.imwrite(tmp_path / "bands.tif", values, photometric="minisblack", planarconfig="contig")
    page.set_input_files("#file", tmp_path / "bands.tif")
    until(page, "location.hash.startsWith('#picture=')")
    playwright.expect(page.locator("#subject")).to_contain_text("5 channels, 3 shown")
