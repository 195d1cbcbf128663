"""Logged-in browsers. A session can be ended, and its cookie is good for this studio only.

Browsers send the cookies of a host to every port of it, so any program on this machine that serves a page could collect
a cookie of 127.0.0.1. The studio has a host name of its own under .localhost, which browsers resolve to this machine.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

from untaught.studio.storage import DamagedError, read_json, write_private

__all__ = ["Sessions"]

_MOST = 32


class Sessions:
    """The sessions of a folder; they outlive the server.

    Args:
        path: of the file that they are kept in: hashes, from which nobody can make a cookie.

    Attributes:
        host: the studio's own host name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            kept = read_json(path)
        except DamagedError:
            kept = {}
        host, known = kept.get("host"), kept.get("sessions")
        self._known = [str(one) for one in known] if isinstance(known, list) else []
        if isinstance(host, str) and re.fullmatch(r"untaught-[0-9a-f]{16}\.localhost", host):
            self.host = host
        else:
            self.host = f"untaught-{secrets.token_hex(8)}.localhost"
            self._write()

    def begin(self) -> str:
        """Return the secret of a new session."""
        secret = secrets.token_urlsafe(32)
        self._known = [*self._known, _hash(secret)][-_MOST:]
        self._write()
        return secret

    def knows(self, secret: str) -> bool:
        """Return whether a session has begun and not ended."""
        return bool(secret) and _hash(secret) in self._known

    def end(self, secret: str) -> None:
        """End a session."""
        self._known = [one for one in self._known if one != _hash(secret)]
        self._write()

    def end_all(self) -> None:
        """End all sessions."""
        self._known = []
        self._write()

    def _write(self) -> None:
        write_private(self._path, {"host": self.host, "sessions": self._known})


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
