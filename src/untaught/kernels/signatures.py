"""The arguments of every compiled function: names, types, and the elements that each array needs at least.

This is the only place where Python declares them. The library exports the types that its functions really have, and
`library.load` refuses a library whose types differ. Before each call the arrays are checked against these declarations.

A declaration reads like C. ``T`` is the type of the arithmetic; ``[...]`` holds the least number of elements, in terms
of the other arguments; ``?`` allows None; ``lanes`` is a number of channels, a multiple of 16.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor

__all__ = ["COMMON", "TYPED", "KernelError", "Signature"]

# The map that is convolved, and the map that results with its gradient; kernels.cpp explains norm and lazy.
_SOURCE = (
    "T* values[height * width * channels], int height, int width, lanes channels, float* norm[4 * channels]?, "
    "real slope, flag second, flag padding"
)
_TARGET = "T* target[{pixels} * outputs], T* gradient[{pixels} * outputs]?, float* lazy[3 * outputs], lanes outputs"
_SAME = f"{_SOURCE}, {_TARGET.format(pixels='height * width')}"
_STRIDED = f"{_SOURCE}, {_TARGET.format(pixels='((height - 1) // stride + 1) * ((width - 1) // stride + 1)')}"
_DOUBLED = f"{_SOURCE}, {_TARGET.format(pixels='4 * height * width')}"
_OUTPUT_SUMS, _SOURCE_SUMS = "double* sums[2 * outputs]?", "double* sums[2 * channels]?"
_GATHER = f"T* result[height * width * channels], T* extra[height * width * channels]?, {_SOURCE_SUMS}"
_FORWARD_TABLE = (
    "int32* {axis}_start[2 * {side} + 1], int32* {axis}_line[2 * {side}], int32* {axis}_tap[2 * {side}], "
    "float* {axis}_weight[2 * {side}]"
)
_BACKWARD_TABLE = "int32* {axis}_start[{side} + 1], int32* {axis}_line[{side}], float* {axis}_weight[3 * {side}]"
_TABLES, _BACKWARD_TABLES = (
    ", ".join(table.format(axis=axis, side=side) for axis, side in (("row", "height"), ("column", "width")))
    for table in (_FORWARD_TABLE, _BACKWARD_TABLE)
)
_STRIDED_KERNEL = "(9 * out - 1) * row + first + inputs"
_WINOGRAD_WEIGHTS = "int out, int first, int inputs, int row, lanes outputs, lanes length"

TYPED = {
    "try_product": "float* result[256]",
    "pointwise_forward": f"{_SAME}, T* matrix[outputs * channels], {_OUTPUT_SUMS}",
    "pointwise_backward": f"{_SAME}, T* matrix[outputs * channels], float* total[outputs * channels], "
    f"T* result[height * width * channels]?, T* extra[height * width * channels]?, flag early, {_SOURCE_SUMS}",
    "winograd_weights": f"T* matrix[16 * outputs * length], float* kernel[{_STRIDED_KERNEL}], {_WINOGRAD_WEIGHTS}",
    "winograd_forward": f"{_SAME}, T* matrix[16 * outputs * channels], {_OUTPUT_SUMS}",
    "winograd_backward": f"{_SAME}, T* matrix[16 * outputs * channels], float* total[16 * outputs * channels], "
    "T* kept[4 * height * width * channels]",
    "winograd_gather": f"{_SOURCE}, T* kept[4 * height * width * channels], {_GATHER}",
    "im2col_forward": f"{_STRIDED}, T* matrix[9 * outputs * channels], int stride, {_OUTPUT_SUMS}",
    "im2col_backward": f"{_STRIDED}, T* matrix[9 * outputs * channels], int stride, "
    "float* total[9 * outputs * channels], "
    "T* kept[((height - 1) // stride + 1) * ((width - 1) // stride + 1) * 9 * channels]?",
    "im2col_gather": f"{_SOURCE}, int stride, "
    f"T* kept[((height - 1) // stride + 1) * ((width - 1) // stride + 1) * 9 * channels], {_GATHER}",
    "narrow_im2col_forward": f"{_SAME}, T* matrix[outputs * length], int few, lanes length, {_OUTPUT_SUMS}",
    "narrow_im2col_backward": f"{_SAME}, T* matrix[outputs * length], int few, lanes length, "
    "float* total[outputs * length], T* kept[height * width * length]",
    "narrow_im2col_gather": f"{_SOURCE}, int few, lanes length, T* kept[height * width * length], "
    f"T* result[height * width * channels], {_SOURCE_SUMS}",
    "upsampled_forward": f"{_DOUBLED}, T* matrix[9 * outputs * channels], {_TABLES}, flag add, {_OUTPUT_SUMS}",
    "upsampled_backward": f"{_DOUBLED}, T* matrix[9 * outputs * channels], {_BACKWARD_TABLES}, "
    f"float* total[9 * outputs * channels], T* result[height * width * channels], {_SOURCE_SUMS}",
    "statistics": f"{_SOURCE}, {_SOURCE_SUMS}",
    "upsampled_statistics": f"{_SOURCE}, T* squares[height * width * channels], int reach, "
    "float* row_taps[height * (2 * reach + 1)], float* column_taps[width * (2 * reach + 1)], "
    f"float* row_weight[height], float* column_weight[width], {_SOURCE_SUMS}",
    "concatenation_back": f"{_SOURCE}, T* gradient[height * width * channels], "
    "T* squares[height * width * channels]?, float* c1[channels], float* c2[channels], float* row_weight[height]?, "
    f"float* column_weight[width]?, {_SOURCE_SUMS}",
    "head_forward": f"{_SOURCE}, float* result[height * width * outputs], float* weight[outputs * channels], "
    "float* bias[outputs], int outputs",
    "head_backward": f"{_SOURCE}, T* result[height * width * channels], float* total[outputs * channels], "
    f"float* change[height * width * outputs], float* weight[outputs * channels], int outputs, {_SOURCE_SUMS}",
    "perturb": "T* out[count], float* base[count], int count, real deviation, int key, flag walk",
}
"""Functions that exist once for each type of arithmetic."""

_NORMALISATION = "double* sums[2 * channels], int pixels, lanes channels, int used, float* gamma[used]"

COMMON = {
    "normalise": f"{_NORMALISATION}, float* beta[used], float* scale[channels], float* shift[channels], "
    "double* kept[2 * channels]",
    "normalise_back": f"{_NORMALISATION}, double* kept[2 * channels], float* lazy[3 * channels], float* dgamma[used], "
    "float* dbeta[used]",
    "normalise_concatenation_back": f"{_NORMALISATION}, double* kept[2 * channels], float* c1[channels], "
    "float* c2[channels], float* dgamma[used], float* dbeta[used]",
    "winograd_weights_back": f"float* gradient[{_STRIDED_KERNEL}], float* total[16 * outputs * length], "
    f"{_WINOGRAD_WEIGHTS}",
    "similar_blocks": "int32* members[groups * size], int size, int32* homes[groups], int groups, "
    "float* features[count * high * wide + 16], int count, int high, int wide, int radius, real doubt",
    "filter_groups": "float* result[channels * height * width], float* planes[channels * height * width], "
    "int channels, int height, int width, int32* members[groups * 32], int groups, float* touched[height * width], "
    "float* window[64], real threshold, flag adaptive",
    "shrink_groups": "float* result[height * width], float* plane[height * width], float* pilot[height * width]?, "
    "int height, int width, int32* members[groups * 16], int groups, float* levels[groups], "
    "float* table[((2 * reach + 1) ** 2 + 1) * 64]?, int reach, float* window[64], real threshold, real excess",
    "bend_least": "float* picture[channels * height * width], float* free[(channels if own else 1) * height * width], "
    "int channels, int height, int width, int steps, real tension, flag own",
    "use_threads": "int count",
    "fail": "int shares",
}
"""Functions that exist once."""

_ARRAYS = {"float*": ("F", torch.float32), "double*": ("D", torch.float64), "int32*": ("I", torch.int32)}
_SCALARS = {"int": "n", "lanes": "n", "real": "f", "flag": "i"}


class KernelError(RuntimeError):
    """A compiled function was called with an array that it cannot use, or has failed."""


@dataclass(frozen=True)
class Argument:
    """One argument: its type letter as the library exports it, and what is checked before a call."""

    name: str
    letter: str
    dtype: torch.dtype | None = None
    extent: str = ""
    optional: bool = False
    lanes: bool = False


@dataclass(frozen=True)
class Signature:
    """A function's name and arguments, for one type of arithmetic."""

    name: str
    arguments: tuple[Argument, ...]

    @classmethod
    def of(cls, name: str, declaration: str, arithmetic: torch.dtype = torch.float32) -> Signature:
        """Read a declaration."""
        arguments = []
        for text in re.split(r",\s*(?![^\[]*\])", declaration):
            found = re.fullmatch(r"(\S+) (\w+)(?:\[(.+)\])?(\?)?", text)
            assert found is not None, f"{name}: {text} is no declaration of an argument"
            kind, argument, extent, optional = found.groups()
            if kind in _SCALARS:
                arguments.append(Argument(argument, _SCALARS[kind], lanes=kind == "lanes"))
                continue
            both = {"T*": ("H" if arithmetic == torch.bfloat16 else "F", arithmetic)}
            letter, dtype = (both | _ARRAYS)[kind]
            arguments.append(Argument(argument, letter, dtype, extent, bool(optional)))
        return cls(name, tuple(arguments))

    @property
    def types(self) -> str:
        """One letter per argument, as the library exports them."""
        return "".join(argument.letter for argument in self.arguments)

    def bind(self, function: Callable[..., int], failure: Callable[[], bytes]) -> Callable[..., None]:
        """A Python function that checks its arguments and calls a compiled one.

        Args:
            function: takes addresses and numbers; gives 0, or anything else if it has failed.
            failure: gives the reason of the last failure.
        """
        # As in dataclasses, the function is generated: a loop over the arguments takes three times as long.
        names = {"_function": function, "_pointer": functools.partial(_pointer, self.name), "_fail": self._fail}
        checks, passed = [], []
        for number, argument in enumerate(self.arguments):
            if argument.lanes:
                checks.append(f"    if {argument.name} % 16: _lanes({argument.name!r}, {argument.name})")
            if argument.dtype is None:
                passed.append(argument.name)
                continue
            names[f"_type{number}"] = argument.dtype
            checked = f"_pointer({argument.name!r}, {argument.name}, _type{number}, {argument.extent})"
            passed.append(f"None if {argument.name} is None else {checked}" if argument.optional else checked)
        names["_lanes"], names["_failure"] = self._lanes, failure
        parameters = ", ".join(argument.name for argument in self.arguments)
        source = [f"def {self.name}({parameters}):", *checks]
        source += [f"    if _function({', '.join(passed)}): _fail(_failure())"]
        exec("\n".join(source), names)  # noqa: S102
        bound: Callable[..., None] = names[self.name]  # type: ignore[assignment]
        return bound

    def _lanes(self, name: str, channels: int) -> NoReturn:
        raise KernelError(f"{self.name}: {name} must be a multiple of 16: found {channels}")

    def _fail(self, reason: bytes) -> NoReturn:
        raise KernelError(f"the compiled function {self.name} failed: {reason.decode(errors='replace')}")


def _pointer(function: str, name: str, tensor: Tensor, dtype: torch.dtype, count: int) -> int:
    """The address of a tensor's first element, once it is known to be long enough and without gaps."""
    if tensor.dtype is dtype and tensor.numel() >= count and tensor.is_contiguous():
        address: int = tensor.data_ptr()
        return address
    found = f"{tensor.dtype}, shape {tuple(tensor.shape)}, strides {tensor.stride()}"
    raise KernelError(f"{function}: {name} must be contiguous {dtype} of at least {count} elements: found {found}")
