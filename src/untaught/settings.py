"""The decorator of all settings classes: pydantic validates them, and its errors become ours."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import to_jsonable_python

from untaught.errors import SettingError

__all__ = [
    "FieldError",
    "check_names",
    "cut",
    "field_schema",
    "from_environment",
    "plain",
    "settings",
    "shown",
    "translated",
]

T = TypeVar("T")


class FieldError(SettingError):
    """A setting has a value that it cannot have.

    Attributes:
        name: the setting, as Python spells it.
        reason: what follows the name in the message.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name = name
        self.reason = reason


def from_environment(name: str, valid: Sequence[str]) -> str:
    """The value of an environment variable; the first valid one if it is not set.

    Raises:
        SettingError: for a value that is not valid.
    """
    value = os.environ.get(name) or valid[0]
    if value not in valid:
        raise SettingError(f"the environment variable {name} must be one of {', '.join(valid)}: found {value!r}")
    return value


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, Field))
def settings(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only pydantic dataclass whose errors are `SettingError`.

    >>> @settings
    ... class Blur:
    ...     radius: float = Field(2.0, gt=0, description="in pixels")
    >>> Blur(radius=-1)
    Traceback (most recent call last):
    untaught.settings.FieldError: radius is a positive number: found -1
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
            raise translated(error, made) from None

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
        raise SettingError(f"unknown {kind} {cut(name)}: there are {', '.join(there)}{hint}")


def plain(value: Any) -> Any:
    """Settings as JSON can hold them: nested dicts, lists, strings, numbers; other objects by their qualified name."""
    return to_jsonable_python(value, bytes_mode="base64", fallback=_object)


def _object(value: Any) -> dict[str, str]:
    named = value if hasattr(value, "__qualname__") else type(value)
    return {"object": f"{named.__module__}:{named.__qualname__}"}


def field_schema(cls: Any, name: str) -> dict[str, Any]:
    """The JSON schema of one field of a settings class, without its description; empty where JSON has no such type."""
    field = cls.__pydantic_fields__[name]
    try:
        schema = TypeAdapter(field.rebuild_annotation(), config=_config(field)).json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError):
        return {}
    return {key: value for key, value in schema.items() if key not in ("title", "description")}


def _config(field: Any) -> ConfigDict | None:
    """The configuration of a field's check; pydantic refuses one for a type that already has its own."""
    return None if hasattr(field.annotation, "__pydantic_config__") else ConfigDict(arbitrary_types_allowed=True)


def translated(error: ValidationError, cls: Any) -> SettingError:
    """The first error of pydantic in our words: what is wanted and what was found."""
    first = error.errors()[0]
    own = (first.get("ctx") or {}).get("error")
    if isinstance(own, SettingError):
        return own
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return SettingError(message)
    name = str(first["loc"][0])
    if first["type"] == "missing" and len(first["loc"]) == 1:
        about = cls.__pydantic_fields__[name].description
        return FieldError(name, f"is required: {about}" if about else "is required")
    found = first["input"]
    if first["type"] == "value_error":
        return FieldError(name, f"{message}: found {shown(found)}")
    wanted = describe(field_schema(cls, name))
    near = _nearest(found, field_schema(cls, name))
    if wanted == "a text" and cls.__pydantic_fields__[name].description:
        wanted = f"a text ({cls.__pydantic_fields__[name].description})"
    return FieldError(name, f"is {wanted or message[:1].lower() + message[1:]}: found {shown(found)}{near}")


def shown(value: object) -> str:
    """A value for a message, cut if it is long."""
    return cut(repr(value))


def cut(text: str, most: int = 120) -> str:
    """A text, without its middle if it is long."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 3 :]}"


def describe(schema: dict[str, Any]) -> str:
    """The values that a JSON schema allows, in words; empty where it says nothing.

    >>> describe({"type": "integer", "minimum": 1})
    'a whole number from 1'
    """
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(text for text in map(describe, schema["anyOf"]) if text))
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum") or [schema["const"]]
        return f"one of {', '.join(map(str, choices))}"
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "array":
        items = schema.get("prefixItems")
        each = describe(items[0] if items else schema.get("items", {})) or "of any kind"
        return f"{len(items) if items else 'several'} values, each {each}"
    return {"boolean": "True or False", "string": "a text"}.get(str(kind), "")


def _number(schema: dict[str, Any]) -> str:
    noun = "whole number" if schema["type"] == "integer" else "number"
    if schema.get("format") == "seconds":
        return f"a {'positive ' if 'exclusiveMinimum' in schema else ''}time such as 60s, 5m or 1h"
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if high is not None and high >= 2**31 - 1:
        high = None
    if low is not None and high is not None:
        return f"a {noun} between {low:g} and {high:g}"
    if above == 0 and below is None and high is None:
        return f"a positive {noun}"
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("from", low), ("above", above), ("below", below), ("up to", high))
        if bound is not None
    ]
    return f"a {noun} {' and '.join(bounds)}".rstrip()


def _nearest(found: object, schema: dict[str, Any]) -> str:
    near = difflib.get_close_matches(str(found), map(str, schema.get("enum", ())), n=1)
    return f"; did you mean {near[0]}?" if near else ""
