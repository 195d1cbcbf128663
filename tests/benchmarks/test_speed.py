"""The plain network that speed is measured against computes what the package's own does."""

import dataclasses

import pytest
import torch
from benchmarks.speed import PlainNetwork, multiply_adds

from untaught.backend.engine import choose_engine
from untaught.priors.encoder_decoder import PRESETS, EncoderDecoder


def seeded(preset: str) -> EncoderDecoder:
    return EncoderDecoder(PRESETS[preset], 1, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("with_kernels", [False, True])
def test_the_plain_network_gives_what_the_package_gives(preset, with_kernels):
    engine = choose_engine("cpu", "float32")
    if not with_kernels:
        engine = dataclasses.replace(engine, kernels=None)
    network = engine.assemble([seeded(preset)])
    x = torch.rand(1, 32, 64, 64, generator=torch.Generator().manual_seed(1)) / 10
    with torch.no_grad():
        expected = PlainNetwork(seeded(preset))(x)
        found = network(x)
    assert expected.shape == (1, 1, 64, 64)
    # At the innermost scale a channel has four values, so its normalisation can make rounding errors much larger.
    torch.testing.assert_close(found, expected, atol=5e-4, rtol=0)
    assert expected.std() > 0.02


@pytest.mark.parametrize("preset", PRESETS)
def test_arithmetic_grows_with_the_pixels_alone(preset):
    assert multiply_adds(preset, 128) == 4 * multiply_adds(preset, 64) > 0
