"""Options that every task takes, the types of options, and how an option is shown.

An option is a field of a settings class: its type, bounds, default and description are written there once. Python, the
command line, the record and the studio all read them from there. Nothing heavy is imported, so that ``--help`` is fast.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from untaught.errors import SettingError
from untaught.settings import check_names, field_schema, settings, translated

if TYPE_CHECKING:
    from untaught.recipes import Recipe

__all__ = [
    "Count",
    "Device",
    "FitOptions",
    "NonNegativeInt",
    "NotBool",
    "Number",
    "Option",
    "Positive",
    "PositiveSeconds",
    "Precision",
    "Seconds",
    "Switch",
    "Usage",
    "ValueRange",
    "build",
    "default_text",
    "list_options",
]


# Types --------------------------------------------------------------------------------------------------------------


def _not_bool(value: object) -> object:
    """Refuse True and False, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "a number is wanted")
    return value


def _plain_bool(value: object) -> object:
    """Turn a numpy.bool_ into a bool."""
    return bool(value) if type(value).__module__ == "numpy" and type(value).__name__.startswith("bool") else value


def _duration(value: object) -> object:
    """Seconds of a text such as 90, 60s, 5m or 1.5h; a number stays as it is."""
    if not isinstance(value, str):
        return _not_bool(value)
    factor = {"s": 1, "m": 60, "h": 3600}.get(value[-1:], 0)
    try:
        seconds = float(value[:-1]) * factor if factor else float(value)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError("is a time such as 60s, 5m or 1h")
    return seconds


NotBool = BeforeValidator(_not_bool)
"""Refuses True and False where a number is wanted; write it after ``Field(...)`` in the annotation."""

