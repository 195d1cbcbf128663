"""Choices of the engine, and networks put together for it."""

import dataclasses

import numpy as np
import pytest
import torch

import untaught
from untaught.backend.engine import choose_engine
from untaught.errors import SettingError
from untaught.priors.encoder_decoder import EncoderDecoder, NetworkSettings
from untaught.priors.independent import Independent


def network_of(seed: int) -> EncoderDecoder:
    settings = NetworkSettings(input_channels=4, down_channels=(8,), up_channels=(8,), skip_channels=(2,))
    return EncoderDecoder(settings, 1, torch.Generator().manual_seed(seed))


def test_every_choice_has_a_reason():
    engine = choose_engine()
    assert len(engine.reasons) == 4
    assert engine.reasons[0].startswith(engine.device.type)
    assert engine.reasons[1].startswith(str(engine.arithmetic).removeprefix("torch."))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_what_was_asked_for(precision):
    engine = choose_engine("cpu", precision)
    assert engine.record()["precision"] == precision
    network = dataclasses.replace(engine, kernels=None).assemble([network_of(8)])
    seen = []
    network.network.scales[0].down.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].dtype))
    output = network(torch.rand(1, 4, 8, 8))
    assert seen == [getattr(torch, precision)]
    assert output.dtype == torch.float32


@pytest.mark.parametrize(("count", "layers"), [(1, 1), (2, 1), (4, 2)])
def test_an_assembly_has_the_state_of_its_networks(count, layers):
    networks = [network_of(seed) for seed in range(count)]
    plain = networks[0] if count == 1 else Independent(networks, layers)
    whole = choose_engine("cpu", "float32").assemble(networks, layers)
    assert list(whole.state_dict()) == list(plain.state_dict())
    output = whole(torch.ones(count // layers, 4, 16, 16))
    assert output.shape == (count // layers, layers, 16, 16)
    other = choose_engine("cpu", "float32").assemble([network_of(7) for _ in range(count)], layers)
    other.load_state_dict(whole.state_dict())
    assert torch.equal(other(torch.ones(count // layers, 4, 16, 16)), output)
    torch.testing.assert_close(plain(torch.ones(count // layers, 4, 16, 16)), output, atol=1e-4, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_module_of_the_users_own_runs_beside_ours_in_its_own_type(precision):
    engine = choose_engine("cpu", precision)
    theirs = torch.nn.Conv2d(4, 1, 3, padding=1)
    x = torch.rand(2, 4, 16, 16)
    output = engine.assemble([theirs, network_of(0)])(x)
    assert output.dtype == torch.float32
    assert torch.equal(output[:1], theirs(x[:1]))
    assert torch.equal(output[1:], engine.assemble([network_of(0)])(x[1:]))
    output.sum().backward()
    assert theirs.weight.grad is not None


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_environment_sets_the_default_precision(precision, monkeypatch):
    monkeypatch.setenv("UNTAUGHT_PRECISION", precision)
    engine = choose_engine("cpu")
    assert engine.arithmetic == getattr(torch, precision)
    assert f"UNTAUGHT_PRECISION={precision}" in engine.reasons[1]
    assert choose_engine("cpu", "float32").arithmetic == torch.float32


def test_the_environment_switches_the_kernels_off(monkeypatch):
    monkeypatch.setenv("UNTAUGHT_KERNELS", "off")
    engine = choose_engine("cpu", "float32")
    assert engine.kernels is None
    assert engine.record()["kernels"] is None
    assert "UNTAUGHT_KERNELS=off" in engine.reasons[3]


@pytest.mark.parametrize(("name", "valid"), [("UNTAUGHT_KERNELS", "auto, off"), ("UNTAUGHT_PRECISION", "bfloat16")])
def test_an_unknown_value_in_the_environment_is_refused(name, valid, monkeypatch):
    monkeypatch.setenv(name, "yes")
    with pytest.raises(SettingError, match=f"{name} must be one of .*{valid}.*: found 'yes'"):
        choose_engine("cpu")


@pytest.mark.parametrize("processor", [True, False])
def test_bfloat16_only_where_the_processor_is_fast_at_it(processor, monkeypatch):
    monkeypatch.delenv("UNTAUGHT_PRECISION", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: processor)
    assert choose_engine("cpu").arithmetic == (torch.bfloat16 if processor else torch.float32)


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [("tpu", "auto", "auto, cpu, cuda"), ("cuda:99", "auto", "usable here: cpu"), ("cpu", "half", "auto, float32")],
)
def test_what_is_not_there_is_refused(device, precision, message):
    with pytest.raises(SettingError, match=message):
        choose_engine(device, precision)


@pytest.mark.parametrize("recipe", ["balanced", "printed"])
@pytest.mark.parametrize("default", [torch.float64, torch.float16], ids=str)
def test_torchs_default_type_does_not_change_a_fit(default, recipe):
    draw = np.random.default_rng(0)
    picture, known = draw.random((40, 48)), draw.random((40, 48)) > 0.4

    def fitted() -> np.ndarray:
        return untaught.restore(picture, known, recipe=recipe, iterations=2, seed=0, device="cpu").picture

    expected, before = fitted(), torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        np.testing.assert_array_equal(fitted(), expected)
    finally:
        torch.set_default_dtype(before)


def test_a_subclass_of_ours_runs_its_own_code():
    class Doubled(EncoderDecoder):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    engine, x = choose_engine("cpu", "float32"), torch.ones(1, 4, 16, 16)
    plain = network_of(0)
    doubled = Doubled(plain.settings, 1, torch.Generator().manual_seed(0))
    torch.testing.assert_close(engine.assemble([doubled])(x), 2 * plain(x), atol=1e-4, rtol=0)
