"""One server per folder: the second one finds out where the first one answers."""

from __future__ import annotations

from pathlib import Path

from untaught.imaging.files import write_text
from untaught.processes import locked

__all__ = ["FolderLock", "InUseError"]


class InUseError(Exception):
    """Another server uses the folder.

    Attributes:
        address: where it answers; empty while it starts.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


class FolderLock:
    """Held as long as this process lives; the system takes it back from a process that was killed.

    Args:
        folder: that only one server may use.

    Raises:
        InUseError: if another one does.
        OSError: if it cannot be locked.
    """

    def __init__(self, folder: Path) -> None:
        self._address = folder / "address"
        try:
            self._file = locked(folder / "lock")
        except BlockingIOError:
            try:
                address = self._address.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                address = ""
            raise InUseError(address) from None
        self._address.unlink(missing_ok=True)

    def tell(self, address: str) -> None:
        """Note where this server answers, without a token."""
        write_text(self._address, address)

    def release(self) -> None:
        """Let another server use the folder."""
        self._address.unlink(missing_ok=True)
        self._file.close()
