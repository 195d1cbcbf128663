import copy
import dataclasses
import io
import json
import math

import pytest
import torch
from torch import Tensor, nn

from untaught.errors import InputError, SettingError
from untaught.fitting.checkpoint import Snapshot, load, optimiser_state, part, restore_optimiser, save
from untaught.fitting.langevin import SGLD, Langevin, PosteriorMean, add_weight_noise
from untaught.fitting.optimisers import set_learning_rate
from untaught.fitting.state import State


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def run(fitted: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> None:
    x = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        optimiser.zero_grad()
        fitted(x).square().mean().backward()
        optimiser.step()


def weights(fitted: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in fitted.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


FACTORIES = {"langevin": Langevin(), "sgld": SGLD(learning_rate=1e-4, data_size=100)}
each = pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES.keys())


def test_sgld_draws_from_the_posterior_of_a_linear_model():
    """y = A w + n with a normal prior has a normal posterior that is known exactly."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(20, 2, generator=generator)
    y = a @ torch.tensor([1.0, -0.5]) + 0.5 * torch.randn(20, generator=generator)
    variance, precision = 0.25, 4.0
    inverse = torch.linalg.inv(a.T @ a / variance + precision * torch.eye(2))
    mean = inverse @ a.T @ y / variance

    # Many chains at once, one a column: the loss of each is a mean over the measurements, and their sum is descended.
    chains = nn.Parameter(torch.zeros(2, 2000))
    optimiser = SGLD(learning_rate=2e-3, data_size=len(y) / (2 * variance), prior_precision=precision)([chains])
    for _ in range(400):
        optimiser.zero_grad()
        (a @ chains - y[:, None]).square().mean(0).sum().backward()
        optimiser.step()
    samples = chains.detach()
    torch.testing.assert_close(samples.mean(1), mean, rtol=0, atol=0.02)
    # The step is not infinitely small, which widens the samples by a few percent.
    torch.testing.assert_close(torch.cov(samples), inverse, rtol=0.15, atol=1e-3)


def test_the_noise_is_that_of_the_paper():
    """Two learning rates on kernels, none on biases and normalisations, on top of what Adam does."""
    noisy, plain = network(), network()
    run(noisy, Langevin(learning_rate=0.01)(noisy.parameters()), 1)
    run(plain, torch.optim.Adam(plain.parameters(), lr=0.01, weight_decay=5e-8), 1)
    for one, other in zip(weights(noisy), weights(plain), strict=True):
        if one.ndim == 4:
            assert 0.01 < float((one - other).std()) < 0.03
        else:
            torch.testing.assert_close(one, other)


def test_the_noise_follows_the_learning_rate():
    weight = nn.Parameter(torch.zeros(100, 100))
    optimiser = Langevin(learning_rate=0.01, noise=3.0)([weight])
    set_learning_rate(optimiser, 0.001)
    weight.grad = torch.zeros_like(weight)
    optimiser.step()
    assert float(weight.detach().std()) == pytest.approx(0.003, rel=0.05)


@each
def test_a_fit_goes_on_to_the_bit(factory, tmp_path):
    """Through a file, and through torch's own way of saving."""
    whole = network()
    run(whole, factory(whole.parameters()), 7)

    begun = network()
    optimiser = factory(begun.parameters())
    run(begun, optimiser, 4)
    tensors, values = optimiser_state(optimiser)
    save(tmp_path / "fit", Snapshot.of({f"optimiser.{name}": one for name, one in tensors.items()}, values))
    file = io.BytesIO()
    torch.save(optimiser.state_dict(), file)
    file.seek(0)

    resumed, loaded = copy.deepcopy(begun), copy.deepcopy(begun)
    again = factory(resumed.parameters())
    snapshot = load(tmp_path / "fit")
    restore_optimiser(again, part(snapshot.tensors, "optimiser"), snapshot.values)
    run(resumed, again, 3)
    again = factory(loaded.parameters())
    again.load_state_dict(torch.load(file, weights_only=True))
    run(loaded, again, 3)
    assert same(weights(resumed), weights(whole))
    assert same(weights(loaded), weights(whole))


@each
def test_the_noise_follows_from_the_seed(factory):
    torch.manual_seed(0)
    one, other, third = network(), network(), network()
    run(one, factory(one.parameters()), 2)
    torch.manual_seed(1)
    run(other, factory(other.parameters()), 2)
    run(third, dataclasses.replace(factory, seed=5)(third.parameters()), 2)
    assert same(weights(one), weights(other))
    assert not same(weights(one), weights(third))


def test_other_first_weights_have_other_noise():
    """So that fits of several seeds do not share theirs."""
    noises = []
    for start in (0.0, 1.0):
        weight = nn.Parameter(torch.full((4, 4), start))
        optimiser = SGLD(learning_rate=1e-2, data_size=1)([weight])
        weight.grad = torch.zeros_like(weight)
        optimiser.step()
        noises.append(weight.detach() - start)
    assert not torch.allclose(*noises, atol=1e-3)


def test_parameters_without_a_gradient_stay():
    moved, idle = nn.Parameter(torch.zeros(3, 3)), nn.Parameter(torch.zeros(3, 3))
    optimiser = add_weight_noise(torch.optim.Adam([idle, moved], lr=0.1), lambda rate: rate)
    optimiser.step()
    moved.grad = torch.zeros(3, 3)
    optimiser.step()
    assert not idle.any()
    assert moved.all()
    # A parameter that joins later is no trouble to Adam.
    idle.grad = torch.ones(3, 3)
    optimiser.step()
    assert idle.all()


@each
def test_settings_survive_json(factory):
    assert type(factory)(**json.loads(json.dumps(dataclasses.asdict(factory)))) == factory


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Langevin, {"learning_rate": 0}),
        (Langevin, {"noise": -1}),
        (SGLD, {"learning_rate": 0.1, "data_size": 0}),
        (PosteriorMean, {"burn_in": -1}),
        (PosteriorMean, {"every": 0}),
    ],
)
def test_impossible_settings_are_refused(kind, wrong):
    with pytest.raises(SettingError):
        kind(**wrong)


