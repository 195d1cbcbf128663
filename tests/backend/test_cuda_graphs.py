"""Captured steps: the same run, in the same few tensors; on CUDA without a word between host and device."""

import dataclasses
import itertools

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

import untaught
from untaught.backend.cuda_graphs import Graphs
from untaught.backend.engine import Engine
from untaught.fitting import build
from untaught.fitting.optimisers import build_optimiser
from untaught.fitting.stopping import HeldOut
from untaught.physics.linear import Mask
from untaught.priors import inputs
from untaught.priors.masked_input import MaskedInput
from untaught.tasks.preparation import prepare

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class OnPaper(Graphs):
    """What a device would do, done on the processor.

    A replay of `_Step` computes anew and leaves what it found in the tensors of the first. It sees to it that
    everything that a graph would read and change is still where it was.
    """

    made: list["OnPaper"]  # all there have been since the fixture

    def __init__(self, functions, device, generators):
        super().__init__(functions, device, generators)
        self.step = functions[0].__self__
        self.made.append(self)

    def _run(self, function):
        function()

    def _rehearse(self, function):
        function()
        return False

    def _capture(self):
        self.places, self.found = self._places(), None
        return [self._look, self._learn]

    def _places(self):
        fit = self.step.fit
        tensors = [*fit.network.parameters(), *(group["lr"] for group in fit.optimiser.param_groups)]
        tensors += [value for state in fit.optimiser.state.values() for value in state.values()]
        tensors += [value for name, value in fit.sampler.state().items() if "generator" not in name]
        return [tensor.data_ptr() for tensor in tensors]

    def _look(self):
        assert self._places() == self.places
        self.functions[0]()
        self.way_back, now = self.step.losses, (self.step.losses.detach(), self.step.output)
        if self.found is None:
            self.found = tuple(value.clone() for value in now)
        for tensor, value in zip(self.found, now, strict=True):
            tensor.copy_(value)
        self.step.losses, self.step.output = self.found

    def _learn(self):
        self.step.losses = self.way_back
        self.functions[1]()
        self.step.losses = self.found[0]


def capture_nothing(_self, functions, _generators):
    return functions


@pytest.fixture
def paper(monkeypatch):
    """The processor takes the parts that are for CUDA; `capture` says whether steps are captured, too."""

    class InPlace(inputs.PerturbedSampler):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.in_place = True

    def on_paper(self, functions, generators):
        graphs = OnPaper(functions, self.device, generators)
        return [lambda: graphs(0), lambda: graphs(1)]

    def capture(does):
        OnPaper.made = []
        monkeypatch.setattr(Engine, "capture", on_paper if does else capture_nothing)

    monkeypatch.setenv("UNTAUGHT_KERNELS", "off")
    monkeypatch.setattr(inputs, "PerturbedSampler", InPlace)
    monkeypatch.setattr(build, "build_optimiser", lambda *parts: build_optimiser(*parts, capturable=True))
    return capture


@pytest.fixture(params=["fresh", "accumulated", "masked", "two runs", "patches"])
def recipe(request, tiny, tiny_accumulated):
    plain = dataclasses.replace(tiny, network=dataclasses.replace(tiny.network, padding="zero"), iterations=60)
    masked = dataclasses.replace(
        plain,
        network=dataclasses.replace(plain.network, head="none"),
        input=MaskedInput(pattern="shapes", least=0.7, most=0.8, widths=(1.0,)),
        optimiser=dataclasses.replace(tiny.optimiser, name="muon"),
        stopping=HeldOut(held_out=0.1, every=3, patience=30),
    )
    return {
        "fresh": plain,
        "accumulated": dataclasses.replace(plain, input=tiny_accumulated.input),
        "masked": masked,
        "two runs": dataclasses.replace(masked, runs=2),
        "patches": dataclasses.replace(masked, input=dataclasses.replace(masked.input, patch=16)),
    }[request.param]


def run(picture, mask, recipe, device="cpu"):
    job = prepare("restore", picture, mask, recipe=recipe, precision="float32", device=device)
    return list(job.begin())


