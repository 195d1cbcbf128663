"""Whatever is given to `untaught.fit` works, or is refused before the first iteration in our own words."""

import re

import numpy as np
import pytest
import torch

import untaught
from untaught.errors import UntaughtError

PICTURE = torch.rand((1, 1, 12, 10), generator=torch.Generator().manual_seed(0))


def fitted(tiny, observed=PICTURE, *more, **options):
    return untaught.fit(observed, *more, **{"recipe": tiny, "iterations": 2, **options}).finish()


@pytest.mark.parametrize(
    "observed",
    [
        PICTURE.numpy(),
        PICTURE.tolist(),
        PICTURE.clone().requires_grad_(),
        torch.nn.Parameter(PICTURE),
        PICTURE.double(),
        PICTURE.half(),
        PICTURE.bfloat16(),
        (PICTURE * 255).to(torch.uint8),
        PICTURE.expand(3, 2, -1, -1),
        PICTURE.flip(-1)[..., ::2],
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_what_can_be_observed(observed, tiny):
    result = fitted(tiny, observed, runs=2)
    assert result.picture.shape == torch.as_tensor(observed).shape
    assert not result.picture.requires_grad


OPTIONS = [
    *({"channels": value} for value in (0, -1, "x", 1.5, True, 3)),
    *({"size": value} for value in ((0, 3), 32, "ab", (12,), (1, 2, 3, 4), (12.5, 10), (12, 11))),
    *({"value_range": value} for value in (3, (0,), (0, 1, 2), (1, 0), "ab", (0, np.nan), (0, 1e300), (0, None))),
    *({"noise": value} for value in (-1, "x", np.nan, np.inf)),
    *({"clip": value} for value in ("x", 2, None)),
    *({"mask": value} for value in ("x", torch.ones(3, 3, dtype=torch.bool), torch.ones(12, 10), object())),
    *(
        {"weights": value}
        for value in ("x", -PICTURE, PICTURE * np.nan, torch.complex(PICTURE, PICTURE), [[1], [1, 2]])
    ),
    *({"recipe": value} for value in (3, "nope", None)),
    *({"network": value} for value in (3, "u-net", torch.nn.Identity(), torch.nn.Linear(8, 1))),
    *({"network": torch.nn.Conv2d(*value)} for value in ((4, 1, 3), (4, 2, 1), (3, 1, 1))),
    *({"optimiser": value} for value in (3, "adam", lambda _: 3)),
    *({"loss": value} for value in ("nope", 3, lambda p, o: 3, lambda p, o: 1 / 0, lambda p, o: (p - o).detach())),  # noqa: ARG005
    *({"loss": value} for value in (lambda p, o: [p, o], lambda p, o: (p - o).abs()[:, :, :3])),
    *({"regulariser": value} for value in (3, lambda x: "s", lambda x: 1 / 0, lambda x: x[0, 0, 0])),  # noqa: ARG005
    *({"stopping": value} for value in (3, "none")),
    *({"seed": value} for value in (-1, 1.5, True, 2**64, None, "x")),
    *({"device": value} for value in ("tpu", 3, None, torch.device("meta"))),
    *({"time_budget": value} for value in ("x", -1, np.inf)),
    *({"resume": value} for value in (3, b"x", "nowhere", {})),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: re.sub(r" at 0x.*", "", str(options)[:40]))
def test_options_that_are_refused_before_the_first_iteration(options, tiny, monkeypatch):
    monkeypatch.setattr("untaught.fitting.run.iterate", None)
    with pytest.raises(UntaughtError) as caught:
        fitted(tiny, **options)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"seed": np.int64(1)},
        {"seed": np.uint8(1)},
        {"seed": torch.tensor(1)},
        {"device": torch.device("cpu")},
        {"runs": np.int64(2)},
        {"size": torch.Size((12, 10))},
        {"size": [12, 10]},
        {"channels": np.int64(1)},
        {"value_range": (np.float32(0), np.float32(1))},
        {"value_range": [0, 1]},
        {"time_budget": "60s"},
        {"mask": np.ones((12, 10), bool)},
        {"weights": np.ones((12, 10))},
        {"weights": PICTURE.clone().requires_grad_()},
    ],
    ids=str,
)
def test_options_of_other_types(options, tiny):
    assert fitted(tiny, **options).picture.shape == PICTURE.shape


