"""The environment of our own processes; the library leaves that of its host alone."""

import os
import subprocess
import sys

import pytest

from untaught.processes import environment, locked


def test_the_users_choice_stands():
    assert environment({})["GOMP_SPINCOUNT"] == "1000"
    assert environment({"GOMP_SPINCOUNT": "7"})["GOMP_SPINCOUNT"] == "7"


def test_a_host_keeps_its_environment():
    code = (
        # threadpoolctl sets a variable of its own when it is loaded.
        "import os, threadpoolctl; before = dict(os.environ)\n"
        "import numpy as np, untaught\n"
        "untaught.restore(np.full((16, 16), 9, np.uint8), np.arange(256).reshape(16, 16) % 3 > 0, iterations=2)\n"
        "from untaught.cli import main\nmain(['--version'])\n"
        "assert dict(os.environ) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_a_lock_has_one_holder_until_it_is_closed(tmp_path):
    held = locked(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        locked(tmp_path / "lock")
    held.close()
    locked(tmp_path / "lock").close()


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import pathlib, sys, time\nfrom untaught.processes import locked\n"
        "held = locked(pathlib.Path(sys.argv[1]))\nprint(1, flush=True)\ntime.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(BlockingIOError):
            locked(tmp_path / "lock")
        process.kill()
    locked(tmp_path / "lock").close()
