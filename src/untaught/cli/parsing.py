"""How a command is made: its options are settings classes, cyclopts parses the words, and help is plain text."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from untaught.errors import SettingError
from untaught.settings import FieldError
from untaught.tasks.options import Option, build, list_options

__all__ = ["Command", "help_of_app", "help_of_command", "make_app"]

_COLUMN = 26


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command.

    Attributes:
        name: the first word after ``untaught``.
        about: what it does, in a sentence.
        example: a command line to copy.
        options: settings classes by the title that their options have in the help.
        run: takes one instance of each class and returns the exit code.
        shown: options as the help shows them, by title, where that differs from the class's own list.
    """

    name: str
    about: str
    example: str
    options: Mapping[str, type] = dataclasses.field(default_factory=dict)
    run: Callable[..., int]
    shown: Mapping[str, Sequence[Option]] = dataclasses.field(default_factory=dict)

    def groups(self) -> dict[str, Sequence[Option]]:
        """The options that the help shows, by title."""
        return {title: self.shown.get(title, list_options(cls)) for title, cls in self.options.items()}

    def __call__(self, **given: Any) -> int:
        """Build the settings and run the command."""
        classes = tuple(self.options.values())
        try:
            return self.run(*build(given, *classes))
        except FieldError as error:
            options = [option for cls in classes for option in list_options(cls) if option.name == error.name]
            raise SettingError(f"{_called(options[0])} {error.reason}" if options else str(error)) from None


def _called(option: Option) -> str:
    """The name of an option in a message."""
    return str(option.usage.metavar or option.name.upper()) if option.usage.positional else option.flag


# Parsing ------------------------------------------------------------------------------------------------------------


def make_app(commands: Mapping[str, Command], about: str, version: str, *, completing: bool = False) -> App:
    """The parser of the command line.

    Args:
        commands: by name.
        about: what the program does.
        version: of the program.
        completing: whether it is for a completion script, which lists choices. To parse, the settings class alone
            checks them.
    """
    app = App(name="untaught", help=about, version=version, help_format="plaintext", result_action="return_value")
    for command in commands.values():
        app.command(_function(command, completing), name=command.name, help=command.about)
    return app


def _function(command: Command, completing: bool) -> Callable[..., int]:
    """A function with the signature of a command, for cyclopts."""

    def run(*positional: Any, **given: Any) -> int:
        names = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY]
        return command(**dict(zip(names, positional, strict=False)), **given)

    options = [option for cls in command.options.values() for option in list_options(cls)]
    options.sort(key=lambda option: not option.usage.positional)
    parameters = [_parameter(option, completing) for option in options]
    run.__name__ = command.name
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameter(option: Option, completing: bool) -> inspect.Parameter:
    # Values stay words here: the settings class reads and checks them.
    kind: Any = str
    if option.is_switch:
        kind = bool
    elif option.choices and completing:
        kind = Literal[option.choices]
    elif option.schema.get("format") == "path" or any(one.get("format") == "path" for one in _alternatives(option)):
        kind = Path
    elif isinstance(option.usage.metavar, tuple):
        kind = tuple[(str,) * len(option.usage.metavar)]  # type: ignore[misc]
    elif option.schema.get("type") == "array":
        kind = list[str]  # the option is repeated
    about = Parameter(
        name=None if option.usage.positional else (option.flag, *option.usage.names),
        negative=option.usage.negative or "",
        help=option.text,
    )
    # Options that are not given are left out, so that the settings class alone knows the defaults.
    default = inspect.Parameter.empty if option.required else None
    kind = kind if option.required else kind | None
    place = inspect.Parameter.POSITIONAL_ONLY if option.usage.positional else inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(option.name, place, default=default, annotation=Annotated[kind, about])


def _alternatives(option: Option) -> list[dict[str, Any]]:
    alternatives: list[dict[str, Any]] = option.schema.get("anyOf", [])
    return alternatives


# Help ---------------------------------------------------------------------------------------------------------------


def help_of_app(commands: Mapping[str, Command], about: str) -> str:
    """The help of the program: what each command does."""
    lines = ["usage: untaught COMMAND ...", "", *_wrapped(about), ""]
    lines.append("commands:")
    for command in commands.values():
        lines += _entry(command.name, command.about)
    lines += ["", "options:", *_entry("--help, -h", "show this help, or that of a command")]
    lines += [*_entry("--version", "show the version"), "", "untaught COMMAND --help explains a command."]
    return "\n".join(lines)


def help_of_command(command: Command) -> str:
    """The help of a command: every option, and an example."""
    groups = command.groups()
    options = [option for group in groups.values() for option in group]
    needed = [_words(option, option.usage.names[-1:]) for option in options if option.required]
    optional = [] if len(needed) == len(options) else ["[options]"]
    lines = [
        *_wrapped(f"usage: untaught {' '.join([command.name, *needed, *optional])}", indent=" " * 16),
        "",
        *_wrapped(command.about),
    ]
    for title, group in groups.items():
        if group:
            lines += ["", f"{title}:"]
        for option in group:
            lines += _entry(_words(option, sorted((option.flag, *option.usage.names), key=_is_long)), option.text)
    return "\n".join([*lines, "", f"example: {command.example}"])


def _words(option: Option, flags: Sequence[str]) -> str:
    """An option as it is written: its flags, and what stands for its value."""
    if option.usage.positional:
        return _called(option)
    flags = flags or (option.flag,)
    if option.is_switch:
        return ", ".join([*flags, option.usage.negative] if option.usage.negative else flags)
    metavar = option.usage.metavar or option.name.rpartition("_")[2].upper()
    return f"{', '.join(flags)} {metavar if isinstance(metavar, str) else ' '.join(metavar)}"


def _is_long(flag: str) -> bool:
    return flag.startswith("--")


def _entry(name: str, about: str) -> list[str]:
    lines = _wrapped(about, indent=" " * _COLUMN, first=" " * _COLUMN)
    if len(name) > _COLUMN - 4:
        return [f"  {name}", *lines]
    return [f"  {name}".ljust(_COLUMN) + lines[0].lstrip(), *lines[1:]]


def _wrapped(text: str, *, indent: str = "", first: str = "") -> list[str]:
    width = max(60, min(100, shutil.get_terminal_size().columns))
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
