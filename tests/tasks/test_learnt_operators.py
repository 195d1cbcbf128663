"""Operators that are learnt with the picture, and layers that have networks of their own."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.transform import resize

from untaught import cli
from untaught.fitting.losses import ExclusiveError, MeanSquaredError
from untaught.physics.blur import Blur, blur_kernel
from untaught.physics.mixture import Mixture
from untaught.tasks.preparation import prepare

CAMERA = resize(data.camera()[60:188, 180:308] / 255, (48, 48), anti_aliasing=True)
COFFEE = resize(data.coffee()[100:228, 220:348].mean(2) / 255, (48, 48), anti_aliasing=True)
FIRST, OTHER = 0.7 * CAMERA + 0.3 * COFFEE, 0.4 * CAMERA + 0.6 * COFFEE


def blurred(kernel):
    margin = kernel.shape[0] // 2
    padded = torch.from_numpy(np.pad(CAMERA, margin, mode="reflect")).float()[None, None]
    return Blur(kernel)(padded)[0, 0].numpy()


def test_the_kernel_comes_nearer_to_the_true_one(tiny):
    kernel = blur_kernel("motion", 3, 0)
    seen = blurred(kernel)
    job = prepare("deblur", seen, blur="unknown", radius=3, recipe=tiny, iterations=150)
    start = job.problem.operator.kernel.detach().clone()
    result = job.begin().finish()
    found = result.found["kernel"]
    assert found.shape == (7, 7)
    assert found.max() == 1

    def distance(one):
        return float((one / one.sum() - kernel.numpy()).__abs__().sum())

    assert distance(found) < distance(start.numpy())
    # The job's own operator is where it was, for another run.
    torch.testing.assert_close(job.problem.operator.kernel.detach(), start, rtol=0, atol=0)
    np.testing.assert_array_equal(job.begin().finish().picture, result.picture)


@pytest.mark.parametrize(
    "make",
    [
        lambda recipe: prepare("deblur", blurred(blur_kernel("motion", 3)), blur="unknown", radius=3, recipe=recipe),
        lambda recipe: prepare("separate", FIRST, other=OTHER, recipe=recipe),
    ],
    ids=["deblur", "separate"],
)
def test_going_on_gives_the_same_as_never_having_stopped(make, tiny):
    whole = make(tiny).begin().finish()
    run = make(tiny).begin()
    for state in run:
        if state.iteration == 3:
            moment = run.snapshot()
            break
    again = make(tiny).begin(moment).finish()
    np.testing.assert_array_equal(again.picture, whole.picture)
    for name, one in whole.found.items():
        np.testing.assert_array_equal(again.found[name], one)


def test_edges_in_both_layers_cost_and_edges_in_one_do_not():
    known = torch.ones(1, 2, 16, 16, dtype=torch.bool)
    step = torch.zeros(1, 1, 16, 16)
    step[..., 8:] = 1
    flat = torch.full_like(step, 0.5)
    for layers, dearer in ((torch.cat([step, flat], 1), False), (torch.cat([step, step], 1), True)):
        observed = Mixture()(layers).detach()
        plain = MeanSquaredError(observed, Mixture(), known)(layers)
        exclusive = ExclusiveError(observed, Mixture(), known)(layers)
        assert bool((exclusive > plain + 1e-6).all()) == dearer


def test_what_else_was_found_is_written_beside_the_picture(tmp_path, tiny, monkeypatch):
    from untaught.tasks import jobs

    monkeypatch.setattr(jobs, "find_recipe", lambda *_: tiny)
    for name, picture in (("first", FIRST), ("other", OTHER)):
        Image.fromarray((picture * 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / f"{name}.png") for name in ("first", "other", "out")]
    assert cli.main(["separate", paths[0], "--other", paths[1], "-o", paths[2], "--quiet"]) == 0
    assert (tmp_path / "out.layer.png").exists()
    words = ["deblur", paths[0], "--blur", "unknown", "--radius", "2", "-o", paths[2], "--quiet"]
    assert cli.main(words) == 0
    with Image.open(tmp_path / "out.kernel.png") as kernel:
        assert kernel.size == (5, 5)
