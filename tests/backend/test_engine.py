import pytest
import torch

from untaught.backend.engine import choose_engine
from untaught.errors import SettingError
from untaught.priors.encoder_decoder import EncoderDecoder, NetworkSettings


def test_every_choice_has_a_reason():
    engine = choose_engine()
    assert len(engine.reasons) == 4
    assert engine.reasons[0].startswith(engine.device.type)
    assert engine.reasons[1].startswith(str(engine.arithmetic).removeprefix("torch."))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_what_was_asked_for(precision):
    engine = choose_engine("cpu", precision)
    assert engine.record()["precision"] == precision
    network = engine.place(EncoderDecoder(NetworkSettings(down_channels=(4,), up_channels=(4,), skip_channels=(2,)), 1))
    seen = []
    network.scales[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].dtype))
    network.scales[0].down.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].dtype))
    output = engine.run(network, torch.rand(1, 32, 8, 8))
    assert seen == [getattr(torch, precision)]
    assert output.dtype == torch.float32


@pytest.mark.parametrize("processor", [True, False])
def test_bfloat16_only_where_the_processor_is_fast_at_it(processor, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: processor)
    assert choose_engine("cpu").arithmetic == (torch.bfloat16 if processor else torch.float32)


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [("tpu", "auto", "auto, cpu, cuda"), ("cuda:99", "auto", "usable here: cpu"), ("cpu", "half", "auto, float32")],
)
def test_what_is_not_there_is_refused(device, precision, message):
    with pytest.raises(SettingError, match=message):
        choose_engine(device, precision)
