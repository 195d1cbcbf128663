"""Builds the kernels when the package is built; without a compiler the package is built without them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path("src/untaught/backend/kernels")
# One library for each kind of processor, so that a package works on another machine than the one that built it.
PROCESSORS = {
    "x86_64": {
        "avx2": ("-march=x86-64-v3",),
        "avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
        "avx512_bf16": ("-march=x86-64-v4", "-mavx512bf16", "-mprefer-vector-width=512"),
    },
}
# Threads are torch's own: the library is not linked with an OpenMP of its own, and finds torch's when it is loaded.
COMPILE = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-Wno-psabi")


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles the kernels of src/untaught/backend/kernels into shared libraries beside their source."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile; what cannot be compiled is left out, and said."""
        processors = PROCESSORS.get(platform.machine(), {}) if sys.platform == "linux" else {}
        compiler = (
            shutil.which(os.environ.get("CXX", ""))
            or shutil.which("c++")
            or shutil.which("g++")
            or shutil.which("clang++")
        )
        if not processors or compiler is None:
            self.app.display_warning("untaught: no C++ compiler for this system, so steps will run without kernels")
            return
        root = Path(self.root) / ROOT
        running = {
            name: subprocess.Popen(  # noqa: S603
                [compiler, *COMPILE, *flags, "-c", "kernels.cpp", "-o", f"kernels_{name}.o"], cwd=root
            )
            for name, flags in processors.items()
        }
        for name, process in running.items():
            compiled, target = root / f"kernels_{name}.o", root / f"kernels_{name}.so"
            link = [compiler, "-shared", str(compiled), "-o", str(target)]
            if process.wait() or subprocess.run(link, check=False).returncode:  # noqa: S603
                self.app.display_warning(f"untaught: the kernels for {name} could not be built, so they are left out")
                continue
            compiled.unlink()
            build_data["artifacts"].append(f"/{ROOT}/{target.name}")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-linux_{platform.machine()}"
