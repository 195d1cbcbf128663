"""Pictures that are read and written part by part: OME-Zarr, TIFF of any size, and arrays of numpy in a file.

Axes are named as in OME: T, C, Z, Y, X. What is read is what a part needs; what is written has its pyramid.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import InputError, PictureError
from untaught.imaging import geo
from untaught.imaging.addresses import elsewhere, named
from untaught.imaging.files import reason, write_text
from untaught.processes import locked

__all__ = ["Store", "create_store", "open_store"]

_TILE = 512
_SMALLEST = 256
"""The last level of a pyramid is at most so large, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """A picture of which parts are read or written.

    Attributes:
        path: of the file, or of the folder of an OME-Zarr.
        kind: "OME-Zarr", "TIFF" or "NumPy".
        axes: a letter for each, among TCZYX, Y and X last.
        array: with a shape and a type; slices of it are read and written.
        nodata: values that mean nothing.
        said: what else the file says, as its kind keeps it.
        close: gives back the file.
    """

    path: Path
    kind: str
    axes: str
    array: Any
    nodata: tuple[float, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict)
    close: Callable[[], object] = lambda: None

    @property
    def sizes(self) -> dict[str, int]:
        """The length of each axis."""
        return dict(zip(self.axes, map(int, self.array.shape), strict=True))


