"""Estimated memory against measured peaks, and the free memory under every kind of limit."""

import os
import subprocess
import sys

import pytest
import torch

from untaught.backend.engine import choose_engine
from untaught.backend.memory import available_memory
from untaught.fitting.memory import needed_memory
from untaught.recipes import find_recipe

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# One process loads torch; each measurement is made in a copy of it, whose peak begins where it was.
MEASURE = """
import os, sys, numpy as np
from untaught.tasks.preparation import prepare
import untaught.fitting.run, untaught.tasks.restore, untaught.tasks.inpaint
def told(name):
    return 1024 * int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith(name)))
for line in sys.stdin:
    task, recipe, precision, kernels = line.split()
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    os.environ["UNTAUGHT_KERNELS"] = kernels
    draw = np.random.default_rng(0)
    picture, known = draw.random((320, 320)), draw.random((320, 320)) > 0.5
    # The largest tile is completed first.
    picture[256:] /= 2
    picture[:, 256:] /= 2
    job = prepare(task, picture, known, recipe=recipe, device="cpu", precision=precision)
    before, code = told("VmRSS"), told("RssFile")
    for state in job.begin():
        if state.iteration == 2:
            break
    # Pages of libraries come into the copy as they are used.
    print(told("VmHWM") - before - (told("RssFile") - code), flush=True)
    os._exit(0)
"""
FORMS = {"float32": ("float32", "auto"), "bfloat16": ("bfloat16", "auto"), "without kernels": ("float32", "off")}


@pytest.fixture(scope="module")
def measuring():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", MEASURE], stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.stdin.close()


@linux
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("task", "name"), [("restore", "balanced"), ("inpaint", "balanced"), ("restore", "printed")])
def test_the_estimate_is_within_a_factor_of_two_above_the_measured_peak(measuring, task, name, form, monkeypatch):
    precision, kernels = FORMS[form]
    if os.environ.get("UNTAUGHT_KERNELS") == "off":
        kernels = "off"
    monkeypatch.setenv("UNTAUGHT_KERNELS", kernels)
    measuring.stdin.write(f"{task} {name} {precision} {kernels}\n")
    measuring.stdin.flush()
    took = int(measuring.stdout.readline())
    needed = needed_memory(find_recipe(task, name), 1, (320, 320), choose_engine("cpu", precision))
    assert 0.9 * took < needed < 2 * took


def test_the_free_memory_of_a_processor_is_known():
    free = available_memory(torch.device("cpu"))
    assert free is not None
    assert free > 1e8


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def test_a_control_group_of_version_2_limits_what_is_free(root):
    (root / "proc/self/cgroup").write_text("0::/user/fit\n")
    groups = root / "sys/fs/cgroup"
    stat = "anon 40000000\ninactive_file 5000000"
    group(groups / "user/fit", memory__max="max", memory__current="50000000", memory__stat=stat)
    group(groups / "user", memory__max="70000000", memory__current="60000000", memory__stat=stat)
    assert available_memory(torch.device("cpu"), root) == 15_000_000
    group(groups / "user/fit", memory__max="52000000")
    assert available_memory(torch.device("cpu"), root) == 7_000_000


def test_a_control_group_of_version_1_limits_what_is_free(root):
    (root / "proc/self/cgroup").write_text("5:cpu:/\n4:memory,hugetlb:/docker/0123\n0::/\n")
    limits = {"memory__limit_in_bytes": "90000000", "memory__usage_in_bytes": "80000000"}
    # In a container the group itself is mounted as the root.
    group(root / "sys/fs/cgroup/memory", **limits, memory__stat="total_inactive_file 1000000")
    assert available_memory(torch.device("cpu"), root) == 11_000_000


def test_a_group_over_its_limit_leaves_nothing(root):
    (root / "proc/self/cgroup").write_text("0::/\n")
    group(root / "sys/fs/cgroup", memory__max="1000", memory__current="2000")
    assert available_memory(torch.device("cpu"), root) == 0


def test_without_control_groups_the_machine_decides(root):
    assert available_memory(torch.device("cpu"), root) > 1e8


@linux
def test_a_resource_limit_is_respected():
    code = """
import os, resource, torch
from untaught.backend.memory import available_memory
for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    free = available_memory(torch.device("cpu"))
    resource.setrlimit(limit, (2 * 10**9, resource.RLIM_INFINITY))
    print(available_memory(torch.device("cpu")) < min(free, 2e9), flush=True)
    os._exit(0)
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["True", "True"]


def test_other_accelerators_do_not_tell():
    assert available_memory(torch.device("mps")) is None
