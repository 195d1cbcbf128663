import dataclasses

import numpy as np
import pytest
import torch

import untaught
from untaught.errors import DivergenceError, InputError, Interrupted, SettingError
from untaught.fitting.state import StopReason


def test_known_pixels_come_back_to_the_bit(picture, mask, tiny):
    result = untaught.inpaint(picture, mask, recipe=tiny)
    assert result.picture.dtype == np.uint8
    assert result.picture.shape == picture.shape
    np.testing.assert_array_equal(result.picture[mask], picture[mask])


def test_missing_pixels_are_filled_in(picture, mask, tiny):
    """Near the clean picture, and nearer than a constant would be."""
    damaged = np.where(mask[..., None], picture, 255).astype(np.uint8)
    result = untaught.inpaint(damaged, mask, recipe=tiny, iterations=250)
    error = np.abs(result.picture.astype(float) - picture)[~mask].mean()
    constant = np.abs(picture[mask].mean(0) - picture)[~mask].mean()
    assert error < 0.35 * constant


def test_the_networks_own_output_on_request(picture, mask, tiny):
    result = untaught.inpaint(picture, mask, recipe=tiny, keep_known=False)
    assert (result.picture[mask] != picture[mask]).mean() > 0.5


@pytest.mark.parametrize("hidden", [0, 255])
def test_hidden_values_cannot_leak(picture, mask, tiny, hidden):
    plain = untaught.inpaint(picture, mask, recipe=tiny)
    changed = untaught.inpaint(np.where(mask[..., None], picture, np.uint8(hidden)), mask, recipe=tiny)
    np.testing.assert_array_equal(plain.picture, changed.picture)
    assert plain.history["loss"] == changed.history["loss"]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [None, 1, 3, 4, 7])
def test_shape_and_type_come_back(mask, tiny, kind, channels):
    shape = mask.shape if channels is None else (*mask.shape, channels)
    image = np.random.default_rng(0).random(shape)
    image = image.astype(kind) if np.dtype(kind).kind == "f" else (image * np.iinfo(kind).max).astype(kind)
    result = untaught.restore(image, mask, recipe=tiny, iterations=2)
    assert result.picture.shape == shape
    assert result.picture.dtype == kind
    np.testing.assert_array_equal(result.picture[mask], image[mask])


def test_sixteen_bits_are_not_rounded_to_eight(picture, mask, tiny):
    fine = picture.astype(np.uint16) * 257
    result = untaught.inpaint(fine, mask, recipe=tiny, precision="bfloat16")
    low_bytes = result.picture[~mask] % 257
    assert len(np.unique(low_bytes)) > 100


def test_tensors_in_tensors_out(picture, mask, tiny):
    batch = torch.from_numpy(np.stack([picture, picture[::-1].copy()])).permute(0, 3, 1, 2).float() / 255
    known = torch.from_numpy(mask)
    result = untaught.inpaint(batch, known, recipe=tiny)
    assert isinstance(result.picture, torch.Tensor)
    assert result.picture.shape == batch.shape
    assert torch.equal(result.picture[..., known], batch[..., known])
    alone = untaught.inpaint(batch[:1], known, recipe=tiny)
    torch.testing.assert_close(result.picture[:1], alone.picture, atol=1e-5, rtol=0)


def test_dropped_pixels_are_proposed_and_told(picture, mask, tiny):
    damaged = picture * mask[..., None].astype(np.uint8)
    proposed = untaught.restore(damaged, recipe=tiny)
    given = untaught.restore(damaged, mask, recipe=tiny)
    np.testing.assert_array_equal(proposed.picture, given.picture)
    assert proposed.missing == pytest.approx((~mask).mean())
    assert f"{(~mask).mean():.1%}" in proposed.notes[0]


def test_black_in_one_channel_only_is_not_missing(tiny):
    image = np.full((8, 8, 3), 100, np.uint8)
    image[2, 2] = (0, 100, 100)
    image[5, 5] = 0
    result = untaught.restore(image, recipe=tiny, iterations=1)
    assert result.missing == pytest.approx(1 / 64)
    assert result.picture[2, 2].tolist() == [0, 100, 100]


def test_not_finite_is_missing_with_and_without_a_mask(picture, mask, tiny):
    image = picture / 255
    image[4, 4, 1] = np.nan
    image[5, 5, 2] = np.inf
    proposed = untaught.restore(image, recipe=tiny, iterations=1)
    assert np.isfinite(proposed.picture).all()
    everywhere_known = np.ones(mask.shape, bool)
    everywhere_known[0, 0] = False
    marked = untaught.inpaint(image, everywhere_known, recipe=tiny, iterations=1)
    assert np.isfinite(marked.picture).all()
    assert "2 values that the mask marks as known are not finite" in marked.notes[0]


def test_science_data_in_its_own_units(mask, tiny):
    counts = np.random.default_rng(0).normal(1200, 300, (*mask.shape, 5)).astype(np.float32)
    with pytest.raises(InputError, match="value_range"):
        untaught.inpaint(counts, mask, recipe=tiny)
    result = untaught.inpaint(counts, mask, recipe=tiny, value_range=(0, 2500), iterations=60)
    np.testing.assert_array_equal(result.picture[mask], counts[mask])
    assert result.picture.min() > 0
    assert 300 < result.picture[~mask].mean() < 2100


