"""Workers on other machines, by Dask: those of a scheduler that is there, or of a cluster that is asked for them."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from typing import Any

from untaught.errors import InputError

__all__ = ["CLUSTERS", "connected", "make_cluster"]

CLUSTERS = {
    "slurm": ("dask_jobqueue", "SLURMCluster"),
    "pbs": ("dask_jobqueue", "PBSCluster"),
    "lsf": ("dask_jobqueue", "LSFCluster"),
    "sge": ("dask_jobqueue", "SGECluster"),
    "kubernetes": ("dask_kubernetes.operator", "KubeCluster"),
}
"""Module and class of each kind."""

_CONNECT_SECONDS = 30


@contextlib.contextmanager
def connected(
    scheduler: str | None = None, cluster: str | None = None, workers: int = 1, options: Mapping[str, Any] | None = None
) -> Iterator[Executor]:
    """An executor for `batch`.

    Args:
        scheduler: address of a Dask scheduler, such as tcp://head:8786.
        cluster: instead, a name among `CLUSTERS`; its workers are given back when the context ends.
        workers: how many the cluster is asked for. One that is lost, also by the end of its time, is asked for again.
        options: of the cluster, as its library takes them.

    Raises:
        InputError: for a library that is not installed, a scheduler that does not answer, and what a library refuses.
    """
    distributed = _library("distributed")
    with contextlib.ExitStack() as stack:
        address: Any = scheduler
        if cluster is not None:
            address = stack.enter_context(contextlib.closing(make_cluster(cluster, options or {})))
            address.adapt(minimum=workers, maximum=workers)
        try:
            client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"there is no Dask scheduler at {scheduler}: {error}") from error
        stack.enter_context(client)
        # A picture that is handed in again is no answer of before.
        yield client.get_executor(pure=False)


def make_cluster(name: str, options: Mapping[str, Any]) -> Any:
    """A cluster by its name, without workers.

    Raises:
        InputError: for a library that is not installed, options that it refuses, and a machine that hands in no jobs.
    """
    module, kind = CLUSTERS[name]
    made = getattr(_library(module), kind)
    command = getattr(getattr(made, "job_cls", None), "submit_command", None) or ""
    command = command.partition(" ")[0]
    if command and shutil.which(command) is None:
        raise InputError(f"{name} takes its jobs by {command}, which is not on this machine: choose one that has it")
    try:
        return made(**options)
    # Each library has errors of its own.
    except Exception as error:
        raise InputError(f"{name} refuses the options of the cluster: {error}") from error


def _library(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        extra = "dask-kubernetes" if package == "dask-kubernetes" else '"untaught[cluster]"'
        raise InputError(
            f"workers elsewhere are reached by {package}, which is not installed: pip install {extra}"
        ) from error
