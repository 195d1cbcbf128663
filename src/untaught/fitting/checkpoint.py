"""A moment of a fit: everything that is needed to go on from it, in memory and in a file.

A file is one safetensors file, no pickle: the tensors, and in its header a JSON text with all plain values and a
checksum of both. It is written under a temporary name and renamed, so a killed process leaves the last whole one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypeVar

import safetensors
import safetensors.torch
import torch
from pydantic import Field, StrictBool, StrictInt, TypeAdapter
from torch import Tensor
from typing_extensions import TypedDict

from untaught.errors import InputError
from untaught.fitting.gaps import RADII
from untaught.fitting.tiles import Tiles
from untaught.imaging.files import read_bytes, write_parts

__all__ = ["Snapshot", "check_averages", "check_values", "load", "part", "save"]

_T = TypeVar("_T")

_VERSION = 2
"""1 had no checksum."""

_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.complex64: "C64",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""Their names in a safetensors file."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Named tensors and plain values of one moment; its tensors belong to it alone.

    Attributes:
        tensors: by name, with a dot between levels.
        values: what JSON can hold.
        tiles: further tensors, of large pictures, whose unchanged tiles the fit and its snapshots share.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    tiles: Mapping[str, Tiles] = field(default_factory=dict)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor | Tiles], values: Mapping[str, Any]) -> Snapshot:
        """Copy everything, so that what happens later leaves it alone."""
        copies = {name: one.detach().clone() for name, one in tensors.items() if isinstance(one, Tensor)}
        tiles = {name: one.version() for name, one in tensors.items() if isinstance(one, Tiles)}
        return cls(copies, dict(values), tiles)

    def whole(self) -> Snapshot:
        """The same moment in tensors alone."""
        return Snapshot({**self.tensors, **{name: one.whole() for name, one in self.tiles.items()}}, self.values)

    def below(self, name: str, values: Mapping[str, Any]) -> Snapshot:
        """The part of it below a name, with values of its own."""
        return Snapshot(part(self.tensors, name), values, part(self.tiles, name))

    def beside(self, **values: Any) -> Snapshot:
        """The same moment with more values."""
        return Snapshot(self.tensors, {**self.values, **values}, self.tiles)


def part(tensors: Mapping[str, _T], name: str) -> dict[str, _T]:
    """The tensors below a name, under their names below it."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def save(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot as one file, whole or not at all.

    Raises:
        PictureError: when it cannot be written.
    """
    # One tensor after the other, because those of a large picture together may not fit beside the fit.
    sources: dict[str, Tensor | Tiles] = {**snapshot.tensors, **snapshot.tiles}
    names = sorted(sources, key=lambda name: (-sources[name].dtype.itemsize, name))  # numbers stay aligned
    values = json.dumps(snapshot.values)
    facts = {"version": _VERSION, "values": values, "sha256": _checksum(values, sources)}
    header: dict[str, Any] = {"__metadata__": {"untaught": json.dumps(facts)}}
    end = 0
    for name in names:
        dtype, shape = sources[name].dtype, list(sources[name].shape)
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _DTYPES[dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write_parts(
        path, itertools.chain((len(text).to_bytes(8, "little"), text), (_data(sources[name]) for name in names))
    )


def _data(source: Tensor | Tiles) -> memoryview:
    """The bytes of a tensor, row by row."""
    tensor = source.whole() if isinstance(source, Tiles) else source
    data: memoryview = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return data


def load(path: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        InputError: for a file that is none, is damaged, or of a version that this program does not know.
    """
    try:
        content = read_bytes(path)
        header = json.loads(_metadata(content)["untaught"])
        loaded = safetensors.torch.load(content)
        del content
        tensors = {name: loaded.pop(name).clone() for name in list(loaded)}
        version, values = header["version"], header["values"]
        if version == _VERSION:
            intact = header["sha256"] == _checksum(values, tensors)
            values = json.loads(values)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path}") from error
    # A damaged file makes its readers raise errors of every kind.
    except Exception as error:
        raise InputError(f"{path} is not a checkpoint of untaught, or it is damaged") from error
    if version not in (1, _VERSION):
        raise InputError(f"{path} is a checkpoint of version {str(version)[:20]}; this program reads 1 and {_VERSION}")
    if not isinstance(values, dict):
        raise InputError(f"{path} is not a checkpoint of untaught, or it is damaged")
    if version == _VERSION and not intact:
        raise InputError(f"{path} is damaged: its checksum is wrong; go on from another checkpoint, or start again")
    return Snapshot(tensors, values)


