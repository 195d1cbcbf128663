"""Read and write whole files.

A file is written under a temporary name in the same folder and then renamed, so it is whole or not there. What is no
regular file, such as a pipe or ``/dev/null``, is read once and written as it is, and never replaced by a file. A path
may stand for an address, such as ``s3://bucket/a.png``: see `untaught.imaging.addresses`.
"""

from __future__ import annotations

import contextlib
import contextvars
import errno
import os
import re
import select
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from untaught.errors import PictureError
from untaught.imaging import addresses
from untaught.imaging.addresses import elsewhere

__all__ = [
    "check_writable",
    "exists",
    "free_name",
    "is_special",
    "make_folder",
    "read_bytes",
    "reading_streams_once",
    "reason",
    "remove",
    "resolved",
    "same_file",
    "write_bytes",
    "write_text",
]

_LONGEST_NAME = 255
"""Bytes of a file's name on all usual file systems."""

_TRIAL = bytes(4096)
"""What a trial writes: an empty file can be made on a full disk too."""

_WAIT = 10_000
"""Milliseconds to wait for somebody who writes into a named pipe."""

_REASONS = {
    errno.EACCES: "you have no permission",
    errno.EDQUOT: "your quota of its disk is used up",
    errno.EFBIG: "files of this size are not allowed here",
    errno.EIO: "its disk reports a failure",
    errno.ELOOP: "it is a link that leads to itself",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ENOENT: "its folder is not there",
    errno.ENOSPC: "there is no space left on its disk",
    errno.ENOTDIR: "its folder is a file",
    errno.ENXIO: "nobody is at the other end of it",
    errno.EPERM: "you have no permission",
    errno.EPIPE: "nobody reads from it any more",
    errno.EROFS: "its disk is read-only",
}

_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}

_streams: contextvars.ContextVar[dict[str, bytes] | None] = contextvars.ContextVar("streams", default=None)


class _WriteError(PictureError, OSError):
    """A file that could not be written: an error of ours, and still one of the system."""


def reason(error: BaseException) -> str:
    """Why a file could not be read or written, as the end of a sentence."""
    if isinstance(error, OSError) and error.errno is not None:
        return _REASONS.get(error.errno, error.strerror or str(error))
    return str(error) or type(error).__name__


def check_writable(path: Path, inputs: Iterable[Path] = (), advice: str = "choose another name") -> None:
    """Check whether a file can be written, before a long computation makes its content.

    Args:
        path: the file to write.
        inputs: files that must not be overwritten.
        advice: what to do if one of them would be.

    Raises:
        PictureError: if it cannot, with the reason.
    """
    if elsewhere(path):
        if any(same_file(path, source) for source in inputs):
            raise PictureError(f"{addresses.named(path)} is an input and would be overwritten: {advice}")
        addresses.check_writable(path)
        return
    target = _target(path)
    try:
        if target.is_dir():
            raise PictureError(f"{path} is a folder: a file name is wanted")
        if not is_special(path) and not target.parent.is_dir():
            link = f"it is a link to {target}, and " if path.is_symlink() else ""
            folder = target.parent if link else path.parent
            raise PictureError(f"{path} cannot be written: {link}there is no folder {folder}; create it first")
        if any(same_file(path, source) for source in inputs):
            raise PictureError(f"{path} is an input and would be overwritten: {advice}")
        if is_special(path):
            _check_special(path)
            return
        _try_out(target)
    except OSError as error:
        raise PictureError(f"{path} cannot be written: {reason(error)}") from error


def same_file(one: Path, other: Path) -> bool:
    """Whether two names lead to one regular file, or would; devices and pipes are shared without harm."""
    if is_special(one) or is_special(other):
        return False
    if elsewhere(one) or elsewhere(other):
        return addresses.address(one) == addresses.address(other)
    try:
        if one.exists() and other.exists():
            return one.samefile(other)
    except OSError:
        return False
    return _target(one) == _target(other)


def free_name(path: Path, taken: Iterable[Path] = ()) -> Path:
    """A name like this one that no file has: ``a.preview.png``, else ``a.preview-2.png``, shortened where it must be.

    Args:
        path: the name to begin with.
        taken: names that are promised to others.
    """
    promised = list(taken)
    number = 1
    while True:
        end = f"{f'-{number}' if number > 1 else ''}{path.suffix}"
        stem, room = path.stem, _LONGEST_NAME - _bytes(end)
        if _bytes(stem) > room:
            stem = os.fsencode(stem)[:room].decode(errors="ignore")
        found = path.with_name(stem + end)
        if not exists(found, links=True) and not any(same_file(found, other) for other in promised):
            return found
        number += 1


def exists(path: Path, *, links: bool = False) -> bool:
    """Whether there is such a file; a link that leads nowhere counts where links are counted."""
    if elsewhere(path):
        return addresses.exists(path)
    return os.path.lexists(path) if links else path.exists()


def resolved(path: Path) -> Path:
    """The path from the root of this machine; an address as it is."""
    return path if elsewhere(path) else path.resolve()


