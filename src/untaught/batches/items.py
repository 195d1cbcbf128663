"""What a batch consists of: each picture with its other files, its settings, and where its result goes."""

from __future__ import annotations

import csv
import dataclasses
import glob
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import untaught
from untaught.errors import InputError, SettingError
from untaught.imaging import addresses
from untaught.imaging.addresses import elsewhere
from untaught.imaging.files import read_bytes, reason, resolved, same_file
from untaught.imaging.formats.registry import SUFFIXES
from untaught.settings import check_names, plain
from untaught.tasks.options import FitOptions, build
from untaught.tasks.registry import Task

__all__ = ["Item", "find_items", "read_manifest"]

_TABLES = (".csv", ".jsonl", ".ndjson")

_OUTPUT = "output"
"""The column of a manifest that names the result."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture of a batch.

    Attributes:
        name: of its result, relative to the folder of results; no two are alike.
        files: by role; "picture" among them.
        options: the task's own and those of `FitOptions`, checked, as plain values.
        output: where the result goes.
        problem: why it cannot be done, as a sentence; empty if it can.
    """

    name: str
    files: Mapping[str, Path]
    options: Mapping[str, Any]
    output: Path
    problem: str = ""

    def fingerprint(self, task: str) -> str:
        """A hash of all that the result depends on: the files' contents, the settings, and this version.

        Of a file in a store, the tag of its content is enough.

        Raises:
            OSError: for a file that cannot be read.
        """
        contents = {
            role: addresses.state(path) if elsewhere(path) else hashlib.sha256(read_bytes(path)).hexdigest()
            for role, path in sorted(self.files.items())
        }
        facts = [untaught.__version__, task, contents, plain(dict(sorted(self.options.items())))]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def find_items(
    task: Task,
    inputs: Sequence[str | os.PathLike[str]],
    output: Path,
    options: Mapping[str, Any],
    *,
    beside: Mapping[str, Path],
    name: str,
    recursive: bool,
) -> list[Item]:
    """Find the pictures of a batch.

    Args:
        task: what is done with them.
        inputs: files, folders, patterns such as ``scans/*.png``, and manifests (.csv, .jsonl).
        output: the folder of results.
        options: of all of them.
        beside: a folder with a file of the same stem for each picture, or one file for all, by role.
        name: of a result; {stem}, {suffix} and {folder} stand for the picture's own.
        recursive: look into the folders in folders too.

    Raises:
        InputError: for inputs that are not there, no picture at all, and results with the same name.
        SettingError: for a name that cannot be made, and options that no picture can have.
    """
    _checked(task, options)
    found: list[Item] = []
    for given in inputs:
        path = Path(given)
        if path.suffix.lower() in _TABLES and (elsewhere(path) or path.is_file()):
            found += read_manifest(task, path, output, options, beside=beside, name=name)
            continue
        for picture, place in _pictures(path, output, recursive):
            found.append(_item(task, {"picture": picture}, place, output, options, beside=beside, name=name))
    if not found:
        raise InputError("there is no picture to restore among the inputs: " + ", ".join(map(str, inputs)))
    return _without_collisions(found)


def read_manifest(
    task: Task, path: Path, output: Path, options: Mapping[str, Any], *, beside: Mapping[str, Path], name: str
) -> list[Item]:
    """Read a table with a row for each picture: a column "picture", one for each other file, "output", and options.

    Paths are relative to the table's folder.

    Raises:
        InputError: for a table that cannot be read, or has a column that nothing is known of.
    """
    roles = task.roles
    fields = [*(field.name for field in dataclasses.fields(task.settings)), *FitOptions.__dataclass_fields__]
    items = []
    for number, row in enumerate(_rows(path), start=1):
        given = {key: value for key, value in row.items() if key is not None and value not in (None, "")}
        check_names(given, [*roles, _OUTPUT, *fields], kind=f"column of {path.name}:")
        files = {role: _beside(path, str(given.pop(role))) for role in roles if role in given}
        if "picture" not in files:
            raise InputError(f"row {number} of {path} names no picture: the column is called picture")
        own = given.pop(_OUTPUT, None)
        given = {key: _value(value) for key, value in given.items()}
        item = _item(task, files, Path(), output, {**options, **given}, beside=beside, name=str(own or name))
        items.append(item)
    return items


def _beside(table: Path, name: str) -> Path:
    return Path(name) if elsewhere(name) else table.parent / name


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = read_bytes(path).decode("utf-8-sig")
        if path.suffix.lower() == ".csv":
            yield from csv.DictReader(text.splitlines(), strict=True)
            return
        for line in filter(str.strip, text.splitlines()):
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("a line is no object")
            yield row
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"the list {path} cannot be read: {reason(error)}") from error