def _metadata(content: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    texts: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return texts


def _checksum(values: str, tensors: Mapping[str, Tensor | Tiles]) -> str:
    """SHA-256 of the values and of all tensors with their names, types and shapes."""
    summed = hashlib.sha256(values.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        summed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        summed.update(_data(tensor))
    return summed.hexdigest()


# What a run's values must look like ---------------------------------------------------------------------------------

_Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


_CLASSES = len(RADII) + 1


class _Guard(TypedDict):
    rollbacks: _Count
    rate_factor: Annotated[float, Field(gt=0, le=1)]
    mean: _Finite | None


class _Fit(TypedDict):
    iteration: _Count
    elapsed: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    weight: _Finite | None
    optimiser: dict[str, Any]
    guard: _Guard
    rates: NotRequired[list[Annotated[float, Field(ge=0, le=1e30)]]]


class _Points(TypedDict):
    iteration: list[_Count]
    elapsed: list[float]
    loss: list[float]


class _Patience(TypedDict):
    best: float
    best_iteration: _Count
    clear: float
    clear_iteration: _Count


class _Completion(TypedDict):
    done: _Count | None
    shares: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=_CLASSES, max_length=_CLASSES)]
    round: NotRequired[Annotated[StrictInt, Field(ge=0, le=2)]]
    watches: NotRequired[StrictBool]
    deficit: NotRequired[_Finite]
    shortest: NotRequired[_Count]


class _Values(TypedDict):
    now: _Fit
    in_search: StrictBool
    until: _Count
    finished: StrictBool
    factor: _Finite | None
    expected: NotRequired[_Finite | None]
    stop_reason: str
    points: _Points
    stacking: NotRequired[list[Any]]
    completion: NotRequired[_Completion]
    mixture: NotRequired[Annotated[float, Field(ge=0, le=1)]]
    best: NotRequired[_Fit]
    patience: NotRequired[_Patience]


_SCHEMA: TypeAdapter[_Values] = TypeAdapter(_Values)


def check_values(values: Mapping[str, Any]) -> None:
    """Check the plain values of a run's snapshot.

    Raises:
        ValueError: for values that no run has.
    """
    _SCHEMA.validate_python(dict(values))
    points = values["points"]
    if len({len(points[name]) for name in ("iteration", "elapsed", "loss")}) != 1:
        raise ValueError("a history has as many points in each of its lists")


def check_averages(tensors: Mapping[str, Tensor | Tiles], shape: tuple[int, ...]) -> None:
    """Check the averages of a snapshot, which no network checks.

    Args:
        tensors: of the snapshot.
        shape: of all pictures of all runs, (N, C, H, W).

    Raises:
        ValueError: for another shape or type.
    """
    for name, tensor in _averages(tensors):
        wanted = (shape[0], 1, *shape[2:]) if name == "weight" else shape
        if tuple(tensor.shape) != wanted or tensor.dtype != torch.float32:
            raise ValueError(f"the average is {wanted}: found {tuple(tensor.shape)}")


def _averages(tensors: Mapping[str, _T]) -> Iterator[tuple[str, _T]]:
    for key, tensor in tensors.items():
        level, _, name = key.rpartition(".")
        if level in ("now.averages", "best.averages"):
            yield name, tensor


# Optimisers ---------------------------------------------------------------------------------------------------------


_LIKE_PARAMETERS = {"momentum", "mean", "square", "momentum_buffer", "exp_avg", "exp_avg_sq"}
"""Names of what Muon, Adam and SGD keep of each parameter."""

_TOGETHER = ({"step", "mean", "square"}, {"step", "exp_avg", "exp_avg_sq"})
"""Names of what both kinds of Adam keep of a parameter: all of them, or none."""


def optimiser_state(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as named tensors and plain values."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                values[f"{index}.{name}"] = value
    return tensors, values


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Put an optimiser's state back; the tensors given stay untouched."""
    state: dict[int, dict[str, Any]] = {}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for key, value in {**tensors, **values}.items():
        index, _, name = key.partition(".")
        if isinstance(value, Tensor):
            parameter = parameters[int(index)]
            if name in _LIKE_PARAMETERS and value.shape != parameter.shape:
                raise ValueError(f"{key} has the shape of its parameter: found {tuple(value.shape)}")
            # In the parameter's memory layout, which a file does not keep: torch's fused Adam takes it for granted.
            layout = parameter if value.shape == parameter.shape else value
            value = torch.empty_like(layout, dtype=value.dtype, device=value.device).copy_(value)
        state.setdefault(int(index), {})[name] = value
    for kept in state.values():
        if any(kept.keys() & names - {"step"} and not names <= kept.keys() for names in _TOGETHER):
            raise ValueError(f"an optimiser keeps more than {sorted(kept)}")
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