def test_the_result_tells_how_it_came_about(picture, mask, tiny):
    result = untaught.inpaint(picture, mask, recipe=tiny, seed=4)
    assert result.stop_reason is StopReason.ITERATIONS
    assert result.iterations == tiny.iterations
    assert result.history["iteration"] == list(range(1, tiny.iterations + 1))
    assert result.history["loss"][-1] < result.history["loss"][0]
    assert result.seconds == result.history["elapsed"][-1] > 0
    assert result.seed == 4
    assert result.task == "inpaint"
    assert result.recipe == tiny.record()
    assert result.engine["device"]
    assert result.missing == pytest.approx((~mask).mean())


def test_inputs_are_untouched(picture, mask, tiny):
    image, known = picture.copy(), mask.copy()
    untaught.inpaint(image, known, recipe=tiny)
    np.testing.assert_array_equal(image, picture)
    np.testing.assert_array_equal(known, mask)


@pytest.mark.parametrize("size", [(1, 2), (2, 1), (7, 5), (31, 37), (129, 3)])
def test_odd_sizes(size, tiny):
    rng = np.random.default_rng(0)
    image, known = rng.integers(1, 255, size, np.uint8), rng.random(size) > 0.5
    known.flat[0], known.flat[-1] = True, False
    result = untaught.inpaint(image, known, recipe=tiny, iterations=2)
    np.testing.assert_array_equal(result.picture[known], image[known])


def test_interrupting_keeps_the_best_so_far(picture, mask, tiny):
    def interrupt(state):
        if state.iteration == 5:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        untaught.inpaint(picture, mask, recipe=tiny, observers=[interrupt])
    assert isinstance(caught.value, KeyboardInterrupt)
    best = caught.value.restoration
    assert best.stop_reason is StopReason.INTERRUPTED
    assert best.iterations == 5
    np.testing.assert_array_equal(best.picture, untaught.inpaint(picture, mask, recipe=tiny, iterations=5).picture)


def test_diverging_for_good_keeps_the_best_so_far(picture, mask, tiny, monkeypatch):
    from untaught.fitting import losses as objectives

    healthy = objectives.MeanSquaredError.__call__
    calls = iter(range(10**6))
    monkeypatch.setattr(
        objectives.MeanSquaredError,
        "__call__",
        lambda self, *given: healthy(self, *given) * (1 if next(calls) < 4 else torch.nan),
    )
    result = untaught.inpaint(picture, mask, recipe=tiny, iterations=60)
    assert result.stop_reason is StopReason.DIVERGED
    assert result.iterations == 4
    monkeypatch.setattr(objectives.MeanSquaredError, "__call__", lambda self, *given: healthy(self, *given) * torch.nan)
    with pytest.raises(DivergenceError):
        untaught.inpaint(picture, mask, recipe=tiny)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.ones((24, 20), bool)}, "nothing is missing"),
        ({"mask": np.zeros((24, 20), bool)}, "nothing is known"),
        ({"mask": np.ones((20, 24), bool)}, r"mask of \(20, 24\) for a picture of \(24, 20, 3\)"),
        ({"image": np.full((24, 20), np.nan)}, "no finite value"),
        ({"image": np.full((24, 20), 3.0)}, "value_range"),
        ({"recipe": "balancd"}, "did you mean balanced"),
        ({"recipe": "paper-whole"}, "printed, paper, paper-hole"),
        ({"iterations": 0}, "iterations is a whole number from 1: found 0"),
        ({"device": "gpu"}, "cpu, cuda"),
        ({"precision": "float16"}, "auto, float32, bfloat16"),
        (
            {"itertions": 5},
            "unknown option itertions: there are mask, mask_marks, keep_known, grow, feather, recipe, iterations",
        ),
    ],
)
def test_bad_input_is_refused_in_a_sentence(picture, mask, change, message):
    arguments = {"image": picture, "mask": mask, **change}
    with pytest.raises(InputError, match=message):
        untaught.inpaint(**arguments)


def test_nothing_black_and_all_black_are_refused():
    with pytest.raises(InputError, match="give a mask"):
        untaught.restore(np.full((8, 8), 9, np.uint8))
    with pytest.raises(InputError, match="nothing to restore"):
        untaught.restore(np.zeros((8, 8), np.uint8))


def test_a_batch_with_an_unknown_picture_is_refused(tiny):
    batch = torch.rand(2, 1, 8, 8)
    known = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    known[1] = False
    with pytest.raises(InputError, match="no known value"):
        untaught.inpaint(batch, known, recipe=tiny)


def test_a_recipe_may_be_changed_in_place(picture, mask, tiny):
    other = dataclasses.replace(tiny, averaging=0.0)
    with pytest.raises(SettingError, match="averaging"):
        dataclasses.replace(tiny, averaging=1.0)
    assert untaught.inpaint(picture, mask, recipe=other).recipe["averaging"] == 0.0


def test_a_picture_larger_than_a_window_is_whole():
    picture = (np.indices((530, 24)).sum(0) % 200).astype(np.uint8) + 20
    known = np.random.default_rng(0).random(picture.shape) > 0.3
    result = untaught.restore(np.where(known, picture, 0), known, recipe="fast", iterations=1)
    assert result.picture.shape == picture.shape
    np.testing.assert_array_equal(result.picture[known], picture[known])
    # The only window has been at the first 512 lines; what follows is a guess from what is near.
    assert result.picture[512:].min() > 10
    clean = untaught.denoise(picture, noise=10, recipe="fast", iterations=1).picture
    assert clean.shape == picture.shape
    assert clean[512:].min() > 10
