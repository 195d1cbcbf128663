"""The napari widget: its fits, its manifest, and the widget itself where napari and a Qt are there."""

import importlib
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from untaught.errors import InputError
from untaught.fitting.state import Restoration
from untaught.interop import napari as plugin


@pytest.fixture
def quick(tiny, monkeypatch):
    rows = {"inpaint": {"balanced": tiny, "fast": tiny}, "denoise": {"balanced": tiny, "fast": tiny}}
    monkeypatch.setattr("untaught.recipes.RECIPES", rows)
    monkeypatch.setattr(plugin, "_EVERY", 5)


@pytest.mark.usefixtures("quick")
def test_what_is_painted_is_filled_in(picture):
    labels = np.zeros(picture.shape[:2], np.uint8)
    labels[5:8, 5:15] = 3
    *previews, result = plugin.fitted(picture, labels, "inpaint", "balanced")
    assert isinstance(result, Restoration)
    assert len(previews) == 2
    assert all(one.shape == picture.shape and one.dtype == picture.dtype for one in (*previews, result.picture))
    np.testing.assert_array_equal(result.picture[labels == 0], picture[labels == 0])


@pytest.mark.parametrize("labels", [None, np.zeros((24, 20), np.uint8)])
def test_without_marks_a_sentence_says_what_to_do(picture, labels):
    with pytest.raises(InputError, match="labels layer"):
        next(plugin.fitted(picture, labels, "inpaint", "balanced"))


def test_the_manifest_names_what_is_there():
    manifest = yaml.safe_load(Path(plugin.__file__).with_name("napari.yaml").read_text(encoding="utf-8"))
    assert manifest["name"] == "untaught"
    for command in manifest["contributions"]["commands"]:
        module, _, name = command["python_name"].partition(":")
        assert callable(getattr(importlib.import_module(module), name))
    commands = {command["id"] for command in manifest["contributions"]["commands"]}
    assert {widget["command"] for widget in manifest["contributions"]["widgets"]} <= commands


@pytest.mark.usefixtures("quick")
def test_the_widget_restores_a_layer(picture, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    pytest.importorskip("qtpy", reason="napari needs a Qt", exc_type=Exception)
    components = pytest.importorskip("napari.components", reason="napari is an extra")
    application = importlib.import_module("qtpy.QtWidgets").QApplication.instance()
    application = application or importlib.import_module("qtpy.QtWidgets").QApplication([])
    viewer = components.ViewerModel()  # a viewer without a window, which would need OpenGL
    image = viewer.add_image(picture, name="cat", rgb=True)
    marks = np.zeros(picture.shape[:2], np.uint8)
    marks[5:8, 5:15] = 1
    labels = viewer.add_labels(marks)
    restoring = plugin.restore_widget()(viewer, image, labels, task="inpaint", recipe="balanced")
    until = time.monotonic() + 60
    while "untaught" not in viewer.layers[-1].metadata and time.monotonic() < until:
        application.processEvents()
        time.sleep(0.02)
    layer = viewer.layers[restoring.name]
    assert layer.metadata["untaught"]["task"] == "inpaint"
    np.testing.assert_array_equal(layer.data[marks == 0], picture[marks == 0])
