import copy
import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from untaught.backend import kernels
from untaught.backend.forms import Workspace
from untaught.backend.fused import can_fuse
from untaught.errors import SettingError
from untaught.priors.blocks import BatchNormalisation, Convolution, Downsample, _Reflection
from untaught.priors.encoder_decoder import PRESETS, EncoderDecoder, NetworkSettings
from untaught.priors.independent import Independent
from untaught.priors.interpolation import _by_matrices, interpolation, upsample


def small(**changes) -> NetworkSettings:
    base = {"input_channels": 4, "down_channels": (6, 8), "up_channels": (6, 8), "skip_channels": (2, 2)}
    return NetworkSettings(**{**base, **changes})


def seeded(settings: NetworkSettings, channels: int = 3, seed: int = 0) -> EncoderDecoder:
    return EncoderDecoder(settings, channels, torch.Generator().manual_seed(seed))


VARIANTS = {
    "paper": {},
    "printed": {"skip_tap": "output", "upsampling": "bicubic", "negative_slope": 0.01},
    "printed without skips": {"skip_tap": "output", "skip_channels": (0, 0)},
    "no skips": {"skip_channels": (0, 0)},
    "one skip": {"skip_channels": (0, 3)},
    "added": {"skip_join": "add", "skip_channels": (8, 8)},
    "added, printed": {"skip_join": "add", "skip_tap": "output", "skip_channels": (8, 5)},
    "average": {"downsampling": "average"},
    "max": {"downsampling": "max"},
    "lanczos2": {"downsampling": "lanczos2"},
    "lanczos3": {"downsampling": "lanczos3"},
    "nearest": {"upsampling": "nearest"},
    "one a scale": {"upsampling": ("bicubic", "nearest")},
    "zero padding": {"padding": "zero"},
    "replicate padding": {"padding": "replicate"},
    "large kernels": {"down_kernel_size": (5, 3), "up_kernel_size": 5, "skip_kernel_size": 3},
    "elu": {"activation": "elu"},
    "swish": {"activation": "swish"},
    "relu": {"activation": "relu"},
    "linear": {"activation": "none"},
    "no extra convolution": {"extra_convolution": False},
    "no head": {"head": "none"},
}


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
        ({"skip_channels": (2,)}, "one entry a scale"),
        ({"down_channels": (), "up_channels": (), "skip_channels": ()}, "at least one"),
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


# On compiled kernels -------------------------------------------------------------------------------------------------

FUSED = {name: changes for name, changes in VARIANTS.items() if can_fuse(small(**changes))}


@pytest.fixture
def library():
    found = kernels.load(torch.float32)
    if found is None:
        pytest.skip("no kernels were compiled for this machine")
    return found


def shaken(settings: NetworkSettings) -> EncoderDecoder:
    """A network whose normalisations do something, as after some steps."""
    network = seeded(settings)
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return network


def in_double(network: EncoderDecoder, x: torch.Tensor) -> torch.Tensor:
    """The plain network, head and all, in double precision."""
    height, width = x.shape[-2:]
    widened = network._widen(x.double())
    return network._finish(network.head(network.features(widened)), widened.shape[2:], (height, width))


def gradients(network, x: torch.Tensor, weights: torch.Tensor, evaluate=None) -> dict[str, torch.Tensor]:
    network.zero_grad()
    output = network(x) if evaluate is None else evaluate(network, x)
    (output * weights).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


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


def test_which_networks_run_on_kernels():
    assert {"paper", "printed", "no skips", "one skip", "zero padding", "one a scale"} <= set(FUSED)
    assert not {"added", "max", "lanczos2", "large kernels", "elu", "swish"} & set(FUSED)
    assert all(can_fuse(preset) for preset in PRESETS.values())


@pytest.mark.parametrize("size", [(16, 24), (13, 37), (40, 8)], ids=str)
@pytest.mark.parametrize("changes", FUSED.values(), ids=FUSED.keys())
def test_kernels_give_the_outputs_and_gradients_of_the_plain_network(library, changes, size):
    # Channels that fill no vector, one that fills it, and a skip branch wide enough for tiles.
    wide = {"down_channels": (6, 20), "up_channels": (18, 16), "skip_channels": (2, 11)}
    network = shaken(small(**{**wide, **changes}))
    exact = copy.deepcopy(network).double()
    network.use(library)
    x = torch.rand(1, 4, *size, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(network(x).double(), in_double(exact, x), atol=2e-5, rtol=0)
    ours, plain = gradients(network, x, weights), gradients(exact, x, weights, in_double)
    whole = torch.cat([gradient.flatten() for gradient in plain.values()]).norm()
    for name, gradient in plain.items():
        # A leaky ReLU on the other side of zero by a rounding changes single values, hence the norms.
        error = (ours[name].double() - gradient).norm() / (gradient.norm() + 1e-2 * whole)
        assert error < 2e-3, (name, float(error))


def test_kernels_at_the_sizes_and_widths_of_the_presets(library):
    for preset in PRESETS.values():
        network = seeded(preset, channels=1)
        exact = copy.deepcopy(network).double()
        network.use(library)
        x = 0.1 * torch.rand(1, 32, 64, 96, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(network(x).double(), in_double(exact, x), atol=1e-4, rtol=0)


def test_kernels_in_bfloat16_are_as_exact_as_the_plain_network_in_bfloat16():
    library = kernels.load(torch.bfloat16)
    if library is None:
        pytest.skip("no kernels were compiled for this machine")
    network = shaken(small(down_channels=(16, 32), up_channels=(16, 32)))
    plain, exact = copy.deepcopy(network), copy.deepcopy(network).double()
    network.use(library)
    x = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))

    def errors(one: EncoderDecoder) -> tuple[torch.Tensor, torch.Tensor]:
        found, wanted = gradients(one, x.bfloat16(), weights), gradients(exact, x, weights, in_double)
        distance = torch.cat([(found[name] - wanted[name]).flatten() for name in wanted]).norm()
        return (one(x.bfloat16()) - in_double(exact, x)).norm(), distance

    for ours, theirs in zip(errors(network), errors(plain), strict=True):
        assert ours < 1.25 * theirs


