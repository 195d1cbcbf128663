"""Torch's matrix product for one thread and one small block, which has no public name.

The kernels multiply blocks that stay in a thread's cache. oneDNN's product for that ("brgemm") is part of torch and
uses the processor's matrix unit. Torch exports it for the code that torch.compile generates, which calls
``at::native::cpublas::brgemm``, but neither to Python nor through its stable C interface; a C++ extension would need
torch's headers, and its exact version, when this package is installed. So the functions are looked up by the names that
the C++ compiler gives them. Where torch lacks one, or its result is wrong (`library.load` tries them), a fit runs
without compiled kernels and gives the same result more slowly.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

__all__ = ["find_products"]

SYMBOLS = (
    "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb",  # of bfloat16
    "_ZN2at6native7cpublas6brgemmEllllllbPKfS3_Pfb",  # of float32
    "_ZN2at6native7cpublas14brgemm_releaseEb",  # frees the processor's matrix unit afterwards
)


def find_products() -> list[ctypes.c_void_p] | None:
    """Addresses of the two products and of the function that ends their use; None if this torch lacks one."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        return [ctypes.cast(getattr(library, name), ctypes.c_void_p) for name in SYMBOLS]
    except (OSError, AttributeError):
        return None
