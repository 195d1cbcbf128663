"""Bad inputs by seed: `python -m benchmarks.hostile [--cases 1500] [--seed 0] [--only KIND]`.

Protocol: each case is one call of the command line, or of the Python functions, with something in it that nobody
should give: an option's value, a damaged picture, record or checkpoint, a name, an array. Each runs in a folder of its
own, in a worker process that lives on; a case may take 30 s. Pictures have 16 x 18 pixels, and a fit one iteration.
What must hold:

* no traceback: a command ends with an exit code, a function with a result or one of `untaught.errors`;
* exit code 0 and a whole picture, 1 and a sentence, or 2, one sentence, and nothing written;
* nothing but sentences on standard error, no file that was not asked for, and no input changed.

A case is repeated by its number: ``--first NUMBER --cases 1``. Nightly: ``--cases 6000 --seed`` of the day. Writes
docs/figures/hostile.json, if all 1500 or more have run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.random import Generator
from PIL import Image

from benchmarks.reference import DOCS
from untaught import cli
from untaught.imaging.files import write_text

LIMIT = 30
SHORT = ["--iterations", "1", "--recipe", "fast", "--quiet"]
PICTURES = ["photo.png", "gray.png", "photo.jpg", "photo.webp", "photo.tif", "float.tif", "deep.png"]
COMMANDS = {
    "inpaint": ["photo.png", "--mask", "mask.png"],
    "restore": ["photo.png", "--mask", "mask.png"],
    "denoise": ["photo.png", "--noise", "10"],
    "deblur": ["photo.png", "--blur", "disk", "--radius", "1"],
    "upscale": ["photo.png", "--factor", "2"],
    "dejpeg": ["photo.jpg"],
    "demosaic": ["gray.png", "--pattern", "GRBG"],
    "separate": ["photo.png", "--other", "other.png"],
    "guide": ["photo.png", "--guide", "other.png", "--noise", "10"],
}
VALUES: list[Any] = [
    *(
        "",
        " ",
        "x",
        "nan",
        "inf",
        "-inf",
        "1e300",
        "-1e300",
        "1e-300",
        "1e400",
        "0",
        "-0",
        "-1",
        "1.5",
        "2",
        "999",
        "True",
    ),
    *(
        "None",
        "[]",
        "{}",
        "9" * 400,
        str(2**63),
        str(2**64),
        "0x10",
        "1_000",
        "٣",
        "1,5",
        "5%",
        "\u202e",
        "é",
        "a" * 5000,
    ),
    *(
        "-",
        "--",
        "--help",
        "\n",
        "\x1b[31m",
        "{0}",
        "%s",
        "$HOME",
        "~",
        ".",
        "..",
        "/",
        "photo.png",
        "mask.png",
        "nowhere",
    ),
]
NAMES = [
    *("out.png", "out", "out.", ".png", "out.xyz", "out.PNG", "out.png.png", "x" * 250 + ".png", "x" * 300 + ".png"),
    *(
        "é" * 120 + ".png",
        "scan[red].png",
        "[/b].png",
        "line\nbreak.png",
        "tab\t.png",
        "\x1b[31m.png",
        "\udcff.png",
        " .png",
    ),
    *(
        "photo.png",
        "mask.png",
        "link.png",
        "./photo.png",
        "folder",
        "folder/out.png",
        "nowhere/out.png",
        "photo.png/x.png",
    ),
    *(
        "dangling.png",
        "loop.png",
        "socket.png",
        "fifo",
        "fifo.png",
        "/dev/null",
        "/dev/full",
        "/dev/null.png",
        "/out.png/x.png",
    ),
    *("/proc/self/out.png", "/dev/fd/99", "/dev/stdin", "-", "--", "~", "", ".", "..", "/", "con.png", "a" * 5000),
]


# What a case is made of ----------------------------------------------------------------------------------------------


def make_files(folder: Path) -> None:
    """The inputs of all cases."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:16, :18]
    smooth = np.stack([100 + 50 * np.sin(x / 3), 120 + 40 * np.cos(y / 4), 90 + 3.0 * x], -1).astype(np.uint8)
    for name in ("photo.png", "photo.jpg", "photo.webp"):
        Image.fromarray(smooth).save(folder / name)
    Image.fromarray(smooth[::-1, ::-1].copy()).save(folder / "other.png")
    Image.fromarray(smooth[..., 0].copy()).save(folder / "gray.png")
    Image.fromarray(smooth[..., 0].astype(np.uint16) * 200).save(folder / "deep.png")
    Image.fromarray((draw.random((16, 18)) > 0.3).astype(np.uint8) * 255).save(folder / "mask.png")
    tifffile.imwrite(folder / "photo.tif", smooth)
    tifffile.imwrite(folder / "float.tif", smooth.astype(np.float32) / 255)
    words = ["denoise", "photo.png", "--noise", "10", *SHORT, "-o", "made.png", "--record", "run.json"]
    with contextlib.chdir(folder):
        if cli.main([*words, "--checkpoint", "kept"]):
            raise RuntimeError("the inputs cannot be made")
    (folder / "made.png").unlink()


