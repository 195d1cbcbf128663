"""Pictures as arrays: from what a user gives to the tensor that a network is fitted to, and back without loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from untaught.errors import InputError
from untaught.imaging.atlas import Atlas

__all__ = ["Layout", "from_tensor", "in_unit_range", "known_values", "laid_out", "to_tensor", "value_range_of"]

_FEW_CHANNELS = 4
_MANY_CHANNELS = 16
"""With at most so few rows and more than so many columns, (3, 480, 640) is (C, H, W) and not (H, W, C)."""


_LINES = 256


@dataclass(frozen=True)
class Layout:
    """How a picture was given, so that the result can be returned in the same form.

    Attributes:
        original: the values: an (H, W) or (H, W, C) array, or an (N, C, H, W) tensor. For a volume (D, H, W) takes the
            place of (H, W).
        low: the value that is 0 to the network.
        high: the value that is 1 to the network.
        volume: whether it is a volume.
        channel_axis: where the array had its channels; None if last, or if it had none.
        labelled: the xarray.DataArray that was given, whose labels the result gets; None for other types.
        atlas: how ``original`` was cut from a larger picture; None if it is the picture itself.
        whole: that larger picture, into which results are pasted.
    """

    original: NDArray[Any] | Tensor
    low: float
    high: float
    volume: bool = False
    channel_axis: int | None = None
    labelled: Any = None
    atlas: Atlas | None = None
    whole: NDArray[Any] | None = None

    @property
    def is_tensor(self) -> bool:
        """Whether a tensor was given, not an array."""
        return isinstance(self.original, Tensor)

    @property
    def dimensions(self) -> int:
        """Number of spatial axes: 2, or 3 for a volume."""
        return 3 if self.volume else 2


def to_tensor(
    image: ArrayLike | Tensor,
    value_range: tuple[float, float] | None = None,
    *,
    volume: bool = False,
    channel_axis: int | None = None,
) -> tuple[Tensor, Layout]:
    """Convert a picture to the tensor that a network is fitted to.

    Args:
        image: an (H, W) or (H, W, C) array of uint8, uint16, float in [0, 1], or any real type with ``value_range``. It
            may be anything that numpy makes an array of, as dask arrays; an xarray.DataArray; or a numpy masked array,
            whose masked values are missing. Or an (N, C, H, W) tensor of the same types.
        value_range: the values that stand for 0 and 1. By default 0 and the largest value of an unsigned type of 8 or
            16 bits, 0 and 1 for floats.
        volume: whether it is a volume. Then (D, H, W) takes the place of (H, W) everywhere here.
        channel_axis: axis of an array's channels; the last one if None.

    Returns:
        The picture as (N, C, H, W), float32 in [0, 1], NaN where it is missing or not finite; and its layout.

    Raises:
        InputError: for another shape, type or range.
    """
    dimensions = 3 if volume else 2
    labelled = image if _is_labelled(image) else None
    missing: NDArray[np.bool_] | None = None
    original: NDArray[Any] | Tensor
    if isinstance(image, Tensor):
        original = image.detach()
        _check_tensor(original, dimensions, channel_axis)
        values = original.cpu().float().numpy() if original.dtype == torch.bfloat16 else original.cpu().numpy()
    else:
        array = np.asarray(image.data if isinstance(image, np.ma.MaskedArray) else image)
        channel_axis = _checked_channel_axis(array, dimensions, channel_axis)
        array = array if channel_axis is None else np.moveaxis(array, channel_axis, -1)
        original, values = array, _channels_first(array, dimensions)
        if isinstance(image, np.ma.MaskedArray):
            mask = np.ma.getmaskarray(image)
            missing = _channels_first(mask if channel_axis is None else np.moveaxis(mask, channel_axis, -1), dimensions)
    low, high = value_range_of(values if missing is None else values[~missing], value_range)
    scaled = np.empty(values.shape, np.float32)
    # In double precision, and line by line, so that a large picture does not need the memory for all of it.
    for start in range(0, values.shape[2], _LINES):
        lines = (values[:, :, start : start + _LINES].astype(np.float64) - low) / (high - low)
        lines[~np.isfinite(lines)] = np.nan
        scaled[:, :, start : start + _LINES] = lines
    if missing is not None:
        scaled[missing] = np.nan
    tensor = torch.from_numpy(scaled)
    return tensor, Layout(original, low, high, volume, channel_axis, labelled)


def from_tensor(restored: Tensor, known: Tensor | None, layout: Layout) -> NDArray[Any] | Tensor:
    """Convert a restored picture back to the type, range and order of axes that `to_tensor` was given.

    Args:
        restored: (N, C, H, W), float32; of any size.
        known: (N, C, H, W), bool: where the original value is returned to the bit; None for nowhere.
        layout: what `to_tensor` returned.

    Returns:
        An array, a tensor or an xarray.DataArray, as was given. Of a masked array, a plain one: nothing is missing.
    """
    original = layout.original
    kept = None if known is None else known.cpu().numpy()
    if kept is not None and isinstance(original, np.ndarray) and original.shape == (*kept.shape[2:], kept.shape[1]):
        return _as_given(_filled_in(restored, kept, layout), layout)
    values = restored.detach().cpu().double().numpy() * (layout.high - layout.low) + layout.low
    if isinstance(original, Tensor):
        if not original.dtype.is_floating_point:
            values = _whole(values, *_limits(original.dtype))
        result = torch.from_numpy(values).to(original.dtype).to(original.device)
        return result if kept is None else torch.where(torch.from_numpy(kept).to(original.device), original, result)
    values = _channels_last(values, layout)
    if original.dtype.kind in "uib":
        values = _whole(values, *((0, 1) if original.dtype.kind == "b" else _limits(original.dtype)))
    array = values.astype(original.dtype)
    if kept is not None:
        # A raw picture of one channel may come back with three.
        given = original[..., None] if original.ndim < array.ndim else original
        array = np.where(_channels_last(kept, layout), given, array).astype(original.dtype, copy=False)
    return _as_given(_pasted(array, layout), layout)


def _filled_in(restored: Tensor, kept: NDArray[np.bool_], layout: Layout) -> NDArray[Any]:
    """The original with its missing values alone converted: most of a picture is as it was."""
    array = np.array(layout.original)
    missing = ~_channels_last(kept, layout)
    values = np.moveaxis(restored.detach().cpu().numpy()[0], 0, -1)[missing].astype(np.float64)
    values = values * (layout.high - layout.low) + layout.low
    if array.dtype.kind in "uib":
        values = _whole(values, *((0, 1) if array.dtype.kind == "b" else _limits(array.dtype)))
    array[missing] = values.astype(array.dtype)
    return _pasted(array, layout)


def _pasted(array: NDArray[Any], layout: Layout) -> NDArray[Any]:
    return array if layout.atlas is None else layout.atlas.paste(array, layout.whole)


def laid_out(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Arrange (1, C, H, W) as the array that was given: (H, W, C), or (H, W) for one channel of such a one."""
    array = _channels_last(values, layout)
    if layout.atlas is not None:
        assert layout.whole is not None
        array = layout.atlas.paste(array, np.zeros(layout.whole.shape, array.dtype))
    return _as_given(array, layout)


