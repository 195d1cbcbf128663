"""The environment of processes that are ours: the command line and the studio's workers.

The library itself changes nothing in the process that imports it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["environment"]


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment with what has to be set before torch is loaded, unless the user has set it.

    Threads of OpenMP that wait for each other spin for a few microseconds only. Beside other work a fit would take
    several times as long otherwise: docs/lab-notes/anytime.md.

    Args:
        given: the environment to begin with; that of this process if None.
    """
    return {"GOMP_SPINCOUNT": "1000", **(os.environ if given is None else given)}
