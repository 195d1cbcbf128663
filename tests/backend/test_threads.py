"""The number of threads of a fit: all on an idle machine, fewer beside other work, and the host's own in between."""

import numpy as np
import pytest
import torch

import untaught
from untaught.backend.threads import Threads
from untaught.tasks.preparation import prepare


@pytest.fixture(autouse=True)
def four():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Machine:
    """Says how long an iteration takes with so many threads, without waiting for it."""

    def __init__(self, seconds, share=0.5):
        self.seconds, self.share = seconds, share
        self.passed = self.used = 0.0
        self.counts = []
        self.threads = Threads(adapts=True, clock=lambda: self.passed, processor_clock=lambda: self.used)

    def iterate(self, times):
        for _ in range(times):
            with self.threads.iteration():
                count = torch.get_num_threads()
                self.passed += self.seconds[count]
                self.used += self.share * count * self.seconds[count]
            self.counts.append(count)
            assert torch.get_num_threads() == 4
        return self.counts[-times:]


def test_an_idle_machine_uses_all_of_them():
    assert set(Machine({4: 1.0, 2: 0.1, 1: 0.1}, share=0.98).iterate(300)) == {4}


def test_where_fewer_are_slower_there_are_few_trials():
    assert Machine({4: 1.0, 2: 1.5, 1: 3.0}).iterate(1000).count(4) > 950


@pytest.mark.parametrize(("seconds", "best"), [({4: 9.0, 2: 3.0, 1: 1.0}, 1), ({4: 9.0, 2: 1.0, 1: 2.0}, 2)])
def test_a_busy_machine_uses_as_many_as_are_fastest(seconds, best):
    assert Machine(seconds).iterate(600)[100:].count(best) > 450


def test_it_follows_other_work_that_begins_and_ends():
    machine = Machine({4: 1.0, 2: 1.8, 1: 3.5})
    machine.iterate(500)
    machine.seconds = {4: 20.0, 2: 8.0, 1: 5.0}
    assert machine.iterate(200)[100:].count(1) > 60
    machine.seconds = {4: 1.0, 2: 1.8, 1: 3.5}
    assert machine.iterate(1000)[600:].count(4) > 350


def test_the_threads_of_before_hold_after_an_error():
    machine = Machine({4: 9.0, 2: 1.0, 1: 2.0})
    machine.iterate(20)

    def fails():
        with machine.threads.iteration():
            counts.append(torch.get_num_threads())
            raise ValueError("stop")

    counts = []
    with pytest.raises(ValueError, match="stop"):
        fails()
    assert counts[0] < 4
    assert torch.get_num_threads() == 4


OPERATOR = untaught.Downsample((32, 32), (16, 16))


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({}, True),
        ({"loss": "absolute"}, True),
        ({"loss": lambda prediction, observed: (prediction - observed).abs()}, False),
        ({"regulariser": untaught.total_variation(0.01)}, False),
        ({"network": torch.nn.Conv2d(32, 1, 1)}, False),
        ({"operator": OPERATOR}, False),
        ({"optimiser": torch.optim.SGD}, False),
    ],
)
def test_it_adapts_only_where_the_result_stays_the_same_to_the_bit(options, same):
    side = 16 if "operator" in options else 32
    run = untaught.fit(torch.rand(1, 1, side, side), device="cpu", **options)
    compiled = run.job.engine.kernels is not None
    assert run.job.is_same_with_any_threads == (same and compiled)


def test_a_fit_is_the_same_whatever_it_chooses(monkeypatch):
    job = prepare(
        "restore", np.random.default_rng(0).random((40, 40)), np.arange(1600).reshape(40, 40) % 3 > 0, iterations=12
    )
    if job.engine.kernels is None:
        pytest.skip("without compiled kernels the number of threads changes the bits")
    plain = job.run().picture
    monkeypatch.setattr("untaught.backend.threads._WINDOW", 2)
    monkeypatch.setattr("untaught.backend.threads._GAIN", 100.0)
    monkeypatch.setattr("untaught.backend.threads._IDLE", 100.0)
    run = job.begin()
    counts = {run._threads.count for _ in run}
    assert len(counts) > 1
    np.testing.assert_array_equal(run.restoration().picture, plain)