def in_unit_range(
    image: ArrayLike,
    value_range: tuple[float, float] | None = None,
    *,
    volume: bool = False,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Convert a picture to (H, W, C) in [0, 1], as metrics take it; see `to_tensor` for the arguments."""
    tensor, _ = to_tensor(image, value_range, volume=volume, channel_axis=channel_axis)
    return np.moveaxis(tensor[0].numpy(), 0, -1)


def known_values(mask: ArrayLike | Tensor, layout: Layout) -> Tensor:
    """Convert a mask of a picture.

    Args:
        mask: True (or the larger of two values, as 1 or 255) where a value is known. For an (H, W, C) picture (H, W) or
            (H, W, C), channels where the picture has them; for an (N, C, H, W) tensor anything that broadcasts to it.
        layout: of the picture, as `to_tensor` returned it.

    Returns:
        bool, (N, C, H, W).

    Raises:
        InputError: for another shape, or for other than two values.
    """
    array = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if array.dtype.kind not in "buif":
        raise InputError(f"found a mask of {array.dtype} values: a mask is bool, True where a value is known")
    if array.dtype != np.bool_:
        high = np.iinfo(array.dtype).max if array.dtype.kind == "u" and array.max(initial=0) > 1 else 1
        if not np.isin(array, (0, high)).all():
            raise InputError(
                f"found a mask with values from {array.min()} to {array.max()}: a mask is bool, or has two values, 0 "
                "for missing and 1 (or 255 in uint8) for known; compare it, as in mask > 0"
            )
        array = array == high
    shape = tuple(layout.original.shape)
    if layout.is_tensor:
        try:
            array = np.broadcast_to(array, shape)
        except ValueError as error:
            raise InputError(
                f"found a mask of {array.shape}: it must broadcast to the pictures of {shape}, (N, C, H, W)"
            ) from error
        return torch.from_numpy(array.copy())
    if layout.channel_axis is not None and array.ndim == len(shape):
        array = np.moveaxis(array, layout.channel_axis, -1)
    size = shape[: layout.dimensions]
    if array.shape not in (shape, size):
        kind, sides = "picture", "height and width, (H, W)"
        if layout.volume:
            kind, sides = "volume", "depth, height and width, (D, H, W)"
        raise InputError(
            f"found a mask of {array.shape} for a {kind} of {shape}: a mask has its {kind}'s {sides}, "
            "or all of its shape"
        )
    channels = shape[layout.dimensions] if len(shape) > layout.dimensions else 1
    array = np.broadcast_to(array.reshape(*size, -1), (*size, channels))
    return torch.from_numpy(np.moveaxis(array, -1, 0)[None].copy())


def _is_labelled(image: Any) -> bool:
    """Whether it is an xarray.DataArray, told without importing xarray."""
    return all(hasattr(image, name) for name in ("dims", "coords", "attrs", "values")) and not callable(image.values)


def _check_tensor(tensor: Tensor, dimensions: int, channel_axis: int | None) -> None:
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


def _checked_channel_axis(array: NDArray[Any], dimensions: int, channel_axis: int | None) -> int | None:
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


def _channels_first(array: NDArray[Any], dimensions: int) -> NDArray[Any]:
    """(H, W) or (H, W, C) to (1, C, H, W)."""
    return np.moveaxis(array if array.ndim > dimensions else array[..., None], -1, 0)[None]


def _channels_last(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """(1, C, H, W) to (H, W, C), or to (H, W) if there is one channel and the original had no axis for it."""
    values = np.moveaxis(values[0], 0, -1)
    return values[..., 0] if layout.original.ndim == layout.dimensions and values.shape[-1] == 1 else values


def _as_given(array: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Move the channels of (H, W, C) to where they were, and label the axes as they were."""
    if layout.channel_axis is not None and array.ndim > layout.dimensions:
        array = np.moveaxis(array, -1, layout.channel_axis)
    labelled = layout.labelled
    if labelled is None or array.ndim != len(labelled.dims):
        return array
    sizes = dict(zip(labelled.dims, array.shape, strict=True))
    given = dict(zip(labelled.dims, labelled.shape, strict=True))
    # Coordinates of an axis that has another length now, as of an upscaled picture, do not apply.
    coords = {
        name: coordinate
        for name, coordinate in labelled.coords.items()
        if all(sizes[axis] == given[axis] for axis in coordinate.dims)
    }
    # Not an array for mypy, but used like one.
    result: Any = type(labelled)(array, dims=labelled.dims, coords=coords, attrs=labelled.attrs, name=labelled.name)
    return result  # type: ignore[no-any-return]


def _limits(kind: Any) -> tuple[int, int]:
    """Least and largest value of a whole type of numpy or torch."""
    if kind == torch.bool:
        return 0, 1
    limits = torch.iinfo(kind) if isinstance(kind, torch.dtype) else np.iinfo(kind)
    return int(limits.min), int(limits.max)


def _whole(values: NDArray[Any], least: int, most: int) -> NDArray[Any]:
    """Round and clip to whole numbers that a type can hold."""
    # The largest value of 64 bits is no float64; the next one above it would overflow.
    top = float(most)
    return values.round().clip(least, top if int(top) <= most else np.nextafter(top, 0))


def value_range_of(values: NDArray[Any], given: tuple[float, float] | None) -> tuple[float, float]:
    """The values that stand for 0 and 1: those given, or those of the type; see `to_tensor`."""
    kind = values.dtype.kind
    if kind not in "uifb":
        raise InputError(f"found {values.dtype} values: a picture has real numbers; convert it, as by astype(float)")
    if given is not None:
        try:
            low, high = (float(end) for end in given)
        except (TypeError, ValueError):
            low = high = np.nan
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InputError(f"found value_range={given}: it is two finite numbers, the lower first")
        return low, high
    if kind == "u" and values.dtype.itemsize <= 2:
        return 0.0, float(np.iinfo(values.dtype).max)
    finite = values[np.isfinite(values)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if kind == "f" and least >= 0 and most <= 1:
        return 0.0, 1.0
    wanted = "floats are expected in [0, 1]" if kind == "f" else f"{values.dtype} has no range of its own"
    raise InputError(
        f"found values from {least:g} to {most:g}: {wanted}; say what stands for black and white, for instance "
        f"value_range=({least:g}, {most:g})"
    )
