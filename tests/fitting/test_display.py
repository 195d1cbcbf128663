"""What a result and a running fit show in a notebook."""

import builtins
import re

import numpy as np
import pytest
import torch

import untaught
from untaught.errors import SettingError
from untaught.fitting.display import curve

GIVEN = {
    "gray": np.full((24, 20), 90, np.uint8),
    "colour": np.full((24, 20, 3), 90, np.uint8),
    "16 bits": np.full((24, 20), 40_000, np.uint16),
    "five channels": np.full((24, 20, 5), 0.5, np.float32),
    "tensor": torch.full((2, 3, 24, 20), 0.5),
    "wide": np.full((8, 700), 90, np.uint8),
}
KNOWN = np.random.default_rng(0).random((24, 20)) > 0.3


@pytest.mark.parametrize("kind", GIVEN)
def test_a_result_shows_before_and_after(kind, tiny):
    picture = GIVEN[kind]
    known = np.random.default_rng(0).random(picture.shape[-2:] if kind == "tensor" else picture.shape[:2]) > 0.3
    result = untaught.restore(picture, known, recipe=tiny, iterations=2)
    assert list(result.thumbnails) == ["before", "after"]
    for one in result.thumbnails.values():
        assert one.dtype == np.uint8
        assert one.shape[-1] == 3
        assert max(one.shape) <= 320
    shown = result._repr_html_()
    assert shown.count("data:image/png;base64,") == 2
    assert "iteration limit was reached" in shown
    assert "thumbnails" not in result.summary()
    assert result.plot().axes[0].get_title() == "before"


def test_thumbnails_show_the_values(tiny):
    picture = np.tile(np.linspace(0, 255, 20).astype(np.uint8), (24, 1))
    known = np.ones(picture.shape, bool)
    known[3, 4] = False
    result = untaught.restore(picture, known, recipe=tiny, iterations=2)
    np.testing.assert_array_equal(result.thumbnails["before"][..., 1], picture)
    np.testing.assert_array_equal(result.thumbnails["after"][..., 1], result.picture)


def test_a_volume_shows_its_middle_slice():
    volume = np.arange(5, dtype=np.uint8)[:, None, None] * np.full((5, 16, 16), 50, np.uint8)
    known = np.random.default_rng(0).random(volume.shape) > 0.3
    result = untaught.restore(volume, known, volume=True, iterations=2)
    assert (result.thumbnails["before"] == 100).all()


def test_an_observation_that_is_no_picture_is_not_shown():
    observed = torch.rand(1, 7, dtype=torch.float32)
    run = untaught.fit(observed, lambda x: x.flatten(1)[:, :7], size=(16, 16), channels=1, iterations=2)
    assert "before" not in run.finish().thumbnails


def test_notes_are_escaped(tiny):
    result = untaught.restore(GIVEN["gray"], KNOWN, recipe=tiny, iterations=2)
    object.__setattr__(result, "notes", ("<script>",))
    assert "<script>" not in result._repr_html_()


def test_without_matplotlib_one_sentence_says_so(tiny, monkeypatch):
    result = untaught.restore(GIVEN["gray"], KNOWN, recipe=tiny, iterations=2)
    found = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingError, match="pip install matplotlib"):
        result.plot()


def test_the_curve_falls_as_the_loss_does():
    points = re.search(r"points='([^']+)'", curve([1.0, 0.1, float("nan"), 0.0, 0.01]))[1].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights)
    assert len(heights) == 3
    assert "points" not in curve([])
    assert len(re.findall(r"\d+\.\d,", curve(np.geomspace(1, 0.001, 5000)))) <= 300


def test_live_updates_one_place(tiny, monkeypatch):
    import IPython.display

    from untaught.notebook import Live

    shown, updates = [], []

    class Handle:
        update = staticmethod(updates.append)

    monkeypatch.setattr(IPython.display, "display", lambda one, **_: shown.append(one) or Handle())
    untaught.restore(GIVEN["colour"], KNOWN, recipe=tiny, iterations=3, observers=[Live(seconds=0)])
    assert len(shown) == 1
    assert len(updates) == 2
    assert "iteration 3 of at most 3" in updates[-1].data
    assert "data:image/png" in updates[-1].data
