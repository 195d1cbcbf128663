"""On a CUDA device: the same laws as on the processor, to the bit where one run is compared with another."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch

import untaught
from untaught.fitting.memory import needed_memory
from untaught.fitting.state import StopReason
from untaught.physics.linear import Mask
from untaught.priors.encoder_decoder import EncoderDecoder, NetworkSettings
from untaught.recipes import find_recipe
from untaught.tasks.preparation import prepare

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

FITS = [
    ("restore", "balanced"),
    ("restore", "printed"),
    ("restore", "paper"),
    ("inpaint", "balanced"),
    ("inpaint", "best"),
    ("denoise", "balanced"),
    ("upscale", "balanced"),
    ("deblur", "balanced"),
    ("dejpeg", "balanced"),
    ("demosaic", "balanced"),
]


def prepared(task, recipe, picture, mask, **changes):
    """A fit of 34 iterations: with its refit it is not captured only once."""
    known = (mask,) if task in ("restore", "inpaint") else ()
    options = {"factor": 2} if task == "upscale" else {"blur": "gaussian", "radius": 1} if task == "deblur" else {}
    image = picture[..., 0] if task == "demosaic" else picture
    chosen = dataclasses.replace(find_recipe(task, recipe), iterations=34, **changes)
    return prepare(task, image, *known, recipe=chosen, device="cuda", **options)


@pytest.mark.parametrize(("task", "recipe"), FITS)
def test_the_same_seed_gives_the_same_picture_to_the_bit(task, recipe, picture, mask):
    first, second = (prepared(task, recipe, picture, mask).run() for _ in range(2))
    np.testing.assert_array_equal(first.picture, second.picture)
    assert first.history["loss"] == second.history["loss"]


@pytest.mark.parametrize("at", [1, 7, 30])
@pytest.mark.parametrize(("task", "recipe"), FITS[:6])
def test_resuming_gives_the_same_picture_to_the_bit(task, recipe, picture, mask, at):
    job = prepared(task, recipe, picture, mask)
    expected = job.run()
    begun = job.begin()
    list(itertools.islice(begun, at))
    resumed = job.begin(begun.snapshot()).finish()
    assert resumed.history["loss"] == expected.history["loss"]
    np.testing.assert_array_equal(resumed.picture, expected.picture)


def test_a_picture_in_patches_gives_the_same_to_the_bit_resumed_or_not(picture, mask):
    patches = dataclasses.replace(find_recipe("restore", "balanced").input, patch=16)
    job = prepared("restore", "balanced", picture, mask, input=patches, runs=2)
    first, second, begun = job.run(), job.run(), job.begin()
    np.testing.assert_array_equal(first.picture, second.picture)
    list(itertools.islice(begun, 30))
    np.testing.assert_array_equal(job.begin(begun.snapshot()).finish().picture, first.picture)


@pytest.mark.parametrize("value", [0, 255])
def test_hidden_values_cannot_leak(value, picture, mask):
    spoilt = np.where(mask[..., None], picture, np.uint8(value))
    first, second = (prepared("restore", "balanced", one, mask).run() for one in (picture, spoilt))
    np.testing.assert_array_equal(first.picture, second.picture)
    np.testing.assert_array_equal(first.picture[mask], picture[mask])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"skip_tap": "output", "upsampling": "bicubic"},
        {"upsampling": ("bilinear", "nearest")},
        {"padding": "zero"},
        {"padding": "replicate"},
        {"down_kernel_size": 5, "up_kernel_size": (5, 3)},
        {"downsampling": "lanczos2"},
        {"dimensions": 3},
    ],
    ids=str,
)
def test_outputs_and_gradients_are_those_of_the_processor(changes):
    settings = NetworkSettings(
        **{"input_channels": 4, "down_channels": (6, 8), "up_channels": (8, 8), "skip_channels": (2, 3), **changes}
    )
    plain = EncoderDecoder(settings, 3, torch.Generator().manual_seed(0)).double()
    there = copy.deepcopy(plain).cuda()
    x = torch.rand(2, 4, *(9, 24, 20)[-settings.dimensions :], generator=torch.Generator().manual_seed(1)).double()
    outputs = plain(x), there(x.cuda())
    torch.testing.assert_close(outputs[1].cpu(), outputs[0], atol=1e-6, rtol=0)  # the head is in float32
    for output in outputs:
        (output * torch.linspace(0, 1, output.shape[-1], device=output.device)).sum().backward()
    for (name, one), other in zip(plain.named_parameters(), there.parameters(), strict=True):
        found = torch.zeros_like(one) if other.grad is None else other.grad.cpu()
        assert (found - one.grad).norm() < 1e-5 * (1 + one.grad.norm()), name


def test_a_fit_that_diverged_since_the_last_look_is_not_returned(tiny):
    """The guard looks at every 25th iteration, and at the last one."""
    calls = []

    def spoil(picture):
        calls.append(None)
        return picture * torch.nan if len(calls) == 30 else picture

    def waiting(picture):
        """Not captured, so that it is called each time."""
        return spoil(picture) * (1 + 0 * picture.mean().item())

    run = untaught.fit(torch.rand(1, 1, 16, 16), waiting, recipe=tiny, iterations=34, device="cuda")
    with pytest.warns(UserWarning, match="makes the host wait"):
        result = run.finish()
    assert result.picture.isfinite().all()
    assert result.rollbacks == 1
    assert result.stop_reason is StopReason.ITERATIONS


def test_interrupted_after_it_has_diverged_the_last_good_average_is_kept(tiny):
    known = Mask(torch.ones(1, 1, 16, 16, dtype=torch.bool))
    run = untaught.fit(torch.rand(1, 1, 16, 16), known, recipe=tiny, iterations=60, device="cuda")
    for state in run:
        if state.iteration == 30:
            with torch.no_grad():
                next(run.network.parameters()).fill_(torch.nan)
        if state.iteration == 33:
            break
    assert not state.average.isfinite().any()
    assert run.restoration().picture.isfinite().all()


@pytest.mark.parametrize(("task", "recipe"), [("restore", "balanced"), ("inpaint", "balanced"), ("restore", "printed")])
def test_the_estimated_memory_is_near_the_measured_one(task, recipe):
    generator = np.random.default_rng(0)
    job = prepare(task, generator.random((512, 512)), generator.random((512, 512)) > 0.3, recipe=recipe, device="cuda")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    list(itertools.islice(job.begin(), 8))
    took = torch.cuda.max_memory_reserved()
    needed = needed_memory(find_recipe(task, recipe), 1, (512, 512), job.engine)
    assert 0.9 * took < needed < 3 * took