def make_folder(path: Path) -> None:
    """Make a folder, where there are any."""
    if not elsewhere(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    addresses.remove(path) if elsewhere(path) else path.unlink(missing_ok=True)


def _bytes(name: str) -> int:
    return len(os.fsencode(name))


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether a name leads to a pipe, a device or a socket."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


# Reading ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def reading_streams_once() -> Iterator[None]:
    """In this context the content of a pipe, or of an address, is kept, so that it can be read again."""
    token = _streams.set({})
    try:
        yield
    finally:
        _streams.reset(token)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a file, that of an address, or a pipe to its end.

    Raises:
        PictureError: if it cannot be read, with the reason; but FileNotFoundError if it does not exist.
    """
    if elsewhere(path):
        return _once(addresses.address(path), lambda: addresses.read(path))
    path = Path(path)
    _check_name(path)
    try:
        if path.is_dir():
            raise PictureError(f"{path} is a folder: a picture file is wanted")
        if not is_special(path):
            _check_size(path)
            return path.read_bytes()
        return _once(str(path.absolute()), lambda: _read_stream(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {reason(error)}") from error


def _once(name: str, read: Callable[[], bytes]) -> bytes:
    streams = _streams.get()
    if streams is None:
        return read()
    if name not in streams:
        streams[name] = read()
    return streams[name]


def _check_size(path: Path) -> None:
    import psutil

    size, free = path.stat().st_size, psutil.virtual_memory().available
    if size > free:
        raise PictureError(
            f"{path} has {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free: crop it, or make it smaller"
        )


def _read_stream(path: Path) -> bytes:
    """The content of a pipe."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return path.read_bytes()
    if not stat.S_ISFIFO(mode):
        kind = "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise PictureError(f"{path} is {kind}: a file or a pipe is wanted")
    # Without blocking, to tell a pipe that nobody writes into from one whose writer takes its time.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        ready = poll.poll(0)
        try:
            first = os.read(descriptor, 1 << 16)
            if not first and not ready:
                if not poll.poll(_WAIT):
                    raise PictureError(f"{path} is a pipe, and nobody writes into it: start the writer first")
                first = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            first = b""
        os.set_blocking(descriptor, True)
        return first + pipe.read() if first or not ready else b""


# Writing ------------------------------------------------------------------------------------------------------------


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file; see `write_parts`."""
    write_parts(path, (content,))


def write_parts(path: str | os.PathLike[str], parts: Iterable[bytes | memoryview]) -> None:
    """Write a file of parts, each made when its turn comes.

    An existing file is replaced only once the new one is complete on disk.

    Raises:
        PictureError: if it cannot be written, with the reason.
    """
    if elsewhere(path):
        addresses.write(path, b"".join(parts))
        (_streams.get() or {}).pop(addresses.address(path), None)
        return
    try:
        if is_special(path):
            _write_special(path, parts)
            return
        target = _target(path)  # replace the target of a link, not the link
        temporary = _temporary(target)
        try:
            with temporary.open("xb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _WriteError(f"{os.fspath(path)} cannot be written: {reason(error)}") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode())


def _check_special(path: Path) -> None:
    number = _descriptor(path)
    mode = (os.fstat(number) if number is not None else path.stat()).st_mode
    if stat.S_ISSOCK(mode) and number is None:
        raise PictureError(f"{path} is a socket: a file name is wanted")
    if stat.S_ISBLK(mode):
        raise PictureError(f"{path} is a disk: a file name is wanted")
    if number is None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "")


def _write_special(path: str | os.PathLike[str], parts: Iterable[bytes | memoryview]) -> None:
    """Write into what is there."""
    number = _descriptor(path)
    # Without blocking, because to open a pipe that nobody reads from would take for ever.
    opened = os.dup(number) if number is not None else os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if number is None:
            os.set_blocking(opened, True)
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(opened, rest) :]
    finally:
        os.close(opened)


def _descriptor(path: str | os.PathLike[str]) -> int | None:
    """The number of the open file that a name such as ``/dev/fd/63`` stands for."""
    name = os.fspath(path)
    match = _DESCRIPTOR.fullmatch(name)
    return int(match[1]) if match else _STANDARD.get(name)


def _check_name(path: Path) -> None:
    try:
        possible = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise PictureError(f"{str(path)!r} cannot be the name of a file: choose another name")


def _target(path: str | os.PathLike[str]) -> Path:
    """Where a name leads, through links."""
    path = Path(path)
    _check_name(path)
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise PictureError(f"{path} cannot be written: {_REASONS[errno.ELOOP]}") from error


def _try_out(target: Path) -> None:
    temporary = _temporary(target)
    try:
        if _bytes(target.name) > _LONGEST_NAME:
            raise OSError(errno.ENAMETOOLONG, "")
        with temporary.open("xb") as file:
            file.write(_TRIAL)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    # Not longer than any name: one of 255 bytes can be written too.
    return path.with_name(f".untaught-{uuid.uuid4().hex[:8]}.part")
