"""Records and checkpoints are input like any other: damaged or forged ones are refused in a sentence."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import untaught
from untaught import cli
from untaught.errors import InputError, SettingError
from untaught.fitting.checkpoint import Snapshot, load, save
from untaught.fitting.recipe import recipe_from_record

DEEP = "[" * 100_000
NOISE = np.random.default_rng(0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a picture, a record, a finished and an unfinished checkpoint of small runs."""
    folder = tmp_path_factory.mktemp("made")
    Image.fromarray(NOISE.integers(1, 255, (16, 18), dtype=np.uint8)).save(folder / "photo.png")
    words = ["denoise", str(folder / "photo.png"), "--noise", "9", "--recipe", "fast", "--iterations", "2", "--quiet"]
    names = ["-o", str(folder / "out.png"), "--record", str(folder / "run.json"), "--checkpoint", str(folder / "kept")]
    assert cli.main([*words, *names]) == 0
    return folder


@pytest.fixture(autouse=True)
def in_its_folder(made, tmp_path, monkeypatch):
    for name in ("photo.png", "run.json", "kept"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    monkeypatch.chdir(tmp_path)


def refused(capsys, *words):
    """Check that a command is refused in one short sentence, leaves nothing behind, and return the sentence."""
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert cli.main(list(words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("untaught: ")
    assert error.count("\n") == 1
    assert len(error) < 600
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before
    return error


def changed(values, path, value):
    """A copy with another value at a path of keys; without the last key if the value is ``...``."""
    values = copy.deepcopy(values)
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return values


# Records -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"3", b'"text"', b"\xff\xfe", b"{}", DEEP.encode(), b'{"seed": ' + b"9" * 5000 + b"}"],
)
def test_a_file_that_is_no_record(content, capsys):
    Path("bad.json").write_bytes(content)
    assert "bad.json is not a record of untaught" in refused(capsys, "repeat", "bad.json", "-o", "again.png")


@pytest.mark.parametrize("name", ["nowhere.json", "photo.png", "."])
def test_a_record_that_is_something_else(name, capsys):
    refused(capsys, "repeat", name, "-o", "again.png")


WRONG = [..., None, [], {}, "x", -1, 1.5, True, float("nan"), 2**70, "9" * 3000]
PARTS = [
    *(("task",), ("files",), ("options",), ("seed",), ("recipe",), ("engine",)),
    *(("files", "picture"), ("files", "picture", "path"), ("files", "picture", "sha256")),
    *(("engine", "device"), ("engine", "precision"), ("options", "noise"), ("options", "volume")),
    *(("recipe", name) for name in ("network", "input", "optimiser", "stopping", "runs", "iterations", "averaging")),
    *(("recipe", "network", name) for name in ("down_channels", "input_channels", "activation", "kind")),
    *(("recipe", "input", "patch"), ("recipe", "stopping", "rule"), ("recipe", "optimiser", "learning_rate")),
]


@pytest.mark.parametrize("path", PARTS, ids=".".join)
def test_a_record_with_a_part_that_is_wrong(path, capsys):
    record = json.loads(Path("run.json").read_text())
    may = {("options", "noise"): 3, ("recipe", "optimiser", "learning_rate"): 1}
    # A third of them for each part: the parts share the code that checks them.
    for value in WRONG[PARTS.index(path) % 3 :: 3]:
        Path("bad.json").write_text(json.dumps(changed(record, path, value)))
        code = cli.main(["repeat", "bad.json", "-o", "again.png", "--quiet"])
        error = capsys.readouterr().err
        # A few of these values are possible ones: a noise that is unknown, a learning rate of 1.5.
        assert code in ((0, 1, 2) if path in may or value in (..., True, None) else (0, 2)), value
        assert (error == "") == (code == 0)
        assert error.count("\n") <= 1
        assert len(error) < 900


@pytest.mark.parametrize(
    "network",
    [
        {"down_channels": [2**20] * 3, "up_channels": [2**20] * 3, "skip_channels": [4] * 3},
        {"down_channels": [2**30], "up_channels": [2**30], "skip_channels": [4]},
        {"down_channels": [16] * 60, "up_channels": [2**30] * 60, "skip_channels": [4] * 60},
    ],
)
def test_a_recipe_of_a_record_that_needs_too_much_memory(network, capsys):
    record = json.loads(Path("run.json").read_text())
    record["recipe"]["network"].update(network)
    Path("bad.json").write_text(json.dumps(record))
    assert "of memory" in refused(capsys, "repeat", "bad.json", "-o", "again.png")


def test_many_runs_of_a_record_need_too_much_memory(capsys):
    record = json.loads(Path("run.json").read_text())
    Path("bad.json").write_text(json.dumps(changed(record, ("recipe", "runs"), 2**40)))
    assert "are free: end other programs" in refused(capsys, "repeat", "bad.json", "-o", "again.png")


@pytest.mark.parametrize(("name", "value"), [("torch", "1.0"), ("kernels", "others"), ("torch", None), ("threads", 99)])
def test_a_record_of_another_machine_says_what_differs(name, value, capsys):
    record = json.loads(Path("run.json").read_text())
    Path("other.json").write_text(json.dumps(changed(record, ("engine", name), value)))
    assert cli.main(["repeat", "run.json", "-o", "again.png"]) == 0
    assert "may differ" not in capsys.readouterr().err
    assert cli.main(["repeat", "other.json", "-o", "again.png"]) == 0
    # With compiled kernels the number of threads changes nothing.
    told = name != "threads" or record["engine"]["kernels"] is None
    assert (f"may differ in its last bits: {name} {value} then" in capsys.readouterr().err) == told


@pytest.mark.parametrize("value", [3, [], "x", {"rule": 3}, {"rule": []}, {"kind": {}}, {"object": 3}])
@pytest.mark.parametrize("part", ["network", "input", "optimiser", "stopping", "loss", "regulariser"])
def test_a_damaged_recipe(part, value):
    recipe = json.loads(Path("run.json").read_text())["recipe"]
    with pytest.raises(SettingError):
        recipe_from_record(changed(recipe, (part,), value))


# Checkpoints ---------------------------------------------------------------------------------------------------------


def same(one, other):
    return one.values == other.values and all(
        torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_is_found(seed, tmp_path):
    whole, draw = Path("kept").read_bytes(), np.random.default_rng(seed)
    length = 8 + int.from_bytes(whole[:8], "little")
    for number in range(6):
        content = bytearray(whole)
        # Half of them in the header, which is the shorter part.
        place = int(draw.integers(0, length)) if number % 2 else int(draw.integers(length, len(whole)))
        content[place] ^= 1 << int(draw.integers(8))
        (tmp_path / "flipped").write_bytes(content)
        try:
            found = load(tmp_path / "flipped")
        except InputError:
            continue
        assert same(found, load(Path("kept"))), place


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.999])
def test_a_cut_off_checkpoint(share, capsys):
    whole = Path("kept").read_bytes()
    Path("cut").write_bytes(whole[: int(share * len(whole))])
    assert "damaged" in refused(capsys, "resume", "cut", "--continue-for", "1")


@pytest.mark.parametrize(
    "content", [b"\xff" * 64, b"\x08" + bytes(7) + b"{}      ", b"{}", b"\x10" + bytes(7) + b"[" * 16]
)
def test_a_file_that_is_no_checkpoint(content, capsys):
    Path("bad").write_bytes(content)
    assert "damaged" in refused(capsys, "resume", "bad")


@pytest.mark.parametrize("name", ["nowhere", ".", "photo.png"])
def test_a_checkpoint_that_is_something_else(name, capsys):
    refused(capsys, "resume", name)


FORGED = [
    *(("now",), ("now", "iteration"), ("now", "elapsed"), ("now", "guard"), ("now", "optimiser"), ("now", "weight")),
    *(("in_search",), ("until",), ("finished",), ("stop_reason",), ("points",), ("points", "loss"), ("request",)),
    *(("request", "files"), ("request", "output"), ("request", "recipe"), ("request", "task")),
]


@pytest.mark.parametrize("path", FORGED, ids=".".join)
@pytest.mark.parametrize("value", [..., None, "x", 2**70], ids=repr)
def test_a_forged_checkpoint(path, value, capsys):
    moment = load(Path("kept"))
    save(Path("forged"), Snapshot(moment.tensors, changed(moment.values, path, value)))
    possible = {("now", "weight"): (-1, 2**70), ("now", "elapsed"): (2**70,), ("points", "loss"): ()}
    if value in possible.get(path, ()):
        return
    if path == ("finished",) or (path, value) == (("request", "output"), "x"):
        assert cli.main(["resume", "forged", "--quiet"]) == 2
        return
    refused(capsys, "resume", "forged", "--continue-for", "1", "--quiet")


@pytest.mark.parametrize("change", ["shape", "type", "missing", "more"])
@pytest.mark.parametrize("level", ["now.averages", "now.network", "now.optimiser", "now.source"])
def test_a_checkpoint_with_other_tensors(level, change, capsys):
    moment = load(Path("kept"))
    name = next(name for name in sorted(moment.tensors) if name.startswith(level))
    tensor = moment.tensors[name]
    made = {
        "shape": {name: torch.zeros(3, 5, dtype=tensor.dtype)},
        "type": {name: tensor.to(torch.float64 if tensor.dtype == torch.float32 else torch.float32)},
        "missing": {},
        "more": {name: tensor, f"{level}.99.more": torch.zeros(2)},
    }[change]
    rest = {key: value for key, value in moment.tensors.items() if key != name}
    save(Path("forged"), Snapshot({**rest, **made}, moment.values))
    code = cli.main(["resume", "forged", "--continue-for", "1", "--quiet"])
    error = capsys.readouterr().err
    assert code == (0 if error == "" else 2)
    assert error == "" or "the checkpoint does not belong to this picture and recipe" in error


def test_a_checkpoint_without_any_one_of_its_tensors(capsys):
    moment = load(Path("kept"))
    # Those of networks and optimisers are many, and torch looks for each of them.
    for name in (one for one in moment.tensors if one.split(".")[1] not in ("network", "mean", "optimiser")):
        rest = {key: value for key, value in moment.tensors.items() if key != name}
        save(Path("forged"), Snapshot(rest, moment.values))
        code = cli.main(["resume", "forged", "--continue-for", "1", "--quiet"])
        error = capsys.readouterr().err
        assert (code, error) == (0, "") or (code, "does not belong" in error) == (2, True), name


def test_a_checkpoint_of_a_later_version(capsys):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, "later", {"untaught": json.dumps({"version": 3, "values": {}})})
    assert "is a checkpoint of version 3; this program reads 1 and 2" in refused(capsys, "resume", "later")


def test_a_checkpoint_without_a_checksum_still_loads(tmp_path):
    from safetensors.torch import save_file

    moment = load(Path("kept"))
    header = {"untaught": json.dumps({"version": 1, "values": moment.values})}
    save_file(dict(moment.tensors), tmp_path / "old", header)
    assert same(load(tmp_path / "old"), moment)


def test_a_checkpoint_given_to_fit_is_checked(tiny, tmp_path):
    run = untaught.fit(torch.rand(1, 1, 12, 12), recipe=tiny, iterations=2)
    next(iter(run))
    run.save(tmp_path / "moment")
    content = bytearray((tmp_path / "moment").read_bytes())
    content[-1] ^= 1
    (tmp_path / "moment").write_bytes(content)
    with pytest.raises(InputError, match="its checksum is wrong"):
        untaught.fit(torch.rand(1, 1, 12, 12), recipe=tiny, iterations=2, resume=tmp_path / "moment")