Number = Annotated[float, Field(allow_inf_nan=False), NotBool]
"""A finite number."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), NotBool]
"""A finite number above 0."""

NonNegativeInt = Annotated[int, Field(ge=0, le=2**63 - 1), NotBool]
"""A whole number from 0."""

Count = Annotated[int, Field(ge=1, le=2**63 - 1), NotBool]
"""A whole number from 1."""

Seconds = Annotated[
    float,
    Field(ge=0, allow_inf_nan=False),
    BeforeValidator(_duration),
    WithJsonSchema({"type": "number", "format": "seconds", "minimum": 0}),
]
"""A time: a number of seconds from 0, or a text such as 60s, 5m or 1.5h."""

PositiveSeconds = Annotated[
    Seconds, Field(gt=0), WithJsonSchema({"type": "number", "format": "seconds", "exclusiveMinimum": 0})
]
"""A time above 0."""

Switch = Annotated[StrictBool, BeforeValidator(_plain_bool)]
"""True or False, and nothing that could be taken for it."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """How an option is shown on the command line and in typed signatures; a mark in the annotation of its field.

    Attributes:
        metavar: what stands for a value in the help; one word for each value if there are several.
        negative: flag that sets a switch to False, for a switch that is on by default.
        names: other names of the flag, such as ``-o``.
        positional: whether it is given without a flag.
        accepts: what a type checker lets through, where that is more than the type itself.
    """

    metavar: str | tuple[str, ...] = ""
    negative: str = ""
    names: tuple[str, ...] = ()
    positional: bool = False
    accepts: str = ""


# Options of every task ----------------------------------------------------------------------------------------------


def _recipe(value: object) -> object:
    """A name, or a recipe itself."""
    if not isinstance(value, str):
        from untaught.recipes import Recipe

        if not isinstance(value, Recipe):
            raise ValueError("is the name of a recipe, or a Recipe")
    return value


def _several(value: object) -> object:
    """A number, or several, as several; NaN, which is missing anyway, is left out."""
    one = isinstance(value, str | int | float) or getattr(value, "ndim", None) == 0
    several: Any = (value,) if one else value
    try:
        return tuple(
            number for number in several if not (isinstance(number, str | float) and math.isnan(float(number)))
        )
    except (TypeError, ValueError):
        return value


def _device(value: object) -> object:
    """The name of a device that may be given as a ``torch.device``."""
    return str(value) if type(value).__module__ == "torch" else value


if TYPE_CHECKING:
    RecipeOrName = str | Recipe
    Device = str
else:
    RecipeOrName = Annotated[Any, BeforeValidator(_recipe), WithJsonSchema({"type": "string"})]
    Device = Annotated[
        str,
        BeforeValidator(_device),
        Field(description="auto, cpu, cuda, xpu or mps; cuda:1 for the second one"),
        Usage(metavar="NAME", accepts="str | torch.device"),
    ]

Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    Field(description="type of the arithmetic between layers; auto takes what is fast on this machine"),
]
"""The type of the arithmetic between layers."""

ValueRange = Annotated[
    tuple[Number, Number] | None,
    Field(
        description="values of black and white, in the picture's units (default: the whole range of 8 and 16 bits, 0 1 "
        "for floats; where the values span a small part of that, their own range)"
    ),
    Usage(metavar=("LOW", "HIGH")),
]
"""The values of black and white."""


@settings
class FitOptions:
    """Options that every task takes: which recipe, how long, on what."""

    recipe: Annotated[
        RecipeOrName,
        Field(
            description="balanced suits most pictures, fast gives a usable one sooner, best takes longer, "
            "printed and paper are as published"
        ),
        Usage(metavar="NAME", names=("--preset",), accepts="str | Recipe"),
    ] = "balanced"
    iterations: Annotated[
        Count | None,
        Field(description="at most this many iterations (default: the recipe's own number)"),
        Usage(metavar="N"),
    ] = None
    time_budget: Annotated[
        PositiveSeconds | None,
        Field(description="stop after this time, such as 60s, 5m or 1h (default: no limit)"),
        Usage(metavar="TIME", accepts="Number | str | None"),
    ] = None
    runs: Annotated[
        Count | None,
        Field(description="fits from different seeds that are averaged (default: the recipe's own number)"),
        Usage(metavar="N"),
    ] = None
    start_from: Annotated[
        Path | None,
        Field(
            description="begin with the weights of this checkpoint, kept by --checkpoint from the fit of a similar "
            "picture by the same recipe (default: random weights)"
        ),
        Usage(metavar="CHECKPOINT", accepts="str | Path | None"),
    ] = None
    seed: Annotated[
        NonNegativeInt,
        Field(description="start of the random numbers: the same seed on the same machine gives the same picture"),
        Usage(metavar="N"),
    ] = 0
    value_range: ValueRange = None
    missing_value: Annotated[
        tuple[Number, ...],
        BeforeValidator(_several),
        Field(
            description="this value, in the picture's units, stands for nothing: it is missing; may be repeated "
            "(default: none but NaN and what the file says)"
        ),
        Usage(metavar="V", accepts="Number | Sequence[Number]"),
    ] = ()
    volume: Annotated[
        Switch,
        Field(
            description="the picture is a volume, with the depth first: a file whose pages are its slices (recipes: "
            "balanced, fast, best)"
        ),
    ] = False
    device: Device = "auto"
    precision: Precision = "auto"


# Reading settings classes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option, read from a field of a settings class.

    Attributes:
        name: in Python and in the record.
        about: what it means, with unit.
        default: its value where nothing is given; None for a required one.
        required: whether it has to be given.
        schema: its JSON schema.
        usage: how it is written on the command line.
    """

    name: str
    about: str
    default: Any
    required: bool
    schema: dict[str, Any]
    usage: Usage

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values that it can have; empty where there are too many to list."""
        return tuple(self.schema.get("enum", ()))

    @property
    def is_switch(self) -> bool:
        """Whether it is True or False."""
        return self.schema.get("type") == "boolean"

    @property
    def text(self) -> str:
        """What it means, with its choices, if the description does not name them all, and its default."""
        default = default_text(self.default)
        about = self.about
        if any(choice not in about for choice in self.choices):
            about += f": {', '.join(self.choices)}"
        if self.required:
            return f"{about} (required)"
        shown = default not in ("", "False", "True") and "(default: " not in about
        return f"{about} (default: {default})" if shown else about


def default_text(value: Any) -> str:
    """A default as the command line would be given it; empty for none."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return " ".join(map(default_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@functools.cache
def list_options(cls: type) -> tuple[Option, ...]:
    """The options of a settings class, in order."""
    fields = cls.__pydantic_fields__  # type: ignore[attr-defined]
    return tuple(
        Option(
            name=name,
            about=field.description or "",
            default=None if field.is_required() else field.get_default(call_default_factory=True),
            required=field.is_required(),
            schema=field_schema(cls, name),
            usage=next((mark for mark in field.metadata if isinstance(mark, Usage)), Usage()),
        )
        for name, field in fields.items()
    )


def build(given: dict[str, Any], *classes: type, more: tuple[str, ...] = ()) -> list[Any]:
    """Build settings from options by name.

    Args:
        given: options by name.
        classes: settings classes that share the options among themselves; each name belongs to one.
        more: names that are known besides and are left aside.

    Returns:
        One instance of each class.

    Raises:
        SettingError: for an unknown name or an impossible value.
    """
    names = [[field.name for field in dataclasses.fields(cls)] for cls in classes]
    known = [*more, *(name for own in names for name in own)]
    if "preset" in given and "preset" not in known:
        raise SettingError('there is no option preset: give the name of a recipe by recipe=, such as recipe="fast"')
    check_names(given, known, kind="option")
    built = []
    for cls, own in zip(classes, names, strict=True):
        try:
            built.append(cls(**{name: given[name] for name in own if name in given}))
        except ValidationError as error:
            raise translated(error, cls) from None
    return built
