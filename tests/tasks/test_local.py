"""Local fits: little damage in a large picture is fitted in strips, and the rest comes back to the bit."""

import numpy as np
import pytest

import untaught
from untaught.tasks.preparation import prepare

SIZE = (600, 500)


@pytest.fixture(scope="module")
def photograph():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    waves = 0.5 + 0.2 * np.sin(x / 9) + 0.2 * np.cos(y / 13 + x / 40)
    return (255 * np.stack([waves, waves**2, 1 - waves], -1)).round().astype(np.uint8)


@pytest.fixture(scope="module")
def known():
    mask = np.ones(SIZE, bool)
    mask[100:103, 50:200] = False
    mask[400:520, 460:462] = False
    return mask


def fill(photograph, known, **options):
    return untaught.inpaint(photograph, known, iterations=6, device="cpu", **options)


def test_known_pixels_are_untouched_and_gaps_are_filled(photograph, known):
    damaged = np.where(known[..., None], photograph, 0).astype(np.uint8)
    result = untaught.inpaint(damaged, known, iterations=80, device="cpu")
    assert result.picture.shape == photograph.shape
    np.testing.assert_array_equal(result.picture[known], photograph[known])
    assert np.abs(result.picture.astype(int) - photograph)[~known].mean() < 4
    assert result.uncertainty.shape == photograph.shape
    assert (result.uncertainty[known] == 0).all()
    assert result.missing == pytest.approx((~known).mean(), rel=1e-6)


def test_only_strips_are_fitted(photograph, known):
    problem = prepare("inpaint", photograph, known, device="cpu").problem
    assert np.prod(problem.size) < 0.5 * known.size
    assert problem.strips
    # A network that sees the whole picture gets it.
    whole = prepare("inpaint", photograph, known, device="cpu", recipe="paper").problem
    assert whole.size == SIZE


def test_what_a_mask_marks_does_not_matter(photograph, known):
    results = [
        fill(photograph, mask, mask_marks=marks).picture
        for mask, marks in ((known, "known"), (~known, "missing"), (np.uint8(255) * known, "known"))
    ]
    assert all(np.array_equal(one, results[0]) for one in results)


def test_a_preview_is_of_the_whole_picture(photograph, known):
    job = prepare("inpaint", photograph, known, device="cpu", iterations=3)
    for state in job.begin():
        shown = job.preview(state, 300)
        assert shown.shape == (300, 250, 3)
        assert 0 <= shown.min() <= shown.max() <= 1
        break
    assert np.asarray(job.blank()).shape == photograph.shape


def test_what_ends_at_once_is_the_classical_answer(photograph, known):
    result = fill(np.where(known[..., None], photograph, 0).astype(np.uint8), known, time_budget=0.001)
    assert "biharmonic" in " ".join(result.notes)
    assert np.abs(result.picture.astype(int) - photograph)[~known].mean() < 4


def test_the_networks_own_output_is_not_mixed_with_a_classical_picture(photograph, known):
    part, mask = photograph[:120, :120], known[:120, :120]
    result = fill(part, mask, keep_known=False)
    assert "biharmonic" not in " ".join(result.notes)
    assert (result.picture != part)[mask].any()


def test_a_local_fit_resumes_to_the_bit(photograph, known, tmp_path):
    job = prepare("inpaint", photograph, known, device="cpu", iterations=24)
    whole = job.run()
    run = job.begin()
    for state in run:
        if state.iteration == 9:
            break
    run.save(tmp_path / "checkpoint")
    from untaught.fitting.checkpoint import load

    resumed = prepare("inpaint", photograph, known, device="cpu", iterations=24).begin(load(tmp_path / "checkpoint"))
    np.testing.assert_array_equal(resumed.finish().picture, whole.picture)
