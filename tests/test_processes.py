"""The environment of our own processes; the library leaves that of its host alone."""

import os
import subprocess
import sys

from untaught.processes import environment


def test_the_users_choice_stands():
    assert environment({})["GOMP_SPINCOUNT"] == "1000"
    assert environment({"GOMP_SPINCOUNT": "7"})["GOMP_SPINCOUNT"] == "7"


def test_a_host_keeps_its_environment():
    code = (
        "import os; before = dict(os.environ)\n"
        "import numpy as np, untaught\n"
        "untaught.restore(np.full((16, 16), 9, np.uint8), np.arange(256).reshape(16, 16) % 3 > 0, iterations=2)\n"
        "from untaught.cli import main\nmain(['--version'])\n"
        "assert dict(os.environ) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
