"""The library as a guest: it works in whatever state its host is, and leaves that state alone."""

import concurrent.futures
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

GENERATOR = np.random.default_rng(0)
PICTURE = (np.linspace(0, 255, 24 * 20 * 3).reshape(24, 20, 3)).astype(np.uint8)
MASK = GENERATOR.random((24, 20)) > 0.3


def restored(iterations=3):
    return untaught.restore(PICTURE, MASK, recipe="fast", iterations=iterations, device="cpu").picture


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
