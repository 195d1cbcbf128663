"""The cards under "What is wrong with it?": their pictures, and how they fold and unfold."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

import untaught
from studio_page import choose_task, chosen_task, drag, open_photo, start, until, visit
from untaught.imaging.damage import scratches, writing
from untaught.studio.task_schema import offers

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")
pytestmark = [
    # The browser's driver leaves an event loop open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

PICTURES = Path(untaught.__file__).parent / "studio/static/cards"
IN_SIGHT = "#task [role=radio]:visible"


def test_the_pictures_of_the_cards_are_small():
    found = {path.stem: path.read_bytes() for path in PICTURES.iterdir()}
    assert {"writing", *(task.name for task in offers())} == set(found)
    assert all(Image.open(io.BytesIO(content)).size == (192, 128) for content in found.values())
    assert sum(map(len, found.values())) < 120_000


def test_each_card_has_a_picture_and_words(page, photo):
    kind = page.evaluate("async () => (await fetch('/static/cards/inpaint.webp')).headers.get('content-type')")
    assert kind == "image/webp"
    open_photo(page, photo)
    cards = page.locator(IN_SIGHT)
    assert cards.count() == len(offers()) + 1
    loaded = "document.querySelectorAll('#task img').length === [...document.querySelectorAll('#task img')]"
    until(page, f"{loaded}.filter((one) => one.naturalWidth === 192).length")
    assert all(text.strip() for text in cards.all_inner_texts())


def test_a_chosen_card_stays_alone_until_it_is_changed(page, photo):
    open_photo(page, photo)
    assert page.is_hidden("#task-other")
    choose_task(page, "denoise")
    playwright.expect(page.locator(IN_SIGHT)).to_have_count(1)
    playwright.expect(page.locator("#task [data-card=denoise]")).to_be_focused()
    page.click("#task-other")
    assert page.locator(IN_SIGHT).count() > 9
    playwright.expect(page.locator("#task [data-card=denoise]")).to_be_focused()
    page.keyboard.press("ArrowRight")  # moves on without an end to the question
    assert chosen_task(page) != "denoise"
    assert page.locator(IN_SIGHT).count() > 9
    page.keyboard.press("Enter")
    playwright.expect(page.locator(IN_SIGHT)).to_have_count(1)
    page.keyboard.press("Enter")
    assert page.locator(IN_SIGHT).count() > 9
    open_photo(page, photo)
    assert page.locator("#task [aria-checked=true]").count() == 0
    assert page.locator(IN_SIGHT).count() > 9


def test_the_first_mark_answers_the_question(page, photo):
    open_photo(page, photo)
    for button in ("grow", "shrink", "clear"):
        assert page.is_disabled(f"#{button}")
    drag(page, (0.4, 0.5), (0.6, 0.5))
    playwright.expect(page.locator(IN_SIGHT)).to_have_count(1)
    assert chosen_task(page) == "inpaint"
    assert page.is_enabled("#clear")
    page.click("#task-other")
    drag(page, (0.4, 0.6), (0.6, 0.6))
    assert page.locator(IN_SIGHT).count() > 9  # only once


def test_writing_is_looked_for_where_it_is_what_is_wrong(page, photo):
    open_photo(page, photo)
    choose_task(page, "writing")
    assert chosen_task(page) == "inpaint"
    assert page.input_value("#proposal") == "text"
    page.click("#propose")
    told = page.locator("#find-told")
    playwright.expect(told).to_contain_text("Nothing of this kind")
    assert page.is_hidden("#notice")
    with page.expect_response(lambda answer: "/proposal?" in answer.url):
        page.locator("#strength").fill("80")  # looks again
    open_photo(page, photo)
    playwright.expect(told).to_be_hidden()
    assert page.input_value("#proposal") == "auto"


def test_the_answer_stays_with_the_picture(page, photo):
    open_photo(page, photo)
    drag(page, (0.4, 0.5), (0.6, 0.5))
    with page.expect_response(lambda answer: answer.url.endswith("/answer")):
        choose_task(page, "writing")
    chosen = page.locator("#task.folded [data-card=writing][aria-checked=true]")
    picture = page.url
    page.reload()
    chosen.wait_for()
    assert page.input_value("#proposal") == "text"
    start(page, 3)
    page.locator("#download").wait_for(timeout=60_000)
    page.click("#again")  # the same picture with other settings
    chosen.wait_for()
    assert page.input_value("[data-option=iterations]") == "3"
    page.click("#home")
    page.locator(f"[data-picture='{picture.rpartition('=')[2]}']").click()
    chosen.wait_for()
    with page.expect_response(lambda answer: answer.url.endswith("/answer")):
        choose_task(page, "denoise")
    page.reload()
    page.locator("#task.folded [data-card=denoise][aria-checked=true]").wait_for()


def test_an_unknown_answer_is_no_answer(page, studio, photo):
    picture = studio.upload((photo / "photo.png").read_bytes())["id"]
    path = f"pictures/{picture}/answer"
    assert studio.client.put(path, json={"answer": "Not a name"}).status_code == 422
    assert studio.client.put(path, json={"answer": "of-another-version"}).status_code == 200
    page.goto(f"{studio.home}/#picture={picture}")
    page.locator("#task").wait_for()
    playwright.expect(page.locator("#task [data-card=inpaint]")).to_have_attribute("aria-checked", "false")
    assert page.locator(IN_SIGHT).count() > 9


def test_published_recipes_are_in_the_folded_part(page, studio, photo):
    open_photo(page, photo)
    drag(page, (0.5, 0.45), (0.5, 0.55))
    plan, more, others = page.locator("#plan"), page.locator("#more summary"), page.locator("#other-recipe")
    playwright.expect(plan).to_contain_text("on this machine", timeout=30_000)
    playwright.expect(others).to_be_hidden()
    more.click()
    offered = [option["value"] for option in options_of(others)]
    task = next(task for task in studio.get("tasks")["tasks"] if task["name"] == "inpaint")
    recipe = next(setting for setting in task["settings"] if setting["name"] == "recipe")
    assert offered == ["", *recipe["rare"]]
    assert {"paper", "printed", "paper-hole"} <= set(offered)
    assert not {"fast", "balanced", "best"} & set(offered)
    with page.expect_response(lambda answer: answer.url.endswith("/jobs/plan"), timeout=60_000) as told:
        others.select_option("printed")
    assert told.value.request.post_data_json["settings"] == {"recipe": "printed"}
    playwright.expect(page.locator("[data-option=recipe] [aria-checked=true]")).to_have_text("As printed")
    assert told.value.json()["iterations"] == untaught.find_recipe("inpaint", "printed").iterations
    assert told.value.json()["seconds"] > 0
    page.click("[data-option=recipe] [value=best]")
    assert others.input_value() == ""
    others.select_option("paper")
    others.select_option("")
    assert page.locator("[data-option=recipe] [aria-checked=true]").get_attribute("value") == "balanced"
    playwright.expect(page.locator("[data-option=recipe] [value=paper]")).to_be_hidden()


def options_of(select):
    return select.evaluate("list => [...list.options].map(({ value, text }) => ({ value, text }))")


def test_a_guess_is_offered_for_a_large_hole(page, photo):
    open_photo(page, photo)
    guess = page.locator("[data-option=recipe] [value=paper-hole]")
    drag(page, (0.5, 0.45), (0.5, 0.55))
    plan = page.locator("#plan")
    playwright.expect(plan).to_contain_text("on this machine", timeout=30_000)
    playwright.expect(guess).to_be_hidden()
    page.click("[data-tool=rectangle]")
    drag(page, (0.3, 0.2), (0.7, 0.8))
    playwright.expect(plan).to_contain_text("quality “Guess” makes", timeout=30_000)
    assert "paper-hole" not in plan.inner_text()
    guess.click()
    playwright.expect(plan).not_to_contain_text("smoothly", timeout=30_000)
    assert guess.is_visible()
    start(page, 3)
    playwright.expect(page.locator("#job-about")).to_contain_text("Guess")
    page.locator("#download").wait_for(timeout=60_000)
    page.click("#again")
    playwright.expect(guess).to_be_visible()
    assert guess.get_attribute("aria-checked") == "true"


def test_an_example_has_its_card(page):
    for name, card in (("portrait", "writing"), ("coffee", "restore"), ("camera", "inpaint")):
        page.locator(f"[data-example={name}]").click()
        page.locator(f"#task.folded [data-card={card}][aria-checked=true]").wait_for()
        page.click("#home")


def test_what_may_be_wrong_is_marked(page, tmp_path):
    random = np.random.default_rng(0)
    soft = gaussian_filter(random.random((160, 160)), 4)
    soft = (soft - soft.min()) / np.ptp(soft)
    Image.fromarray((soft * 255).astype(np.uint8)).save(tmp_path / "soft.png")
    open_photo(page, tmp_path, "soft.png")
    playwright.expect(page.locator("#unsure")).to_contain_text("perhaps", timeout=20_000)
    marked = page.locator("#task [role=radio]:has(i)")
    assert {one.get_attribute("value") for one in marked.all()} == {"deblur", "upscale"}
    choose_task(page, "deblur")
    playwright.expect(page.locator("#unsure")).to_be_hidden()


def test_writing_and_scratches_are_seen(page, tmp_path):
    plain = np.full((160, 200, 3), 100, np.uint8) + np.random.default_rng(0).integers(0, 6, (160, 200, 3), np.uint8)
    for mask, card in ((writing, "writing"), (scratches, "inpaint")):
        damaged = np.where(mask(160, 200)[..., None], plain, np.uint8(240))
        Image.fromarray(damaged).save(tmp_path / "damaged.png")
        open_photo(page, tmp_path, "damaged.png")
        playwright.expect(page.locator("#measuring")).to_have_text("The picture is being measured…")
        playwright.expect(page.locator(f"#task [data-card={card}] i")).to_be_visible(timeout=20_000)
        playwright.expect(page.locator("#measuring")).to_have_text("")
        assert page.get_attribute("#task [aria-checked=true]", "data-card") == card
        assert page.input_value("#proposal") == ("text" if card == "writing" else "auto")
        told = page.inner_text("#unsure")
        assert told.startswith("Probably: writing" if card == "writing" else "Probably: scratches")
        assert "marks it" in told
        assert f"looks like {'text' if card == 'writing' else 'scratches'}" in page.text_content("#findings")


def test_a_large_picture_is_measured_in_the_middle(studio):
    random = np.random.default_rng(0)
    calm = np.full((1100, 2200), 120, np.uint8)
    calm[:, 600:1600] = random.normal(120, 20, (1100, 1000)).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(calm).save(stream, "PNG")
    found = studio.get(f"pictures/{studio.upload(stream.getvalue())['id']}/inspection")
    assert found["task"] == "denoise"
    assert found["sentences"][0] == "2200 x 1100 pixels, measured in the middle"


def test_a_finger_that_scrolls_the_page_paints_nothing(browser, studio, photo):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    visit(page, studio)
    open_photo(page, photo)
    fingers = context.new_cdp_session(page)
    for kind, y in (("Start", 420), *(("Move", y) for y in range(410, 120, -20)), ("End", None)):
        points = [] if y is None else [{"x": 180, "y": y}]
        fingers.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    until(page, "scrollY > 100")
    playwright.expect(page.locator("#missing")).to_have_attribute("data-pixels", "0")
    context.close()
