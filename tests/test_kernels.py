"""The boundary to the compiled library: loading, checked arguments, errors; and its noise.

What the kernels compute is tested in test_compiled_network.py.
"""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from untaught import kernels
from untaught.backend.assembly import Assembly
from untaught.backend.engine import choose_engine
from untaught.kernels import KernelError, openmp, torch_products
from untaught.kernels import library as loading
from untaught.kernels.build import FOLDER, source_hash
from untaught.kernels.signatures import COMMON, TYPED, Signature
from untaught.priors.encoder_decoder import EncoderDecoder, NetworkSettings
from untaught.priors.inputs import PerturbationSettings, PerturbedSampler

compiled = pytest.mark.skipif(
    kernels.load(torch.float32).kernels is None, reason="no kernels were compiled for this machine"
)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def library(request):
    found = kernels.load(request.param).kernels
    if found is None:
        pytest.skip("no kernels were compiled for this machine")
    return found


@pytest.fixture
def anew(monkeypatch):
    """Kernels are loaded again in this test, and after it; no environment variable switches them off."""
    monkeypatch.delenv("UNTAUGHT_KERNELS", raising=False)
    kernels.load.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    kernels.load.cache_clear()


def small_network() -> EncoderDecoder:
    settings = NetworkSettings(input_channels=4, down_channels=(8, 8), up_channels=(8, 8), skip_channels=(4, 4))
    return EncoderDecoder(settings, 1, torch.Generator().manual_seed(0))


# Loading --------------------------------------------------------------------------------------------------------------


def no_library(monkeypatch):
    monkeypatch.setattr(loading, "processors", list)


def no_runtime(monkeypatch):
    monkeypatch.setattr(openmp.threadpoolctl, "ThreadpoolController", Runtimes)


def no_product(monkeypatch):
    monkeypatch.setattr(torch_products, "SYMBOLS", (*torch_products.SYMBOLS[:2], "_ZN2at6native7cpublas9forgottenEb"))


def other_sources(monkeypatch):
    monkeypatch.setattr(loading, "source_hash", lambda: "0123")


def other_arguments(monkeypatch):
    monkeypatch.setitem(COMMON, "use_threads", "real count")


class Runtimes:
    """No OpenMP runtime is loaded."""

    def select(self, **_):
        return self

    def info(self):
        return []


@compiled
@pytest.mark.parametrize(
    ("lack", "reason"),
    [
        (no_library, "none were compiled"),
        (no_runtime, "does not use OpenMP"),
        (no_product, "does not have the matrix product"),
        (other_sources, "of another version: install untaught again"),
        (other_arguments, "use_threads takes n and not f"),
    ],
)
def test_without_kernels_the_result_is_the_same_and_the_reason_is_told_once(lack, reason, anew, caplog):
    x = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = choose_engine("cpu", "float32").assemble([small_network()])(x)
    kernels.load.cache_clear()
    lack(anew)
    engine = choose_engine("cpu", "float32")
    assert engine.kernels is None
    assert engine.record()["kernels"] is None
    assert reason in engine.reasons[-1]
    with caplog.at_level(logging.WARNING, "untaught"):
        for _ in range(2):
            found = engine.assemble([small_network()])(x)
    told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert told[0].startswith("running without compiled kernels")
    assert reason in told[0]
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@compiled
def test_kernels_that_are_switched_off_are_no_reason_to_warn(monkeypatch, caplog):
    monkeypatch.setenv("UNTAUGHT_KERNELS", "off")
    with caplog.at_level(logging.WARNING, "untaught"):
        choose_engine("cpu").assemble([small_network()])
    assert not caplog.records


@compiled
def test_the_engine_says_what_its_kernels_were_compiled_for(monkeypatch):
    monkeypatch.delenv("UNTAUGHT_KERNELS", raising=False)
    engine = choose_engine("cpu", "float32")
    assert engine.record()["kernels"] in engine.reasons[-1]


@compiled
def test_any_change_of_the_sources_changes_the_version(tmp_path):
    for path in FOLDER.iterdir():
        if path.suffix in (".h", ".cpp", ".py"):
            shutil.copy(path, tmp_path)
    assert source_hash(tmp_path) == source_hash()
    for name in ("vectors.h", "kernels.cpp", "build.py"):
        before = source_hash(tmp_path)
        (tmp_path / name).write_text((tmp_path / name).read_text() + "\n")
        assert source_hash(tmp_path) != before, name


def test_the_runtime_is_torchs_own_whatever_its_path_and_the_order():
    folder = Path("/my env/site-packages/torch")
    torchs, other = str(folder / "lib/libgomp.so.1"), "/my torch tools/sklearn.libs/libgomp.so"
    assert openmp.choose_runtime([other, torchs], folder) == torchs
    beside = "/my env/site-packages/torch.libs/libgomp-1.so"
    assert openmp.choose_runtime([other, beside], folder) == beside
    assert openmp.choose_runtime([other], folder) == other
    assert openmp.choose_runtime([], folder) is None


