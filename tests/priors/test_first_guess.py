"""First guesses against an independent solution and against each other."""

import numpy as np
import pytest
import torch
from skimage import data
from skimage.restoration import inpaint_biharmonic

from untaught.imaging.damage import scratches
from untaught.priors import first_guess
from untaught.priors.first_guess import biharmonic, pull_push


@pytest.fixture(scope="module")
def camera():
    return data.camera()[100:228, 180:340].astype(np.float64) / 255


def tensors(picture, known):
    weights = torch.from_numpy(known)[None, None].float()
    return torch.from_numpy(picture)[None, None].float() * weights, weights


def test_scattered_gaps_are_filled_as_by_scikit_image(camera):
    known = np.random.default_rng(0).random(camera.shape) > 0.5
    expected = inpaint_biharmonic(np.where(known, camera, 0), ~known)
    found = biharmonic(*tensors(camera, known))[0, 0].numpy()
    assert np.abs(found - expected).mean() < 2e-3


def test_it_is_nearer_to_the_truth_than_pull_push_and_no_worse_than_scikit_image(camera):
    known = scratches(*camera.shape)
    errors = [
        np.square(picture.clip(0, 1) - camera)[~known].mean()
        for picture in (
            biharmonic(*tensors(camera, known))[0, 0].numpy(),
            pull_push(*tensors(camera, known))[0, 0].numpy(),
            inpaint_biharmonic(np.where(known, camera, 0), ~known),
        )
    ]
    assert errors[0] < errors[1]
    assert errors[0] < 1.05 * errors[2]


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 1), (1, 1, 7, 300), (2, 1, 33, 47)])
def test_known_values_stay_and_every_value_is_finite(shape):
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(shape, generator=generator)
    weights = (torch.rand(shape, generator=generator) > 0.6).float()
    filled = biharmonic(values * weights, weights)
    assert filled.isfinite().all()
    torch.testing.assert_close(filled * weights, values * weights)


def test_texture_around_a_deep_hole_makes_no_blobs_in_it():
    texture = (np.sin(np.arange(96) / 3) / 2 + 0.5)[None].repeat(96, 0)
    known = np.ones(texture.shape, bool)
    known[20:76, 20:76] = False
    plain = inpaint_biharmonic(np.where(known, texture, 0), ~known)
    found = biharmonic(*tensors(texture, known))[0, 0].numpy()
    assert np.square(found - texture)[~known].mean() < 0.7 * np.square(plain - texture)[~known].mean()


@pytest.mark.usefixtures("each_processor")
@pytest.mark.parametrize("shape", [(1, 1, 9, 40), (2, 3, 150, 70), (1, 2, 64, 200)])
@pytest.mark.parametrize("own", [False, True], ids=["the same gaps", "gaps of each channel"])
def test_the_kernel_agrees_with_torch(shape, own, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    weights = (torch.rand(shape if own else (shape[0], 1, *shape[2:]), generator=generator) > 0.4).float()
    weights[:, :1, 3:7, 5:25] = 0
    if own:
        weights[:, -1] = 1
    values = torch.rand(shape, generator=generator) * weights
    before = values.clone()
    found = biharmonic(values, weights)
    monkeypatch.setattr(first_guess, "for_processor", lambda: None)
    torch.testing.assert_close(found, biharmonic(values, weights), atol=1e-5, rtol=0)
    assert torch.equal(values, before)


def test_double_precision_stays():
    weights = (torch.rand(1, 1, 20, 30, generator=torch.Generator().manual_seed(0)) > 0.4).double()
    values = torch.rand(1, 1, 20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * weights
    found = biharmonic(values, weights)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), biharmonic(values.float(), weights.float()), atol=1e-5, rtol=0)
