"""Compiled kernels: the passes over memory of an iteration on a processor, everything that is not a matrix product.

They are compiled when the package is built (build.py). On another kind of machine, or where they cannot be compiled or
loaded, a fit runs without them in plain torch, with the same result up to rounding.
"""

from __future__ import annotations

from untaught.backend.kernels.library import Kernels, Loaded, load
from untaught.backend.kernels.signatures import KernelError

__all__ = ["KernelError", "Kernels", "Loaded", "load"]
