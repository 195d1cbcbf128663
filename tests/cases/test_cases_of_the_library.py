"""The library as a guest, and runs that must not be lost. Most of these kinds are tested closer to their code."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import untaught
from untaught.errors import UntaughtError

CASES = Path(__file__).resolve().parents[3] / "shared/data/cases"
PICTURE = torch.rand((1, 1, 32, 32), generator=torch.Generator().manual_seed(0))


def python(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300, check=True).stdout


@pytest.mark.slow
@pytest.mark.usefixtures("case")
@pytest.mark.parametrize("kind", ["float64", "float16", "bfloat16"])
def test_api_02_another_default_type(kind):
    lines = python("repro.py", kind).splitlines()
    assert len(lines) == 10
    assert all(" loss " in line and "nan" not in line for line in lines), lines


def test_api_08_fit_says_what_is_wrong(tiny):
    def end(*given, **options):
        run = untaught.fit(*given, **{"recipe": tiny, **options})
        return run, run.finish()

    assert end(PICTURE * 4000, value_range=(0, 4000), iterations=60)[1].picture.max() > 1000
    for observed in (PICTURE * 4000, (PICTURE * 1000).int()):
        with pytest.raises(UntaughtError, match="value_range"):
            end(observed)
    with pytest.raises(UntaughtError, match="value_range"):
        end((PICTURE * 1000).int(), lambda x: x)
    free = dataclasses.replace(tiny, network=dataclasses.replace(tiny.network, head="none"))
    _, result = end(torch.full((1, 1, 32, 32), -0.5), recipe=free)
    assert "clip=False" in " ".join(result.notes)
    with pytest.raises(UntaughtError, match="channels=3"):
        end(PICTURE, channels=3)
    with pytest.raises(UntaughtError, match="operator"):
        end(PICTURE, lambda x: x.mean(2, keepdim=True))
    held = dataclasses.replace(tiny, stopping=untaught.HeldOut(every=2))
    run, _ = end(torch.rand(1, 500), lambda x: x.flatten(1)[:, :500], channels=1, size=(32, 32), recipe=held)
    assert run.finished
    run = untaught.fit(PICTURE, recipe=tiny)
    for state in run:
        if state.iteration == 5:
            break
    assert "left" in str(run.restoration().stop_reason.value)
    run = untaught.fit(PICTURE, recipe=tiny)
    for state in run:
        state.average.numpy()[...] = np.nan
    assert run.restoration().picture.isfinite().all()


@pytest.mark.slow
@pytest.mark.usefixtures("case")
def test_api_09_errors_are_our_own():
    ours = ("InputError", "SettingError", "UntaughtError", "FieldError")
    for line in python("repro.py").splitlines():
        assert line.startswith("ok ") or any(kind in line for kind in ours), line


SCRIPTS = {
    # The exit codes that the script prints, in its order, and words of its output.
    "10": ([0, 2, 2, 0, 2], "picture written: o.png"),
    "11": ([2, 2, 2, 0, 0, 0], "the output and --record are the same file"),
    "12": ([0, 0, 0, 0], "character special file"),
    "14": ([0, 0, 0, 2, 2, 0, 2], "is larger than the picture"),
}


def script(tmp_path, number):
    codes, words = SCRIPTS[number]
    for name, more in (("python", ""), ("untaught", "-m untaught ")):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {more}"$@"\n')
        program.chmod(0o755)
    found = next(CASES.glob(f"api-{number}-*"))
    # One of them calls itself by the name without api-.
    folder = tmp_path / found.name.removeprefix("api-")
    shutil.copytree(found, folder, copy_function=shutil.copyfile)
    shutil.copyfile(CASES / "api-common.sh", tmp_path / "api-common.sh")
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        ["bash", f"{folder.name}/repro.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
    )
    said = ended.stdout + ended.stderr
    assert [int(code) for code in re.findall(r"^exit (\d+):", said, re.MULTILINE)] == codes, said
    assert words in said
    assert "untaught/" not in "".join(line for line in said.splitlines() if line.lstrip().startswith("File "))


@pytest.mark.slow
@pytest.mark.usefixtures("case")
def test_api_10_a_full_or_read_only_disk(tmp_path):
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root mounts disks")
    script(tmp_path, "10")


@pytest.mark.slow
@pytest.mark.usefixtures("case")
def test_api_11_outputs_and_inputs(tmp_path):
    script(tmp_path, "11")


@pytest.mark.slow
@pytest.mark.usefixtures("case")
def test_api_12_special_files(tmp_path):
    if os.geteuid():
        pytest.skip("only root makes devices")
    script(tmp_path, "12")


@pytest.mark.slow
@pytest.mark.usefixtures("case")
def test_api_14_names_and_streams(tmp_path):
    script(tmp_path, "14")


@pytest.mark.slow
@pytest.mark.usefixtures("case")
def test_api_16_same_seed_same_bits():
    assert len({line.split()[-1] for line in python("repro.py").splitlines()}) == 1