def test_a_captured_run_is_the_same_to_the_bit(picture, mask, recipe, paper):
    paper(False)
    expected = run(picture, mask, recipe)
    paper(True)
    states = run(picture, mask, recipe)
    assert all(graphs.replays for graphs in OnPaper.made)
    assert len(OnPaper.made) == (2 if recipe.shows_picture else 1), "one for each stage"
    assert len(states) == len(expected)
    for one, other in zip(states, expected, strict=True):
        assert torch.equal(one.loss, other.loss)
        for name in ("output", "average", "square"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_a_fit_that_was_taken_back_is_captured_anew(tiny, paper):
    calls = []

    def spoil(picture):
        calls.append(None)
        return picture * torch.nan if len(calls) == 8 else picture

    paper(True)
    observed = torch.rand(1, 1, 8, 8)
    run = untaught.fit(observed, spoil, recipe=tiny, precision="float32", iterations=20)
    calls.clear()  # the operator was tried
    states = list(run)
    assert [state.iteration for state in states] == [*range(1, 8), *range(9, 21)]
    assert len(OnPaper.made) == 2
    assert all(graphs.replays for graphs in OnPaper.made)


def test_what_cannot_be_captured_is_run_as_it_is(monkeypatch):
    calls = []
    functions = [lambda: calls.append("one"), lambda: calls.append("two")]
    monkeypatch.setattr(Graphs, "_run", lambda _, function: function())
    monkeypatch.setattr(Graphs, "_rehearse", lambda self, function: function() or self.functions[1] is function)
    graphs = Graphs(functions, torch.device("cuda"), ())
    for _ in range(3):
        graphs(0)
        graphs(1)
    with pytest.warns(UserWarning, match="not captured as a CUDA graph"):
        graphs(0)
    graphs(1)
    graphs(0)
    assert calls == ["one", "two"] * 4 + ["one"]
    assert not graphs.replays


@pytest.fixture
def reproducible(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@needs_cuda
@pytest.mark.usefixtures("reproducible")
def test_on_cuda_a_captured_run_is_the_same(picture, mask, recipe, monkeypatch):
    captured = run(picture, mask, recipe, "cuda")
    monkeypatch.setattr(Engine, "capture", capture_nothing)
    plain = run(picture, mask, recipe, "cuda")
    assert len(captured) == len(plain)
    for one, other in zip(captured, plain, strict=True):
        torch.testing.assert_close(one.output, other.output, atol=1e-4, rtol=0)
        torch.testing.assert_close(one.average, other.average, atol=1e-4, rtol=0)
        torch.testing.assert_close(one.loss, other.loss, atol=1e-4, rtol=0)


@needs_cuda
@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_on_cuda_nothing_is_copied_to_the_host(tiny, optimiser):
    """Between the guard's looks at the 25th and the 50th loss."""
    chosen = dataclasses.replace(tiny, optimiser=dataclasses.replace(tiny.optimiser, name=optimiser))
    known = torch.rand(1, 2, 32, 24, device="cuda") > 0.5
    stream = iter(untaught.fit(torch.rand(1, 2, 32, 24), Mask(known), recipe=chosen, iterations=60, device="cuda"))
    list(itertools.islice(stream, 27))
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        list(itertools.islice(stream, 20))
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts["cudaGraphLaunch"] == 40
    assert "cudaStreamSynchronize" not in counts
    assert not any("DtoH" in name for name in counts)


@needs_cuda
def test_on_cuda_an_operator_that_makes_the_host_wait_is_no_obstacle(tiny):
    def scaled(picture):
        return picture * (1 + 0 * picture.mean().item())

    with pytest.warns(UserWarning, match="makes the host wait"):
        states = list(untaught.fit(torch.rand(1, 1, 16, 16), scaled, recipe=tiny, iterations=20, device="cuda"))
    assert states[-1].loss < states[0].loss


@needs_cuda
def test_on_cuda_a_capture_that_breaks_off_is_no_obstacle(tiny, monkeypatch):
    monkeypatch.setattr(Graphs, "_rehearse", lambda self, function: bool(self._run(function)))
    with pytest.warns(UserWarning, match="not captured as a CUDA graph"):
        states = list(
            untaught.fit(
                torch.rand(1, 1, 16, 16),
                lambda picture: picture * (1 + 0 * picture.mean().item()),
                recipe=tiny,
                iterations=20,
                device="cuda",
            )
        )
    assert states[-1].loss < states[0].loss
    assert torch.rand(1, device="cuda") >= 0
