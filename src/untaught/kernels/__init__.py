"""Compiled kernels: the passes over memory of an iteration on a processor, and groups of similar blocks.

They are compiled when the package is built (build.py). On another kind of machine, or where they cannot be compiled or
loaded, a fit runs without them in plain torch, with the same result up to rounding.
"""

from __future__ import annotations

from untaught.kernels.library import Kernels, Loaded, for_processor, load, switched_off
from untaught.kernels.openmp import one_thread
from untaught.kernels.signatures import KernelError

__all__ = ["KernelError", "Kernels", "Loaded", "for_processor", "load", "one_thread", "switched_off"]
