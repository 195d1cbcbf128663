"""The command line, in a process of its own where that matters and in this one where it does not."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

import untaught
from untaught import cli
from untaught.cli.app import commands
from untaught.cli.report_commands import _other_torch
from untaught.tasks.registry import TASKS

FAST = ["--iterations", "3"]


@pytest.fixture
def files(tmp_path, picture, mask):
    """A folder with a clean picture, a damaged one and a mask."""
    damaged = np.where(mask[..., None], picture, 0).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "clean.png")
    Image.fromarray(damaged).save(tmp_path / "photo.png")
    Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    return tmp_path


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch, tiny):
    """Commands run in this process take a recipe that is quick."""
    from untaught.tasks import jobs

    real = jobs.find_recipe
    monkeypatch.setattr(jobs, "find_recipe", lambda task, name: tiny if name == "balanced" else real(task, name))


def run(*words, folder: Path | None = None) -> int:
    if folder is None:
        return cli.main([str(word) for word in words])
    here = Path.cwd()
    os.chdir(folder)
    try:
        return cli.main([str(word) for word in words])
    finally:
        os.chdir(here)


def test_inpaint_writes_a_restored_picture(files, picture, mask, capsys):
    assert run("inpaint", "photo.png", "--mask", "mask.png", "-o", "out.png", *FAST, folder=files) == 0
    out = np.asarray(Image.open(files / "out.png"))
    assert out.shape == picture.shape
    np.testing.assert_array_equal(out[mask], picture[mask])
    assert "wrote out.png" in capsys.readouterr().err


def test_restore_proposes_the_missing_pixels(files, mask, capsys):
    assert run("restore", "photo.png", "-o", "out.png", *FAST, folder=files) == 0
    assert f"{(~mask).mean():.1%} of the pixels" in capsys.readouterr().err


def test_the_mask_turned_round_gives_the_same(files, mask):
    Image.fromarray((~mask * 255).astype(np.uint8)).save(files / "turned.png")
    run("inpaint", "photo.png", "--mask", "mask.png", "-o", "one.png", *FAST, folder=files)
    run("inpaint", "photo.png", "--mask", "turned.png", "--mask-marks", "missing", "-o", "two.png", *FAST, folder=files)
    assert (files / "one.png").read_bytes() == (files / "two.png").read_bytes()


def test_same_seed_same_file_other_seed_other_file(files):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        run("restore", "photo.png", "-o", f"{name}.png", "--seed", seed, *FAST, folder=files)
    one, same, other = ((files / f"{name}.png").read_bytes() for name in ("one", "same", "other"))
    assert one == same != other


def test_python_and_the_command_line_agree(files, tiny):
    run("restore", "photo.png", "-o", "out.png", *FAST, folder=files)
    damaged = np.asarray(Image.open(files / "photo.png"))
    result = untaught.restore(damaged, recipe=tiny, iterations=3)
    np.testing.assert_array_equal(np.asarray(Image.open(files / "out.png")), result.picture)


def test_reference_record_and_json(files, capsys):
    words = ["inpaint", "photo.png", "--mask", "mask.png", "-o", "out.png", "--reference", "clean.png"]
    assert run(*words, "--record", "run.json", "--json", "--quiet", *FAST, folder=files) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    result = json.loads(printed.out)
    record = json.loads((files / "run.json").read_text())
    assert result["result"] == record["result"]
    assert record["result"]["psnr"] > 5
    assert record["result"]["psnr_missing"] < record["result"]["psnr"]
    assert 0 < record["result"]["ssim"] <= 1
    assert record["result"]["iterations"] == 3 == len(record["history"]["loss"])
    assert record["untaught"] == untaught.__version__
    assert record["command"].startswith("untaught inpaint photo.png --mask mask.png")
    assert set(record["files"]) == {"picture", "mask", "reference"}


def test_figures_are_printed_as_it_goes(files, capsys):
    run("restore", "photo.png", "-o", "out.png", "--reference", "clean.png", *FAST, folder=files)
    _, _, end = capsys.readouterr().err.partition("3/3")
    assert "PSNR" in end
    assert "SSIM" in end


def test_a_record_can_be_repeated(files):
    words = ["inpaint", "photo.png", "--mask", "mask.png", "-o", "out.png", "--seed", "3", "--network-output"]
    run(*words, "--record", "run.json", *FAST, folder=files)
    assert run("repeat", "run.json", "-o", "again.png", folder=files) == 0
    assert (files / "out.png").read_bytes() == (files / "again.png").read_bytes()


@pytest.fixture
def scratched(tmp_path):
    """A photograph with a scratch: where it is known, and its file."""
    pixels = np.random.default_rng(0).normal(120, 3, (120, 120, 3)).astype(np.uint8)
    known = np.ones((120, 120), bool)
    known[10:110, 60:62] = False
    pixels[~known] = 250
    Image.fromarray(pixels).save(tmp_path / "scratched.png")
    return known, tmp_path / "scratched.png"


def test_a_mask_is_proposed_written_and_kept_by_the_record(scratched, tmp_path, capsys):
    known, _ = scratched
    (tmp_path / "out.mask.png").write_bytes(b"of somebody else")
    words = ["inpaint", "scratched.png", "--propose", "scratches", "-o", "out.png", "--record", "run.json"]
    assert run(*words, *FAST, folder=tmp_path) == 0
    assert (tmp_path / "out.mask.png").read_bytes() == b"of somebody else"
    record = json.loads((tmp_path / "run.json").read_text())
    written = Path(record["files"]["mask"]["path"])
    assert f"as scratches; see {written.name}" in capsys.readouterr().err
    mask = np.asarray(Image.open(written)) == 255
    assert not mask[~known].any()
    assert mask[:, :50].all()
    assert np.asarray(Image.open(tmp_path / "out.png"))[~known].mean() < 200
    assert run("repeat", "run.json", "-o", "again.png", folder=tmp_path) == 0
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "again.png").read_bytes()


@pytest.mark.usefixtures("scratched")
def test_a_proposal_that_cannot_be_made_is_refused(tmp_path, capsys):
    Image.fromarray(np.full((40, 40), 90, np.uint8)).save(tmp_path / "flat.png")
    Image.fromarray(np.full((120, 120), 255, np.uint8)).save(tmp_path / "mask.png")
    cases = {
        ("flat.png", "--propose", "auto"): "no damage stands out in flat.png",
        ("scratched.png", "--propose", "text"): "no damage of the kind text stands out",
        ("scratched.png",): "--propose auto",
        ("scratched.png", "--propose", "auto", "--mask", "mask.png"): "leave one of them out",
        ("scratched.png", "--propose", "hair"): "scratches",
    }
    for words, expected in cases.items():
        assert run("inpaint", *words, "-o", "out.png", folder=tmp_path) == 2
        assert expected in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.png", "mask.png", "scratched.png"]


def test_a_record_whose_input_has_changed_is_refused(files, capsys):
    run("restore", "photo.png", "-o", "out.png", "--record", "run.json", *FAST, folder=files)
    Image.fromarray(np.full((24, 20, 3), 9, np.uint8)).save(files / "photo.png")
    assert run("repeat", "run.json", "-o", "again.png", folder=files) == 2
    assert "has changed" in capsys.readouterr().err
    (files / "photo.png").unlink()
    assert run("repeat", "run.json", "-o", "again.png", folder=files) == 2
    assert "is not there" in capsys.readouterr().err
    assert run("repeat", "mask.png", "-o", "again.png", folder=files) == 2
    assert "not a record" in capsys.readouterr().err


def test_previews_are_written_beside_the_output_and_cleared(files, monkeypatch):
    from untaught.imaging import writing

    written = []
    real = writing.write
    monkeypatch.setattr(writing, "write", lambda path, shown: (written.append(Path(path).name), real(path, shown))[1])
    run("restore", "photo.png", "-o", "out.png", "--preview-every", "1", *FAST, folder=files)
    assert written == ["out.preview.png", "out.preview.png", "out.png"]
    assert not (files / "out.preview.png").exists()


@pytest.mark.parametrize("preset", ["printed", "paper"])
@pytest.mark.parametrize("flag", ["--recipe", "--preset"])
def test_recipes_by_name(files, preset, flag):
    words = ["restore", "photo.png", "-o", "out.png", flag, preset, "--iterations", 1, "--record", "run.json"]
    assert run(*words, folder=files) == 0
    assert json.loads((files / "run.json").read_text())["recipe"]["name"] == preset


@pytest.fixture
def bad_files(files):
    """A folder with everything in it that can be wrong with a file."""
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(files / "small.png")
    Image.fromarray(np.full((24, 20), 255, np.uint8)).save(files / "white.png")
    Image.fromarray(np.zeros((24, 20), np.uint8)).save(files / "black.png")
    Image.fromarray(np.full((30, 3), 9, np.uint8)).save(files / "large.png")
    (files / "empty.png").touch()
    (files / "text.png").write_text("not a picture at all")
    (files / "cut.png").write_bytes((files / "photo.png").read_bytes()[:200])
    (files / "folder").mkdir()
    tifffile.imwrite(files / "nan.tif", np.full((24, 20), np.nan, np.float32))
    tifffile.imwrite(files / "counts.tif", np.full((24, 20), 812.0, np.float32))
    return files


def inpaint(picture="photo.png", mask="mask.png", out="out.png", *more):
    return ["inpaint", picture, "--mask", mask, "-o", out, *more]


def looking(task, *more, model="small_models:small", layer="late"):
    return [task, *more, "--model", model, "--layer", layer, "-o", "out.png"]


# Command words, and what the sentence must say.
BAD_INPUT = {
    "no such picture": (inpaint("phot.png"), "photo.png"),
    "no such mask": (inpaint(mask="msk.png"), "msk.png"),
    "a folder": (inpaint("folder"), "folder"),
    "an empty file": (inpaint("empty.png"), "empty"),
    "not a picture": (inpaint("text.png"), "text.png"),
    "cut off": (inpaint("cut.png"), "cut.png"),
    "NaN everywhere": (inpaint("nan.tif", out="out.tif"), "no finite value"),
    "floats out of range": (inpaint("counts.tif", out="out.tif"), "812"),
    "mask of another size": (inpaint(mask="small.png"), "6 x 5"),
    "mask all known": (inpaint(mask="white.png"), "missing"),
    "mask all missing": (inpaint(mask="black.png"), "known"),
    "output is the input": (inpaint(out="photo.png"), "photo.png"),
    "output is the mask": (inpaint(out="mask.png"), "mask.png"),
    "output of no format": (inpaint(out="out.xyz"), ".xyz"),
    "output is a folder": (inpaint(out="folder"), "folder"),
    "no folder for the output": (inpaint(out="nowhere/out.png"), "nowhere"),
    "no folder for the record": (inpaint("photo.png", "mask.png", "out.png", "--record", "no/run.json"), "no/run.json"),
    "record over an input": (inpaint("photo.png", "mask.png", "out.png", "--record", "mask.png"), "mask.png"),
    "reference of another size": (inpaint("photo.png", "mask.png", "out.png", "--reference", "small.png"), "5 x 6"),
    "no such preset": (inpaint("photo.png", "mask.png", "out.png", "--preset", "papr"), "did you mean paper"),
    "no such device": (inpaint("photo.png", "mask.png", "out.png", "--device", "tpu"), "cpu"),
    "no such precision": (inpaint("photo.png", "mask.png", "out.png", "--precision", "half"), "bfloat16"),
    "an empty value range": (inpaint("photo.png", "mask.png", "out.png", "--value-range", "1", "1"), "lower first"),
    "nothing black": (["restore", "clean.png", "-o", "out.png"], "give a mask"),
    "all black": (["restore", "black.png", "-o", "out.png"], "every pixel is black"),
    "a factor of 0": (["upscale", "clean.png", "--factor", "0", "-o", "out.png"], "between 1.5 and 16"),
    "a kernel larger than the picture": (["deblur", "clean.png", "--kernel", "large.png", "-o", "o.png"], "is larger"),
    "negative gain": (["denoise", "clean.png", "--kind", "poisson", "--gain", "-1", "-o", "out.png"], "gain"),
    "a guide of another size": (["guide", "clean.png", "--guide", "small.png", "-o", "out.png"], "the guide"),
    "layers of another size": (["separate", "clean.png", "--other", "small.png", "-o", "o.png"], "the other picture"),
    "layers that are alike": (["separate", "clean.png", "--other", "clean.png", "-o", "o.png"], "are alike"),
    "an unknown blur of unknown reach": (["deblur", "clean.png", "--blur", "unknown", "-o", "out.png"], "--radius"),
    "a mosaic in colour": (["demosaic", "clean.png", "-o", "out.png"], "one channel"),
    "no such layer": (looking("invert", "clean.png", layer="lat"), "did you mean late?"),
    "no such model": (looking("invert", "clean.png", model="small_models:smaller"), "did you mean small?"),
    "no such package": (looking("activate", "--unit", "1", model="no_such_package:small"), "cannot be imported"),
    "a model of no form": (looking("activate", "--unit", "1", model="small"), "package.module:callable"),
    "no such unit": (looking("activate", "--unit", "8", "--size", "24", "20"), "0 to 7"),
    "a picture too small": (looking("invert", "small.png", layer="head"), "1 channels"),
    "not a record": (["repeat", "text.png", "-o", "out.png"], "not a record"),
}


@pytest.mark.parametrize(("words", "expected"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_gets_one_sentence_and_exit_code_2(bad_files, words, expected, capsys, monkeypatch):
    def no_fitting(**_):
        raise AssertionError("fitting has started")

    monkeypatch.setattr("untaught.fitting.run.iterate", no_fitting)
    before = {path: path.read_bytes() for path in bad_files.iterdir() if path.is_file()}
    assert run(*words, folder=bad_files) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    assert printed.err.startswith("untaught: ")
    assert expected in printed.err
    assert {path: path.read_bytes() for path in bad_files.iterdir() if path.is_file()} == before


# Command words, and what the sentence must say.
BAD_USAGE = [
    ([], "untaught --help"),
    (["paint"], "there is no command paint: did you mean inpaint?"),
    (["paint", "--help"], "there is no command paint"),
    (["inpaint", "photo.png", "-o", "out.png"], "inpaint needs --mask"),
    (["restore", "photo.png"], "restore needs --output"),
    (["restore", "-o", "out.png"], "restore needs PICTURE"),
    (["restore", "photo.png", "-o"], "-o needs a value"),
    (["restore", "photo.png", "other.png", "-o", "out.png"], "restore cannot use other.png"),
    (["restore", "photo.png", "-o", "out.png", "--iteratoins", "5"], "did you mean --iterations?"),
    (["restore", "photo.png", "-o", "out.png", "--iter", "5"], "did you mean --iterations?"),
    (
        ["restore", "photo.png", "-o", "out.png", "--iterations", "0"],
        "--iterations is a whole number from 1: found '0'",
    ),
    (["restore", "photo.png", "-o", "out.png", "--iterations", "many"], "--iterations is a whole number from 1"),
    (["restore", "photo.png", "-o", "out.png", "--seed", "-1"], "--seed is a whole number from 0"),
    (["restore", "photo.png", "-o", "out.png", "--seed", "1", "--seed", "2"], "--seed is given twice"),
    (
        ["restore", "photo.png", "-o", "out.png", "--time-budget", "soon"],
        "--time-budget is a time such as 60s, 5m or 1h",
    ),
    (["restore", "photo.png", "-o", "out.png", "--value-range", "1"], "--value-range needs 2 values"),
    (
        ["restore", "photo.png", "-o", "out.png", "--value-range", "low", "1"],
        "--value-range is 2 values, each a number",
    ),
    (["restore", "photo.png", "-o", "out.png", "--mask-marks", "mising"], "did you mean missing?"),
    (["restore", "photo.png", "-o", "out.png", "--volume=maybe"], "--volume"),
    (["invert", "photo.png", "--layer", "late", "-o", "out.png"], "invert needs --model"),
    (["activate", "--model", "small_models:small", "--layer", "late", "-o", "out.png"], "activate needs --unit"),
    (["activate", *looking("activate", "--unit", "1")[1:], "--value-range", "0", "1"], "value_range is for pictures"),
    (["studio", "--port", "70000"], "--port is a whole number between 0 and 65535"),
    (["batch", "denoize", "photo.png", "-o", "out"], "did you mean denoise?"),
    (["batch", "activate", "photo.png", "-o", "out"], "unknown task activate"),
    (["batch", "denoise", "photo.png"], "batch needs --output"),
    (["batch", "denoise", "-o", "out"], "batch needs INPUTS"),
    (["batch", "denoise", "nowhere", "-o", "out"], "there is no file, folder or pattern nowhere"),
    (["batch", "denoise", "photo.png", "-o", "out", "--nose", "3"], "did you mean --noise?"),
    (["batch", "denoise", "photo.png", "-o", "out", "--workers", "0"], "--workers is"),
    (["completion", "tcsh"], "SHELL is one of bash, zsh, fish"),
]


@pytest.mark.parametrize(("words", "expected"), BAD_USAGE)
def test_bad_usage_gets_one_sentence_and_exit_code_2(words, expected, capsys):
    assert run(*words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("untaught: ")
    assert len(printed.err.splitlines()) == 1
    assert expected in printed.err


@pytest.mark.parametrize("command", commands())
def test_every_help_explains_every_option_and_ends_with_an_example(command, capsys, monkeypatch):
    from untaught.recipes import RECIPES

    monkeypatch.setenv("COLUMNS", "80")
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith(f"usage: untaught {command}")
    assert lines[-1].startswith(("example: untaught", "example: eval"))
    assert max(len(line) for line in lines[:-1]) <= 80
    flat = " ".join(text.split())
    for title, group in commands()[command].groups().items():
        for option in group:
            assert option.about
            assert " ".join(option.text.split()) in flat
            assert option.usage.positional or option.flag in flat
            if title == "options of every task" and not option.is_switch:
                assert "(default: " in option.text
    if command in TASKS:
        assert all(name in flat for name in RECIPES[command])


def test_help_names_every_command(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in commands())
    assert run("--version") == 0
    assert capsys.readouterr().out == f"untaught {untaught.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["inpaint", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words):
    code = (
        f"import sys; from untaught.cli import main; main({words!r}); "
        "print([name for name in ('torch', 'numpy', 'scipy', 'rich', 'PIL', 'skimage') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_commands(shell, capsys):
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in commands())
    assert "time-budget" in script


PLAIN = {
    "inpaint": ["photo.png", "--mask", "mask.png"],
    "restore": ["photo.png"],
    "denoise": ["clean.png", "--noise", "10"],
    "upscale": ["clean.png", "--factor", "1.5"],
    "deblur": ["clean.png", "--kernel", "point.png"],
    "dejpeg": ["clean.png", "--consistent", "--quality", "20"],
    "demosaic": ["gray.png", "--pattern", "GRBG"],
    "separate": ["clean.png", "--other", "photo.png"],
    "guide": ["clean.png", "--guide", "photo.png", "--noise", "10"],
    "invert": ["clean.png", "--model", "small_models:small", "--layer", "late", "--std", "0.3", "0.3", "0.3"],
    "activate": ["--model", "small_models:small", "--layer", "head", "--unit", "4", "--size", "24", "20"],
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_runs_and_can_be_repeated(files, task, picture, capsys):
    Image.fromarray(picture[..., 0]).save(files / "gray.png")
    Image.fromarray(np.array([[0, 9, 0], [9, 90, 9], [0, 9, 0]], np.uint8)).save(files / "point.png")
    Image.fromarray(picture).save(files / "blocks.jpg", quality=20)
    preset = ["--preset", "fast"] if task == "denoise" else []
    words = [task, *PLAIN[task], "-o", "out.png", "--record", "run.json", "--seed", "2", *preset, *FAST]
    assert run(*words, folder=files) == 0
    size = (36, 30) if task == "upscale" else (24, 20)
    assert np.asarray(Image.open(files / "out.png")).shape == (*size, 3)
    printed = capsys.readouterr().err
    if task in ("upscale", "deblur"):
        assert "the operator maps the result" in printed
    again = ["repeat", "run.json", "-o", "again.png"]
    if task in ("invert", "activate"):
        assert {"invert": "the result's features", "activate": "the unit's activation"}[task] in printed
        # A record alone must not make Python import and call what it names.
        assert run(*again, folder=files) == 2
        assert "allow it by --model small_models:small" in capsys.readouterr().err
        again += ["--model", "small_models:small"]
    assert run(*again, folder=files) == 0
    assert (files / "out.png").read_bytes() == (files / "again.png").read_bytes()


def test_an_enlarged_picture_keeps_its_alpha(files, picture):
    alpha = np.full((*picture.shape[:2], 1), 200, np.uint8)
    Image.fromarray(np.concatenate([picture, alpha], axis=2)).save(files / "see-through.png")
    assert run("upscale", "see-through.png", "--factor", "2", "-o", "out.png", *FAST, folder=files) == 0
    large = np.asarray(Image.open(files / "out.png"))
    assert large.shape == (48, 40, 4)
    assert (large[..., 3] == 200).all()


def test_a_picture_from_nothing_can_be_resumed(files, capsys):
    words = looking("activate", "--unit", "4", "--size", "24", "20", layer="head")
    assert run(*words, "--checkpoint", "moment", *FAST, folder=files) == 0
    resume = ["resume", "moment", "--continue-for", "2", "-o", "more.png"]
    assert run(*resume, folder=files) == 2
    assert "allow it by --model" in capsys.readouterr().err
    assert run(*resume, "--model", "small_models:small", "--json", folder=files) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["result"]["iterations"] == 5
    assert result["files"] == {}
    assert result["options"]["layer"] == "head"


def test_doctor(capsys):
    assert run("doctor") == 0
    text = capsys.readouterr().out
    assert "cpu" in text
    assert "threads" in text
    assert run("doctor", "--json", "--precision", "float32") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["engine"]["precision"] == "float32"
    assert len(facts["reasons"]) == 4


@pytest.mark.parametrize(
    ("cuda", "accelerated", "nvidia", "words"),
    [
        ("12.8", False, False, "no NVIDIA GPU"),
        (None, False, True, "there is an NVIDIA GPU"),
        ("12.8", True, True, ""),
        ("12.8", False, True, ""),
        (None, True, False, ""),
        (None, False, False, ""),
    ],
)
def test_doctor_says_which_torch_to_choose(cuda, accelerated, nvidia, words):
    sentence = _other_torch(cuda, accelerated, nvidia)
    assert words in sentence
    assert bool(sentence) == bool(words)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_writes_the_best_so_far(files, kind, mask, picture):
    words = ["restore", "photo.png", "--mask", "mask.png", "-o", "out.png", "--iterations", "100000"]
    words += ["--preview-every", "1", "--record", "run.json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "untaught", *words], cwd=files, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 90
    while not (files / "out.preview.png").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "it was interrupted; wrote out.png" in " ".join(errors.split())
    assert "Traceback" not in errors
    out = np.asarray(Image.open(files / "out.png"))
    np.testing.assert_array_equal(out[mask], picture[mask])
    assert json.loads((files / "run.json").read_text())["result"]["stop_reason"] == "it was interrupted"


def test_alpha_and_sixteen_bits_come_through(files, mask):
    rng = np.random.default_rng(0)
    deep = rng.integers(1, 65535, (24, 20, 4), np.uint16)
    (files / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    assert run("inpaint", "deep.png", "--mask", "mask.png", "-o", "deep-out.png", *FAST, folder=files) == 0
    out = imagecodecs.png_decode((files / "deep-out.png").read_bytes())
    assert out.dtype == np.uint16
    assert out.shape == deep.shape
    np.testing.assert_array_equal(out[..., 3], deep[..., 3])
    np.testing.assert_array_equal(out[mask], deep[mask])


def test_sigterm_has_its_own_meaning_again_afterwards(files):
    seen = []
    previous = signal.signal(signal.SIGTERM, lambda *_: seen.append("mine"))
    try:
        assert run("restore", "photo.png", "-o", "out.png", *FAST, folder=files) == 0
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert seen == ["mine"]


def test_it_works_outside_the_main_thread(files):
    codes = []
    words = ["restore", str(files / "photo.png"), "-o", str(files / "out.png"), *FAST]
    thread = threading.Thread(target=lambda: codes.append(cli.main(words)))
    thread.start()
    thread.join()
    assert codes == [0]
    assert (files / "out.png").exists()


def test_a_name_with_markup_is_printed_as_it_is(files, capsys):
    assert run("restore", "photo.png", "-o", "scan[red].png", *FAST, folder=files) == 0
    assert "wrote scan[red].png" in capsys.readouterr().err
    assert run("restore", "no[/]thing.png", "-o", "out.png", folder=files) == 2
    assert "no[/]thing.png" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_letters_that_the_terminal_lacks_are_escaped(files, errors):
    (files / "photo.png").rename(files / "größe ▀.png")
    words = ["inspect", "größe ▀.png"]
    environment = {**os.environ, "PYTHONIOENCODING": f"ascii:{errors}", "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-X", "utf8=0", "-m", "untaught", *words]
    done = subprocess.run(command, cwd=files, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    done.stdout.decode("ascii")


def test_a_task_refuses_what_a_record_adds(files, capsys):
    run("restore", "photo.png", "-o", "out.png", "--record", "run.json", *FAST, folder=files)
    record = json.loads((files / "run.json").read_text())
    for change, expected in (({"kep_known": True}, "did you mean keep_known?"), ({"keep_known": 3}, "keep_known is")):
        (files / "changed.json").write_text(json.dumps({**record, "options": {**record["options"], **change}}))
        assert run("repeat", "changed.json", "-o", "again.png", folder=files) == 2
        assert expected in capsys.readouterr().err


def test_a_foreign_record_does_not_decide_what_is_imported(tmp_path, files, capsys, monkeypatch):
    """Every command that reads a record asks before it imports a model that the record names."""
    (tmp_path / "foreign_model.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    record = tmp_path / "record.json"
    request = {
        "task": "activate",
        "files": {},
        "options": {"model": "foreign_model:f", "layer": "0", "unit": 0, "size": [16, 16], "mean": None, "std": None},
        "seed": 0,
        "recipe": untaught.find_recipe("activate", "fast").record(),
        "engine": {"device": "cpu", "precision": "float32"},
    }
    record.write_text(json.dumps(request))
    picture = str(files / "clean.png")
    for words in (
        ["repeat", str(record), "-o", str(tmp_path / "out.png")],
        ["compare", picture, picture, "--reference", picture, "--baselines", str(record)],
    ):
        assert cli.main(words) == 2
        assert "allow it by --model foreign_model:f" in capsys.readouterr().err


def test_a_checkpoint_that_the_user_names_is_never_removed(tmp_path, files):
    kept = tmp_path / "keep"
    kept.write_text("of the user")
    words = ["inpaint", "photo.png", "--mask", "mask.png", "-o", "out.png", "--checkpoint", "keep"]
    assert run(*words, "--checkpoint-every", "0", *FAST, folder=files) == 0
    assert kept.read_text() == "of the user"
