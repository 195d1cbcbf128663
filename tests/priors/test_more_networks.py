import dataclasses
import json

import pytest
import torch
from torch import nn

from untaught.errors import SettingError
from untaught.priors.conv_decoder import ConvDecoder
from untaught.priors.deep_decoder import DeepDecoder
from untaught.priors.inputs import CoordinateInput, NoiseInput
from untaught.priors.siren import Siren
from untaught.priors.unet import UNet

SMALL = {
    "deep decoder": DeepDecoder(input_channels=8, channels=12, scales=2),
    "conv decoder": ConvDecoder(input_channels=8, channels=12, layers=4),
    "conv decoder with biases": ConvDecoder(input_channels=8, channels=12, layers=4, bias=True, head="sigmoid"),
    "siren": Siren(hidden_channels=16, hidden_layers=2),
    "u-net": UNet(input_channels=3, channels=(6, 8, 10)),
    "u-net, normalised on the way up": UNet(
        input_channels=3, channels=(6, 8), upsampling="nearest", normalise_up=True, padding="zero", head="none"
    ),
}
each = pytest.mark.parametrize("settings", SMALL.values(), ids=SMALL.keys())
each_kind = pytest.mark.parametrize("kind", [DeepDecoder, ConvDecoder, Siren, UNet])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The pictures are too small for more: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def input_for(settings, height: int, width: int, batch: int = 1) -> torch.Tensor:
    kind = "grid" if settings.kind == "siren" else "uniform"
    scheme = CoordinateInput if kind == "grid" else NoiseInput
    drawn = scheme(kind=kind, channels=settings.input_channels)
    return torch.cat([drawn.first((height, width), seeded(n)) for n in range(batch)])


@each
@pytest.mark.parametrize("size", [(32, 32), (9, 7), (33, 50), (1, 1), (2, 65)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_size_gives_a_finite_picture_of_that_size(settings, size, dtype):
    output = settings.build(3, seeded())(input_for(settings, *size, batch=2).to(dtype))
    assert output.shape == (2, 3, *size)
    assert output.dtype == torch.float32
    assert output.isfinite().all()
    if settings.head == "sigmoid":
        assert output.min() >= 0
        assert output.max() <= 1


@each
def test_weights_follow_from_the_generator_alone(settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        expected = torch.get_rng_state()
        one = settings.build(3, seeded()).state_dict()
        assert torch.equal(torch.get_rng_state(), expected)
        torch.manual_seed(2)
        other = settings.build(3, seeded()).state_dict()
    different = settings.build(3, seeded(1)).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(torch.equal(one[name], different[name]) for name in one)


@each
def test_a_saved_state_gives_the_same_picture(settings):
    network, other = settings.build(3, seeded()), settings.build(3, seeded(1))
    x = input_for(settings, 20, 12)
    assert not torch.equal(other(x), network(x))
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), network(x))


@each
def test_gradients_reach_every_parameter(settings):
    network = settings.build(3, seeded())
    # A plain sum would have no gradient through a normalisation.
    network(input_for(settings, 24, 32)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@each
def test_settings_survive_json(settings):
    values = json.loads(json.dumps(dataclasses.asdict(settings)))
    assert type(settings)(**values) == settings


@each_kind
def test_kinds_and_dimensions(kind):
    assert kind().dimensions == 2
    with pytest.raises(SettingError):
        kind(kind="another")


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (DeepDecoder, {"channels": 0}),
        (DeepDecoder, {"scales": -1}),
        (DeepDecoder, {"head": "tanh"}),
        (ConvDecoder, {"start": (0, 4)}),
        (ConvDecoder, {"layers": 1}),
        (Siren, {"omega0": 0}),
        (Siren, {"input_channels": 3}),
        (UNet, {"channels": ()}),
        (UNet, {"channels": (8, 0)}),
        (UNet, {"input_channels": 0}),
    ],
)
def test_impossible_settings_are_refused(kind, wrong):
    with pytest.raises(SettingError):
        kind(**wrong)


