"""Write `untaught.tasks.signatures` from the settings classes: ``python -m untaught.tasks.write_signatures``."""

from __future__ import annotations

import inspect
import json
import textwrap
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from untaught.tasks.options import FitOptions, Option, list_options
from untaught.tasks.registry import TASKS

__all__ = ["signatures"]

_HEAD = '''"""Keyword options of the tasks, for type checkers and editors.

Written by ``python -m untaught.tasks.write_signatures`` from the settings classes; not to be edited by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from untaught.recipes import Recipe

    Number = float | np.floating[Any] | np.integer[Any]
    Int = int | np.integer[Any]
'''
_WORDS: dict[Any, str] = {int: "Int", float: "Number", types.NoneType: "None"}


def signatures() -> str:
    """The text of the module."""
    common = {option.name: _type(FitOptions, option) for option in list_options(FitOptions)}
    parts = [_HEAD, _class("FitKeywords", "Options of every task.", list_options(FitOptions), common)]
    for task in TASKS.values():
        if task.function is None or not task.function.__module__.startswith("untaught.tasks."):
            continue
        arguments = inspect.signature(task.function).parameters
        options = [option for option in task.own_options if option.name not in arguments]
        kinds = {option.name: _type(task.settings, option) for option in options}
        name = f"{task.name.capitalize()}Options"
        parts.append(_class(name, f"Options of `{task.name}`.", options, kinds, "FitKeywords"))
    names = ["FitKeywords", *(f"{part.split()[1].partition('(')[0]}" for part in parts[2:])]
    listed = "".join(f'    "{name}",\n' for name in sorted(names))
    parts.insert(1, f"__all__ = [\n{listed}]\n")
    head, exported, *classes = parts
    return "\n".join([head, exported]) + "".join(f"\n\n{one}" for one in classes)


def _class(name: str, about: str, options: Any, kinds: dict[str, str], base: str = "TypedDict") -> str:
    lines = [f"class {name}({base}, total=False):"]
    if not options:
        return "\n".join([*lines, f'    """{about}"""', ""])
    lines += [f'    """{about}', "", "    Attributes:"]
    for option in options:
        lines += textwrap.wrap(
            f"{option.name}: {option.text}",
            120,
            initial_indent=" " * 8,
            subsequent_indent=" " * 12,
            break_on_hyphens=False,
        )
    lines += ['    """', "", *(f"    {option.name}: {kinds[option.name]}" for option in options), ""]
    return "\n".join(lines)


def _type(cls: Any, option: Option) -> str:
    """The type of an option as a type checker should see it."""
    return option.usage.accepts or _words(cls.__pydantic_fields__[option.name].annotation)


def _words(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(arguments[0])
    if origin in (Union, types.UnionType):
        return " | ".join(_words(one) for one in arguments)
    if origin is Literal:
        return f"Literal[{', '.join(json.dumps(one) for one in arguments)}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join('...' if one is ... else _words(one) for one in arguments)}]"
    return _WORDS.get(kind) or str(kind.__name__)


if __name__ == "__main__":
    Path(__file__).with_name("signatures.py").write_text(signatures(), encoding="utf-8")
