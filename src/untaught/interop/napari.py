"""A widget for napari: an image layer and, where something is missing, a labels layer in; the restored layer out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import InputError
from untaught.fitting.state import Restoration
from untaught.recipes import RECIPES
from untaught.tasks.preparation import prepare

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

__all__ = ["Restoring", "fitted", "restore_widget"]

_EVERY = 25
"""Iterations between two previews."""


def fitted(
    image: NDArray[Any], missing: NDArray[Any] | None, task: str, recipe: str, *, volume: bool = False
) -> Iterator[NDArray[Any] | Restoration]:
    """Fit a layer: the picture so far now and then, and the restoration last.

    Args:
        image: (H, W), (H, W, C) or, for a volume, (D, H, W): the values of an image layer.
        missing: of its height and width: not zero where something is missing; None for denoising.
        task: inpaint, restore or denoise.
        recipe: by its name.
        volume: whether the first axis is a depth.

    Raises:
        InputError: where the task needs marks and there are none, and for unusable input.
    """
    if task != "denoise" and (missing is None or not np.any(missing)):
        raise InputError(
            f"{task} fills in what is marked: paint what is missing into a labels layer, and choose it here"
        )
    known = None if missing is None or task == "denoise" else np.asarray(missing) == 0
    job = prepare(task, np.asarray(image), known, recipe=recipe, volume=volume)
    run = job.begin()
    for state in run:
        if state.iteration % _EVERY == 0:
            yield job.picture(state)  # type: ignore[misc]
    yield run.restoration()


class Restoring:
    """A fit in a thread of napari, whose layer shows the picture so far.

    Args:
        viewer: that shows the layers.
        image: the layer to restore.
        labels: what is missing; None for denoising.
        task: inpaint, restore or denoise.
        recipe: by its name.
    """

    def __init__(self, viewer: Viewer, image: Image, labels: Labels | None, task: str, recipe: str) -> None:
        from napari.qt.threading import create_worker

        self.viewer, self.name, self.colour = viewer, f"{image.name}, restored", bool(image.rgb)
        volume = image.ndim == 3
        missing = None if labels is None else labels.data
        self.worker: Any = create_worker(fitted, image.data, missing, task, recipe, volume=volume)
        self.worker.yielded.connect(self.show)
        self.worker.errored.connect(self.tell)
        self.worker.start()

    def show(self, found: NDArray[Any] | Restoration) -> None:
        """Show a preview, or the result with its notes."""
        picture = found.picture if isinstance(found, Restoration) else found
        if self.name in self.viewer.layers:
            self.viewer.layers[self.name].data = picture
        else:
            self.viewer.add_image(picture, name=self.name, rgb=self.colour)
        if isinstance(found, Restoration):
            self.viewer.layers[self.name].metadata["untaught"] = found.summary()
            self.viewer.status = f"untaught: it ran until {found.stop_reason}"

    def tell(self, error: Exception) -> None:
        """Show why there is no result."""
        self.viewer.status = f"untaught: {error}"


def restore_widget() -> Any:
    """The widget: choose layers, task and recipe, and press *Restore*."""
    from magicgui import magicgui
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    def restore(viewer: Any, image: Any, labels: Any = None, task: str = "inpaint", recipe: str = "balanced") -> Any:
        return Restoring(viewer, image, labels, task, recipe)

    # magicgui makes the choices of layers from the types; as text, as in the rest of this module, it cannot find them.
    restore.__annotations__ = {"viewer": Viewer, "image": Image, "labels": Labels | None, "task": str, "recipe": str}
    return magicgui(
        restore,
        call_button="Restore",
        labels={"label": "missing"},
        task={"choices": ["inpaint", "restore", "denoise"]},
        recipe={"choices": [name for name in RECIPES["inpaint"] if name in RECIPES["denoise"]]},
    )
