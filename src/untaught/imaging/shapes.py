"""Shapes of pictures that a user gives: checked, and brought to channels first."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from untaught.errors import InputError

__all__ = ["channels_first", "check_tensor", "checked_channel_axis", "is_labelled"]

_FEW_CHANNELS = 4
_MANY_CHANNELS = 16
"""With at most so few rows and more than so many columns, (3, 480, 640) is (C, H, W) and not (H, W, C)."""


def is_labelled(image: Any) -> bool:
    """Whether it is an xarray.DataArray, told without importing xarray."""
    return all(hasattr(image, name) for name in ("dims", "coords", "attrs", "values")) and not callable(image.values)


def check_tensor(tensor: Tensor, dimensions: int, channel_axis: int | None) -> None:
    """Check the shape of a tensor of pictures, or of volumes, which have three dimensions."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        raise InputError(
            "a picture is a dense tensor with values: use to_dense(), dequantize(), or a device with memory"
        )
    axes = "D, H, W" if dimensions == 3 else "H, W"
    if tensor.ndim != dimensions + 2 or 0 in tensor.shape:
        raise InputError(
            f"found a tensor of {tuple(tensor.shape)}: a tensor is (N, C, {axes}) with at least one of each"
            f"{_volume_hint(tensor.ndim - 1, dimensions)}"
        )
    if channel_axis not in (None, 1, 1 - tensor.ndim):
        raise InputError(
            f"found channel_axis={channel_axis} with a tensor: a tensor is (N, C, {axes}); permute its axes instead"
        )


def checked_channel_axis(array: NDArray[Any], dimensions: int, channel_axis: int | None) -> int | None:
    """Check the shape of an array. Return where its channels are, if not last."""
    axes, kind = ("D, H, W", "volume") if dimensions == 3 else ("H, W", "picture")
    shape = array.shape
    if array.ndim not in (dimensions, dimensions + 1) or 0 in shape:
        raise InputError(
            f"found an array of {shape}: a {kind} is an array of ({axes}) or ({axes}, C) with at least one of each"
            f"{_volume_hint(array.ndim, dimensions)}"
        )
    if channel_axis is None:
        if array.ndim == 3 and dimensions == 2 and shape[0] <= _FEW_CHANNELS and shape[2] > _MANY_CHANNELS:
            raise InputError(
                f"found an array of {shape}, which looks like (C, H, W): channels come last, (H, W, C); say "
                f"channel_axis=0, or move the axis by np.moveaxis(image, 0, -1). If it is {shape[0]} pixels high and "
                f"has {shape[2]} channels, say channel_axis=-1"
            )
        return None
    if array.ndim == dimensions or not -array.ndim <= channel_axis < array.ndim:
        raise InputError(
            f"found channel_axis={channel_axis} with an array of {shape}: it is an axis of a {kind} with channels, "
            f"({axes}, C); leave it out for ({axes})"
        )
    channel_axis %= array.ndim
    return None if channel_axis == array.ndim - 1 else channel_axis


def _volume_hint(ndim: int, dimensions: int) -> str:
    return "; if it is a volume, say volume=True" if dimensions == 2 and ndim == 4 else ""


def channels_first(array: NDArray[Any], dimensions: int) -> NDArray[Any]:
    """(H, W) or (H, W, C) to (1, C, H, W)."""
    return np.moveaxis(array if array.ndim > dimensions else array[..., None], -1, 0)[None]
