"""Pictures as arrays: from what a user gives to the tensor that a network is fitted to, and back without loss."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from untaught.errors import InputError
from untaught.imaging.atlas import Atlas
from untaught.imaging.ranges import Range, stated_range
from untaught.imaging.shapes import channels_first, check_tensor, checked_channel_axis, is_labelled

__all__ = [
    "Layout",
    "as_array",
    "as_numbers",
    "as_values",
    "from_tensor",
    "in_unit_range",
    "known_values",
    "laid_out",
    "to_tensor",
    "with_ends",
]

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
        stated: black and white as figures such as PSNR take them; None for ``low`` and ``high``.
        carried: (N, C, H, W), bool: values that were not read and come back as they were; None for none.
        excess: (N, C, H, W), float32: how far values lie below 0 or above 1 that are carried for that; None for none.
    """

    original: NDArray[Any] | Tensor
    low: float
    high: float
    volume: bool = False
    channel_axis: int | None = None
    labelled: Any = None
    atlas: Atlas | None = None
    whole: NDArray[Any] | None = None
    stated: tuple[float, float] | None = None
    carried: Tensor | None = None
    excess: Tensor | None = None

    @property
    def figures_range(self) -> tuple[float, float]:
        """Black and white as figures such as PSNR take them."""
        return self.stated or (self.low, self.high)

    @property
    def figures_gain(self) -> float:
        """What a PSNR in dB gains where black and white of figures are farther apart than those of the fit."""
        low, high = self.figures_range
        return 20 * math.log10((high - low) / (self.high - self.low))

    def without_beyond(self) -> Layout:
        """The same, but what lies far beyond black and white is replaced and does not come back as it was."""
        if self.carried is None or self.excess is None:
            return self
        carried = self.carried & (self.excess == 0)
        return dataclasses.replace(self, carried=carried if carried.any() else None, excess=None)

    @property
    def is_tensor(self) -> bool:
        """Whether a tensor was given, not an array."""
        return isinstance(self.original, Tensor)

    @property
    def dimensions(self) -> int:
        """Number of spatial axes: 2, or 3 for a volume."""
        return 3 if self.volume else 2


def as_array(values: Any, what: str = "picture") -> NDArray[Any]:
    """Make an array of anything that numpy can make one of; ``what`` it is, for the message of an InputError."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"found a {what} of rows that differ in length: it is an array of numbers") from error
    if array.dtype.kind == "V":
        raise InputError(f"found a {what} with fields, {array.dtype}: take one of them, as in array['name']")
    return array


def as_numbers(values: Any, what: str) -> NDArray[Any]:
    """The same of numbers, at least one."""
    array = as_array(values, what)
    if array.dtype.kind not in "buifc" or not array.size:
        raise InputError(f"found a {what} of {array.dtype} values, shape {array.shape}: one of numbers is wanted")
    return array


def as_values(
    image: ArrayLike | Tensor, *, volume: bool = False, channel_axis: int | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The values of a picture as (N, C, H, W), and which ones a numpy masked array masks; see `to_tensor`."""
    dimensions = 3 if volume else 2
    if isinstance(image, Tensor):
        given = image.detach()
        check_tensor(given, dimensions, channel_axis)
        return (given.cpu().float().numpy() if given.dtype == torch.bfloat16 else given.cpu().numpy()), None
    array = as_array(image.data if isinstance(image, np.ma.MaskedArray) else image)
    axis = checked_channel_axis(array, dimensions, channel_axis)
    both = [array, np.ma.getmaskarray(image)] if isinstance(image, np.ma.MaskedArray) else [array]
    first, *more = (channels_first(one if axis is None else np.moveaxis(one, axis, -1), dimensions) for one in both)
    return first, more[0] if more else None


