# The everyday commands, the same everywhere. `make check` is what a change has to pass.
PYTHON ?= python3
BIN := .venv/bin
# A process for each processor, and one thread in each: several threads in each would wait for one another.
PYTEST := env OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
# Tests that depend on the machine: they run in the modes of `make modes`, those of threads with the core of them.
CORE := tests/backend tests/fitting/test_run.py tests/fitting/test_loop.py tests/fitting/test_same_bits.py tests/test_guest.py
CHOSEN := tests/backend tests/fitting tests/test_guest.py tests/test_seams.py
KERNELS := src/untaught/kernels

.PHONY: demo test check lint docs wheel modes browser format clean

demo: .venv/installed  ## restore two bundled photographs; the last line says where they are
	$(BIN)/untaught demo --output demo

test: .venv/installed  ## the tests, but for the slow ones; those of the studio's page are skipped without a Chromium
	@command -v chromium >/dev/null || echo "no chromium: the tests of the studio's page are skipped (make browser)"
	$(PYTEST)

check: lint docs test modes  ## lint, types, all tests, and the chosen ones as on other machines
	$(PYTEST) -m "slow and not timed"
	$(BIN)/python -m pytest -m timed  # one after the other, with nothing beside it

lint: .venv/installed  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed  ## the documentation as a site, build/docs/index.html; any warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -d build/doctrees docs build/docs

wheel: .venv/installed  ## sdist and manylinux wheel into dist, tried in a fresh environment without a compiler
	$(BIN)/python -m benchmarks.wheel

modes: .venv/installed  ## the chosen tests in float32, without kernels, with one thread, and beside two busy processes
	UNTAUGHT_PRECISION=float32 $(PYTEST) $(CHOSEN)
	UNTAUGHT_KERNELS=off $(PYTEST) $(CHOSEN)
	$(BIN)/python -m pytest $(CORE)  # one process, all threads
	$(BIN)/python -m benchmarks.busy 2 $(PYTEST) $(CORE)

browser:  ## a Chromium by Debian's package manager, for the tests of the studio's page (needs root)
	command -v chromium >/dev/null || { apt-get update && apt-get install --yes --no-install-recommends chromium; }

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(KERNELS)/*.h $(KERNELS)/*.cpp

.venv/installed: pyproject.toml constraints.txt hatch_build.py $(KERNELS)/build.py $(wildcard $(KERNELS)/*.h $(KERNELS)/*.cpp)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv demo build dist docs/examples docs/reference/api