class _Npy:
    """An array of numpy in a file; it is mapped anew each time, so that what was touched does not stay in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        mapped = np.load(path, mmap_mode="r")
        self.shape, self.dtype = mapped.shape, mapped.dtype

    def __getitem__(self, place: Any) -> NDArray[Any]:
        return np.array(np.load(self._path, mmap_mode="r")[place])

    def __setitem__(self, place: Any, values: NDArray[Any]) -> None:
        mapped = np.load(self._path, mmap_mode="r+")
        mapped[place] = values
        mapped.flush()


def open_store(path: Path, axes: str | None = None) -> Store:
    """Open a picture to read parts of it.

    Args:
        path: an OME-Zarr folder, a TIFF, or a .npy file.
        axes: the names of its axes, where the file does not say them or says them wrongly.

    Raises:
        PictureError: for what is none of these, and for axes that do not fit.
    """
    if elsewhere(path) and path.suffix != ".zarr":
        raise PictureError(f"{named(path)} cannot be read part by part: from elsewhere an OME-Zarr can; copy it first")
    if not elsewhere(path) and not path.exists():
        raise PictureError(f"there is no file or folder {path}")
    try:
        if elsewhere(path) or path.is_dir():
            store = _open_zarr(path)
        elif path.suffix.lower() == ".npy":
            array = _Npy(path)
            store = Store(path=path, kind="NumPy", axes="TCZYX"[-array_dimensions(array.shape, path) :], array=array)
        else:
            store = _open_tiff(path)
    except (InputError, MemoryError):
        raise
    # Readers raise errors of every kind on damaged files.
    except Exception as error:
        raise PictureError(f"{path} cannot be read part by part: it is an OME-Zarr, a TIFF or a .npy file") from error
    if axes is not None:
        store = dataclasses.replace(store, axes=axes.upper())
    dimensions = len(store.array.shape)
    if len(store.axes) != dimensions or len(set(store.axes)) != dimensions or not set(store.axes) <= set("TCZYX"):
        raise PictureError(f"{path} has {dimensions} axes, and {store.axes} names others: name each, such as TCZYX")
    if not store.axes.endswith("YX"):
        raise PictureError(f"{path} has the axes {store.axes}: the last two have to be Y and X; save it in that order")
    if np.dtype(store.array.dtype).kind not in "uifb":
        raise PictureError(f"{path} holds {store.array.dtype} values: real numbers are wanted")
    return store


def array_dimensions(shape: tuple[int, ...], path: Path) -> int:
    """How many axes there are, of 2 to 5."""
    if not 2 <= len(shape) <= 5:
        raise PictureError(f"{path} has {len(shape)} axes: 2 to 5 are wanted")
    return len(shape)


def needs_zarr() -> Any:
    """The library, which an extra installs."""
    try:
        import zarr
    except ImportError as error:
        raise InputError('parts of pictures are read by zarr: pip install "untaught[huge]"') from error
    return zarr


def _open_zarr(path: Path) -> Store:
    zarr = needs_zarr()
    group = zarr.open_group(named(path), mode="r")
    attributes = dict(group.attrs)
    own = attributes.get("ome", attributes)
    if not own.get("multiscales"):
        raise PictureError(f"{path} is no OME-Zarr: its group names no multiscales")
    first = own["multiscales"][0]
    axes = "".join(str(one["name"] if isinstance(one, dict) else one) for one in first.get("axes", "tczyx")).upper()
    said = {"version": "0.5" if "ome" in attributes else "0.4", "multiscale": first, "omero": own.get("omero")}
    return Store(path=path, kind="OME-Zarr", axes=axes, array=group[first["datasets"][0]["path"]], said=said)


def _open_tiff(path: Path) -> Store:
    import tifffile

    zarr = needs_zarr()
    with tifffile.TiffFile(path) as file:
        series, page = file.series[0], file.pages.first
        tags = {number: (int(tag.dtype), tag.count, tag.value) for number in geo.KEPT if (tag := page.tags.get(number))}
        axes, is_ome = series.axes, bool(file.is_ome)
        ome = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"] if is_ome else {}
    store = tifffile.imread(path, aszarr=True, series=0, level=0)
    pixels = (ome[0] if isinstance(ome, list) else ome).get("Pixels", {})
    said = {
        "tags": tags,
        "ome": {name: value for name, value in pixels.items() if name.startswith(("PhysicalSize", "TimeIncrement"))},
    }
    # Axes that tifffile cannot name count slices.
    named = axes.replace("I", "Z").replace("Q", "Z")
    return Store(
        path=path,
        kind="TIFF",
        axes=named,
        array=zarr.open(store, mode="r"),
        nodata=geo.nodata(tags),
        said=said,
        close=store.close,
    )


@contextlib.contextmanager
def create_store(
    path: Path, source: Store, shape: tuple[int, ...], origin: Mapping[str, int], identity: str
) -> Iterator[tuple[Store, Path]]:
    """A picture like another whose parts are written; it is there under its name when the context ends well.

    Until then it is in a folder beside that name. If the context ends otherwise, or not at all, and there is a file
    progress.json in the folder, the next call with the same identity goes on with it.

    Args:
        path: the suffix decides the kind: .zarr, .tif, .tiff or .npy.
        source: the other picture, whose type, axes and scale it gets.
        shape: of the new one.
        origin: where its parts begin in the source, by axis.
        identity: of what is made.

    Yields:
        The picture, and the folder.

    Raises:
        PictureError: for another suffix, a name that is taken, and one that another process is writing.
    """
    suffix = path.suffix.lower()
    if suffix not in (".zarr", ".tif", ".tiff", ".npy"):
        raise PictureError(f"{path} cannot be written part by part: choose .zarr, .tif or .npy")
    if elsewhere(path):
        raise PictureError(f"{named(path)} cannot be written part by part: name a file of this machine, and copy it")
    if path.exists():
        raise PictureError(f"{path} is there already: choose another name")
    part = path.with_name(f"{path.name}.part")
    try:
        part.mkdir(exist_ok=True)
        lock = locked(part / "lock")
    except BlockingIOError as error:
        raise PictureError(f"{path} is being written by another process: wait for its end") from error
    except OSError as error:
        raise PictureError(f"{path} cannot be written: {reason(error)}") from error
    try:
        stated = part / "identity"
        if not stated.exists() or stated.read_text(encoding="utf-8") != identity:
            _empty(part)
        if suffix == ".npy":
            picture = part / "picture.npy"
            if not stated.exists():
                np.lib.format.open_memmap(picture, mode="w+", dtype=source.array.dtype, shape=shape).flush()
                write_text(stated, identity)
            yield dataclasses.replace(source, path=path, kind="NumPy", array=_Npy(picture)), part
        else:
            picture = part / "picture.zarr"
            version = source.said.get("version", "0.5") if suffix == ".zarr" else "0.5"
            mode, form = "a" if stated.exists() else "w", 2 if version == "0.4" else 3
            group = needs_zarr().open_group(str(picture), mode=mode, zarr_format=form)
            level = group["0"] if stated.exists() else _level(group, "0", shape, source, version)
            write_text(stated, identity)
            kind = "OME-Zarr" if suffix == ".zarr" else "TIFF"
            yield dataclasses.replace(source, path=path, kind=kind, array=level), part
            count = _pyramid(group, shape, source, version)
            if suffix == ".zarr":
                _describe(group, count, source, version, origin)
                # Of chunks whose writing was killed.
                for left in picture.rglob("*.partial"):
                    left.unlink()
            else:
                picture = part / "picture.tif"
                _write_tiff(picture, group, count, source)
        picture.rename(path)
        (part / "progress.json").unlink(missing_ok=True)
    finally:
        lock.close()
        if not (part / "progress.json").exists():
            shutil.rmtree(part)


def _empty(folder: Path) -> None:
    """Remove what is in a folder, but the lock that is held."""
    for one in folder.iterdir():
        if one.name != "lock":
            shutil.rmtree(one) if one.is_dir() else one.unlink()


def _level(group: Any, name: str, shape: tuple[int, ...], source: Store, version: str) -> Any:
    chunks = (*(1 for _ in shape[:-2]), *(min(_TILE, side) for side in shape[-2:]))
    if version == "0.4":
        options: dict[str, Any] = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    else:
        options = {"dimension_names": list(source.axes.lower())}
    kind = np.dtype(source.array.dtype).newbyteorder("=")
    return group.create_array(name, shape=shape, chunks=chunks, dtype=kind, overwrite=True, **options)


def _pyramid(group: Any, shape: tuple[int, ...], source: Store, version: str) -> int:
    """Write each level as the means of two by two of the one before; return how many there are."""
    count = 1
    while max(shape[-2:]) > _SMALLEST:
        before = group[str(count - 1)]
        shape = (*shape[:-2], *(-(-side // 2) for side in shape[-2:]))
        after = _level(group, str(count), shape, source, version)
        for place in np.ndindex(shape[:-2]):
            for rows in _spans(shape[-2], _TILE):
                for columns in _spans(shape[-1], _TILE):
                    twice = tuple(slice(2 * one.start, 2 * one.stop) for one in (rows, columns))
                    after[(*place, rows, columns)] = _halved(np.asarray(before[(*place, *twice)]))
        count += 1
    return count


def _spans(length: int, side: int) -> list[slice]:
    return [slice(start, min(start + side, length)) for start in range(0, length, side)]


def _halved(values: NDArray[Any]) -> NDArray[Any]:
    """The means of two by two; a last odd line counts twice."""
    height, width = values.shape
    even = np.pad(values, ((0, height % 2), (0, width % 2)), mode="edge").astype(np.float64)
    means = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).mean((1, 3))
    halved: NDArray[Any] = (means.round() if values.dtype.kind in "ui" else means).astype(values.dtype)
    return halved


def _describe(group: Any, count: int, source: Store, version: str, origin: Mapping[str, int]) -> None:
    """Write what NGFF says of a group."""
    kinds = {"T": "time", "C": "channel"}
    old = source.said.get("multiscale", {})
    axes = [one for one in old.get("axes", ()) if isinstance(one, dict)]
    if len(axes) != len(source.axes):
        axes = [{"name": axis.lower(), "type": kinds.get(axis, "space")} for axis in source.axes]
    scale, start = [1.0] * len(source.axes), [0.0] * len(source.axes)
    for one in (old.get("datasets") or [{}])[0].get("coordinateTransformations", ()):
        scale = [float(value) for value in one.get("scale", scale)]
        start = [float(value) for value in one.get("translation", start)]
    start = [begin + step * origin.get(axis, 0) for begin, step, axis in zip(start, scale, source.axes, strict=True)]
    datasets = []
    for number in range(count):
        factors = [2.0**number if axis in "YX" else 1.0 for axis in source.axes]
        moved = [begin + step * (factor - 1) / 2 for begin, step, factor in zip(start, scale, factors, strict=True)]
        steps = [step * factor for step, factor in zip(scale, factors, strict=True)]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": steps}]
        if any(moved):
            transformations.append({"type": "translation", "translation": moved})
        datasets.append({"path": str(number), "coordinateTransformations": transformations})
    multiscale = {"name": old.get("name", "picture"), "axes": axes, "datasets": datasets, "type": "mean"}
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}


def _write_tiff(path: Path, group: Any, count: int, source: Store) -> None:
    """Write levels as a BigTIFF in tiles, the smaller ones below the first."""
    import tifffile

    def tiles(level: Any) -> Iterator[NDArray[Any]]:
        for place in np.ndindex(level.shape[:-2]):
            for rows in _spans(level.shape[-2], _TILE):
                for columns in _spans(level.shape[-1], _TILE):
                    yield np.asarray(level[(*place, rows, columns)])

    tags = [(code, kind, number, value, True) for code, (kind, number, value) in source.said.get("tags", {}).items()]
    plain = len(source.axes) == 2
    common: dict[str, Any] = {
        "dtype": group["0"].dtype,
        "tile": (_TILE, _TILE),
        "compression": "zlib",
        "photometric": "minisblack",
    }
    metadata = None if plain else {"axes": source.axes, **source.said.get("ome", {})}
    with tifffile.TiffWriter(path, bigtiff=True, ome=not plain) as file:
        for number in range(count):
            level = group[str(number)]
            own: dict[str, Any] = (
                {"subfiletype": 1, "metadata": None}
                if number
                else {"subifds": count - 1, "metadata": metadata, "extratags": tags, "software": False}
            )
            file.write(tiles(level), shape=level.shape, **common, **own)