def state_of(iteration: int, output: Tensor) -> State:
    loss = output.mean()
    return State(
        iteration=iteration, iterations=100, loss=loss, losses=loss[None], average=output, square=output.square()
    )


@pytest.mark.parametrize(("every", "taken"), [(1, range(6, 21)), (5, (6, 11, 16))])
def test_posterior_mean_and_deviation(every, taken):
    generator = torch.Generator().manual_seed(0)
    # A small spread on a large mean is what a plain sum of squares would lose in float32.
    outputs = 0.9 + 1e-4 * torch.randn(20, 1, 3, 4, 5, generator=generator)
    observer = PosteriorMean(burn_in=5, every=every)
    for iteration, output in enumerate(outputs, start=1):
        observer(state_of(iteration, output))
    expected = outputs[[iteration - 1 for iteration in taken]].double()
    assert observer.samples == len(expected)
    torch.testing.assert_close(observer.mean.double(), expected.mean(0), rtol=0, atol=1e-6)
    torch.testing.assert_close(observer.standard_deviation.double(), expected.std(0), rtol=0.01, atol=1e-6)


def test_posterior_mean_goes_on_from_its_state():
    outputs = torch.rand(10, 1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    whole, begun, resumed = (PosteriorMean(burn_in=2) for _ in range(3))
    resumed.restore(begun.state())
    for iteration, output in enumerate(outputs, start=1):
        whole(state_of(iteration, output))
        (begun if iteration <= 5 else resumed)(state_of(iteration, output))
        if iteration == 5:
            resumed.restore(begun.state())
    assert torch.equal(resumed.mean, whole.mean)
    assert torch.equal(resumed.standard_deviation, whole.standard_deviation)


def test_posterior_mean_before_the_first_sample():
    observer = PosteriorMean(burn_in=2)
    observer(state_of(2, torch.ones(1, 1, 2, 2)))
    with pytest.raises(InputError, match="iteration 3"):
        _ = observer.mean
    observer(state_of(3, torch.ones(1, 1, 2, 2)))
    assert math.isclose(float(observer.standard_deviation.sum()), 0)
