"""Compiled passes over memory, for processors: everything of a step that is not a matrix product.

They are built from kernels.cpp when the package is built. Where that was not possible, or on another kind of machine, a
step runs without them, as the plain network says.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["Kernels", "load"]

# What each function takes: p a pointer (a tensor or None), n a count, f a float, b a bool or a code. Most begin with
# what is convolved (values, height, width, channels, norm, slope, is there a second norm, padding) and with what that
# gives (values, gradient, lazy, channels).
_SOURCE, _TARGET = "pnnnpfbb", "pppn"
_SIGNATURES = {
    "multiplies": "p",
    "point_forward": _SOURCE + _TARGET + "pp",
    "point_backward": _SOURCE + _TARGET + "ppppbp",
    "tiles_weights": "ppnnnnn",
    "tiles_forward": _SOURCE + _TARGET + "pp",
    "tiles_backward": _SOURCE + _TARGET + "ppp",
    "tiles_gather": _SOURCE + "pppp",
    "columns_forward": _SOURCE + _TARGET + "pnp",
    "columns_backward": _SOURCE + _TARGET + "pnpp",
    "columns_gather": _SOURCE + "npppp",
    "narrow_forward": _SOURCE + _TARGET + "pnnp",
    "narrow_backward": _SOURCE + _TARGET + "pnnpp",
    "narrow_gather": _SOURCE + "nnppp",
    "upsampled_forward": _SOURCE + _TARGET + "pppppppppbp",
    "upsampled_backward": _SOURCE + _TARGET + "pppppppppp",
    "statistics": _SOURCE + "p",
    "gram": _SOURCE + "pnppppp",
    "join_back": _SOURCE + "ppppppp",
    "head_forward": _SOURCE + "pppn",
    "head_backward": _SOURCE + "ppppnp",
    "perturb": "ppnfnb",
}
_SIGNATURES_OF_FLOATS = {
    "normalise": "pnnnppppp",
    "normalise_back": "pnnnppppp",
    "join_coefficients": "pnnnpppppp",
    "tiles_weights_back": "ppnnnnn",
    "set_shares": "n",
    "use_threads": "n",
}
_TYPES = {"p": ctypes.c_void_p, "n": ctypes.c_int64, "f": ctypes.c_float, "b": ctypes.c_int}

# torch's matrix product for one thread and one small block (oneDNN's), for bfloat16 and for float32, and what frees the
# processor's matrix unit after it. They have no name in Python; where a torch has them no more, there are no kernels.
_PRODUCTS = (
    "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb",
    "_ZN2at6native7cpublas6brgemmEllllllbPKfS3_Pfb",
    "_ZN2at6native7cpublas14brgemm_releaseEb",
)


class Kernels:
    """The functions of the library for one type of arithmetic; kernels.cpp says what each does.

    Args:
        library: the loaded library.
        dtype: torch.bfloat16 or torch.float32.
        processor: what the library was compiled for.
    """

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype, processor: str) -> None:
        self.dtype = dtype
        self.processor = processor
        suffix = str(dtype).removeprefix("torch.")
        for name, signature in _SIGNATURES.items():
            bound = "_perturb" if name == "perturb" else name
            setattr(self, bound, _bind(library, f"untaught_{name}_{suffix}", signature))
        for name, signature in _SIGNATURES_OF_FLOATS.items():
            setattr(self, name, _bind(library, f"untaught_{name}", signature))

    def perturb(self, out: Tensor, base: Tensor, count: int, deviation: float, key: int, walk: bool, /) -> None:
        """See `untaught.priors.noise_kernels.NoiseKernels`."""
        self._perturb(out, base, count, deviation, key, walk)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[torch.dtype]]:
        # Of the machine that unpickles it, which may have others or none.
        return load, (self.dtype,)

    def __getattr__(self, name: str) -> Callable[..., None]:
        raise AttributeError(f"the kernels have no function {name!r}")


@functools.cache
def load(dtype: torch.dtype) -> Kernels | None:
    """The kernels for a type of arithmetic, or None where there are none for this machine."""
    if dtype not in (torch.bfloat16, torch.float32) or not _lend_threads():
        return None
    for name in _processors():
        path = Path(__file__).parent / f"kernels_{name}.so"
        if path.exists():
            try:
                library = ctypes.CDLL(str(path))
                _lend_products(library)
                kernels = Kernels(library, dtype, name)
            except (OSError, AttributeError):
                # Of another system, or of another version than this file.
                continue
            kernels.set_shares(torch.get_num_threads())
            if _agrees(kernels):
                return kernels
    return None


def _agrees(kernels: Kernels) -> bool:
    """Whether a small convolution, forward and back, is what torch says that it is."""
    answer = torch.zeros(1, dtype=torch.int32)
    kernels.multiplies(answer)
    if not answer:
        return False
    pixels, inputs, outputs = 300, 48, 160
    generator = torch.Generator().manual_seed(0)
    values, weight, change = (
        torch.randn(size, generator=generator).to(kernels.dtype)
        for size in ((pixels, inputs), (outputs, inputs), (pixels, outputs))
    )
    norm = torch.tensor([1.0, 0.0, 1.0, 0.0]).repeat_interleave(inputs)
    lazy = torch.tensor([1.0, 0.0, 0.0]).repeat_interleave(outputs)
    result, back, total = torch.zeros_like(change), torch.zeros_like(values), torch.zeros(outputs, inputs)
    source, target = (values, pixels, 1, inputs, norm, 1.0, 0, 0), (result, change, lazy, outputs)
    kernels.point_forward(*source, *target, weight, None)
    kernels.point_backward(*source, *target, weight, total, back, None, 1, None)
    values, weight, change = values.float(), weight.float(), change.float()
    pairs = ((result, values @ weight.T), (back, change @ weight), (total, change.T @ values))
    return all(bool((found.float() - wanted).norm() < 0.01 * wanted.norm()) for found, wanted in pairs)


def _lend_products(library: ctypes.CDLL) -> None:
    """Let the library call torch's matrix products."""
    torch_library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    addresses = [ctypes.cast(getattr(torch_library, name), ctypes.c_void_p) for name in _PRODUCTS]
    library.untaught_set_products(*addresses)


def _processors() -> list[str]:
    """The libraries that this processor can run, the best first."""
    capability = torch.backends.cpu.get_cpu_capability()
    # torch has no public name for this question yet.
    bfloat16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    found = ["avx512_bf16"] if bfloat16 else []
    if capability.startswith("AVX512"):
        found.append("avx512")
    if capability.startswith("AVX"):
        found.append("avx2")
    return found


def _lend_threads() -> bool:
    """Let the library find the OpenMP that torch runs its own threads with, so that there is one set of threads."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return False
    paths = {line.split()[-1] for line in maps.read_text().splitlines() if ".so" in line}
    runtimes = [path for path in paths if Path(path).name.startswith(("libgomp", "libiomp", "libomp"))]
    # More than one is in memory when other packages bring their own; torch's lies beside torch.
    runtimes.sort(key=lambda path: "torch" not in path)
    if not runtimes:
        return False
    ctypes.CDLL(runtimes[0], mode=ctypes.RTLD_GLOBAL)
    return True


def _bind(library: ctypes.CDLL, name: str, signature: str) -> Callable[..., None]:
    function = getattr(library, name)
    function.argtypes = [_TYPES[letter] for letter in signature]
    function.restype = None

    def call(*arguments: Any) -> None:
        function(*[argument.data_ptr() if isinstance(argument, Tensor) else argument for argument in arguments])

    return call
