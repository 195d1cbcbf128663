"""What several test files share: a recipe small enough for a test, and a picture to damage."""

import dataclasses

import numpy as np
import pytest
import torch

from untaught.fitting.optimisers import OptimiserSettings
from untaught.fitting.stopping import StoppingSettings
from untaught.priors.encoder_decoder import NetworkSettings
from untaught.priors.inputs import InputSettings, PerturbationSettings
from untaught.priors.masked_input import ThinningSettings
from untaught.recipes import Recipe

# Two threads that share two cores with nobody are fastest, and the same from run to run.
torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """A recipe whose fit takes milliseconds an iteration."""
    return Recipe(
        name="tiny",
        source="the tests",
        network=NetworkSettings(
            input_channels=4, down_channels=(8, 8), up_channels=(8, 8), skip_channels=(4, 4), upsampling="nearest"
        ),
        input=InputSettings(channels=4),
        perturbation=PerturbationSettings(kind="fresh", standard_deviation=0.01),
        optimiser=OptimiserSettings(rate=0.01),
        averaging=0.9,
        iterations=12,
    )


@pytest.fixture(scope="session")
def tiny_accumulated(tiny: Recipe) -> Recipe:
    return dataclasses.replace(tiny, perturbation=PerturbationSettings(kind="accumulated", standard_deviation=0.01))


@pytest.fixture(scope="session")
def thinned(tiny: Recipe) -> Recipe:
    """One that is shown the known values."""
    return dataclasses.replace(
        tiny,
        network=dataclasses.replace(tiny.network, head="none"),
        thinning=ThinningSettings(widths=(1.0,)),
        optimiser=dataclasses.replace(tiny.optimiser, name="muon"),
        stopping=StoppingSettings(rule="held-out", held_out=0.1, every=3, patience=9),
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
    """What is known of it: (24, 20), bool."""
    return np.random.default_rng(3).random((24, 20)) > 0.3


@pytest.fixture(autouse=True)
def on_the_processor(monkeypatch):
    """Where nothing else is said a test runs on the processor, also on a machine with a GPU."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
