"""Each kind of extension is one object: added here from outside, through public names, in one place.

Each runs to a result, is saved, resumed to the same bits, and recorded.
"""

import json

import pytest
import torch
from torch import nn

import untaught

KNOWN = torch.rand(1, 1, 24, 20, generator=torch.Generator().manual_seed(3)) > 0.3
CLEAN = torch.linspace(0, 1, 20).expand(1, 3, 24, 20) * torch.linspace(0.4, 1, 24)[:, None]


class Network(nn.Module):
    """A network of the user's own."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1), nn.Sigmoid())

    def forward(self, x):
        return self.layers(x)


def network(seed=1):
    """The same weights whatever ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Network()


class Ramp:
    """An input scheme of the user's own: coordinates whose sign flickers."""

    def build(self, measurement, generator):
        return RampSampler(measurement.size, generator)


class RampSampler(untaught.InputSampler):
    def __init__(self, size, generator):
        super().__init__(8, generator)
        self.ramp = torch.linspace(-1, 1, size[1], device=generator.device).expand(1, 8, *size)

    def draw(self):
        sign = torch.randint(2, (1, 8, 1, 1), generator=self.generator, device=self.ramp.device) * 2.0 - 1
        return untaught.Batch(self.ramp * sign)


class StopAtLoss:
    """A stop rule of the user's own: the running mean of the loss, and an end below a level."""

    def __init__(self, level):
        self.level = level
        self.mean = None

    def update(self, state):
        loss = float(state.loss)
        self.mean = loss if self.mean is None else 0.5 * self.mean + 0.5 * loss
        return -torch.inf if self.mean < self.level else self.mean

    def state(self):
        return {} if self.mean is None else {"mean": torch.tensor(self.mean, dtype=torch.float64)}

    def restore(self, state):
        self.mean = float(state["mean"]) if "mean" in state else None


class Stripes(nn.Module):
    """An operator of the user's own: every other column, in its units."""

    def forward(self, picture):
        return picture[..., ::2]


def charbonnier(prediction, observed):
    """A loss of the user's own, one value per element."""
    return ((prediction - observed) ** 2 + 1e-4).sqrt()


def sgd(parameters):
    """An optimiser of the user's own, with its own learning rate."""
    return torch.optim.SGD(parameters, lr=0.2, momentum=0.9)


RECIPE = untaught.Recipe(
    name="mine",
    network=untaught.NetworkSettings(
        input_channels=8, down_channels=(8, 8), up_channels=(8, 8), skip_channels=(4, 4), upsampling="nearest"
    ),
    input=untaught.NoiseInput(channels=8),
    iterations=20,
)

OWN = {
    "network": {"network": network()},
    "input": {"input": Ramp()},
    "stopping": {"stopping": StopAtLoss(0.05)},
    "loss": {"loss": charbonnier},
    "optimiser": {"optimiser": sgd},
    "regulariser": {"regulariser": untaught.total_variation(0.01)},
    "recipe": {},
    "everything": {
        "network": network(),
        "input": Ramp(),
        "stopping": StopAtLoss(0.05),
        "loss": charbonnier,
        "optimiser": sgd,
    },
}


def begin(own, **more):
    observed = torch.where(KNOWN, CLEAN, 0)
    torch.manual_seed(1)
    return untaught.fit(observed, mask=KNOWN, recipe=RECIPE, device="cpu", **own, **more)


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_an_object_of_the_users_own(own, tmp_path):
    whole = begin(own).finish()
    assert whole.picture.shape == CLEAN.shape
    assert whole.history["loss"][-1] < whole.history["loss"][0]

    first = begin(own)
    for state in first:
        if state.iteration == 7:
            break
    first.save(tmp_path / "checkpoint")
    resumed = begin(own, resume=tmp_path / "checkpoint").finish()
    assert torch.equal(resumed.picture, whole.picture)
    assert resumed.iterations == whole.iterations

    record = json.loads(json.dumps(whole.recipe))
    recorded = {name for name in own if "object" in json.dumps(record[name])}
    assert recorded == set(own), "the record names each object"
    if own:
        with pytest.raises(untaught.SettingError, match="pass it again"):
            untaught.recipe_from_record(record)
    again = untaught.recipe_from_record(record, **own)
    repeated = untaught.fit(torch.where(KNOWN, CLEAN, 0), mask=KNOWN, recipe=again, device="cpu").finish()
    assert torch.equal(repeated.picture, whole.picture)