def _value(value: Any) -> Any:
    """A cell of a table: several numbers are written with spaces between them."""
    words = value.split() if isinstance(value, str) else []
    if value in ("true", "false", "True", "False"):
        return value in ("true", "True")
    return tuple(words) if len(words) > 1 else value


def _pictures(path: Path, output: Path, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """The pictures that an input stands for, each with its folder in the folder of results."""
    if is_folder(path):
        results = resolved(output)
        for one in _below(path, recursive):
            inside = resolved(one).is_relative_to(results) and not resolved(path).is_relative_to(results)
            hidden = any(part.startswith(".") for part in one.relative_to(path).parts)
            if one.name.lower().endswith(SUFFIXES) and not inside and not hidden:
                yield one, one.parent.relative_to(path)
        return
    if elsewhere(path):
        found = addresses.find(path) if any(sign in path.name for sign in "*?[") else [path]
        if not found:
            raise InputError(f"there is no file, folder or pattern {addresses.named(path)}")
        yield from ((one, Path()) for one in found)
        return
    if path.is_file():
        yield path, Path()
        return
    matches = sorted(glob.glob(str(path), recursive=recursive))  # noqa: PTH207 - of any folder
    if not matches:
        raise InputError(f"there is no file, folder or pattern {path}")
    yield from ((Path(one), Path()) for one in matches if Path(one).is_file())


def is_folder(path: Path) -> bool:
    """Whether a path is that of a folder, here or elsewhere."""
    return addresses.is_folder(path) if elsewhere(path) else path.is_dir()


def _below(folder: Path, recursive: bool) -> list[Path]:
    """The files in a folder, in order."""
    if elsewhere(folder):
        return addresses.find(folder, recursive=recursive)
    return sorted(one for one in (folder.rglob("*") if recursive else folder.glob("*")) if one.is_file())


def _item(
    task: Task,
    files: Mapping[str, Path],
    place: Path,
    output: Path,
    options: Mapping[str, Any],
    *,
    beside: Mapping[str, Path],
    name: str,
) -> Item:
    picture = files["picture"]
    try:
        named = name.format(stem=picture.stem, suffix=picture.suffix, folder=place.as_posix())
    except (LookupError, ValueError) as error:
        raise SettingError(f"the name {name} has a part that is none of {{stem}}, {{suffix}} and {{folder}}") from error
    result = Path(named) if "{folder}" in name else place / named
    if result.is_absolute() or ".." in result.parts:
        raise SettingError(f"the name {name} leads out of the folder of results")
    more, problem = dict(files), ""
    for role, where in beside.items():
        if role in more:
            continue
        own = _of_stem(where, place, picture.stem) if is_folder(where) else where
        if own is None:
            problem = f"there is no {role} called {picture.stem} in {where}"
        else:
            more[role] = own
    missing = [file.role for file in task.files if file.required and file.role not in more]
    if missing and not problem:
        problem = f"{task.name} needs a {missing[0]}"
    try:
        options = _checked(task, options)
    except SettingError as error:
        problem = str(error)
    return Item(name=result.as_posix(), files=more, options=options, output=output / result, problem=problem)


def _checked(task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as plain values.

    Raises:
        SettingError: for an unknown name or an impossible value.
    """
    own, common = build(dict(options), task.settings, FitOptions)
    return {**plain(own), **{field.name: getattr(common, field.name) for field in dataclasses.fields(common)}}


def _of_stem(folder: Path, place: Path, stem: str) -> Path | None:
    """The picture of that name in a folder, in the same folder below it if it is there."""
    for where in (folder / place, folder):
        named = f"{glob.escape(stem)}.*"
        files = addresses.find(where / named) if elsewhere(where) else sorted(where.glob(named))
        found = [one for one in files if one.name.lower().endswith(SUFFIXES)]
        if found:
            return found[0]
    return None


def _without_collisions(items: Iterable[Item]) -> list[Item]:
    """The items, once each.

    Raises:
        InputError: when two pictures have results of the same name.
    """
    byname: dict[str, Item] = {}
    for item in items:
        other = byname.setdefault(item.name.casefold(), item)
        if other.files["picture"] != item.files["picture"] or other.options != item.options:
            raise InputError(
                f"{other.files['picture']} and {item.files['picture']} would both be written to {item.name}: name "
                "results by {folder}, or give each a name in a manifest"
            )
        if any(same_file(item.output, path) for path in item.files.values()):
            raise InputError(f"the result {item.output} would replace its own input: choose another folder")
    return list(byname.values())
