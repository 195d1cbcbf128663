"""A large picture in tiles, of which a change of a small part copies only those that it touches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Tiles"]

_SIDE = 128


class Tiles:
    """A picture, (N, C, H, W), whose earlier versions stay as they were.

    Args:
        picture: its first version; not copied.
    """

    def __init__(self, picture: Tensor) -> None:
        self.shape = picture.shape
        self.dtype = picture.dtype
        self._rows = [list(torch.split(row, _SIDE, -1)) for row in torch.split(picture, _SIDE, -2)]

    def version(self) -> Tiles:
        """The picture as it is now, whatever changes later."""
        frozen = object.__new__(Tiles)
        frozen.shape, frozen.dtype = self.shape, self.dtype
        frozen._rows = [list(row) for row in self._rows]
        return frozen

    def changed(self, function: Callable[[Tensor], Tensor]) -> Tiles:
        """A picture of which each tile is a function's, and is freed alone."""
        result = self.version()
        result._rows = [[function(tile) for tile in row] for row in self._rows]
        return result

    def whole(self) -> Tensor:
        """The picture in one tensor, a copy."""
        whole = self._rows[0][0].new_empty(self.shape)
        for row, tiles in enumerate(self._rows):
            for column, tile in enumerate(tiles):
                whole[..., row * _SIDE :, column * _SIDE :][..., : tile.shape[-2], : tile.shape[-1]] = tile
        return whole

    def read(self, number: int, top: int, left: int, height: int, width: int) -> Tensor:
        """A part of one picture, (C, height, width), a copy."""
        rows = range(top // _SIDE, (top + height - 1) // _SIDE + 1)
        columns = slice(left // _SIDE, (left + width - 1) // _SIDE + 1)
        part = torch.cat([torch.cat([tile[number] for tile in self._rows[row][columns]], -1) for row in rows], -2)
        down, right = top - rows.start * _SIDE, left - columns.start * _SIDE
        return part[:, down : down + height, right : right + width]

    def write(self, number: int, top: int, left: int, values: Tensor) -> None:
        """Replace a part of one picture by values, (C, height, width)."""
        height, width = values.shape[-2:]
        for row in range(top // _SIDE, (top + height - 1) // _SIDE + 1):
            for column in range(left // _SIDE, (left + width - 1) // _SIDE + 1):
                tile = self._rows[row][column].clone()
                down, right = row * _SIDE - top, column * _SIDE - left
                first, last = max(0, -down), min(tile.shape[-2], height - down)
                start, end = max(0, -right), min(tile.shape[-1], width - right)
                part = values[:, down + first : down + last, right + start : right + end]
                tile[number, :, first:last, start:end] = part
                self._rows[row][column] = tile