@compiled
def test_a_second_runtime_in_a_folder_with_a_space_is_no_obstacle(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    runtime = next((Path(torch.__file__).parent / "lib").glob("libgomp*"), None)
    if runtime is None:
        pytest.skip("torch brings no runtime of its own here")
    copy = folder / runtime.name
    shutil.copy(runtime, copy)
    code = f"""
import ctypes
ctypes.CDLL({str(copy)!r})
import torch
from untaught.kernels import load
found = load(torch.float32)
assert found.kernels is not None, found.reason
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# Arguments and errors -------------------------------------------------------------------------------------------------


def test_an_unknown_function_is_named(library):
    with pytest.raises(AttributeError, match="no function 'fold'"):
        library.fold()


@pytest.mark.parametrize("name", [*TYPED, *COMMON])
def test_every_declaration_can_be_read(name):
    signature = Signature.of(name, {**TYPED, **COMMON}[name], torch.bfloat16)
    assert len(signature.types) == len(signature.arguments)


def test_types_extents_and_options_of_a_declaration():
    signature = Signature.of("f", "T* values[2 * (count + 1)], float* norm[count]?, int count", torch.bfloat16)
    assert signature.types == "HFn"
    values, norm, count = signature.arguments
    assert (values.dtype, values.extent, values.optional) == (torch.bfloat16, "2 * (count + 1)", False)
    assert (norm.dtype, norm.optional) == (torch.float32, True)
    assert count.dtype is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sums": torch.zeros(96, dtype=torch.float32)}, "sums must be contiguous torch.float64"),
        (
            {"sums": torch.zeros(95, dtype=torch.float64)},
            "sums must be .* of at least 96 .*shape \\(95,\\)",
        ),
        ({"norm": torch.zeros(48, 4).T}, "norm must be contiguous torch.float32"),
        ({"channels": 40}, "channels must be a multiple of 16: found 40"),
    ],
)
def test_an_array_that_a_kernel_cannot_use_is_refused(change, message, library):
    arguments = {
        "values": torch.zeros(300, 48, dtype=library.dtype),
        "height": 30,
        "width": 10,
        "channels": 48,
        "norm": torch.zeros(4, 48),
        "slope": 0.2,
        "second": 0,
        "padding": 0,
        "sums": torch.zeros(2, 48, dtype=torch.float64),
    }
    library.statistics(**arguments)
    with pytest.raises(KernelError, match=f"statistics: {message}"):
        library.statistics(**{**arguments, **change})


def test_noise_needs_one_memory_layout(library):
    base = torch.zeros(1, 3, 4, 5)
    out = torch.empty_like(base, dtype=library.dtype).to(memory_format=torch.channels_last)
    with pytest.raises(KernelError, match="one memory layout"):
        library.perturb(out, base, base.numel(), 0.1, 1, False)


@pytest.mark.parametrize("shares", [1, 4])
def test_an_exception_in_the_library_is_an_error_in_python(library, shares):
    with pytest.raises(KernelError, match="fail failed: failed on purpose"):
        library.fail(shares)


@compiled
def test_after_a_failure_the_network_computes_as_before(monkeypatch):
    library = kernels.load(torch.float32).kernels
    network = Assembly([small_network()], kernels=library)
    x = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = network(x).detach()
    # In the middle of the evaluation, after the first sums.
    with monkeypatch.context() as failing:
        failing.setattr(library, "upsampled_statistics", lambda *_: library.fail(4))
        with pytest.raises(KernelError, match="failed on purpose"):
            network(x)
    assert torch.equal(network(x), expected)


# Noise ----------------------------------------------------------------------------------------------------------------


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
def test_noise_writes_the_requested_elements_only(library, count):
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

    def sampler(seed: int) -> PerturbedSampler:
        made = PerturbedSampler(base.clone(), settings, torch.Generator().manual_seed(seed))
        made.accelerate(library)
        return made

    source = sampler(0)
    first, second = source.draw().input, source.draw().input
    assert first.shape == base.shape
    assert first.dtype == library.dtype
    moved = [float((one.float() - base).std()) for one in (first, second)]
    assert moved[0] == pytest.approx(0.1, rel=0.15)
    assert moved[1] == pytest.approx(0.1 if kind == "fresh" else 0.1 * 2**0.5, rel=0.15)
    # The state of one moment gives what followed it, to the bit.
    source = sampler(0)
    source.draw()
    saved = {name: value.clone() for name, value in source.state().items()}
    other = sampler(5)
    other.restore(saved)
    assert torch.equal(other.draw().input, second)
