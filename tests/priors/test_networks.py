import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from networks_for_tests import VARIANTS, seeded, small
from untaught.errors import SettingError
from untaught.priors.blocks import BatchNormalisation, Convolution, Downsample, _Reflection, sigmoid
from untaught.priors.encoder_decoder import PRESETS, EncoderDecoder
from untaught.priors.independent import Independent
from untaught.priors.interpolation import _by_matrices, doubled, upsample


@pytest.mark.parametrize(
    ("preset", "channels", "count"), [("printed", 3, 2_070_503), ("paper", 3, 2_217_831), ("paper", 1, 2_217_573)]
)
def test_parameter_counts(preset, channels, count):
    assert sum(parameter.numel() for parameter in EncoderDecoder(PRESETS[preset], channels).parameters()) == count


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_variant_draws_and_learns(changes):
    network = seeded(small(**changes))
    output = network(torch.rand(1, 4, 16, 24))
    assert output.shape == (1, 3, 16, 24)
    assert output.dtype == torch.float32
    output.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_resolutions_of_the_two_readings():
    """The printed network computes nothing of many channels at full resolution; the paper's does."""
    x = torch.rand(1, 4, 16, 16)
    assert seeded(small()).features(x).shape == (1, 6, 16, 16)
    assert seeded(small(skip_tap="output")).features(x).shape == (1, 6, 8, 8)


def test_the_innermost_up_block_of_the_printed_network_gets_its_skip_branch_alone():
    network = seeded(small(skip_tap="output"))
    convolutions = [layer for layer in network.scales[-1].up if isinstance(layer, Convolution)]
    assert convolutions[0].weight.shape[1] == 2


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bicubic"])
def test_head_before_the_last_upsampling_agrees_with_the_plain_order(kind):
    settings = small(skip_tap="output", upsampling=kind)
    moved, plain = seeded(settings), seeded(settings)
    x = torch.rand(1, 4, 16, 20)
    fast = moved(x)
    features = plain.features(x)
    slow = torch.sigmoid(F.conv2d(upsample(features, kind), plain.head.weight, plain.head.bias))
    torch.testing.assert_close(fast, slow, atol=2e-6, rtol=0)
    weights = torch.randn(fast.shape)
    (fast * weights).sum().backward()
    (slow * weights).sum().backward()
    for one, other in zip(moved.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=2e-4, rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), tap=st.sampled_from(["input", "output"]))
def test_any_height_and_width(height, width, tap):
    network = seeded(small(skip_tap=tap), channels=1)
    assert network(torch.rand(1, 4, height, width)).shape == (1, 1, height, width)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (31, 37), (4000, 3)])
@pytest.mark.parametrize("preset", ["printed", "paper"])
def test_presets_at_odd_sizes(preset, size):
    thin = dataclasses.replace(PRESETS[preset], down_channels=(4,) * 5, up_channels=(4,) * 5)
    output = seeded(thin)(torch.rand(1, 32, *size))
    assert output.shape == (1, 3, *size)
    assert output.isfinite().all()


def test_bfloat16_input_gives_a_bfloat16_step_with_float32_weights():
    network = seeded(small())
    x = torch.rand(1, 4, 32, 32)
    half = network(x.bfloat16())
    half.mean().backward()
    assert half.dtype == torch.float32
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())
    assert (half - network(x)).abs().max() < 0.05


def test_padding_rules_differ_only_at_the_edge():
    x = torch.rand(1, 2, 8, 8)
    outputs = []
    for padding in ("reflection", "replicate", "zero"):
        layer = Convolution(2, 3, 3, padding=padding, generator=torch.Generator().manual_seed(1))
        outputs.append(layer(x))
    for one, other in itertools.combinations(outputs, 2):
        torch.testing.assert_close(one[..., 1:-1, 1:-1], other[..., 1:-1, 1:-1])
        assert not torch.allclose(one, other)


def test_normalisation_gives_mean_zero_and_variance_one():
    output = BatchNormalisation(3)(torch.rand(1, 3, 16, 16) * 7 + 2)
    torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(output.var((0, 2, 3), correction=0), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["average", "max", "lanczos2", "lanczos3"])
def test_downsampling_halves_and_keeps_a_constant(kind):
    output = Downsample(kind)(torch.full((1, 2, 8, 12), 0.7))
    torch.testing.assert_close(output, torch.full((1, 2, 4, 6), 0.7))


