"""Everything that untaught raises on purpose, drawn as a tree.

::

    UntaughtError
    ├── InputError (also a ValueError)      what was given cannot be worked on; nothing has been started
    │   ├── PictureError                    a file that is not a picture, is damaged, too large or cannot be written
    │   └── SettingError                    an option that does not exist or has an impossible value
    └── DivergenceError                     the fit could not be kept from diverging
    Interrupted (a KeyboardInterrupt)       Ctrl-C during a fit; carries the best result so far

A message says what was found, what is wanted and what to do. The command line prints it as one sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from untaught.fitting.state import Restoration

__all__ = ["DivergenceError", "InputError", "Interrupted", "PictureError", "SettingError", "UntaughtError"]


class UntaughtError(Exception):
    """Base of all errors that untaught raises on purpose."""


class InputError(UntaughtError, ValueError):
    """What was given cannot be worked on. Raised before any fitting starts."""


class PictureError(InputError):
    """A file that is not a picture, is damaged, is too large, or cannot be written."""


class SettingError(InputError):
    """An option that does not exist, or a value that it cannot have."""


class DivergenceError(UntaughtError):
    """The loss kept leaving the finite numbers however far the rate was lowered."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a fit.

    Attributes:
        restoration: the best result so far, or None when not one iteration had finished.
    """

    def __init__(self, restoration: Restoration | None) -> None:
        super().__init__("interrupted")
        self.restoration = restoration
