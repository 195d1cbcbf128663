"""The library as a guest: it works in whatever state its host is, and leaves that state alone."""

import concurrent.futures
import contextlib
import itertools
import logging
import multiprocessing
import os
import signal
import threading
import warnings

import numpy as np
import pytest
import torch

import untaught
from untaught.imaging.group_completion import FROM_SMOOTH, GroupCompletion

GENERATOR = np.random.default_rng(0)
PICTURE = (np.linspace(0, 255, 24 * 20 * 3).reshape(24, 20, 3)).astype(np.uint8)
MASK = GENERATOR.random((24, 20)) > 0.3


def restored(iterations=12):
    """So many iterations that the gaps are completed as well: see the next test."""
    return untaught.restore(PICTURE, MASK, recipe="fast", iterations=iterations, device="cpu").picture


def test_what_is_tested_here_completes_the_gaps(monkeypatch):
    steps = []
    step = GroupCompletion.step
    monkeypatch.setattr(GroupCompletion, "step", lambda self: (steps.append(self.steps), step(self))[1])
    restored()
    assert len(steps) > len(FROM_SMOOTH.steps)


def host_state():
    """Everything global that a library could change."""
    return {
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch random": torch.get_rng_state().tolist(),
        "numpy random": repr(np.random.get_state()),  # noqa: NPY002
        "numpy errors": np.geterr(),
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "loggers": {name: logging.getLogger(name).level for name in ("", "tifffile", "PIL", "torch")},
        "threads alive": threading.active_count(),
    }


def test_nothing_of_the_host_is_changed():
    restored()
    before = host_state()
    restored()
    untaught.inspect(PICTURE)
    after = host_state()
    assert {name for name in before if before[name] != after[name]} == set()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_another_default_dtype(dtype):
    expected = restored()
    torch.set_default_dtype(dtype)
    try:
        found = restored()
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_switched_off(mode):
    expected = restored()
    with mode():
        found = restored()
        run = untaught.fit(torch.rand(1, 3, 16, 16), iterations=2, device="cpu")
        assert run.finish().picture.shape == (1, 3, 16, 16)
    assert found.tobytes() == expected.tobytes()


def test_in_a_thread_and_in_several():
    expected = restored()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: restored(), range(3)))
    assert {one.tobytes() for one in found} == {expected.tobytes()}


def test_in_a_spawned_process():
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        found = pool.submit(restored).result(timeout=120)
    assert found.shape == PICTURE.shape


# What a host has switched on in torch --------------------------------------------------------------------------------


@contextlib.contextmanager
def products(precision):
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        assert torch.get_float32_matmul_precision() == precision
        torch.set_float32_matmul_precision("highest")


