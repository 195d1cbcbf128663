"""Compiles the kernels beside their sources: ``python -m untaught.kernels.build``.

The package's build runs this file by itself, before anything of it is installed, so it needs the standard library only.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["compile_all", "source_hash"]

FOLDER = Path(__file__).parent

# One library per kind of processor, so that a package also runs on another machine than the one that built it.
PROCESSORS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "avx2": ("-march=x86-64-v3",),
        "avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
        "avx512_bf16": ("-march=x86-64-v4", "-mavx512bf16", "-mprefer-vector-width=512"),
    },
}
# Compiled with OpenMP and linked without: the library uses torch's own, which is found when it is loaded.
COMPILE = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-Wno-psabi")


def source_hash(folder: Path = FOLDER) -> str:
    """Hash of everything that a library is compiled from, this file with its options included."""
    sources = sorted(path for path in folder.iterdir() if path.suffix in (".h", ".cpp") or path.name == "build.py")
    hasher = hashlib.sha256()
    for path in sources:
        hasher.update(path.name.encode() + path.read_bytes())
    return hasher.hexdigest()[:16]


def compile_all(folder: Path = FOLDER) -> tuple[list[Path], list[str]]:
    """Compile a library for each kind of processor, at the same time.

    Returns:
        The libraries, and one sentence for each that could not be compiled.
    """
    processors = PROCESSORS.get(platform.machine(), {}) if sys.platform == "linux" else {}
    if not processors:
        return [], [f"there are no kernels for {sys.platform} on {platform.machine()}"]
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    compiler = next((found for found in map(shutil.which, names) if found), None)
    if compiler is None:
        return [], ["there is no C++ compiler on this system"]
    version = f'-DUNTAUGHT_VERSION="{source_hash(folder)}"'
    running = {
        name: subprocess.Popen(  # noqa: S603
            [compiler, *COMPILE, *flags, version, "-c", "kernels.cpp", "-o", f"{name}.o"],
            cwd=folder,
        )
        for name, flags in processors.items()
    }
    made, failed = [], []
    for name, process in running.items():
        link = [compiler, "-shared", f"{name}.o", "-o", f"{name}.building"]
        done = process.wait() == 0 and subprocess.run(link, cwd=folder, check=False).returncode == 0  # noqa: S603
        (folder / f"{name}.o").unlink(missing_ok=True)
        if not done:
            failed.append(f"the kernels for {name} could not be compiled")
        else:
            # Replaced as a whole: a process that has the old library in memory keeps it.
            made.append((folder / f"{name}.building").replace(folder / f"kernels_{name}.so"))
    return made, failed


if __name__ == "__main__":
    libraries, failures = compile_all()
    for library in libraries:
        sys.stdout.write(f"{library}\n")
    sys.exit("\n".join(failures) or None)
