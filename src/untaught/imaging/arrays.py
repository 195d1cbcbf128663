"""Pictures as arrays: from what a user has to what a network is fitted to, and back without a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from untaught.errors import InputError

__all__ = ["Layout", "from_tensor", "in_unit_range", "known_values", "laid_out", "to_tensor"]


@dataclass(frozen=True)
class Layout:
    """How a user's picture was given, so that the result can be handed back alike.

    Attributes:
        original: the picture as given: (H, W) or (H, W, C) array, or (N, C, H, W) tensor; a volume has (D, H, W) in
            the place of (H, W).
        low: the value that is 0 to the network.
        high: the value that is 1 to the network.
        volume: whether it is a volume.
    """

    original: NDArray[Any] | Tensor
    low: float
    high: float
    volume: bool = False

    @property
    def is_tensor(self) -> bool:
        """Whether a tensor was given, and not an array."""
        return isinstance(self.original, Tensor)

    @property
    def dimensions(self) -> int:
        """How many axes are of space: 2, or 3 for a volume."""
        return 3 if self.volume else 2


def to_tensor(
    image: ArrayLike | Tensor, value_range: tuple[float, float] | None = None, *, volume: bool = False
) -> tuple[Tensor, Layout]:
    """Read a picture.

    Args:
        image: (H, W) or (H, W, C) array: uint8, uint16, float in [0, 1], or any real type with ``value_range``; or an
            (N, C, H, W) tensor of the same types.
        value_range: the values that stand for 0 and 1; by default 0 and the largest value of an unsigned type of 8 or
            16 bits, 0 and 1 for floats.
        volume: whether it is a volume: then (D, H, W) stands in the place of each (H, W) here.

    Returns:
        The picture as (N, C, H, W), float32, 1.0 being the upper end of its range, NaN where it is not finite; and
        how it was given.

    Raises:
        InputError: for a shape, type or range that is not one of these.
    """
    original = image if isinstance(image, Tensor) else np.asarray(image)
    dimensions = 3 if volume else 2
    axes, kind = ("D, H, W", "volume") if volume else ("H, W", "picture")
    hint = "" if volume or original.ndim != 4 + isinstance(original, Tensor) else "; is it one? then say volume=True"
    if isinstance(original, Tensor):
        if original.ndim != dimensions + 2 or 0 in original.shape:
            raise InputError(
                f"a tensor is (N, C, {axes}) with at least one of each: found {tuple(original.shape)}{hint}"
            )
        original = original.detach()
        values = original.cpu().float().numpy() if original.dtype == torch.bfloat16 else original.cpu().numpy()
    else:
        if original.ndim not in (dimensions, dimensions + 1) or 0 in original.shape:
            raise InputError(
                f"a {kind} is an array of ({axes}) or ({axes}, C) with at least one of each: found {original.shape}"
                f"{hint}"
            )
        values = original if original.ndim > dimensions else original[..., None]
        values = np.moveaxis(values, -1, 0)[None]
    low, high = _value_range(values, value_range)
    scaled = (values.astype(np.float64) - low) / (high - low)
    scaled[~np.isfinite(scaled)] = np.nan
    return torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32)), Layout(original, low, high, volume)


def from_tensor(restored: Tensor, known: Tensor | None, layout: Layout) -> NDArray[Any] | Tensor:
    """Hand a picture back in the type, the range and the order of axes in which `to_tensor` was given one.

    Args:
        restored: (N, C, H, W), float32; of any size.
        known: (N, C, H, W), bool: where the original value is returned to the bit; or None for nowhere.
        layout: what `to_tensor` said.
    """
    values = restored.detach().cpu().double().numpy() * (layout.high - layout.low) + layout.low
    original = layout.original
    kept = None if known is None else known.cpu().numpy()
    if not layout.is_tensor:
        values = laid_out(values, layout)
        kept = None if kept is None else laid_out(kept, layout)
    if isinstance(original, Tensor):
        result = torch.from_numpy(values)
        if not original.dtype.is_floating_point:
            limits = torch.iinfo(original.dtype)
            result = result.round().clamp(limits.min, limits.max)
        result = result.to(original.dtype).to(original.device)
        return result if kept is None else torch.where(torch.from_numpy(kept).to(original.device), original, result)
    if np.issubdtype(original.dtype, np.integer):
        whole = np.iinfo(original.dtype)
        values = values.round().clip(whole.min, whole.max)
    array = values.astype(original.dtype)
    # A raw picture of one channel may come back with three.
    given = original[..., None] if original.ndim < array.ndim else original
    return array if kept is None else np.where(kept, given, array)


def laid_out(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """The axes of (1, C, H, W) as in the array that was given: (H, W, C), or (H, W) for one channel of such a one."""
    values = np.moveaxis(values[0], 0, -1)
    return values[..., 0] if layout.original.ndim == layout.dimensions and values.shape[-1] == 1 else values


def in_unit_range(
    image: ArrayLike, value_range: tuple[float, float] | None = None, *, volume: bool = False
) -> NDArray[np.float32]:
    """A picture as figures are taken of it: (H, W) or (H, W, C), read as by `to_tensor`, to (H, W, C) in [0, 1]."""
    tensor, _ = to_tensor(image, value_range, volume=volume)
    return np.moveaxis(tensor[0].numpy(), 0, -1)


def known_values(mask: ArrayLike | Tensor, image_shape: tuple[int, ...], *, volume: bool = False) -> Tensor:
    """Read a mask for a picture.

    Args:
        mask: True (or the larger of two values, such as 1 or 255) where a value is known. For a picture of (H, W, C),
            (H, W) or (H, W, C); for an (N, C, H, W) tensor, anything that broadcasts to it.
        image_shape: shape of the picture as given.
        volume: whether it is a volume: then (D, H, W) stands in the place of each (H, W) here.

    Returns:
        bool, (N, C, H, W).

    Raises:
        InputError: for another shape, values that are no mask, or one that marks everything or nothing.
    """
    array = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if array.dtype != np.bool_:
        high = np.iinfo(array.dtype).max if array.dtype.kind == "u" and array.max(initial=0) > 1 else 1
        if not np.isin(array, (0, high)).all():
            raise InputError(
                "a mask is bool, or has two values, 0 for missing and 1 (or 255 in uint8) for known: found others too, "
                f"from {array.min()} to {array.max()}"
            )
        array = array == high
    dimensions = 3 if volume else 2
    if len(image_shape) == dimensions + 2:
        try:
            array = np.broadcast_to(array, image_shape)
        except ValueError as error:
            raise InputError(f"a mask of {array.shape} does not fit pictures of {tuple(image_shape)}") from error
    else:
        size = image_shape[:dimensions]
        if array.shape not in (image_shape, size):
            kind, sides = (
                ("volume", "depth, height and width, (D, H, W)") if volume else ("picture", "height and width, (H, W)")
            )
            raise InputError(
                f"the mask is {array.shape} and the {kind} {image_shape}: a mask has the {kind}'s {sides}, or all of "
                "its shape"
            )
        channels = image_shape[dimensions] if len(image_shape) > dimensions else 1
        array = np.broadcast_to(array.reshape(*size, -1), (*size, channels))
        array = np.moveaxis(array, -1, 0)[None]
    return torch.from_numpy(array.copy())


def _value_range(values: NDArray[Any], value_range: tuple[float, float] | None) -> tuple[float, float]:
    kind = values.dtype.kind
    if kind not in "uif":
        raise InputError(f"a picture has real numbers for values: found {values.dtype}")
    if value_range is not None:
        low, high = map(float, value_range)
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InputError(f"value_range is two finite numbers, the lower first: found {value_range}")
        return low, high
    if kind == "u" and values.dtype.itemsize <= 2:
        return 0.0, float(np.iinfo(values.dtype).max)
    finite = values[np.isfinite(values)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if kind == "f" and least >= 0 and most <= 1:
        return 0.0, 1.0
    wanted = "floats are expected in [0, 1]" if kind == "f" else f"{values.dtype} has no range of its own"
    raise InputError(
        f"values from {least:g} to {most:g} found, and {wanted}: say what stands for black and white, for instance "
        f"value_range=({least:g}, {most:g})"
    )
