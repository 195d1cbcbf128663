"""Compiles the kernels when the package is built; without a compiler the package is built without them."""

from __future__ import annotations

import platform
import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/untaught/kernels")


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles src/untaught/kernels into shared libraries beside their sources."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile, and warn of what cannot be compiled."""
        build = runpy.run_path(str(Path(self.root) / FOLDER / "build.py"))
        libraries, failures = build["compile_all"]()
        for failure in failures:
            self.app.display_warning(f"untaught: {failure}, so fits will run without compiled kernels")
        for library in libraries:
            build_data["artifacts"].append(f"/{FOLDER.as_posix()}/{library.name}")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-linux_{platform.machine()}"
