"""The errors that untaught raises on purpose.

::

    UntaughtError
    ├── InputError (also a ValueError)      the input cannot be used; no fit has started
    │   ├── PictureError                    a file that is not a picture, is damaged, too large or cannot be written
    │   └── SettingError                    an option that does not exist or has an impossible value
    ├── DivergenceError                     the fit kept diverging
    ├── ObserverError                       an observer raised; carries the best result so far
    └── UserCodeError                       an operator, network or loss of the user's own raised during the fit
    StopFit                                 an observer raises it to end the fit; the result so far is returned
    Interrupted (a KeyboardInterrupt)       Ctrl-C during a fit; carries the best result so far

Each message says what was found, what is wanted and what to do. The command line prints it as one sentence.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "DivergenceError",
    "InputError",
    "Interrupted",
    "ObserverError",
    "PictureError",
    "SettingError",
    "StopFit",
    "UntaughtError",
    "UserCodeError",
]


class UntaughtError(Exception):
    """Base class of all errors that untaught raises on purpose."""


class InputError(UntaughtError, ValueError):
    """The input cannot be used. Raised before a fit starts."""


class PictureError(InputError):
    """A file that is not a picture, is damaged, is too large, or cannot be written."""


class SettingError(InputError):
    """An option that does not exist, or an impossible value for one."""


class DivergenceError(UntaughtError):
    """The loss kept becoming infinite or NaN although the learning rate was lowered."""


class ObserverError(UntaughtError):
    """An observer raised an error, which is the cause of this one; the fit was well.

    Attributes:
        restoration: the best result so far.
    """

    def __init__(self, message: str, restoration: Any = None) -> None:
        super().__init__(message)
        self.restoration = restoration

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.restoration)


class UserCodeError(UntaughtError):
    """An operator, a network, a loss or the like of the user's own raised an error during a fit, which is the cause."""


class StopFit(Exception):  # noqa: N818
    """Raised by an observer to end the fit: the best result so far is returned, its reason "it was cancelled"."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a fit.

    Attributes:
        restoration: an `untaught.Restoration`, the best result so far; None if no iteration was finished. (Typed
            Any: errors are the lowest layer and import nothing from the layers above.)
    """

    def __init__(self, restoration: Any) -> None:
        super().__init__("interrupted")
        self.restoration = restoration

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.restoration,)