def test_a_rule_may_end_the_fit():
    result = begin({"stopping": StopAtLoss(0.05)}).finish()
    assert result.stop_reason is untaught.StopReason.RULE
    assert result.iterations < RECIPE.iterations
    assert begin({"stopping": StopAtLoss(-1.0)}).finish().stop_reason is untaught.StopReason.ITERATIONS


def test_the_users_objects_are_left_alone():
    mine, rule = network(), StopAtLoss(0.05)
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    begin({"network": mine, "stopping": rule}).finish()
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())
    assert rule.mean is None


@pytest.mark.parametrize(
    ("operator", "observed", "more"),
    [
        (Stripes(), CLEAN[..., ::2], {"size": (24, 20)}),
        (lambda x: x.mean(1, keepdim=True), CLEAN.mean(1, keepdim=True), {"channels": 3}),
        (untaught.Blur(torch.ones(3, 3) / 9), CLEAN[..., 1:-1, 1:-1], {}),
    ],
    ids=["module", "callable", "blur knows the picture's size"],
)
def test_an_operator_of_the_users_own(operator, observed, more):
    result = untaught.fit(observed, operator, recipe=RECIPE, device="cpu", **more).finish()
    assert result.picture.shape == CLEAN.shape
    assert "operator maps the result to within" in result.notes[-1]


def test_a_recipe_and_its_name_are_the_same():
    recipe = untaught.find_recipe("restore", "fast")
    noisy = torch.where(KNOWN, CLEAN, 0).numpy()[0].transpose(1, 2, 0)
    mask = KNOWN.numpy()[0, 0]
    by_name, by_value = (untaught.restore(noisy, mask, recipe=one, iterations=3) for one in ("fast", recipe))
    assert by_name.picture.tobytes() == by_value.picture.tobytes()
    assert by_name.recipe == by_value.recipe


def test_several_runs_of_a_users_network_start_from_other_weights():
    one, two = (begin({"network": network()}, runs=runs).finish().picture for runs in (1, 2))
    assert not torch.equal(one, two)

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return x[:, :3] * self.weight[:, None, None]

    with pytest.raises(untaught.SettingError, match="reset_parameters"):
        begin({"network": Fixed()}, runs=2)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"network": "unet"}, "network is an architecture"),
        ({"input": 3}, "input has a method build"),
        ({"stopping": print}, "method update"),
        ({"loss": "l2"}, "unknown loss l2"),
        ({"optimiser": 0.1}, "optimiser is"),
        ({"network": nn.Conv2d(8, 4, 1)}, "the network maps"),
        ({"optimiser": lambda parameters: parameters}, "returns a torch.optim.Optimizer"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, match):
    with pytest.raises(untaught.InputError, match=match):
        begin(wrong).finish()


def test_an_observer_may_end_the_fit():
    def end(state):
        if state.iteration == 4:
            raise untaught.StopFit

    result = begin({}).finish([end])
    assert (result.iterations, result.stop_reason) == (4, untaught.StopReason.CANCELLED)


@pytest.mark.parametrize("name", untaught.RECIPES["fit"])
def test_shipped_architectures_go_through_the_same_seam(name):
    def fit(**more):
        return untaught.fit(torch.where(KNOWN, CLEAN, 0), mask=KNOWN, iterations=4, device="cpu", **more)

    recipe = untaught.find_recipe("fit", name)
    whole = fit(recipe=name).finish()
    assert whole.picture.shape == CLEAN.shape
    assert torch.equal(fit(network=recipe.network, input=recipe.input, recipe=recipe).finish().picture, whole.picture)
    again = untaught.recipe_from_record(json.loads(json.dumps(whole.recipe)))
    assert torch.equal(fit(recipe=again).finish().picture, whole.picture)


def test_a_divergence_by_the_operator_names_the_operator():
    class Failing(nn.Module):
        """Not finite from its third call in a fit on, for any picture."""

        calls = 0

        def forward(self, picture):
            self.calls += 1
            return picture if self.calls <= 6 else picture / 0

    run = untaught.fit(CLEAN, Failing(), recipe=RECIPE, device="cpu")
    with pytest.raises(untaught.DivergenceError, match="the operator returns NaN or infinite"):
        for _ in run:
            pass
