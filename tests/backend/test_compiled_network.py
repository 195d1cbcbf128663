"""Encoder-decoders on compiled kernels: what they compute is what the plain network computes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from networks_for_tests import VARIANTS, seeded, small
from untaught import kernels
from untaught.backend.assembly import Assembly
from untaught.backend.cpu.maps import Workspace
from untaught.backend.cpu.network import can_compile
from untaught.backend.cpu.tables import interpolation
from untaught.priors.encoder_decoder import PRESETS, EncoderDecoder, NetworkSettings
from untaught.priors.interpolation import upsample

FUSED = {name: changes for name, changes in VARIANTS.items() if can_compile(small(**changes))}


@pytest.fixture
def library():
    found = kernels.load(torch.float32).kernels
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
    padded = network.pad(x.double())
    return network.finish(network.head(network.features(padded)), padded.shape[2:], (height, width))


def compiled(*networks: EncoderDecoder, library) -> Assembly:
    return Assembly(networks, arithmetic=library.dtype, kernels=library)


def gradients(network, x: torch.Tensor, weights: torch.Tensor, evaluate=None) -> dict[str, torch.Tensor]:
    network.zero_grad()
    output = (evaluate or network)(x)
    (output * weights).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def test_which_networks_run_on_kernels():
    assert {"paper", "printed", "no skips", "one skip", "zero padding", "one a scale"} <= set(FUSED)
    assert not {"added", "max", "lanczos2", "large kernels", "elu", "swish"} & set(FUSED)
    assert all(can_compile(preset) for preset in PRESETS.values())


@pytest.mark.parametrize("size", [(16, 24), (13, 37), (40, 8)], ids=str)
@pytest.mark.parametrize("changes", FUSED.values(), ids=FUSED.keys())
def test_kernels_give_the_outputs_and_gradients_of_the_plain_network(library, changes, size):
    # Channels that fill no vector, one that fills it, and a skip branch wide enough for tiles.
    wide = {"down_channels": (6, 20), "up_channels": (18, 16), "skip_channels": (2, 11)}
    network = shaken(small(**{**wide, **changes}))
    exact = copy.deepcopy(network).double()
    run = compiled(network, library=library)
    x = torch.rand(1, 4, *size, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(run(x).double(), in_double(exact, x), atol=2e-5, rtol=0)
    ours, plain = gradients(network, x, weights, run), gradients(exact, x, weights, lambda x: in_double(exact, x))
    whole = torch.cat([gradient.flatten() for gradient in plain.values()]).norm()
    for name, gradient in plain.items():
        # A leaky ReLU on the other side of zero by a rounding changes single values, hence the norms.
        error = (ours[name].double() - gradient).norm() / (gradient.norm() + 1e-2 * whole)
        assert error < 2e-3, (name, float(error))


def test_kernels_at_the_sizes_and_widths_of_the_presets(library):
    for preset in PRESETS.values():
        network = seeded(preset, channels=1)
        exact = copy.deepcopy(network).double()
        run = compiled(network, library=library)
        x = 0.1 * torch.rand(1, 32, 64, 96, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(run(x).double(), in_double(exact, x), atol=1e-4, rtol=0)


def test_kernels_in_bfloat16_are_as_exact_as_the_plain_network_in_bfloat16():
    library = kernels.load(torch.bfloat16).kernels
    if library is None:
        pytest.skip("no kernels were compiled for this machine")
    network = shaken(small(down_channels=(16, 32), up_channels=(16, 32)))
    plain, exact = copy.deepcopy(network), copy.deepcopy(network).double()
    x = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    output, gradient = in_double(exact, x), gradients(exact, x, weights, lambda x: in_double(exact, x))

    def errors(one: EncoderDecoder, evaluate) -> tuple[torch.Tensor, torch.Tensor]:
        found = gradients(one, x.bfloat16(), weights, evaluate)
        distance = torch.cat([(found[name] - gradient[name]).flatten() for name in gradient]).norm()
        return (evaluate(x.bfloat16()) - output).norm(), distance

    ours, theirs = errors(network, compiled(network, library=library)), errors(plain, plain)
    for one, other in zip(ours, theirs, strict=True):
        assert one < 1.25 * other


def test_kernels_give_the_same_bits_again_and_side_by_side(library):
    members = [seeded(small(), seed=seed) for seed in (0, 1, 2)]
    x, weights = torch.rand(3, 4, 40, 24), torch.randn(3, 3, 40, 24)

    def alone() -> list[dict[str, torch.Tensor]]:
        return [
            gradients(member, x[n : n + 1], weights[n : n + 1], compiled(member, library=library))
            for n, member in enumerate(members)
        ]

    first, again = alone(), alone()
    together = compiled(*members, library=library)
    together.zero_grad()
    (together(x) * weights).sum().backward()
    for member, one, other in zip(members, first, again, strict=True):
        for name, parameter in member.named_parameters():
            assert torch.equal(one[name], other[name]), name
            assert torch.equal(one[name], parameter.grad), name


def test_a_gradient_of_an_evaluation_that_was_overwritten_is_refused(library):
    network = seeded(small())
    run = compiled(network, library=library)
    first = run(torch.rand(1, 4, 16, 16)).sum()
    run(torch.rand(1, 4, 16, 16))
    with pytest.raises(RuntimeError, match="evaluated again"):
        first.backward()


def test_kernels_pass_on_what_is_not_finite(library):
    network = seeded(small())
    run = compiled(network, library=library)
    network.scales[0].up[1].weight.data[0, 0, 0, 0] = float("nan")
    assert not run(torch.rand(1, 4, 16, 16)).isfinite().all()


def test_an_input_that_wants_a_gradient_runs_on_the_plain_network(library):
    network = seeded(small())
    run = compiled(network, library=library)
    x = torch.rand(1, 4, 16, 16, requires_grad=True)
    run(x).sum().backward()
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
