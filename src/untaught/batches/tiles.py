"""A huge picture in tiles: a network learns from parts of the whole, and is then shown one tile after the other.

Tiles overlap, and one fades into the next. Range, noise and weights are those of the whole, found once for each of its
channels.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.batches import learning
from untaught.batches.learning import Block, Learnt, learn, samples
from untaught.batches.progress import Progress, identity
from untaught.errors import InputError, SettingError
from untaught.imaging.stores import Store, create_store, open_store
from untaught.tasks.registry import find_task

__all__ = ["TilesReport", "tiles", "windows"]

_ABLE = ("inpaint", "restore", "denoise")


@dataclass(frozen=True, kw_only=True)
class TilesReport:
    """What was done.

    Attributes:
        output: the picture.
        tiles: how many tiles it has.
        left: how many of them were left as they are, as there was nothing to do, or to go by.
        notes: sentences on what was found, once each.
    """

    output: Any
    tiles: int
    left: int
    notes: tuple[str, ...]


def tiles(
    task: str,
    image: Any,
    output: str | Path | None = None,
    *,
    mask: Any = None,
    select: Mapping[str, int | tuple[int, int]] | None = None,
    axes: str | None = None,
    observer: Callable[[int, int], object] | None = None,
    **options: Any,
) -> TilesReport:
    """Restore a picture of any size, one tile at a time.

    Args:
        task: "inpaint", "restore" or "denoise".
        image: an OME-Zarr, a TIFF or a .npy file; or a dask array, or an xarray.DataArray of one.
        output: an OME-Zarr (.zarr), a TIFF or a .npy file to write; None for an array that is given, from which a lazy
            one of the same kind, with the same chunks and labels, is made.
        mask: of the same height and width, as a file or an array: known where it is not 0.
        select: by the name of an axis (T, C, Z, Y, X), a place or the first and the last but one, from 0.
        axes: the names of the axes, where the file does not say them; default the last ones of TCZYX.
        observer: called after each tile with how many are done and how many there are.
        **options: the task's own, and those of `FitOptions`.

    Raises:
        InputError: for unusable input; SettingError for options.

    >>> import tempfile
    >>> picture = np.random.default_rng(0).normal(900, 40, (64, 64)).astype(np.uint16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/in.npy", picture)
    ...     tiles("denoise", f"{folder}/in.npy", f"{folder}/out.npy", noise=40, iterations=2).tiles
    1
    """
    if task not in _ABLE:
        find_task(task)
        raise InputError(f"{task} needs the whole picture: tiles are for {', '.join(_ABLE)}")
    if options.get("kind", "gaussian") != "gaussian":
        raise SettingError("tiles take kind=gaussian only: noise of light is found and modelled without it")
    if options.get("volume"):
        raise SettingError("tiles are pictures: leave out volume; each slice is done by itself")
    if isinstance(image, str | Path):
        if output is None:
            raise InputError("a file needs an output: name a .zarr, .tif or .npy file")
        return _from_file(task, Path(image), Path(output), mask, select or {}, axes, observer, options)
    return _from_array(task, image, mask, axes, options)


def _from_file(
    task: str,
    path: Path,
    output: Path,
    mask: Any,
    select: Mapping[str, int | tuple[int, int]],
    axes: str | None,
    observer: Callable[[int, int], object] | None,
    options: dict[str, Any],
) -> TilesReport:
    with contextlib.ExitStack() as open_files:
        source = open_store(path, axes)
        open_files.callback(source.close)
        known = None if mask is None else _mask_of(mask, source, open_files)
        if source.nodata:
            options["missing_value"] = (*(options.get("missing_value") or ()), *source.nodata)

        def identity_of(chosen: Mapping[str, range]) -> str:
            return identity(task, path, mask, chosen, source.axes, options)

        return _from_store(task, source, output, known, select, observer, options, identity_of)


def _from_store(
    task: str,
    source: Store,
    output: Path,
    known: Callable[[Sequence[int], Sequence[slice]], NDArray[np.bool_]] | None,
    select: Mapping[str, int | tuple[int, int]],
    observer: Callable[[int, int], object] | None,
    options: dict[str, Any],
    identity: Callable[[Mapping[str, range]], str],
) -> TilesReport:
    chosen = _chosen(source, select)
    shape = tuple(len(one) for one in chosen.values())
    size, corner = (shape[-2], shape[-1]), [one.start for one in list(chosen.values())[-2:]]
    total = math.prod(shape[:-2]) * math.prod(len(windows(length)) for length in size)

    def cut(place: Sequence[int], *there: slice) -> Block:
        front = tuple(one[at] for one, at in zip(chosen.values(), place, strict=False))
        where = tuple(slice(start + one.start, start + one.stop) for start, one in zip(corner, there, strict=True))
        return np.asarray(source.array[(*front, *where)]), None if known is None else known(front, where)

    origin = {axis: one.start for axis, one in chosen.items()}
    with create_store(output, source, shape, origin, identity(chosen)) as (sink, folder):
        progress = Progress(folder)

        def note(as_it_was: bool) -> None:
            progress.tiles += 1
            progress.left += as_it_was
            if observer is not None:
                observer(progress.tiles, total)

        bands = len(windows(size[0]))
        planes = [
            (channel, place) for channel, places in enumerate(_by_channel(source.axes, shape)) for place in places
        ]
        learnt: tuple[int, Learnt] | None = None
        for channel, place in planes[progress.bands // bands :]:
            if learnt is None or learnt[0] != channel:
                places = [one for number, one in planes if number == channel]
                made = learn(
                    task, samples(task, places, size, cut, options), options, size=size, kept=progress.learnt(channel)
                )
                learnt = channel, made
                progress.notes.update(dict.fromkeys(made.notes))
            first = progress.bands % bands
            before = progress.edge if first else None
            for rows, band, edge in _bands(learnt[1], size, functools.partial(cut, place), note, first, before):
                sink.array[(*place, rows)] = band
                progress.keep(edge)
    return TilesReport(output=output, tiles=total, left=progress.left, notes=tuple(progress.notes))


def _by_channel(axes: str, shape: Sequence[int]) -> list[list[tuple[int, ...]]]:
    """The places of planes, together those of a channel."""
    if "C" not in axes:
        return [list(np.ndindex(*shape[:-2]))]
    at = axes.index("C")
    return [[one for one in np.ndindex(*shape[:-2]) if one[at] == channel] for channel in range(shape[at])]


def _bands(
    learnt: Learnt,
    size: tuple[int, int],
    cut: Callable[[slice, slice], Block],
    note: Callable[[bool], object],
    first: int = 0,
    before: NDArray[Any] | None = None,
) -> Iterator[tuple[slice, NDArray[Any], NDArray[Any]]]:
    """A plane from top to bottom, in bands of as many lines as are done; where tiles overlap, one fades into the other.

    Args:
        learnt: restores a tile.
        size: height and width.
        cut: gives the tile of some rows and columns.
        note: called after each tile with whether it is as it was.
        first: the band to begin with.
        before: the lines that the band before it left.

    Yields:
        Of each band, its rows, its values, and the lines that it leaves to the next.
    """
    rows, columns = (windows(length) for length in size)
    before = np.empty((0, size[1])) if before is None else before
    for number, row in enumerate(rows[first:], start=first):
        band, end = np.empty((row.stop - row.start, size[1])), 0
        for column in columns:
            values, mask = cut(row, column)
            made, same = _one(learnt, values, mask)
            band[:, column.start : end] = _faded(band[:, column.start : end], made[:, : end - column.start])
            band[:, end : column.stop] = made[:, end - column.start :]
            end = column.stop
            note(same)
        band[: len(before)] = _faded(before.T, band[: len(before)].T).T
        stop = rows[number + 1].start if number + 1 < len(rows) else size[0]
        done, before = band[: stop - row.start], band[stop - row.start :]
        kind = values.dtype
        yield (
            slice(row.start, stop),
            (np.nan_to_num(done).round() if kind.kind in "uib" else done).astype(kind),
            before,
        )


def _faded(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """From one to the other, (H, W), from left to right; what is alike stays as it is, and nothing is no number."""
    share = (np.arange(one.shape[1]) + 0.5) / max(1, one.shape[1])
    mixed = one + share * (other - one)
    return np.where(np.isnan(one), other, np.where(np.isnan(other), one, mixed))


def _one(learnt: Learnt, values: NDArray[Any], mask: NDArray[Any] | None) -> tuple[NDArray[Any], bool]:
    """A tile as floats, and whether it is as it was: nothing in it is missing, or nothing is known."""
    whole = values.astype(np.float64)
    if mask is not None and bool(mask.all()) and bool(np.isfinite(whole).all()):
        return whole, True
    try:
        return learnt.restored(values, mask).astype(np.float64), False
    except InputError:
        return whole if mask is None or bool(mask.any()) else np.full(values.shape, np.nan), True


def windows(length: int) -> list[slice]:
    """Tiles along an axis, with what is around them."""
    count = max(1, round(length / learning.SIDE))
    ends = [*(learning.SIDE * number for number in range(count)), length]
    return [
        slice(max(0, start - learning.AROUND), min(length, end + learning.AROUND))
        for start, end in itertools.pairwise(ends)
    ]


def _chosen(source: Store, select: Mapping[str, int | tuple[int, int]]) -> dict[str, range]:
    """The places of each axis that are wanted."""
    wanted = {axis.upper(): one for axis, one in select.items()}
    if unknown := sorted(set(wanted) - set(source.axes)):
        raise InputError(f"{source.path} has the axes {source.axes}: there is no {unknown[0]}")
    chosen = {}
    for axis, length in source.sizes.items():
        one = wanted.get(axis, (0, length))
        start, stop = (one, one + 1) if isinstance(one, int) else one
        if not 0 <= start < stop <= length:
            raise InputError(f"{axis} goes from 0 to {length - 1} in {source.path}: found {start} to {stop - 1}")
        chosen[axis] = range(start, stop)
    return chosen


def _mask_of(
    mask: Any, source: Store, open_files: contextlib.ExitStack
) -> Callable[[Sequence[int], Sequence[slice]], NDArray[np.bool_]]:
    """What reads a part of a mask: of the same axes, or one for all planes."""
    array = mask
    if isinstance(mask, str | Path):
        opened = open_store(Path(mask))
        open_files.callback(opened.close)
        array = opened.array
    sizes = tuple(map(int, array.shape))
    if sizes not in (tuple(source.sizes.values()), tuple(source.sizes.values())[-2:]):
        raise InputError(f"the mask has the shape {sizes}, and the picture {tuple(source.sizes.values())}")

    def read(place: Sequence[int], there: Sequence[slice]) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = np.asarray(array[(*(place if len(sizes) > 2 else ()), *there)]) != 0
        return known

    return read


def _from_array(task: str, image: Any, mask: Any, axes: str | None, options: dict[str, Any]) -> TilesReport:
    """A lazy array, like the one that is given, of what a network makes that has learnt from parts of it."""
    lazy = getattr(image, "data", image) if hasattr(image, "dims") else image
    if not hasattr(lazy, "dask"):
        raise InputError(f"tiles take files, dask arrays and xarray.DataArrays of them: found {type(image).__name__}")
    import dask.array

    named = axes or ("".join(map(str, image.dims)) if hasattr(image, "dims") else "TCZYX"[-lazy.ndim :])
    named = named.upper()
    if len(named) != lazy.ndim or not named.endswith("YX"):
        raise InputError(f"the axes are {named} and there are {lazy.ndim}: name each, Y and X last, by axes=")
    if len(set(named)) != len(named) or not set(named) <= set("TCZYX"):
        raise InputError(f"the axes are {named}: T, C, Z, Y and X are known")
    known = None if mask is None else dask.array.broadcast_to(dask.array.asarray(mask), lazy.shape).rechunk(lazy.chunks)
    depth = {axis: learning.AROUND if axis >= lazy.ndim - 2 else 0 for axis in range(lazy.ndim)}
    size = (lazy.shape[-2], lazy.shape[-1])
    channels = [slice(None)] if "C" not in named else [slice(c, c + 1) for c in range(lazy.shape[named.index("C")])]
    parts, notes = [], dict[str, None]()
    for channel in channels:
        place = tuple(channel if axis == "C" else slice(None) for axis in named)
        own, there = lazy[place], None if known is None else known[place]

        def cut(at: Sequence[int], rows: slice, columns: slice, own: Any = own, there: Any = there) -> Block:
            where = (*at, rows, columns)
            return np.asarray(own[where]), None if there is None else np.asarray(there[where]) != 0

        learnt = learn(task, samples(task, list(np.ndindex(own.shape[:-2])), size, cut, options), options, size=size)
        notes.update(dict.fromkeys(learnt.notes))
        arrays = [own] if there is None else [own, there]
        parts.append(
            dask.array.map_overlap(
                _Planes(learnt), *arrays, depth=depth, boundary="none", dtype=lazy.dtype, meta=np.empty(0, lazy.dtype)
            )
        )
    result = parts[0] if len(parts) == 1 else dask.array.concatenate(parts, named.index("C")).rechunk(lazy.chunks)
    if hasattr(image, "dims"):
        result = image.copy(data=result)
    return TilesReport(output=result, tiles=int(np.prod(lazy.numblocks)), left=0, notes=tuple(notes))


@dataclass(frozen=True)
class _Planes:
    """Restores each plane of a chunk, in tiles where it is large."""

    learnt: Learnt

    def __call__(self, values: NDArray[Any], mask: NDArray[Any] | None = None) -> NDArray[Any]:
        result = np.empty_like(values)
        for place in np.ndindex(values.shape[:-2]):

            def cut(*there: slice, place: tuple[int, ...] = place) -> Block:
                where: Any = (*place, *there)
                return values[where], None if mask is None else mask[where] != 0

            for rows, band, _ in _bands(self.learnt, (values.shape[-2], values.shape[-1]), cut, lambda _: None):
                result[(*place, rows)] = band
        return result