def to_tensor(
    image: ArrayLike | Tensor,
    value_range: tuple[float, float] | Range | None = None,
    *,
    volume: bool = False,
    channel_axis: int | None = None,
    missing: NDArray[np.bool_] | None = None,
    hidden: NDArray[np.bool_] | None = None,
    valid: NDArray[np.bool_] | None = None,
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
        missing: broadcastable to (N, C, H, W): values that are missing besides.
        hidden: broadcastable to it: values that are not read and come back as they were.
        valid: broadcastable to it: values that a mask marks as known; others do not come back as they were.

    Returns:
        The picture as (N, C, H, W), float32 in [0, 1], NaN where it is missing or not finite; and its layout. Values
        far beyond a `Range` are NaN too and come back as they were.

    Raises:
        InputError: for another shape, type or range.
    """
    values, masked = as_values(image, volume=volume, channel_axis=channel_axis)
    original: NDArray[Any] | Tensor
    if isinstance(image, Tensor):
        original = image.detach()
    else:
        original = as_array(image.data if isinstance(image, np.ma.MaskedArray) else image)
        channel_axis = checked_channel_axis(original, 3 if volume else 2, channel_axis)
        original = original if channel_axis is None else np.moveaxis(original, channel_axis, -1)
    if not isinstance(value_range, Range):
        low, high = stated_range(values if masked is None else values[~masked], value_range)
        value_range = Range(low=low, high=high, stated=(low, high))
    low, high = value_range.low, value_range.high
    scaled = np.empty(values.shape, np.float32)
    # In double precision, and line by line, so that a large picture does not need the memory for all of it.
    for start in range(0, values.shape[2], _LINES):
        lines = (values[:, :, start : start + _LINES].astype(np.float64) - low) / (high - low)
        lines[~np.isfinite(lines)] = np.nan
        scaled[:, :, start : start + _LINES] = lines
    unread = [one for one in (masked, missing) if one is not None]
    for one in unread:
        scaled[np.broadcast_to(one, scaled.shape)] = np.nan
    carried, excess = None, None
    if np.isfinite(value_range.tolerance):
        reach = value_range.tolerance / value_range.span
        # Not a number is neither below nor above.
        beyond = _where((scaled < -reach) | (scaled > 1 + reach), valid, hidden)
        if beyond.any():
            carried, excess = beyond, np.where(beyond, scaled - scaled.clip(0, 1), 0).astype(np.float32)
    if hidden is not None:
        unseen = _where(np.broadcast_to(hidden, scaled.shape), valid)
        carried = unseen if carried is None else carried | unseen
    if carried is not None:
        scaled[carried] = np.nan
    layout = Layout(
        original,
        low,
        high,
        volume,
        None if isinstance(image, Tensor) else channel_axis,
        image if is_labelled(image) else None,
        stated=value_range.stated,
        carried=None if carried is None else torch.from_numpy(carried),
        excess=None if excess is None else torch.from_numpy(excess),
    )
    return torch.from_numpy(scaled), layout


def _where(
    chosen: NDArray[np.bool_], valid: NDArray[np.bool_] | None, hidden: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """The chosen values among those that are valid and not hidden."""
    kept = np.array(chosen)
    if valid is not None:
        kept &= valid
    if hidden is not None:
        kept &= ~hidden
    return kept


def with_ends(picture: Tensor, layout: Layout) -> Tensor:
    """A picture whose values far beyond its range are black and white, and not missing: for an operator's observation.

    What is beyond, ``layout.excess``, is then to be added to the result.
    """
    if layout.excess is None:
        return picture
    ends = (layout.excess > 0).to(picture)
    return torch.where(layout.excess != 0, ends, picture)


def with_excess(picture: Tensor, *, excess: Tensor) -> Tensor:
    """A picture and what lies beyond its black and white, both (N, C, H, W)."""
    return picture + excess.to(picture)


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
    if layout.carried is not None and layout.carried.shape == restored.shape:
        kept = layout.carried.numpy() if kept is None else kept | layout.carried.numpy()
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
    array = as_numbers(mask.detach().cpu().numpy() if isinstance(mask, Tensor) else mask, "mask")
    if array.dtype.kind == "c":
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
    if layout.volume and array.shape in (size[1:], (1, *size[1:])):
        # One mask for all slices.
        array = np.broadcast_to(array, size)
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