def make_obstacles(folder: Path) -> None:
    """Files of other kinds, which cannot be copied."""
    import socket

    (folder / "folder").mkdir()
    (folder / "link.png").symlink_to("photo.png")
    (folder / "dangling.png").symlink_to("nowhere/x.png")
    (folder / "loop.png").symlink_to("loop.png")
    for name in ("fifo", "fifo.png"):
        os.mkfifo(folder / name)
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(folder):
        made.bind("socket.png")


def pick(draw: Generator, values: Any) -> Any:
    """One of several values, each as it is."""
    return values[int(draw.integers(len(values)))]


def damaged(content: bytes, draw: Generator) -> bytes:
    """A content with a few bits, bytes or pieces changed, or cut off."""
    made = bytearray(content)
    for _ in range(int(draw.integers(1, 6))):
        place, kind = int(draw.integers(max(1, len(made)))), int(draw.integers(6))
        piece = int(draw.integers(1, 64))
        if kind == 0 and made:
            made[place % len(made)] ^= 1 << int(draw.integers(8))
        elif kind == 1:
            made[place : place + piece] = draw.bytes(piece)
        elif kind == 2:
            del made[place : place + piece]
        elif kind == 3:
            made[place:place] = made[: piece * 4]
        elif kind == 4:
            made[place : place + 4] = pick(draw, [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1"])
        elif len(made) > 8:
            del made[place:]
    return bytes(made)


def changed(values: Any, draw: Generator, depth: int = 0) -> Any:
    """Plain values with one part replaced, removed or renamed."""
    wrong: list[Any] = [
        None,
        True,
        -1,
        0,
        1.5,
        1e308,
        float("nan"),
        2**40,
        2**70,
        "",
        "x",
        "9" * 999,
        [],
        {},
        [[]],
        {"object": "a:b"},
    ]
    if isinstance(values, dict) and values and (depth == 0 or draw.random() < 0.8):
        name = pick(draw, list(values))
        if draw.random() < 0.1:
            return {key: value for key, value in values.items() if key != name}
        if draw.random() < 0.05:
            return {**values, "unknown": 1}
        return {**values, name: changed(values[name], draw, depth + 1)}
    if isinstance(values, list) and values and draw.random() < 0.6:
        place = int(draw.integers(len(values)))
        return [*values[:place], changed(values[place], draw, depth + 1), *values[place + 1 :]]
    return pick(draw, wrong)


# The kinds of cases --------------------------------------------------------------------------------------------------


def options(draw: Generator) -> list[str]:
    """A command with the value of an option, or two, that it cannot have; sometimes one that does not exist."""
    from untaught.cli.app import commands

    name = pick(draw, list(COMMANDS))
    words = [name, *COMMANDS[name], *SHORT, "--time-budget", "2s", "-o", "out.png"]
    groups = [option for group in commands()[name].groups().values() for option in group if not option.usage.positional]
    for _ in range(int(draw.integers(1, 3))):
        option = pick(draw, groups)
        if option.flag in words:
            place = words.index(option.flag)
            del words[place : place + (1 if option.is_switch else 2)]
        count = 0 if option.is_switch else len(option.usage.metavar) if isinstance(option.usage.metavar, tuple) else 1
        if draw.random() < 0.05:
            count += int(draw.integers(-1, 2))
        words += [option.flag, *(pick(draw, VALUES) for _ in range(count))]
    if draw.random() < 0.1:
        words.insert(int(draw.integers(len(words))), pick(draw, VALUES))
    if draw.random() < 0.1:
        del words[int(draw.integers(len(words)))]
    return words


def files(draw: Generator) -> list[str]:
    """A damaged picture, as the picture or another input."""
    name = pick(draw, PICTURES)
    Path(name).write_bytes(damaged(Path(name).read_bytes(), draw))
    task = pick(draw, [*COMMANDS, "inspect", "compare"])
    if task == "inspect":
        return ["inspect", name]
    if task == "compare":
        return ["compare", name, "other.png"]
    words = [task, *COMMANDS[task]]
    place = (
        1 if draw.random() < 0.7 else next((i for i, word in enumerate(words) if i > 1 and word.endswith(".png")), 1)
    )
    words[place] = name
    return [*words, *SHORT, "-o", f"out{Path(words[1]).suffix}"]


def records(draw: Generator) -> list[str]:
    """A damaged or forged record."""
    content = Path("run.json").read_bytes()
    made = damaged(content, draw) if draw.random() < 0.4 else json.dumps(changed(json.loads(content), draw)).encode()
    if draw.random() < 0.05:
        made = pick(draw, [b"[" * 200_000, b"", b"null", b"\xff\xfe{}", b"{" + b'"a":{' * 50_000])
    Path("run.json").write_bytes(made)
    more = pick(draw, [[], ["--record", "out.json"], ["--uncertainty", "out.tif"], ["--reference", "other.png"]])
    return ["repeat", "run.json", "-o", "out.png", *more, "--quiet"]


def checkpoints(draw: Generator) -> list[str]:
    """A damaged or forged checkpoint; the forged ones have the right checksum."""
    from untaught.fitting.checkpoint import Snapshot, load, save

    path = Path("kept")
    if draw.random() < 0.5:
        path.write_bytes(damaged(path.read_bytes(), draw))
    else:
        moment = load(path)
        tensors = dict(moment.tensors)
        if draw.random() < 0.5:
            name = pick(draw, list(tensors))
            one = tensors.pop(name)
            other = pick(draw, [one[None], one.flatten()[:1], one.double(), one.new_zeros(2, 3), one * 0 - 1, None])
            tensors |= {} if other is None else {name: other}
            save(path, Snapshot(tensors, moment.values))
        else:
            save(path, Snapshot(tensors, changed(dict(moment.values), draw)))
    return ["resume", "kept", "--continue-for", "1", "-o", "out.png", "--quiet"]


def names(draw: Generator) -> list[str]:
    """Names that are odd, taken, or of no file."""
    make_obstacles(Path())
    words = ["restore", pick(draw, NAMES) if draw.random() < 0.3 else "photo.png"]
    words += ["--mask", pick(draw, NAMES) if draw.random() < 0.2 else "mask.png", *SHORT]
    words += ["-o", pick(draw, NAMES) if draw.random() < 0.6 else "out.png"]
    for flag in ("--record", "--checkpoint", "--uncertainty", "--reference"):
        if draw.random() < 0.25:
            words += [flag, pick(draw, NAMES)]
    return words + (["--overwrite"] if draw.random() < 0.1 else [])


def arrays(draw: Generator) -> Callable[[], object]:
    """A call of a function with arrays and values that are odd."""
    import torch

    import untaught

    def odd() -> Any:
        shape = pick(
            draw,
            [(), (0,), (5,), (0, 9), (1, 1), (9, 9), (16, 18), (16, 18, 3), (1, 3, 16, 18), (2, 1, 9, 9), (9,) * 5],
        )
        kind = pick(
            draw, ["?", "u1", "i2", "u2", "i8", "u8", "f2", "f4", "f8", "g", "c8", "O", "M8[s]", "U1", "S1", ">f4"]
        )
        with np.errstate(all="ignore"):
            made = np.asarray(draw.random(shape) * pick(draw, [0, 1, 255, 1e-30, 1e30, 1e300, -1])).astype(kind)
        if made.dtype.kind == "f" and made.size and draw.random() < 0.3:
            made.flat[int(draw.integers(made.size))] = pick(draw, [np.nan, np.inf, -np.inf])
        if draw.random() < 0.3:
            with contextlib.suppress(TypeError, ValueError, NotImplementedError):
                tensor = torch.from_numpy(np.ascontiguousarray(made))
                turned = [
                    lambda: tensor,
                    lambda: tensor.to("meta"),
                    lambda: tensor.to_sparse(),
                    lambda: tensor.bfloat16(),
                ]
                return pick(draw, turned)()
        return made

    scalars = [
        None,
        "x",
        b"x",
        "",
        -1,
        0,
        1,
        1.5,
        1e300,
        float("nan"),
        True,
        [],
        (1,),
        (0, 1),
        (1, 0),
        {},
        object(),
        print,
    ]
    good = np.random.default_rng(0).random((16, 18)).astype("f4")
    task = pick(draw, [*COMMANDS, "fit", "inspect"])
    image = odd() if draw.random() < 0.6 else good
    if task == "inspect":
        return lambda: untaught.inspect(image, pick(draw, [None, (0, 1), *scalars]))
    given: dict[str, Any] = {"iterations": 1}
    if task == "fit":
        for name in (
            "mask",
            "weights",
            "channels",
            "size",
            "value_range",
            "noise",
            "network",
            "loss",
            "seed",
            "operator",
        ):
            if draw.random() < 0.15:
                given[name] = pick(draw, [*scalars, odd()])
        return lambda: untaught.fit(image, **given).finish()
    entry = untaught.TASKS[task]
    for file in entry.files:
        if file.required or draw.random() < 0.2:
            given[file.role] = pick(draw, [odd(), good > 0.3, good, *scalars])
    for option in (*entry.own_options, *entry.common_options):
        if draw.random() < 0.1 and option.name not in ("iterations", "recipe"):
            given[option.name] = pick(draw, [*scalars, *option.choices, np.float32(1), np.int64(2), odd()])
    return lambda: untaught.run_task(task, image, recipe="fast", **given)


KINDS: dict[str, Callable[[Generator], Any]] = {
    "options": options,
    "files": files,
    "records": records,
    "checkpoints": checkpoints,
    "names": names,
    "arrays": arrays,
}


# One case ------------------------------------------------------------------------------------------------------------


class _Hang(BaseException):
    """A case that takes too long."""


def state_of(folder: Path) -> dict[str, str]:
    """What is in a folder, with the content of its files."""
    found: dict[str, str] = {}
    for path in folder.rglob("*"):
        kind = "link" if path.is_symlink() else "file" if path.is_file() else f"{path.lstat().st_mode:o}"
        found[str(path.relative_to(folder))] = path.read_bytes().hex() if kind == "file" else kind
    return found


def judged(words: list[str], code: int, error: str, before: dict[str, str], after: dict[str, str]) -> str:
    """What is wrong with the end of a command; empty if nothing is."""
    asked = {word.removeprefix("./") for word in words} | {"out.layer.png", "out.kernel.png"}
    new = {name for name in after if name not in before}
    lines = error.splitlines()
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if (code == 2 and len(lines) != 1) or (code == 1 and not lines):
        return f"{len(lines)} lines with exit code {code}"
    if not all(line.startswith("untaught: ") for line in lines):
        return f"no sentence: {error[:300]}"
    if changed_ := [name for name in before if after.get(name) != before[name] and name not in allowed(words, code)]:
        return f"changed {changed_}"
    if left := [name for name in new if code == 2 or not (name in asked or name.startswith("out") or name in error)]:
        return f"left {left}"
    return ""


def allowed(words: list[str], code: int) -> set[str]:
    """Files that were there before and that a command may change: what it was told to write."""
    told = {
        words[i + 1] for i, word in enumerate(words[:-1]) if word in ("-o", "--record", "--checkpoint", "--uncertainty")
    }
    inputs = set() if "--overwrite" in words else {"photo.png", "link.png"}
    resumed = {"kept"} if words[:1] == ["resume"] else set()
    return (told - inputs if code != 2 else set()) | (resumed if code == 0 else set())


def run_case(kind: str, draw: Generator) -> dict[str, str]:
    """Run a case in the current folder."""
    made, folder, error, wrong = KINDS[kind](draw), Path.cwd(), io.StringIO(), ""
    before, code = state_of(folder), 0
    shown = "" if callable(made) else " ".join(word[:60] for word in made)
    started = time.monotonic()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error), warnings.catch_warnings():
            warnings.simplefilter("always")
            if callable(made):
                ended(made)
            else:
                code = cli.main(made)
    except _Hang:
        wrong = "hang"
    except (SystemExit, Exception) as caught:  # noqa: BLE001
        lines = traceback.extract_tb(caught.__traceback__)
        own = [line for line in lines if "untaught" in line.filename] or lines
        wrong = (
            f"traceback: {type(caught).__name__}: {str(caught)[:200]} in {Path(own[-1].filename).name}:{own[-1].lineno}"
        )
    if not wrong and not callable(made):
        wrong = judged(made, code, error.getvalue(), before, state_of(folder))
    seconds = f"{time.monotonic() - started:.1f}"
    return {"words": shown, "wrong": wrong, "code": str(code), "error": error.getvalue()[:300], "seconds": seconds}


def ended(call: Callable[[], object]) -> None:
    """Call a function; to be refused is as good as to succeed."""
    from untaught.errors import UntaughtError

    with contextlib.suppress(UntaughtError):
        call()


def work(seed: int, first: int, last: int, only: str | None, report: Callable[[dict[str, str]], None]) -> None:
    """Run cases one after another and report each before it begins and after it has ended."""
    from untaught.imaging import files as opened

    opened._WAIT = 50
    with tempfile.TemporaryDirectory() as place:
        inputs = Path(place) / "inputs"
        inputs.mkdir()
        make_files(inputs)
        os.environ["HOME"] = tempfile.tempdir = str(Path(place))
        for number in range(first, last):
            kind = only or list(KINDS)[number % len(KINDS)]
            folder = Path(place) / f"case{number}"
            shutil.copytree(inputs, folder)
            report({"begins": str(number)})
            with contextlib.chdir(folder):
                found = run_case(kind, np.random.default_rng((seed, number)))
            report({"number": str(number), "kind": kind, **found})
            shutil.rmtree(folder, ignore_errors=True)


def worker(seed: int, first: int, last: int, only: str | None) -> None:
    """A process that runs cases and writes a line for each."""
    out = os.fdopen(os.dup(1), "w", buffering=1)

    def alarm(*_: object) -> None:
        raise _Hang

    signal.signal(signal.SIGALRM, alarm)

    def report(found: dict[str, str]) -> None:
        signal.alarm(LIMIT if "begins" in found else 0)
        out.write(json.dumps(found) + "\n")

    work(seed, first, last, only, report)


def watched(seed: int, first: int, last: int, only: str | None) -> Iterator[dict[str, str]]:
    """The results of all cases; a worker that dies or does not answer is replaced."""
    while first < last:
        words = [sys.executable, "-m", "benchmarks.hostile", "--worker", "--seed", str(seed), "--first", str(first)]
        words += ["--cases", str(last - first), *(["--only", only] if only else [])]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            begun = first
            for line in process.stdout:
                found = json.loads(line)
                begun = int(found.get("begins", begun))
                if "number" in found:
                    first = int(found["number"]) + 1
                    yield found
            if first < last:
                assert process.stderr is not None
                yield {"number": str(begun), "kind": "?", "wrong": f"the process died: {process.stderr.read()[-300:]}"}
                first = begun + 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--worker", action="store_true")
    given = parser.parse_args()
    last = given.first + given.cases
    if given.worker:
        worker(given.seed, given.first, last, given.only)
        return 0
    bad, kinds, codes, slowest = 0, Counter[str](), Counter[str](), 0.0
    for found in watched(given.seed, given.first, last, given.only):
        kinds[found["kind"]] += 1
        codes[found.get("code", "?")] += 1
        slowest = max(slowest, float(found.get("seconds", 0)))
        if found["wrong"]:
            bad += 1
            print(f"{found['number']} {found['kind']}: {found['wrong']} | {found.get('words', '')}", flush=True)
    figures = {"cases": sum(kinds.values()), "bad": bad, "kinds": kinds, "codes": codes, "slowest_seconds": slowest}
    print(json.dumps(figures))
    if given.cases >= 1500 and not given.only:
        write_text(DOCS / "figures/hostile.json", json.dumps(figures, indent=1) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
