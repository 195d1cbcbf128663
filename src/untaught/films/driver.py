"""Does a film: reads it frame by frame, restores each with the help of its neighbours, and writes one like it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import untaught
from untaught.backend.host_settings import undisturbed
from untaught.errors import InputError, Interrupted, SettingError
from untaught.films.denoising import denoised, sentences
from untaught.films.enlarging import enlarged
from untaught.films.filling import filled
from untaught.films.frames import Frame, Values
from untaught.films.kept import Kept, Loose, Sequence, Store, kept_in
from untaught.films.shots import Cuts
from untaught.films.sources import Pictures, masks_of, open_film
from untaught.films.video import Video, encode, find_encoder
from untaught.imaging.files import check_writable
from untaught.imaging.ranges import working_range
from untaught.imaging.sentinels import dropped
from untaught.settings import plain
from untaught.tasks.options import build
from untaught.tasks.registry import find_task

__all__ = ["ABLE", "FilmReport", "film"]

ABLE = ("inpaint", "denoise", "restore", "upscale")
"""The tasks for films."""

_BEFORE = 24
"""A film that goes on begins so many frames earlier, which are seen again and not written."""


@dataclass(frozen=True, kw_only=True)
class FilmReport:
    """What was done.

    Attributes:
        output: the film.
        frames: how many it has.
        done_now: how many of them were done by this call; the others were done before.
        shots: numbers of the frames that begin a shot, from 0.
        notes: sentences on what was found, and what could not be kept.
    """

    output: Path
    frames: int
    done_now: int
    shots: tuple[int, ...]
    notes: tuple[str, ...] = ()


@undisturbed()
def film(
    task: str,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    mask: str | os.PathLike[str] | None = None,
    codec: str | None = None,
    quality: int | None = None,
    value_range: tuple[float, float] | None = None,
    observer: Callable[[int, int], object] | None = None,
    **options: Any,
) -> FilmReport:
    """Restore a film, each frame with the help of those around it.

    Memory does not grow with the film's length. Call it again to go on with a film that was ended in the middle.

    Args:
        task: "inpaint", "denoise", "restore" or "upscale".
        source: a video file; or a folder of pictures, or a pattern such as ``shot/*.png``, in the order of their names.
        output: for a video the file to write, whose suffix names the container; for pictures a folder.
        mask: for inpaint and restore: one picture for all frames; or a folder, a pattern or a video with a mask for
            each.
        codec: of a video, such as "h264", "hevc" or "ffv1"; None for that of the source.
        quality: the encoder's own figure (crf, or quantiser), where smaller is better; None for one that is hard to
            tell from the original by eye.
        value_range: values of black and white, in the film's units; None for what suits its first frame.
        observer: called after each frame with how many are finished and how many there are, or 0 if that is unknown.
        **options: the task's own.

    Returns:
        What was done.

    Raises:
        InputError: for unusable input; SettingError for options.
        Interrupted: on Ctrl-C; the finished frames are kept.
    """
    if task not in ABLE:
        find_task(task)
        raise InputError(f"{task} is for pictures: films take {', '.join(ABLE)}")
    (settings,) = build(options, find_task(task).settings)
    _check(task, settings, mask)
    path, target = Path(source), Path(output)
    given = open_film(path)
    first = next(iter(given), None)
    if first is None:
        raise InputError(f"{path} has no frame that can be read")
    values = Values(working_range(_channels_first(first), value_range), first)
    known, notes = _known(task, mask, first, settings)
    encoder = ""
    if isinstance(given, Video):
        check_writable(target, [path])
        encoder = find_encoder(path, target, codec)
        folder = target.with_name(f"{target.name}.frames")
    else:
        if codec is not None or quality is not None:
            raise SettingError("codec and quality are for videos: pictures keep the format of their files")
        if any(target.resolve() == one.resolve().parent for one in given.files):
            raise InputError(f"{target} holds the film itself: choose another folder")
        folder = target / ".untaught"
    fingerprint = _fingerprint(task, [path, *([] if mask is None else [Path(mask)])], settings, value_range)
    with kept_in(folder, fingerprint) as kept:
        store: Store = Loose(folder) if isinstance(given, Video) else Sequence(given, target)
        before = kept.finished
        try:
            for frame in _restored(task, settings, given, values, known, kept, store):
                if frame.number < kept.finished:
                    continue
                store.write(frame.number, values.pixels(frame.kept["result"]))
                # The frame still helps the next ones; its result does not.
                frame.kept.clear()
                kept.finished = frame.number + 1
                kept.save()
                if observer is not None:
                    observer(kept.finished, given.count)
            if isinstance(given, Video):
                part = target.with_name(f".{target.stem}.part{target.suffix}")
                try:
                    notes += encode(path, part, store.read, encoder=encoder, quality=quality)
                    part.replace(target)
                finally:
                    part.unlink(missing_ok=True)
        except KeyboardInterrupt:
            raise Interrupted(None) from None
        if task == "denoise" and settings.noise is None:
            notes += sentences(kept.measured, values)
        report = FilmReport(
            output=target,
            frames=kept.finished,
            done_now=kept.finished - before,
            shots=tuple(kept.shots),
            notes=tuple(note for note in notes if note),
        )
    if isinstance(store, Loose):
        store.remove()
    return report


def _check(task: str, settings: Any, mask: Any) -> None:
    if mask is not None and task in ("denoise", "upscale"):
        raise InputError(f"{task} takes no mask")
    if task == "denoise":
        if settings.kind != "gaussian":
            raise SettingError("films take kind=gaussian only")
    elif task != "upscale":
        if task == "inpaint" and mask is None:
            raise InputError("inpaint needs a mask: white = known, black = missing")
        if not settings.keep_known:
            raise SettingError("a film keeps what is known: leave out keep_known")


def _channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    flat = pixels if pixels.ndim == 3 else pixels[..., None]
    return np.moveaxis(flat, -1, 0)[None]


def _known(
    task: str, mask: Any, first: NDArray[Any], settings: Any
) -> tuple[Callable[[], Iterator[Any]] | None, tuple[str, ...]]:
    """What begins to read what is known of each frame, None in place of a mask for black pixels; and notes."""
    if task in ("denoise", "upscale"):
        return None, ()
    if mask is None:
        return None, ("in each frame, pixels that are exactly black, but for solid parts, are taken as missing",)
    read, note = masks_of(Path(mask), first, settings.mask_marks, settings.grow)
    return read, (note,)


def _fingerprint(task: str, paths: Iterable[Path], settings: Any, value_range: Any) -> str:
    """A hash of all that the result depends on, by the dates and sizes of files."""
    files = []
    for path in paths:
        if path.is_file():
            files.append((str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns))
            continue
        found = open_film(path)
        if isinstance(found, Pictures):
            files += [(str(one.resolve()), one.stat().st_size, one.stat().st_mtime_ns) for one in found.files]
    facts = [untaught.__version__, task, files, plain(settings), value_range]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _restored(
    task: str,
    settings: Any,
    given: Video | Pictures,
    values: Values,
    known: Callable[[], Iterator[Any]] | None,
    kept: Kept,
    store: Store,
) -> Iterator[Frame]:
    """The frames with their results, from some that are finished on."""
    frames = _frames(task, given, values, known, kept)
    if task == "denoise":
        return denoised(frames, values, kept.measured, settings)
    if task == "upscale":
        return enlarged(frames, settings, even=isinstance(given, Video))

    def finished(number: int) -> Tensor | None:
        return values.planes(store.read(number)) if 0 <= number < kept.finished else None

    return filled(frames, values, kept.measured, finished)


def _frames(
    task: str, given: Video | Pictures, values: Values, known: Callable[[], Iterator[Any]] | None, kept: Kept
) -> Iterator[Frame]:
    """The frames from some before the first one that is not finished."""
    begin = max(kept.shot(kept.finished - 1), kept.finished - _BEFORE) if kept.finished else 0
    kept.shots = [start for start in kept.shots if start <= begin]
    masks = None if known is None else known()
    cuts = Cuts()
    planes: Tensor | None = None
    stream = enumerate(given)
    here = next(stream, None)
    while here is not None:
        (number, pixels), here = here, next(stream, None)
        mask = None if masks is None else next(masks, None)
        if masks is not None and mask is None:
            raise InputError(f"the mask ends before frame {number} of the film: give one for each, or one for all")
        if number < begin - 1:
            continue
        planes = _planes(number, pixels, values) if planes is None else planes
        after = None if here is None else _planes(*here, values)
        starts = cuts.begins(planes, after)
        if number >= begin:
            if starts and number not in kept.shots and (number > begin or number == 0):
                kept.shots.append(number)
            if task == "restore" and known is None:
                black, _ = dropped((pixels == 0 if pixels.ndim == 2 else (pixels == 0).all(-1))[None, None])
                mask = ~black[0, 0]
            seen = None if mask is None else torch.from_numpy(np.ascontiguousarray(mask))
            yield Frame(number, kept.shot(number), planes, seen)
        planes = after


def _planes(number: int, pixels: NDArray[Any], values: Values) -> Tensor:
    if pixels.shape != values.like.shape or pixels.dtype != values.like.dtype:
        raise InputError(f"frame {number} has another size or type than the first one: a film has one of each")
    planes = values.planes(pixels)
    if not bool(planes.isfinite().all()):
        raise InputError(f"frame {number} has values that are not finite")
    return planes
