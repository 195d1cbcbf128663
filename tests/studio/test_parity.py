"""What the command line can do can be done in the studio; what cannot is named here, with the reason."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from studio_page import choose_task, chosen_task, open_photo, until
from untaught.cli import app
from untaught.studio.task_schema import check_settings, command_line, describe, find_offer, offers

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

OPTIONS_ELSEWHERE = {
    "mask_marks": "the page and the server write the mask: white is known; Invert turns one round",
    "start_from": "it hardly pays: docs/lab-notes/anytime.md",
}
COMMANDS_ELSEWHERE = {
    "invert": "imports code that the user names",
    "activate": "imports code that the user names",
    "batch": "several pictures at once, and --batch",
    "film": "videos, and folders of frames",
    "tiles": "pictures that no browser can show",
    "repeat": "Take settings from a record",
    "resume": "Resume, and Go on",
    "compare": "Compare with, and Compare with a clean picture",
    "inspect": "What was measured",
    "doctor": "below Take settings from a record",
    "demo": "the examples of the first page",
    "studio": "this",
    "completion": "of a shell",
}


def test_each_command_has_its_place():
    commands = set(app.commands())
    assert commands == {task.name for task in offers()} | set(COMMANDS_ELSEWHERE)


@pytest.mark.parametrize("task", offers(), ids=lambda task: task.name)
def test_each_option_has_its_field(task):
    shown = {setting["name"] for setting in describe(task)["settings"]}
    every = {option.name for option in (*task.own_options, *task.common_options)}
    assert every - shown <= set(OPTIONS_ELSEWHERE)
    device = next(one for one in describe(task)["settings"] if one["name"] == "device")
    assert (device["kind"], device["choices"]) == ("choice", ("auto",))  # a list, also before the devices are known


def test_values_that_stand_for_nothing_are_told_one_by_one():
    task = find_offer("restore")
    settings = check_settings(task, {"recipe": "fast", "missing_value": ["-9999", "0.5"]})
    line = command_line(task, settings, {"picture": "a.tif", "result": "b.tif"})
    assert line.endswith("--recipe fast --missing-value -9999 --missing-value 0.5")


def test_they_are_missing(page, studio, tmp_path):
    picture = np.full((40, 40), 90, np.uint8)
    picture[10:14, 10:14] = 7
    Image.fromarray(picture).save(tmp_path / "map.png")
    open_photo(page, tmp_path, "map.png")
    choose_task(page, "restore")
    page.click("#more summary")
    page.fill("[data-option=missing_value]", "7, 8")
    page.fill("[data-option=iterations]", "2")
    page.click("#start")
    page.locator("#download").wait_for(timeout=90_000)
    job = studio.get(f"jobs/{page.url.partition('job=')[2]}")
    assert job["settings"]["missing_value"] == [7, 8]
    result = np.asarray(Image.open(io.BytesIO(studio.client.get(f"jobs/{job['id']}/files/result").content)))
    assert (result[10:14, 10:14] != 7).all()
    assert (result == picture)[picture == 90].all()
    assert studio.get(f"jobs/{job['id']}/files/record")["options"]["missing_value"] == [7, 8]


def test_a_record_fills_the_form(page, photo, tmp_path):
    open_photo(page, photo)
    record = {
        "task": "denoise",
        "command": "untaught denoise p.png -o q.png --recipe best --iterations 77 --kind poisson --gain 2",
        "options": {"kind": "poisson", "noise": None, "gain": 2.0, "offset": 0.0, "strength": 0.5, "value_range": None},
        "seed": 5,
        "time_budget": 90.0,
        "recipe": {"name": "best"},
    }
    (tmp_path / "record.json").write_text(json.dumps(record))
    page.click("#more summary")
    page.set_input_files("#record-file", tmp_path / "record.json")
    until(page, "document.querySelector('#task [aria-checked=true]').value === 'denoise'")
    chosen = page.evaluate("async () => (await import('/static/form.js')).chosenSettings()")
    wanted = {"kind": "poisson", "gain": "2", "strength": "0.5", "seed": "5", "time_budget": "90", "recipe": "best"}
    assert chosen == {**wanted, "iterations": "77"}
    (tmp_path / "record.json").write_text("[]")
    page.set_input_files("#record-file", tmp_path / "record.json")
    playwright.expect(page.locator("#notice")).to_contain_text("no record")
    assert chosen_task(page) == "denoise"


def test_a_result_is_compared_with_a_clean_picture(page, studio, photo):
    clean = np.asarray(Image.open(photo / "photo.png"))
    noisy = (clean + np.random.default_rng(0).normal(0, 20, clean.shape)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "PNG")
    picture = studio.upload(file.getvalue(), "noisy.png")["id"]
    body = {"picture": picture, "task": "denoise", "settings": {"recipe": "fast", "iterations": 3}}
    job = studio.post("jobs", body, 201)["id"]
    studio.wait_for(job, "done")
    near = studio.client.post(f"jobs/{job}/comparison", content=(photo / "photo.png").read_bytes()).json()
    distance = ((noisy.astype(float) - clean) ** 2).mean()
    assert near["before"]["psnr"] == pytest.approx(10 * np.log10(255**2 / distance), abs=0.01)
    assert 0 < near["before"]["ssim"] < 1
    other = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (200, 300, 3), np.uint8)).save(other, "PNG")
    refused = studio.client.post(f"jobs/{job}/comparison", content=other.getvalue())
    assert refused.status_code == 422
    assert "300 x 200" in refused.json()["detail"]
    page.goto(f"{studio.home}/#job={job}")
    page.locator("#download").wait_for()
    page.click("#details summary")
    page.set_input_files("#clean-file", photo / "photo.png")
    playwright.expect(page.locator("#nearness")).to_contain_text(f"The picture before: {near['before']['psnr']:.1f} dB")


def test_what_this_machine_takes_is_told(page, studio, photo):
    studio.wait_until(lambda: studio.get("tasks")["machine"])
    page.reload()
    open_photo(page, photo)
    page.click("#more summary")
    playwright.expect(page.locator("#machine")).to_contain_text("threads")
