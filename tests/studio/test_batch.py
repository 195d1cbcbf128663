"""The results of a batch of the command line, in the studio."""

import numpy as np
import pytest
from PIL import Image

import untaught
from running_studio import RunningStudio
from studio_page import visit

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


class AtOnce:
    """Does everything in this process."""

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(*arguments))
        return future


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of a batch of one picture and one file that is none."""
    folder = tmp_path_factory.mktemp("batch")
    noise = np.random.default_rng(0).integers(80, 120, (16, 16), np.uint8)
    (folder / "scans").mkdir()
    Image.fromarray(noise).save(folder / "scans" / "one.png")
    (folder / "scans" / "two.png").write_bytes(b"no picture")
    untaught.batch("denoise", [folder / "scans"], folder / "clean", noise=9, iterations=2, executor=AtOnce())
    return folder / "clean"


def test_the_first_page_leads_to_the_results_of_a_batch(browser, results, tmp_path):
    with RunningStudio(tmp_path, words=("--batch", str(results))) as studio:
        page = browser.new_page()
        visit(page, studio)
        with page.expect_popup() as opened:
            page.get_by_text("Results of the batch “clean”").click()
        figures = opened.value.locator("figure")
        playwright.expect(figures).to_have_count(2)
        playwright.expect(figures.nth(0)).to_contain_text("two.png · failed")
        playwright.expect(figures.nth(1)).to_contain_text("one.png · done")
        sizes = figures.nth(1).locator("img").evaluate_all("list => list.map((one) => one.naturalWidth)")
        assert sizes == [16, 16], "its own policy allows its pictures"
        page.close()
        answer = studio.client.get("batch/summary")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "default-src 'self'" in studio.client.get("tasks").headers["content-security-policy"]
        (results / "summary.html").rename(results / "summary.aside")
        assert studio.get("batch") == {"name": "clean", "ready": False}
        assert studio.client.get("batch/summary").status_code == 404
        (results / "summary.aside").rename(results / "summary.html")


def test_a_folder_without_a_batch_is_refused(tmp_path, capsys):
    from untaught import cli

    assert cli.main(["studio", "--batch", str(tmp_path), "--folder", str(tmp_path / "studio")]) == 2
    assert "no results of a batch" in capsys.readouterr().err
