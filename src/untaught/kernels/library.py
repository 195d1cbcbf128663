"""Finding, checking and loading the compiled kernels."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from untaught.kernels.build import FOLDER, source_hash
from untaught.kernels.openmp import share_runtime
from untaught.kernels.signatures import COMMON, TYPED, KernelError, Signature
from untaught.kernels.torch_products import find_products
from untaught.settings import from_environment

__all__ = ["Kernels", "Loaded", "for_processor", "load", "switched_off"]

_TYPES: dict[str, Any] = {"n": ctypes.c_int64, "f": ctypes.c_float, "i": ctypes.c_int}
_TYPES |= dict.fromkeys("HFDI", ctypes.c_void_p)


class _Entry(ctypes.Structure):
    """A row of the table that the library exports: see boundary.h."""

    _fields_ = (("name", ctypes.c_char_p), ("types", ctypes.c_char_p), ("function", ctypes.c_void_p))


class Kernels:
    """The compiled functions for one type of arithmetic; signatures.py declares their arguments.

    Args:
        library: a loaded library.
        dtype: torch.bfloat16 or torch.float32.
        processor: kind of processor that the library was compiled for.

    Raises:
        KernelError: if the library's functions are not those that are declared.
    """

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype, processor: str) -> None:
        self.dtype = dtype
        self.processor = processor
        exported, failure = _functions(library), library.untaught_failure
        failure.restype = ctypes.c_char_p
        suffix = str(dtype).removeprefix("torch.")
        for name, declaration in {**TYPED, **COMMON}.items():
            signature = Signature.of(name, declaration, dtype)
            types, address = exported.get(f"{name}_{suffix}" if name in TYPED else name, ("", 0))
            if types != signature.types:
                raise KernelError(f"{name} takes {types or 'nothing'} and not {signature.types}")
            prototype = ctypes.CFUNCTYPE(ctypes.c_int, *[_TYPES[one] for one in types])
            setattr(self, "_perturb" if name == "perturb" else name, signature.bind(prototype(address), failure))

    def perturb(self, out: Tensor, base: Tensor, count: int, deviation: float, key: int, walk: bool, /) -> None:
        """See `untaught.priors.sampler.NoiseKernel`."""
        if out.stride() != base.stride():
            raise KernelError(f"perturb: out and base must have one memory layout: {out.stride()}, {base.stride()}")
        self._perturb(_flat(out), _flat(base), count, deviation, key, walk)

    def __getattr__(self, name: str) -> Callable[..., None]:
        raise AttributeError(f"the kernels have no function {name!r}")

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[torch.dtype]]:
        # The kernels of the machine that unpickles, which may have others or none.
        return _loaded, (self.dtype,)


def _loaded(dtype: torch.dtype) -> Kernels | None:
    return load(dtype).kernels


class Loaded(NamedTuple):
    """The kernels, or None and the reason why there are none."""

    kernels: Kernels | None
    reason: str = ""


def switched_off() -> str:
    """Why the kernels are not to be used, whether there are any or not; empty if they are.

    Raises:
        SettingError: for a value that the environment variable UNTAUGHT_KERNELS cannot have.
    """
    if from_environment("UNTAUGHT_KERNELS", ("auto", "off")) == "off":
        return "UNTAUGHT_KERNELS=off"
    return "" if torch.backends.mkldnn.enabled else "oneDNN, which the compiled ones call, is switched off"


def for_processor() -> Kernels | None:
    """The kernels for what is always computed in single precision on the processor; None without them."""
    return None if switched_off() else load(torch.float32).kernels


@functools.cache
def load(dtype: torch.dtype) -> Loaded:
    """Load the kernels for a type of arithmetic: of all libraries that this processor can run, the best that works."""
    if dtype not in (torch.bfloat16, torch.float32):
        return Loaded(None, f"there are none for {dtype}")
    paths = [path for path in (FOLDER / f"kernels_{name}.so" for name in processors()) if path.exists()]
    if not paths:
        return Loaded(None, "none were compiled for this processor when untaught was installed")
    if not share_runtime():
        return Loaded(None, "torch does not use OpenMP here")
    products = find_products()
    if products is None:
        return Loaded(None, "this version of torch does not have the matrix product that they need")
    reason = ""
    for path in paths:
        try:
            kernels = _open(path, dtype, products)
        except (OSError, AttributeError, KernelError) as error:
            reason = reason or str(error)
            continue
        return Loaded(kernels)
    return Loaded(None, reason)


def processors() -> list[str]:
    """The kinds of processor whose libraries this one can run, the best first."""
    capability = torch.backends.cpu.get_cpu_capability()
    # torch has no public name for this question yet.
    bfloat16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    found = ["avx512_bf16"] if bfloat16 else []
    if capability.startswith("AVX512"):
        found.append("avx512")
    if capability.startswith("AVX"):
        found.append("avx2")
    return found


def _open(path: Path, dtype: torch.dtype, products: list[ctypes.c_void_p]) -> Kernels:
    library = ctypes.CDLL(str(path))
    version = getattr(library, "untaught_version", None)
    if version is not None:
        version.restype = ctypes.c_char_p
    if version is None or version() != source_hash().encode():
        raise KernelError("the compiled kernels are of another version: install untaught again")
    library.untaught_set_products(*products)
    kernels = Kernels(library, dtype, path.stem.removeprefix("kernels_"))
    if not _agrees(kernels):
        raise KernelError("torch's matrix product gives another result than they expect")
    return kernels


def _functions(library: ctypes.CDLL) -> dict[str, tuple[str, int]]:
    """Types and address of every function in the library's table, by name."""
    library.untaught_table.restype = ctypes.POINTER(_Entry)
    table, found, row = library.untaught_table(), {}, 0
    while table[row].name is not None:
        entry = table[row]
        found[entry.name.decode()] = entry.types.decode(), entry.function
        row += 1
    return found


def _agrees(kernels: Kernels) -> bool:
    """Whether a small convolution, forward and backward, agrees with torch."""
    f32: Any = {"dtype": torch.float32}
    # It throws where this processor or this torch has no product of this type.
    kernels.try_product(torch.zeros(256, **f32))
    pixels, inputs, outputs = 300, 48, 160
    generator = torch.Generator().manual_seed(0)
    values, weight, change = (
        torch.randn(size, generator=generator, **f32).to(kernels.dtype)
        for size in ((pixels, inputs), (outputs, inputs), (pixels, outputs))
    )
    norm = torch.tensor([1.0, 0.0, 1.0, 0.0], **f32).repeat_interleave(inputs)
    lazy = torch.tensor([1.0, 0.0, 0.0], **f32).repeat_interleave(outputs)
    result, back, total = torch.zeros_like(change), torch.zeros_like(values), torch.zeros(outputs, inputs, **f32)
    source, target = (values, pixels, 1, inputs, norm, 1.0, 0, 0), (result, change, lazy, outputs)
    kernels.pointwise_forward(*source, *target, weight, None)
    kernels.pointwise_backward(*source, *target, weight, total, back, None, 1, None)
    values, weight, change = values.float(), weight.float(), change.float()
    pairs = ((result, values @ weight.T), (back, change @ weight), (total, change.T @ values))
    return all(bool((found.float() - wanted).norm() < 0.01 * wanted.norm()) for found, wanted in pairs)


def _flat(tensor: Tensor) -> Tensor:
    """The elements in the order of memory."""
    dense = tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)
    return tensor.as_strided((tensor.numel(),), (1,)) if dense else tensor
