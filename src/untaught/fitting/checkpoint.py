"""A moment of a fit: everything that is needed to go on from it, in memory and in a file.

A file is one safetensors file, no pickle: the tensors, and in its header a JSON text with all plain values. It is
written under a temporary name and renamed, so a killed process leaves the last whole one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from untaught.errors import InputError
from untaught.imaging.files import write_bytes

__all__ = ["Snapshot", "load", "part", "save"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Named tensors and plain values of one moment; its tensors belong to it alone.

    Attributes:
        tensors: by name, with a dot between levels.
        values: what JSON can hold.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> Snapshot:
        """Copy everything, so that what happens later leaves it alone."""
        return cls({name: tensor.detach().clone() for name, tensor in tensors.items()}, dict(values))


def part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors below a name, under their names below it."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def save(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot as one file, whole or not at all.

    Raises:
        PictureError: when it cannot be written.
    """
    header = {"untaught": json.dumps({"version": _VERSION, "values": snapshot.values})}
    # Memory that is shared or not in one piece cannot be stored, so each tensor is given its own.
    tensors = {name: tensor.cpu().contiguous() for name, tensor in snapshot.tensors.items()}
    write_bytes(path, safetensors.torch.save(tensors, header))


def load(path: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        InputError: for a file that is none, or of a version that this program does not know.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["untaught"])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        version, values = header["version"], header["values"]
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is not a checkpoint of untaught, or it is damaged") from error
    if version != _VERSION:
        raise InputError(f"{path} is a checkpoint of version {version}; this program reads version {_VERSION}")
    return Snapshot(tensors, values)


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
            # In the parameter's memory layout, which a file does not keep: torch's fused Adam takes it for granted.
            layout = parameter if value.shape == parameter.shape else value
            value = torch.empty_like(layout, dtype=value.dtype, device=value.device).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
