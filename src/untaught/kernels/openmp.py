"""The OpenMP runtime that torch runs its threads with, for the compiled kernels to use as well.

Two runtimes would mean two sets of threads that wait for each other on the same processors.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path

import threadpoolctl  # type: ignore[import-untyped]
import torch

__all__ = ["choose_runtime", "one_thread", "share_runtime"]


def choose_runtime(paths: Sequence[str], torch_folder: Path) -> str | None:
    """Choose torch's runtime among the loaded ones.

    Other packages may have loaded runtimes of their own. Torch's lies in its own folder, or in the folder of shared
    libraries that a wheel puts beside it; where it is neither, the first one is taken.

    >>> choose_runtime(["/scikit_learn.libs/libgomp.so", "/my env/torch/lib/libgomp.so.1"], Path("/my env/torch"))
    '/my env/torch/lib/libgomp.so.1'
    """
    beside = torch_folder.with_name(f"{torch_folder.name}.libs")
    for folder in (torch_folder, beside):
        for path in paths:
            if Path(path).is_relative_to(folder):
                return path
    return next(iter(paths), None)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Small arrays in one thread: others would wait for each other, and some processors sum in another order."""
    most = torch.get_num_threads()
    if most == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(most)


def share_runtime() -> bool:
    """Make the symbols of torch's runtime visible to the libraries that are loaded next; whether there is one."""
    loaded = threadpoolctl.ThreadpoolController().select(user_api="openmp").info()
    path = choose_runtime([library["filepath"] for library in loaded], Path(torch.__file__).parent)
    if path is None:
        return False
    ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    return True
