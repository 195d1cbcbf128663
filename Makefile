# The everyday commands, the same everywhere. `make check` is what a change has to pass.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format clean

demo: .venv/installed  ## restore two bundled photographs; the last line says where they are
	$(BIN)/untaught demo --output demo

test: .venv/installed  ## all tests; those of the studio's page want a Chromium, and are skipped where there is none
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& timeout 100 sh -c 'apt-get update && apt-get install --yes --no-install-recommends chromium' >/dev/null 2>&1; } \
		|| echo "no chromium: the tests of the studio's page are skipped"
	$(BIN)/python -m pytest

check: .venv/installed test  ## lint, types and all tests, the slow ones too
	$(BIN)/python -m pytest -m slow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i src/untaught/backend/kernels/*.h src/untaught/backend/kernels/*.cpp

.venv/installed: pyproject.toml constraints.txt hatch_build.py src/untaught/backend/kernels/kernels.cpp $(wildcard src/untaught/backend/kernels/*.h)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv demo