@each_kind
def test_a_network_without_output_is_refused(kind):
    with pytest.raises(SettingError):
        kind().build(0, seeded())


def shaken(settings, output_channels: int) -> nn.Module:
    """A network in double precision whose parameters are nowhere at their first values, normalisations included."""
    network = settings.build(output_channels, seeded()).double()
    generator = seeded(5)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def transplant(network: nn.Module, reference: nn.Module) -> nn.Module:
    """The reference, in double precision, with the network's weights, which must come in the same order."""
    reference = reference.double()
    convolutions = [p for name, p in network.named_parameters() if "normalisation" not in name]
    normalisations = [p for name, p in network.named_parameters() if "normalisation" in name]
    into = [p for m in reference.modules() if isinstance(m, nn.Linear | nn.Conv2d) for p in m.parameters()]
    into += [p for m in reference.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
    with torch.no_grad():
        # Weights and biases of normalisations alternate in both.
        for source, target in zip(convolutions + normalisations, into, strict=True):
            target.copy_(source.detach().reshape(target.shape))
    return reference


def test_deep_decoder_equals_the_equation_of_the_paper():
    """B <- cn(relu(U B C)): interpolation before the mixing of channels, and a last layer without it."""
    k = 8
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(k, k, 1, bias=False), nn.ReLU()]
        layers += [nn.BatchNorm2d(k)]
    layers += [nn.Conv2d(k, k, 1, bias=False), nn.ReLU(), nn.BatchNorm2d(k)]
    network = shaken(DeepDecoder(input_channels=k, channels=k, scales=3), 3)
    reference = transplant(network, nn.Sequential(*layers, nn.Conv2d(k, 3, 1, bias=False), nn.Sigmoid()))
    x = torch.rand(2, k, 48, 64, generator=seeded(2), dtype=torch.float64)
    # The small tensor that the paper starts from is every eighth sample of the input.
    torch.testing.assert_close(network(x), reference(x[:, :, ::8, ::8]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
def test_conv_decoder_equals_a_stack_of_layers(bias):
    k, layers = 6, []
    # 4 x 3 to 32 x 24 in three steps of two, and a last layer that keeps the size.
    for size in [(8, 6), (16, 12), (32, 24), None]:
        layers += [nn.Upsample(size=size, mode="nearest")] if size else []
        layers += [nn.Conv2d(k, k, 3, padding=1, bias=bias), nn.ReLU(), nn.BatchNorm2d(k)]
    network = shaken(ConvDecoder(input_channels=k, channels=k, layers=4, start=(4, 3), bias=bias), 2)
    reference = transplant(network, nn.Sequential(*layers, nn.Conv2d(k, 2, 1, bias=bias)))
    x = torch.rand(1, k, 32, 24, generator=seeded(2), dtype=torch.float64)
    torch.testing.assert_close(network(x), reference(x[:, :, ::8, ::8]), rtol=1e-10, atol=1e-12)


def test_siren_equals_a_fully_connected_network_of_sines():
    class Sine(nn.Module):
        def forward(self, x):
            return torch.sin(30 * x)

    layers = [nn.Linear(2, 16), Sine(), nn.Linear(16, 16), Sine(), nn.Linear(16, 16), Sine(), nn.Linear(16, 3)]
    network = shaken(Siren(hidden_channels=16, hidden_layers=2), 3)
    reference = transplant(network, nn.Sequential(*layers))
    rows, columns = torch.linspace(-1, 1, 9).double(), torch.linspace(-1, 1, 7).double()
    points = torch.stack([torch.stack([x, y]) for y in rows for x in columns])
    expected = (1 + reference(points).T.reshape(1, 3, 9, 7)) / 2
    output = network(input_for(Siren(), 9, 7).double())
    # The grid itself is float32.
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-4)


def test_siren_starts_as_in_the_paper():
    """What the weights add to the inputs of the sines has unit variance in every layer after the first."""
    network = Siren(hidden_layers=4).build(1, seeded())
    seen: list[torch.Tensor] = []
    for layer in network.layers:
        layer.register_forward_hook(lambda one, _, output: seen.append(output - one.bias.view(1, -1, 1, 1)))
    with torch.no_grad():
        network(input_for(Siren(), 48, 48))
    for before in seen[1:]:
        assert 30 * float(before.std()) == pytest.approx(1, abs=0.1)


class ReferenceUNet(nn.Module):
    """A U-Net of three scales, written out."""

    def __init__(self, inputs: int, a: int, b: int, c: int, outputs: int) -> None:
        super().__init__()
        pair = self.pair
        self.first, self.second, self.third = pair(inputs, a, True), pair(a, b, True), pair(b, c, True)
        self.narrow_first, self.narrow_second = self.convolution(b, a), self.convolution(c, b)
        self.up_first, self.up_second = pair(2 * a, a, False), pair(2 * b, b, False)
        self.last = nn.Conv2d(a, outputs, 1)

    @staticmethod
    def convolution(before: int, after: int) -> nn.Conv2d:
        return nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect")

    def pair(self, before: int, after: int, normalised: bool) -> nn.Sequential:
        layers = []
        for inputs in (before, after):
            layers += [self.convolution(inputs, after), *([nn.BatchNorm2d(after)] if normalised else []), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        halve, double = nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")
        first = self.first(x)
        second = self.second(halve(first))
        third = self.third(halve(second))
        second = self.up_second(torch.cat((self.narrow_second(double(third)), second), 1))
        first = self.up_first(torch.cat((self.narrow_first(double(second)), first), 1))
        return self.last(first).sigmoid()


def test_unet_equals_one_written_out():
    network, reference = shaken(UNet(input_channels=3, channels=(6, 8, 10)), 2), ReferenceUNet(3, 6, 8, 10, 2).double()
    with torch.no_grad():
        for source, target in zip(network.parameters(), reference.parameters(), strict=True):
            target.copy_(source.detach())
    x = torch.rand(1, 3, 24, 32, generator=seeded(2), dtype=torch.float64)
    torch.testing.assert_close(network(x), reference(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "channels", "expected"),
    [
        # d k² + 2 d k + 3 k with d = 6 layers.
        (DeepDecoder(), 3, 100_224),
        (DeepDecoder(input_channels=64, channels=64), 3, 25_536),
        # d (9 k² + 2 k) + 2 k.
        (ConvDecoder(), 2, 8 * (9 * 160**2 + 2 * 160) + 2 * 160),
        (Siren(), 1, 3 * 256 + 3 * 257 * 256 + 257),
        (Siren(), 3, 3 * 256 + 3 * 257 * 256 + 3 * 257),
    ],
)
def test_parameter_counts(settings, channels, expected):
    assert count(settings.build(channels, seeded())) == expected


def test_a_decoder_sees_independent_samples_of_unchanged_spread():
    """A mean over blocks would shrink the noise; taking samples keeps its distribution."""
    seen: list[torch.Tensor] = []
    network = DeepDecoder(input_channels=16, channels=4, scales=4).build(1, seeded())
    network.mixers[0].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    x = input_for(DeepDecoder(input_channels=16), 128, 96)
    network(x)
    assert seen[0].shape == (1, 16, 8, 6)
    assert float(seen[0].std()) == pytest.approx(float(x.std()), rel=0.1)


def picture() -> torch.Tensor:
    """A smooth 32 x 32 picture: (1, 1, 32, 32) in [0.1, 0.9]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    return (0.5 + 0.4 * torch.sin(4 * x + 1) * torch.cos(3 * y))[None, None]


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        (DeepDecoder(input_channels=16, channels=16, scales=3), 0.01),
        (ConvDecoder(input_channels=16, channels=16, layers=4), 0.008),
        (Siren(hidden_channels=32, hidden_layers=1), 0.001),
        (UNet(input_channels=4, channels=(8, 16, 16)), 0.005),
    ],
)
def test_each_fits_a_smooth_picture(settings, rate):
    clean, x = picture(), input_for(settings, 32, 32)
    network = settings.build(1, seeded())
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(200):
        optimiser.zero_grad()
        loss = (network(x) - clean).square().mean()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.1 * float(clean.var())
