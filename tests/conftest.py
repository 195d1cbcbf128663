"""What several test files share: small recipes, and a picture to damage."""

import dataclasses
import signal

import numpy as np
import pytest
import torch

from untaught import HeldOut, MaskedInput, NetworkSettings, NoiseInput, OptimiserSettings, PerturbationSettings, Recipe

# Two threads are fastest on two cores, and give the same from run to run.
torch.set_num_threads(min(2, torch.get_num_threads()))

# Signals are heard as in a terminal, also where a shell runs the tests in the background or under nohup.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """A recipe whose iterations take milliseconds."""
    return Recipe(
        name="tiny",
        source="the tests",
        network=NetworkSettings(
            input_channels=4, down_channels=(8, 8), up_channels=(8, 8), skip_channels=(4, 4), upsampling="nearest"
        ),
        input=NoiseInput(channels=4, perturbation=PerturbationSettings(kind="fresh", standard_deviation=0.01)),
        optimiser=OptimiserSettings(learning_rate=0.01),
        averaging=0.9,
        iterations=12,
    )


@pytest.fixture(scope="session")
def tiny_accumulated(tiny: Recipe) -> Recipe:
    """The same with a random walk of the input."""
    perturbation = PerturbationSettings(kind="accumulated", standard_deviation=0.01)
    return dataclasses.replace(tiny, input=NoiseInput(channels=4, perturbation=perturbation))


@pytest.fixture(scope="session")
def masked(tiny: Recipe) -> Recipe:
    """One with a masked input and held-out values."""
    return dataclasses.replace(
        tiny,
        network=dataclasses.replace(tiny.network, head="none"),
        input=MaskedInput(widths=(1.0,)),
        optimiser=OptimiserSettings(name="muon", learning_rate=0.01),
        stopping=HeldOut(held_out=0.1, every=3, patience=9),
        iterations=40,
    )


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A smooth colour picture: (24, 20, 3), uint8."""
    y, x = np.mgrid[0:24, 0:20] / 24
    channels = [0.5 + 0.4 * np.sin(5 * x + 2 * y), 0.3 + 0.6 * x, 0.8 - 0.5 * y * x]
    return (np.stack(channels, -1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def mask() -> np.ndarray:
    """Its known pixels: (24, 20), bool."""
    return np.random.default_rng(3).random((24, 20)) > 0.3


@pytest.fixture(autouse=True)
def on_the_processor(monkeypatch):
    """Where a test names no device it runs on the processor, also on a machine with a GPU."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.fixture(params=["avx2", "avx512", "avx512_bf16"])
def each_processor(request):
    """The compiled kernels of each kind of processor, as far as this one can run them."""
    from untaught.kernels import for_processor, library, load

    if for_processor() is None or request.param not in library.processors():
        pytest.skip("they cannot run here")
    load.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "processors", lambda: [request.param])
        kernels = for_processor()
        assert kernels is not None
        assert kernels.processor == request.param
        yield
    load.cache_clear()