def test_lanczos_passes_slow_waves_and_stops_fast_ones():
    x = torch.arange(64.0)
    slow, fast = (torch.cos(2 * torch.pi * x / period).expand(1, 1, 64, 64) for period in (16, 2.2))
    assert Downsample("lanczos3")(slow).std() > 0.6
    assert Downsample("lanczos3")(fast).std() < 0.1


def test_same_seed_same_weights():
    one, same, other = seeded(small()), seeded(small()), seeded(small(), seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.head.weight, other.head.weight)


def test_initial_weights_follow_torchs_rule():
    ours = Convolution(16, 64, 3, generator=torch.Generator().manual_seed(0)).weight
    bound = torch.nn.Conv2d(16, 64, 3).weight.detach().abs().max()
    assert ours.detach().abs().max() == pytest.approx(float(bound), rel=0.02)


def test_independent_networks_do_not_see_each_other():
    x = torch.rand(1, 4, 16, 16)
    y = torch.rand(1, 4, 16, 16)
    both = Independent([seeded(small(), seed=0), seeded(small(), seed=1)])(torch.cat([x, y]))
    assert torch.equal(both[0], seeded(small(), seed=0)(x)[0])
    assert torch.equal(both[1], seeded(small(), seed=1)(y)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skip_join": "add"}, "scale 0 the skip branch has 2 channels and what comes up from below has 8"),
        ({"skip_channels": (2,)}, "one entry per scale"),
        ({"down_channels": (), "up_channels": (), "skip_channels": ()}, "down_channels is several values"),
        ({"down_kernel_size": 4}, "must be odd"),
        ({"upsampling": ("nearest",)}, "one for each of the 2 scales"),
        ({"upsampling": "cubic"}, "nearest, bilinear, bicubic"),
        ({"padding": "reflect"}, "reflection, replicate, zero"),
        ({"activation": "gelu"}, "leaky_relu"),
        ({"skip_tap": "middle"}, "input, output"),
        ({"down_channels": (0, 8)}, "from 1"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(SettingError, match=message):
        small(**changes)


def test_a_picture_needs_a_channel():
    with pytest.raises(SettingError, match="at least one channel"):
        EncoderDecoder(small(), 0)


# On CUDA -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 3, 2), (1, 2, 3, 4, 3)], ids=str)
@pytest.mark.parametrize("margin", [1, 2])
def test_the_reflection_for_cuda_is_that_of_torch(shape, margin):
    if min(shape[2:]) <= margin:
        pytest.skip("torch reflects no further than a picture reaches")
    ours, theirs = (
        torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(0)) for _ in range(2)
    )
    padded = _Reflection.apply(ours.requires_grad_(), margin)
    expected = F.pad(theirs.requires_grad_(), (margin,) * (2 * (len(shape) - 2)), mode="reflect")
    assert torch.equal(padded, expected)
    weights = torch.randn(padded.shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    for result in (padded, expected):
        (result * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [torch.double, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (1, 2, 1, 7), (1, 2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_upsampling_by_matrices_is_that_of_torch(kind, size, dtype):
    if len(size) == 5 and kind == "bicubic":
        pytest.skip("there is none of volumes")
    x = torch.rand(size, generator=torch.Generator().manual_seed(0)).to(dtype)
    result = _by_matrices(x, kind, [2 * side for side in size[2:]])
    expected = upsample(x.double(), kind)
    assert result.shape == expected.shape
    assert result.dtype == dtype
    # In bfloat16, rounded once along each axis.
    torch.testing.assert_close(result.double(), expected, atol=1e-12 if dtype == torch.double else 0.015, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 5)])
def test_doubling_is_the_bilinear_interpolation_of_torch(size):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(doubled(x), expected, rtol=1e-6, atol=1e-6)


def test_the_sigmoid_is_that_of_torch():
    x = torch.linspace(-30, 30, 601, requires_grad=True)
    torch.testing.assert_close(sigmoid(x), torch.sigmoid(x), rtol=0, atol=2e-7)
    (gradient,) = torch.autograd.grad(sigmoid(x).sum(), x)
    (expected,) = torch.autograd.grad(torch.sigmoid(x).sum(), x)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize("function", [sigmoid, doubled, lambda x: upsample(x, "bilinear")])
def test_the_number_of_threads_does_not_matter(function):
    before = torch.get_num_threads()
    x = torch.randn(1, 3, 211, 209, generator=torch.Generator().manual_seed(0))
    try:
        found = []
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            found.append(function(x))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, found[0]) for one in found)
