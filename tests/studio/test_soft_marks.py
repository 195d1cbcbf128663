"""The soft edge of marks: how they look, and what becomes of the picture around them."""

import io

import numpy as np
import pytest
from PIL import Image

from studio_page import choose_task, drag, open_photo, until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
SHARES = """async (soft) => {
    const { Mask } = await import("/static/mask.js"), mask = new Mask(24, 20);
    mask.paint(0xff0000ff, soft);
    mask.rectangle(8, 6, 11, 9, 1);
    mask.commit();
    const { data } = mask.context.getImageData(0, 0, 24, 20);
    return Array.from({ length: 24 * 20 }, (_, at) => data[4 * at + 3] / 255);
}"""


def shares(page, soft):
    return np.array(page.evaluate(SHARES, soft)).reshape(20, 24)


def test_marks_look_as_the_result_fades(page):
    from untaught.tasks.soft_edges import shares_of

    known = np.ones((20, 24), bool)
    known[6:10, 8:12] = False
    np.testing.assert_array_equal(shares(page, 0), ~known)
    assert np.abs(shares(page, 5) - shares_of(known, 5)).max() < 0.06


def test_a_soft_edge_is_set_by_slider_and_keys_and_goes_with_the_job(page, studio, photo):
    open_photo(page, photo)
    choose_task(page, "inpaint")
    drag(page, (0.45, 0.5), (0.55, 0.5))
    slider = page.locator("[data-option=feather]")
    assert slider.input_value() == "0"
    page.focus("#canvas")
    for _ in range(4):
        page.keyboard.press("}")
    page.keyboard.press("{")
    assert slider.input_value() == "3"
    assert (
        page.locator("[data-option=feather]").evaluate("(one) => one.closest('label').querySelector('output').value")
        == "3"
    )
    page.click("#more summary")
    page.fill("[data-option=iterations]", "3")
    page.click("#start")
    page.locator("#download").wait_for(timeout=90_000)
    job = page.url.partition("job=")[2]
    facts = studio.get(f"jobs/{job}")
    assert facts["settings"]["feather"] == 3
    assert "--feather 3" in facts["command"]
    before, after, mask = (
        np.asarray(Image.open(io.BytesIO(studio.client.get(f"jobs/{job}/files/{name}").content)))
        for name in ("before", "result", "mask")
    )
    from untaught.tasks.soft_edges import shares_of

    soft = shares_of(mask > 0, 3)
    np.testing.assert_array_equal(after[soft == 0], before[soft == 0])
    assert (after != before)[(soft > 0) & (soft < 1)].any()
    page.click("#again")
    until(page, "document.querySelector('[data-option=feather]')?.value === '3'")


def test_a_preview_fades_as_the_result_does(page):
    """Beyond the edge the picture's own pixels are shown, and at the edge both."""
    found, grown = (page.evaluate(PREVIEW, more) for more in ({}, {"grow": 2}))
    assert np.abs(np.array(found) - [255, 191, 128, 64, 0, 0]).max() <= 2
    assert np.abs(np.array(grown) - [255, 255, 255, 191, 128, 0]).max() <= 2


PREVIEW = """async (more) => {
        const { Compare } = await import("/static/compare.js");
        const plain = (shade) => {
            const canvas = new OffscreenCanvas(24, 20), context = canvas.getContext("2d");
            context.fillStyle = shade;
            context.fillRect(0, 0, 24, 20);
            return canvas.transferToImageBitmap();
        };
        const mask = new OffscreenCanvas(24, 20), context = mask.getContext("2d");
        context.fillStyle = "#fff";
        context.fillRect(0, 0, 24, 20);
        context.fillStyle = "#000";
        context.fillRect(8, 6, 4, 4);
        const stage = { onPicture() {}, canvas: document.getElementById("canvas"), draw() {} };
        const compare = Object.create(Compare.prototype);
        compare.take({ settings: { feather: 3, ...more } }, plain("#000"), mask.transferToImageBitmap());
        const shown = new OffscreenCanvas(24, 20);
        shown.getContext("2d").drawImage(compare.composed(plain("#fff")), 0, 0);
        const { data } = shown.getContext("2d").getImageData(0, 0, 24, 20);
        return [9, 12, 13, 14, 15, 20].map((x) => data[4 * (8 * 24 + x)]);
    }"""
