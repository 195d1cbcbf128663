"""Files that are elsewhere: in a bucket, on a web server, by fsspec.

A path may stand for the address of one, such as ``s3://bucket/a.png``. It stays a `Path`, which writes one slash
instead of two; `address` gives the address back.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from untaught.errors import InputError, PictureError

if TYPE_CHECKING:
    import os

__all__ = [
    "address",
    "elsewhere",
    "exists",
    "find",
    "is_folder",
    "named",
    "read",
    "remove",
    "spelled",
    "state",
    "write",
]

_SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "http", "https", "ftp", "sftp", "ssh", "webdav", "memory", "file")
_ADDRESS = re.compile(rf"({'|'.join(_SCHEMES)}):/+(.*)", re.DOTALL)
_OF_THE_EXTRA = ("s3", "gs:", "gcs:", "http")

_TAGS = ("ETag", "etag", "md5Hash", "content_md5")
"""Under these names a store tells by what a file differs from one of before."""


def address(path: str | os.PathLike[str]) -> str:
    """The address that a path stands for; empty for one of this machine."""
    match = _ADDRESS.fullmatch(path.as_posix() if isinstance(path, Path) else str(path))
    if match is None:
        return ""
    scheme, rest = match.groups()
    return f"{scheme}://{'/' if scheme == 'file' else ''}{rest}"


def elsewhere(path: str | os.PathLike[str]) -> bool:
    """Whether a path stands for an address."""
    return bool(address(path))


def named(path: str | os.PathLike[str]) -> str:
    """A path as the user has written it."""
    return address(path) or str(path)


def spelled(text: str) -> str:
    """A sentence in which addresses have both slashes again."""
    return re.sub(rf"\b({'|'.join(_SCHEMES)}):/(?=[^/\s])", r"\1://", text).replace("file://", "file:///")


def read(path: str | os.PathLike[str]) -> bytes:
    """Read a file.

    Raises:
        FileNotFoundError: if it is not there.
        PictureError: if it cannot be read, with the reason.
    """
    with _opened(path, "read") as (system, inner):
        content: bytes = system.cat_file(inner)
    return content


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file. In a store it is whole or not there.

    Raises:
        PictureError: if it cannot be written, with the reason.
    """
    check_writable(path)
    try:
        with _opened(path, "written") as (system, inner):
            if "file" in _protocols(system):
                # Stores have no folders.
                system.makedirs(system._parent(inner), exist_ok=True)
            system.pipe_file(inner, content)
    except FileNotFoundError as error:
        raise PictureError(f"{named(path)} cannot be written: its bucket or folder is not there") from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that files are written to such an address.

    Raises:
        PictureError: if they are not, or its library is not installed.
    """
    with _opened(path, "written") as (system, _):
        if {"http", "https"} & _protocols(system):
            raise PictureError(f"{named(path)} cannot be written: a web server only gives; name a file or a bucket")


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file."""
    with _opened(path, "read") as (system, inner):
        return bool(system.exists(inner))


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there are files below this address."""
    with _opened(path, "read") as (system, inner):
        return not {"http", "https"} & _protocols(system) and bool(system.isdir(inner))


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError), _opened(path, "removed") as (system, inner):
        system.rm_file(inner)


def find(path: Path, *, recursive: bool = True) -> list[Path]:
    """The files below a folder, or those that a pattern stands for, sorted."""
    with _opened(path, "read") as (system, inner):
        if any(sign in inner for sign in "*?["):
            found = system.glob(inner)
        else:
            found = system.find(inner, maxdepth=None if recursive else 1)
        # What a file system calls a file may be without the scheme, and without the server.
        head = address(path).removesuffix(inner)
        return sorted(Path(head + one) for one in found)


def state(path: str | os.PathLike[str]) -> str:
    """What tells one content of a file from another, without reading it where its store knows.

    Raises:
        FileNotFoundError: if it is not there.
        PictureError: if it cannot be read, with the reason.
    """
    with _opened(path, "read") as (system, inner):
        info: dict[str, Any] = system.info(inner)
    tag = next((str(info[name]) for name in _TAGS if info.get(name)), "")
    return f"{tag} {info.get('size')}" if tag else hashlib.sha256(read(path)).hexdigest()


def _protocols(system: Any) -> set[str]:
    return {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], done: str) -> Iterator[tuple[Any, str]]:
    """The file system of an address, and the name in it; its errors become ours."""
    url = address(path)
    try:
        import fsspec

        yield fsspec.core.url_to_fs(url)
    except (InputError, FileNotFoundError, MemoryError):
        raise
    except ImportError as error:
        if error.name == "fsspec" or url.startswith(_OF_THE_EXTRA):
            raise InputError(f'{url} cannot be {done} yet: pip install "untaught[remote]"') from error
        raise InputError(f"{url} cannot be {done} yet: {str(error).splitlines()[0]}") from error
    # Each store has errors of its own.
    except Exception as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise PictureError(f"{url} cannot be {done}: {why}") from error