REFUSED = {
    "nothing": (None,),
    "a text": ("photo.png",),
    "sparse": (PICTURE.to_sparse(),),
    "without values": (PICTURE.to("meta"),),
    "one axis": (PICTURE.flatten(),),
    "empty": (PICTURE[..., :0],),
    "bool": (PICTURE > 0.5,),
    "counts": ((PICTURE * 1000).int(),),
    "complex": (torch.fft.fft2(PICTURE),),
    "larger units": (PICTURE * 4000,),
    "all unknown": (PICTURE * np.nan,),
    "broadcast": (PICTURE, lambda x: x.mean(2, keepdim=True)),
    "a scalar": (PICTURE, lambda x: x.sum()),
    "complex for real": (PICTURE, torch.fft.fft2),
    "real for complex": (torch.fft.fft2(PICTURE), lambda x: x),
    "NaN": (PICTURE, lambda x: torch.log(x - 2)),
    "its own error": (PICTURE, lambda x: 1 / 0),  # noqa: ARG005
    "numpy": (PICTURE, lambda x: x.detach().numpy()),
    "no gradient": (PICTURE, lambda x: (x > 0.5).float()),
    "no operator": (PICTURE, 3),
    "other units": (PICTURE * 4000, lambda x: x),
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_observations_and_operators_that_are_refused(given, tiny, monkeypatch):
    monkeypatch.setattr("untaught.fitting.run.iterate", None)
    with pytest.raises(UntaughtError) as caught:
        fitted(tiny, *given)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("level", "expected"), [(-0.5, "below"), (1.4, "above"), (0.0, ""), (1.0, "")])
def test_values_beyond_the_range_are_told(level, expected, tiny):
    observed = torch.full((1, 1, 12, 10), level)
    notes = " ".join(fitted(tiny, observed).notes)
    assert (f"half of the observed values are {expected} the picture's range" in notes) == bool(expected)
    assert not fitted(tiny, observed, clip=False).notes


def test_a_value_range_is_used(tiny):
    plain, scaled = fitted(tiny).picture, fitted(tiny, PICTURE * 4000, value_range=(0, 4000)).picture
    assert torch.allclose(plain * 4000, scaled, rtol=1e-4)


@pytest.mark.parametrize("observers", [print, None, [3], [print, "x"], 3])
def test_observers_that_cannot_be_called_are_refused_before_the_fit(observers, tiny, monkeypatch):
    monkeypatch.setattr("untaught.fitting.run.iterate", None)
    with pytest.raises(UntaughtError, match="observers are a list of callables"):
        untaught.denoise(PICTURE, noise=0.1, recipe=tiny, observers=observers)


@pytest.mark.parametrize(
    "image",
    [
        PICTURE.to_sparse(),
        PICTURE.to("meta"),
        torch.complex(PICTURE, PICTURE),
        np.zeros((9, 9), object),
        np.zeros((9, 9), "M8[s]"),
        np.array([["a", "b"]]),
        np.zeros((0, 9)),
        np.float32(3),
        "photo.png",
        None,
        torch.zeros(9, 9, dtype=torch.bool),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')} {getattr(value, 'shape', '')}",
)
def test_pictures_that_are_refused(image, tiny):
    with pytest.raises(UntaughtError) as caught:
        untaught.denoise(image, noise=0.1, recipe=tiny, iterations=2)
    assert len(str(caught.value).splitlines()) == 1


class Failing:
    """Fails at its fourth call, when the checks are over."""

    def __init__(self, error):
        self.error, self.calls = error, 0

    def count(self):
        self.calls += 1
        if self.calls > 3:
            raise self.error


class FailingNetwork(torch.nn.Module):
    def __init__(self, error):
        super().__init__()
        self.body, self.failing = torch.nn.Conv2d(4, 1, 1), Failing(error)

    def forward(self, x):
        self.failing.count()
        return self.body(x)


def failing_call(error):
    failing = Failing(error)

    def call(x, *more):
        failing.count()
        return x if not more else (x - more[0]).square()

    return call


@pytest.mark.parametrize("error", [ValueError("a\nb"), RuntimeError(), OSError(28, "No space left"), AssertionError()])
@pytest.mark.parametrize("name", ["operator", "network", "loss", "regulariser"])
def test_what_fails_during_the_fit_is_named(name, error, tiny):
    made = FailingNetwork(error) if name == "network" else failing_call(error)
    if name == "regulariser":
        call = made
        made = lambda x: call(x).square().mean()  # noqa: E731
    run = untaught.fit(PICTURE, **{"recipe": tiny, "iterations": 12, name: made})
    with pytest.raises(UntaughtError, match=f"the {name} raised {type(error).__name__} after ") as caught:
        run.finish()
    assert caught.value.__cause__ is error or isinstance(caught.value.__cause__, type(error))
    assert len(str(caught.value).splitlines()) == 1


class FailingBackward(torch.autograd.Function):
    @staticmethod
    def forward(context, x, failing):
        context.failing = failing
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        context.failing.count()
        return gradient, None


@pytest.mark.parametrize("others", [{}, {"loss": lambda x, y: (x - y).square()}], ids=["alone", "beside a loss"])
def test_what_fails_in_a_backward_is_named(others, tiny):
    failing = Failing(ValueError("no gradient"))
    run = untaught.fit(PICTURE, lambda x: FailingBackward.apply(x, failing), recipe=tiny, iterations=12, **others)
    # Both are defined in this module, and nothing more is known of a frame of a function of torch's.
    name = "operator or loss" if others else "operator"
    with pytest.raises(UntaughtError, match=f"the {name} raised ValueError after .*: no gradient"):
        run.finish()
