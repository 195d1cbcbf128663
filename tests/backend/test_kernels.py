"""The compiled library by itself: how it is found, and its noise. What it computes: tests/test_networks.py."""

import numpy as np
import pytest
import torch
from scipy import stats

from untaught.backend import kernels
from untaught.backend.engine import choose_engine
from untaught.priors.inputs import PerturbationSettings, PerturbedInput

compiled = pytest.mark.skipif(kernels.load(torch.float32) is None, reason="no kernels were compiled for this machine")


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def library(request):
    found = kernels.load(request.param)
    if found is None:
        pytest.skip("no kernels were compiled for this machine")
    return found


def test_without_a_library_torch_runs_everything(monkeypatch):
    monkeypatch.setattr(kernels, "_processors", list)
    kernels.load.cache_clear()
    try:
        engine = choose_engine("cpu")
        assert engine.kernels is None
        assert "none were compiled" in engine.reasons[-1]
        assert engine.record()["kernels"] is None
    finally:
        kernels.load.cache_clear()


@compiled
def test_the_engine_says_what_its_kernels_were_compiled_for():
    engine = choose_engine("cpu", "float32")
    assert engine.record()["kernels"] in engine.reasons[-1]


def test_an_unknown_function_is_named(library):
    with pytest.raises(AttributeError, match="no function 'fold'"):
        library.fold()


def noise(library, count, key, deviation=1.0):
    drawn = torch.empty(count, dtype=library.dtype)
    library.perturb(drawn, torch.zeros(count), count, deviation, key, False)
    return drawn.double().numpy()


def test_noise_is_normal_and_white(library):
    drawn = noise(library, 2**20, 2024)
    assert abs(drawn.mean()) < 5e-3
    assert drawn.std() == pytest.approx(1, abs=5e-3)
    assert abs(stats.skew(drawn)) < 0.02
    assert abs(stats.kurtosis(drawn)) < 0.03
    if library.dtype == torch.float32:
        assert stats.kstest(drawn[:100_000], "norm").pvalue > 1e-3
    for lag in (1, 15, 16, 17, 32, 512):
        assert abs(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]) < 5e-3, lag


def test_noise_is_a_function_of_its_key(library):
    one, same, other = (noise(library, 2**16, key) for key in (7, 7, 8))
    np.testing.assert_array_equal(one, same)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02
    high = noise(library, 2**16, 7 + 2**40)
    assert abs(np.corrcoef(one, high)[0, 1]) < 0.02


@pytest.mark.parametrize("count", [1, 15, 16, 31, 33, 4097])
def test_noise_writes_what_it_is_asked_for_and_no_more(library, count):
    drawn, base = torch.full((count + 40,), 9.0, dtype=library.dtype), torch.full((count + 40,), 0.5)
    library.perturb(drawn, base, count, 0.1, 3, True)
    assert (drawn[count:] == 9).all()
    assert (base[count:] == 0.5).all()
    assert (base[:count] != 0.5).all()
    torch.testing.assert_close(drawn[:count].float(), base[:count], atol=4e-3, rtol=0)


@pytest.mark.parametrize("kind", ["fresh", "accumulated"])
def test_perturbed_input_with_kernels(library, kind):
    base = torch.rand(1, 5, 12, 9)
    settings = PerturbationSettings(kind=kind, standard_deviation=0.1)
    source = PerturbedInput(base.clone(), settings, torch.Generator().manual_seed(0), library)
    first, second = source.draw().input, source.draw().input
    assert first.shape == base.shape
    assert first.dtype == library.dtype
    moved = [float((one.float() - base).std()) for one in (first, second)]
    assert moved[0] == pytest.approx(0.1, rel=0.15)
    assert moved[1] == pytest.approx(0.1 if kind == "fresh" else 0.1 * 2**0.5, rel=0.15)
    # The state of one moment gives what followed it, to the bit.
    source = PerturbedInput(base.clone(), settings, torch.Generator().manual_seed(0), library)
    source.draw()
    saved = {name: value.clone() for name, value in source.state().items()}
    other = PerturbedInput(base.clone(), settings, torch.Generator().manual_seed(5), library)
    other.restore(saved)
    assert torch.equal(other.draw().input, second)