@contextlib.contextmanager
def default_type(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        assert torch.get_default_dtype() == dtype
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


AMBIENCES = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "another device": lambda: torch.device("meta"),
    "medium products": lambda: products("medium"),
    "deterministic": deterministic,
    "numpy raises": lambda: np.errstate(all="raise"),
    "float64": lambda: default_type(torch.float64),
    "float16": lambda: default_type(torch.float16),
    "bfloat16": lambda: default_type(torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference mode": torch.inference_mode,
}
GRAY = PICTURE[..., 0]
SHORT = {"iterations": 2, "device": "cpu"}
KINDS = {
    "inpaint": lambda tiny: untaught.inpaint(PICTURE, MASK, iterations=12, device="cpu"),  # noqa: ARG005
    "denoise": lambda tiny: untaught.denoise(GRAY, noise=12, recipe=tiny, **SHORT),
    "deblur": lambda tiny: untaught.deblur(GRAY, blur="unknown", radius=1, recipe=tiny, **SHORT),
    "upscale": lambda tiny: untaught.upscale(GRAY, factor=2, recipe=tiny, **SHORT),
    "fit": lambda tiny: untaught.fit(OBSERVED, lambda x: 2 * x, recipe=tiny, **SHORT).finish(),
}
OBSERVED = torch.from_numpy(GRAY / np.float32(255))[None, None]


@pytest.mark.parametrize("ambience", AMBIENCES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_host_has_switched_on_changes_no_bit(ambience, kind, tiny):
    expected = KINDS[kind](tiny).picture
    with AMBIENCES[ambience]():
        found = KINDS[kind](tiny).picture
    assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()


def test_between_two_states_the_host_is_as_it_was(tiny):
    run = untaught.fit(OBSERVED, recipe=tiny, **SHORT)
    with torch.autocast("cpu", dtype=torch.bfloat16), products("medium"), torch.device("meta"):
        for _ in run:
            assert torch.is_autocast_enabled("cpu")
            assert torch.get_float32_matmul_precision() == "medium"
            assert torch.get_default_device().type == "meta"


def test_without_onednn_there_are_no_compiled_kernels(tiny):
    torch._C._set_mkldnn_enabled(False)
    try:
        run = untaught.fit(OBSERVED, recipe=tiny, **SHORT)
        assert run.job.engine.kernels is None
        assert run.finish().picture.shape == OBSERVED.shape
    finally:
        torch._C._set_mkldnn_enabled(True)


@pytest.mark.parametrize("name", ["loss", "losses", "output", "average", "square", "picture", "spread", "input"])
def test_an_observer_may_spoil_all_that_it_sees(name, tiny):
    expected = untaught.fit(OBSERVED, recipe=tiny, **SHORT).finish()
    run = untaught.fit(OBSERVED, recipe=tiny, **SHORT)
    for state in run:
        getattr(state, name).fill_(torch.nan)
    assert torch.equal(run.restoration().picture, expected.picture)
    assert run.restoration().history["loss"] == expected.history["loss"]


ODD = {
    "text": [["x", "y"], ["z", "w"]],
    "a word": "x",
    "bytes": b"abc",
    "rows that differ": [[1, 2], [3]],
    "nothing in it": np.zeros((0, 18)),
    "no columns": np.zeros((16, 0), bool),
    "a number": np.float64(3),
    "a dictionary": {"a": 1},
    "a set": {1, 2},
    "objects": np.array([[object()] * 18] * 16),
    "dates": np.zeros((16, 18), "datetime64[s]"),
    "fields": np.zeros((16, 18), [("a", float)]),
    "an empty tensor": torch.zeros(0, 1, 16, 18),
}
PLAIN = np.full((16, 18), 90, np.uint8)
TAKES = {
    "restore": untaught.restore,
    "denoise": untaught.denoise,
    "demosaic": untaught.demosaic,
    "upscale": lambda odd: untaught.upscale(odd, 2),
    "dejpeg": lambda odd: untaught.dejpeg(odd, quality=20),
    "inpaint, picture": lambda odd: untaught.inpaint(odd, np.arange(288).reshape(16, 18) % 3 > 0),
    "inpaint, mask": lambda odd: untaught.inpaint(PLAIN, odd),
    "deblur, kernel": lambda odd: untaught.deblur(PLAIN, kernel=odd),
    "guide, guide": lambda odd: untaught.guide(PLAIN, guide=odd),
    "separate, other": lambda odd: untaught.separate(PLAIN, odd),
    "fit": untaught.fit,
    "fit, mask": lambda odd: untaught.fit(torch.rand(1, 1, 16, 18), mask=odd),
    "fit, weights": lambda odd: untaught.fit(torch.rand(1, 1, 16, 18), weights=odd),
}


@pytest.mark.parametrize(
    ("takes", "odd"),
    [pair for pair in itertools.product(TAKES, ODD) if pair != ("fit, weights", "a number")],  # one for all values
)
def test_what_is_no_array_of_numbers_is_refused_in_our_own_words(takes, odd):
    with pytest.raises(untaught.InputError):
        TAKES[takes](ODD[odd])
