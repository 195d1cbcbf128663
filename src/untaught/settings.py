"""The decorator of all settings classes: pydantic validates them, and its errors become ours."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Iterable
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from untaught.errors import SettingError

__all__ = ["check_names", "plain", "settings"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, Field))
def settings(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only pydantic dataclass whose errors are `SettingError`.

    >>> @settings
    ... class Blur:
    ...     radius: float = Field(2.0, gt=0, description="in pixels")
    >>> Blur(radius=-1)
    Traceback (most recent call last):
    untaught.errors.SettingError: radius: input should be greater than 0; found -1
    """
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    made: Any = dataclass(frozen=True, kw_only=True, config=config)(cls)
    validate = made.__init__

    @functools.wraps(validate)
    def __init__(self: Any, **values: Any) -> None:  # noqa: N807
        check_names(values, [field.name for field in dataclasses.fields(made)], kind=f"setting of {made.__name__}:")
        try:
            validate(self, **values)
        except ValidationError as error:
            raise SettingError(_sentence(error)) from None

    made.__init__ = __init__
    return made  # type: ignore[no-any-return]


def check_names(given: Iterable[str], known: Iterable[str], *, kind: str) -> None:
    """Refuse unknown names.

    Raises:
        SettingError: names the unknown one, the known ones and the nearest.
    """
    there = list(known)
    for name in sorted(set(given) - set(there)):
        near = difflib.get_close_matches(name, there, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SettingError(f"unknown {kind} {name}: there are {', '.join(there)}{hint}")


def plain(value: Any) -> Any:
    """Settings as JSON can hold them: nested dicts, lists, strings, numbers; other objects by their qualified name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    named = value if hasattr(value, "__qualname__") else type(value)
    return {"object": f"{named.__module__}:{named.__qualname__}"}


def _sentence(error: ValidationError) -> str:
    """What the first error of pydantic says, as found and wanted."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if not (isinstance(part, str) and "[" in part))
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"{place}: {message}; found {first['input']!r}" if place else message