def test_kernels_give_the_same_bits_again_and_side_by_side(library):
    members = [seeded(small(), seed=seed) for seed in (0, 1, 2)]
    for member in members:
        member.use(library)
    x, weights = torch.rand(3, 4, 40, 24), torch.randn(3, 3, 40, 24)
    alone = [gradients(member, x[n : n + 1], weights[n : n + 1]) for n, member in enumerate(members)]
    again = [gradients(member, x[n : n + 1], weights[n : n + 1]) for n, member in enumerate(members)]
    together = Independent(members)
    together.zero_grad()
    (together(x) * weights).sum().backward()
    for member, first, second in zip(members, alone, again, strict=True):
        for name, parameter in member.named_parameters():
            assert torch.equal(first[name], second[name]), name
            assert torch.equal(first[name], parameter.grad), name


def test_a_gradient_of_an_evaluation_that_was_overwritten_is_refused(library):
    network = seeded(small())
    network.use(library)
    first = network(torch.rand(1, 4, 16, 16)).sum()
    network(torch.rand(1, 4, 16, 16))
    with pytest.raises(RuntimeError, match="evaluated again"):
        first.backward()


def test_kernels_pass_on_what_is_not_finite(library):
    network = seeded(small())
    network.use(library)
    network.scales[0].up[1].weight.data[0, 0, 0, 0] = float("nan")
    assert not network(torch.rand(1, 4, 16, 16)).isfinite().all()


def test_an_input_that_wants_a_gradient_runs_on_the_plain_network(library):
    network = seeded(small())
    network.use(library)
    x = torch.rand(1, 4, 16, 16, requires_grad=True)
    network(x).sum().backward()
    assert x.grad is not None


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(2, 12),
    kind=st.sampled_from(["nearest", "bilinear", "bicubic"]),
    padding=st.sampled_from(["reflection", "replicate", "zero"]),
)
def test_tables_of_an_upsampled_line_agree_with_torch(length, kind, padding):
    tables = interpolation(length, kind, padding)
    matrix = upsample(torch.eye(length).view(1, length, length, 1), kind)[0, ..., 0].T  # (2 length, length)
    torch.testing.assert_close(tables.weight, matrix.sum(0))
    for distance in range(-tables.reach, tables.reach + 1):
        diagonal = (matrix.T @ matrix).diagonal(distance)
        kept = tables.gram[max(0, -distance) : length - max(0, distance), distance + tables.reach]
        torch.testing.assert_close(kept[: len(diagonal)], diagonal, atol=1e-5, rtol=1e-5)
    mode = {"reflection": "reflect", "replicate": "replicate", "zero": "constant"}[padding]
    beyond = F.pad(matrix.T[None], (1, 1), mode=mode)[0].T  # (2 length + 2, length)
    start, line, tap, weight = tables.forward
    back_start, back_line, back_weight = tables.adjoint
    forward, adjoint = torch.zeros(2 * length, 3, length), torch.zeros(2 * length, 3, length)
    for place in range(2 * length):
        for entry in range(start[place], start[place + 1]):
            forward[place, tap[entry], line[entry]] += weight[entry]
    for place in range(length):
        for entry in range(back_start[place], back_start[place + 1]):
            adjoint[back_line[entry], :, place] += back_weight[entry]
    expected = torch.stack([beyond[k : k + 2 * length] for k in range(3)], dim=1)
    torch.testing.assert_close(forward, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(adjoint, expected, atol=1e-6, rtol=0)


def test_a_workspace_lends_no_memory_twice():
    workspace = Workspace()
    one, other = workspace.take(10, 4, dtype=torch.float32), workspace.take(10, 4, dtype=torch.float32)
    assert one.data_ptr() != other.data_ptr()
    workspace.give(one)
    assert workspace.take(30, dtype=torch.float32).data_ptr() == one.data_ptr()
    assert workspace.take(1000, dtype=torch.bfloat16).data_ptr() not in (one.data_ptr(), other.data_ptr())
