"""The tables of docs/reference, from the code: `python -m benchmarks.docs` writes them, a test compares them.

A page has markers ``<!-- table: NAME -->`` and ``<!-- end -->``; what stands between them comes from here.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import untaught
from untaught.cli.app import commands
from untaught.cli.options import OutputOptions
from untaught.fitting.optimisers import OptimiserSettings
from untaught.fitting.recipe import Recipe
from untaught.fitting.stopping import StoppingSettings
from untaught.imaging.formats.registry import FORMATS
from untaught.priors.encoder_decoder import NetworkSettings
from untaught.tasks.options import FitOptions, Option, list_options

PAGES = Path(__file__).parent.parent / "docs/reference"

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "recipes": ("Recipe",),
    "networks": ("NetworkSettings", "DeepDecoder", "ConvDecoder", "Siren", "UNet"),
    "inputs": ("NoiseInput", "CoordinateInput", "MaskedInput", "R2RInput", "PerturbationSettings", "Measurement"),
    "stopping": ("StoppingSettings", "HeldOut", "VarianceValley", "WindowedVarianceValley", "Discrepancy"),
    "losses-and-optimisers": ("OptimiserSettings", "Langevin", "SGLD"),
    "results": ("Restoration", "Progress"),
}
"""Classes whose fields a page lists, by page."""

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {"inputs": ("Batch",), "results": ("State",)}
"""Classes that are no dataclasses, whose documented attributes a page lists."""

METHODS: Mapping[str, tuple[str, ...]] = {"inputs": ("InputSampler",), "results": ("Run",)}
"""Classes whose methods a page lists."""

CALLED: Mapping[str, tuple[str, ...]] = {"operators": ("Identity", "Mask", "Blur", "Downsample", "Fourier", "Features")}
"""Classes whose first argument and purpose a page lists, in one table."""


def rows(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    made = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in made)


def described(cls: type) -> dict[str, str]:
    """What a class says of each attribute: the ``Attributes`` of its docstring, and those of its bases."""
    found: dict[str, str] = {}
    for one in reversed(inspect.getmro(cls)):
        text = inspect.cleandoc(one.__doc__ or "") if one is not object else ""
        _, there, section = text.partition("\nAttributes:\n")
        if not there:
            continue
        section = re.split(r"\n(?=\S)", section)[0]
        for entry in re.split(r"\n {4}(?=\w)", f"\n{section.rstrip()}")[1:]:
            name, _, about = entry.partition(":")
            found[name] = " ".join(about.split())
    return found


def code(text: str) -> str:
    """Double backticks of a docstring, and the single ones of a reference, as Markdown."""
    return re.sub(r"``(.+?)``", r"`\1`", text)


def choices(annotation: Any) -> list[str]:
    """The values of a Literal, also of one in a union."""
    if typing.get_origin(annotation) is typing.Literal:
        return [f'"{value}"' if isinstance(value, str) else str(value) for value in typing.get_args(annotation)]
    return [value for one in typing.get_args(annotation) for value in choices(one)] if _is_union(annotation) else []


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def default(field: dataclasses.Field[Any]) -> str:
    """The default of a field, as Python spells it."""
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.default_factory()!r}`"
    value = field.default
    if value is dataclasses.MISSING:
        return "required"
    value = getattr(value, "default", value) if type(value).__name__ == "FieldInfo" else value
    if type(value).__name__ == "PydanticUndefinedType":
        return "required"
    if dataclasses.is_dataclass(value):
        return f"`{type(value).__name__}()`"
    if isinstance(value, float) and value == 1 / 30:
        return "`1/30`"
    return f"`{value!r}`"


def fields(cls: Any) -> str:
    """The fields of a settings class."""
    about = described(cls)
    hints = typing.get_type_hints(cls)
    pydantic_fields = getattr(cls, "__pydantic_fields__", {})
    shared = {}
    if issubclass(cls, StoppingSettings) and cls is not StoppingSettings:
        shared = {field.name: default(field) for field in dataclasses.fields(StoppingSettings)}
    lines = []
    for field in dataclasses.fields(cls):
        if shared.get(field.name) == default(field):
            continue
        text = about.get(field.name) or getattr(pydantic_fields.get(field.name), "description", None) or ""
        if text:
            text = re.sub(r"; default [^;]+\.$", ".", text)
            values = choices(hints[field.name])
            if len(values) > 1 and any(value.strip('"') not in text for value in values):
                text = f"{text.rstrip('.')} ({', '.join(values)})."
            lines.append((f"`{field.name}`", default(field), code(text)))
    return rows(("field", "default", "meaning"), lines)


def attributes(cls: type) -> str:
    """The documented attributes and properties of a class."""
    found = described(cls)
    found |= {name: first_line(one) for name, one in vars(cls).items() if isinstance(one, property)}
    shown = {name: about for name, about in found.items() if not name.startswith("_")}
    return rows(("attribute", "meaning"), ((f"`{name}`", code(about)) for name, about in shown.items()))


def methods(cls: type) -> str:
    """The public methods and properties of a class."""
    lines = []
    for name, one in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(one, property):
            lines.append((f"`{name}`", first_line(one)))
        elif callable(one):
            lines.append((f"`{name}({arguments(one)})`", first_line(one)))
    return rows(("", "what it does"), lines)


def arguments(function: Callable[..., Any]) -> str:
    """The arguments of a function, without their types."""
    shown = []
    for parameter in list(inspect.signature(function).parameters.values()):
        if parameter.name == "self":
            continue
        text = parameter.name
        if parameter.default is not inspect.Parameter.empty:
            text += f"={parameter.default!r}"
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        shown.append(text)
    return ", ".join(shown)


def called(classes: Iterable[str]) -> str:
    """Classes with their arguments and their purpose."""
    lines = []
    for name in classes:
        cls = getattr(untaught, name)
        own = "" if cls.__init__ is inspect.getattr_static(cls.__base__, "__init__", None) else arguments(cls.__init__)
        lines.append((f"`{name}({own})`", first_line(cls)))
    return rows(("", "what it is"), lines)


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return code(inspect.cleandoc(thing.__doc__ or "").split("\n")[0])


def names() -> str:
    """Every public name, and what it is."""

    def kind(thing: Any) -> str:
        if isinstance(thing, type):
            return "error" if issubclass(thing, BaseException) else "class"
        return "function" if callable(thing) else "value"

    values = {name: getattr(untaught, name) for name in untaught.__all__}
    about = {
        "RECIPES": "The recipes of each task by name, the default first.",
        "LOSSES": "Losses by name, for `loss=`.",
        "TASKS": "Every task by its name.",
    }
    return rows(
        ("name", "", "what it is"),
        ((f"`{name}`", kind(value), about.get(name) or first_line(value)) for name, value in values.items()),
    )


def api() -> str:
    """A page of its own for every public name, as Sphinx makes them."""
    groups: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": []}
    for name in untaught.__all__:
        thing = getattr(untaught, name)
        if isinstance(thing, type):
            groups["Errors" if issubclass(thing, BaseException) else "Classes"].append(name)
        elif callable(thing):
            groups["Functions"].append(name)
    parts = []
    for title, members in groups.items():
        listed = "\n".join(f"   {name}" for name in members)
        directive = f".. currentmodule:: untaught\n.. autosummary::\n   :toctree: api\n   :nosignatures:\n\n{listed}"
        parts.append(f"## {title}\n\n```{{eval-rst}}\n{directive}\n```")
    return "\n\n".join(parts)


# The tasks and their options ----------------------------------------------------------------------------------------


def options_table(options: Iterable[Option]) -> str:
    """Options by their names in Python and on the command line."""
    return rows(
        ("Python", "command line", "default", "meaning"),
        ((f"`{option.name}`", flags(option), _default(option), _about(option)) for option in options),
    )


def flags(option: Option) -> str:
    """The names of an option on the command line."""
    shown = option.usage
    if shown.positional:
        return f"`{shown.metavar or option.name.upper()}`"
    if shown.negative:
        return f"`{shown.negative}`"
    return ", ".join(f"`{flag}`" for flag in (option.flag, *shown.names))


def _default(option: Option) -> str:
    if option.required:
        return "required"
    return "" if option.default is None or option.default == "" else f"`{option.default!r}`"


def _about(option: Option) -> str:
    about = re.sub(r" \(default: [^()]*\)$", "", option.text) if option.default is not None else option.text
    return code(re.sub(r" \(required\)$", "", about))


def tasks() -> str:
    """A section for each task."""
    parts = []
    for name, task in untaught.TASKS.items():
        parts += [f"### {name}", "", task.about, "", f"    {task.example}", ""]
        files = [
            (f"`{file.role}`", f"`--{file.role}`", "required" if file.required else "", file.about)
            for file in task.files
        ]
        if files:
            parts += [rows(("file in Python", "command line", "", "what it is"), files), ""]
        if task.own_options:
            parts += [options_table(task.own_options), ""]
        named = ", ".join(f"`{recipe}`" for recipe in task.recipe_names)
        parts += [f"Recipes: {named}. Volumes: {'yes' if task.volumes else 'no'}.", ""]
    return "\n".join(parts).rstrip()


def common() -> str:
    """The options of every task."""
    return options_table(list_options(FitOptions))


def output() -> str:
    """What a task writes."""
    return command_table(list_options(OutputOptions))


def command_table(options: Iterable[Option]) -> str:
    """Options as the command line has them."""
    lines = []
    for option in options:
        found = re.search(r" \((?:default: )?(required|(?<=default: )[^()]*)\)$", option.text)
        about = option.text[: found.start()] if found else option.text
        lines.append((flags(option), code(found[1]) if found else "", code(about)))
    return rows(("option", "default", "meaning"), lines)


def other_commands() -> str:
    """A section for each command that is no task; what a task writes is not repeated."""
    parts = []
    for name, command in commands().items():
        if name in untaught.TASKS:
            continue
        parts += [f"### {name}", "", command.about, "", f"    {command.example}", ""]
        own = [option for title, group in command.groups().items() if title != "output" for option in group]
        if own:
            parts += [command_table(own), ""]
        if "output" in command.groups():
            parts += ["It also takes the options of [what a task writes](#what-a-task-writes).", ""]
    return "\n".join(parts).rstrip()


# Formats of files ---------------------------------------------------------------------------------------------------


def formats() -> str:
    """The formats that other libraries read and write."""
    lines = []
    for one in FORMATS:
        channels = "gray, RGB" if one.channels == (1, 3) else "gray"
        channels += "" if not one.alpha else " with alpha" if one.alpha == one.channels else ", RGB with alpha"
        kept = [*(["its header"] if one.header else []), *(code(name.replace("_", " ")) for name in sorted(one.held))]
        lines.append(
            (
                one.name,
                ", ".join(f"`{suffix}`" for suffix in one.suffixes),
                f"`untaught[{one.extra}]`" if one.extra else "",
                ", ".join(one.types) or "read only",
                channels if one.types else "a mosaic",
                "yes" if one.stacks else "",
                ", ".join(kept),
            )
        )
    return rows(("format", "suffixes", "installed by", "samples", "channels", "slices", "kept besides"), lines)


# The recipes --------------------------------------------------------------------------------------------------------


def _network(recipe: Recipe) -> str:
    network = recipe.network
    if not isinstance(network, NetworkSettings):
        return type(network).__name__
    widths = "-".join(map(str, network.down_channels))
    skips = sorted(set(network.skip_channels))
    upsampling = network.upsampling if isinstance(network.upsampling, str) else "-".join(network.upsampling)
    return f"{widths}, skips {'/'.join(map(str, skips))}, {upsampling}"


def _input(recipe: Recipe) -> str:
    one = recipe.input
    text = f"{one.kind}"
    if getattr(one, "pattern", "pixels") == "shapes":
        text += ", shapes"
    if getattr(one, "patch", 512) != 512:
        text += f", patches of {one.patch}"
    perturbation = getattr(one, "perturbation", None)
    if perturbation is not None and perturbation.kind != "none":
        text += f", {perturbation.kind} {perturbation.standard_deviation:.3g}"
    return text


def _optimiser(recipe: Recipe) -> str:
    one = recipe.optimiser
    return f"{one.name} {one.learning_rate:g}" if isinstance(one, OptimiserSettings) else type(one).__name__


def recipes() -> str:
    """The recipes of each row."""
    lines = [
        (
            row,
            f"`{recipe.name}`",
            _network(recipe),
            _input(recipe),
            _optimiser(recipe),
            f"{recipe.averaging:g}",
            getattr(recipe.stopping, "rule", "own"),
            str(recipe.iterations),
            str(recipe.runs),
        )
        for row, made in untaught.RECIPES.items()
        for recipe in made.values()
    ]
    head = ("task", "recipe", "network", "input", "optimiser", "averaging", "stop rule", "iterations", "runs")
    return rows(head, lines)


def tables() -> dict[Path, dict[str, str]]:
    """All tables, by page and marker."""
    made: dict[Path, dict[str, str]] = {}

    def add(page: str, name: str, text: str) -> None:
        made.setdefault(PAGES / f"{page}.md", {})[name] = text

    writers: Mapping[tuple[str, str], Callable[[], str]] = {
        ("python", "names"): names,
        ("api", "api"): api,
        ("tasks", "tasks"): tasks,
        ("tasks", "common"): common,
        ("commands", "output"): output,
        ("commands", "commands"): other_commands,
        ("recipes", "recipes"): recipes,
        ("files", "formats"): formats,
    }
    for (page, name), write in writers.items():
        add(page, name, write())
    for kinds, describe in ((SETTINGS, fields), (ATTRIBUTES, attributes), (METHODS, methods)):
        for page, classes in kinds.items():
            for name in classes:
                if name in untaught.__all__:
                    add(page, name, describe(getattr(untaught, name)))
    for page, classes in CALLED.items():
        add(page, "called", called(classes))
    return made


def main() -> None:
    """Write all tables."""
    from benchmarks.tables import replace_table

    for page, found in tables().items():
        for name, text in found.items():
            replace_table(page, name, text)


if __name__ == "__main__":
    main()
