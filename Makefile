# Everything lives in .venv; `make demo` and `make test` each make it if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
# Half as many again as there are cores, handed out one by one: the tests of real processes take long and mostly wait.
WORKERS = $(shell $(PYTHON) -c "import os; print((3 * (os.cpu_count() or 1) + 1) // 2)")

.PHONY: demo test thorough test-lowest check bench gpu faults screens clean

demo: $(VENV)/.installed
	$(BIN)/innate run quick

# A test starts hundreds of processes of the program: they find its modules compiled, as a user's do.
test: $(VENV)/.test
	$(MAKE) check
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(WORKERS) --maxschedchunk 1 -m "not benchmark"

# Every parameter and every repetition: `make test` leaves out those that ask for the same in other places.
thorough:
	INNATE_THOROUGH=1 $(MAKE) test

# The suite with the oldest dependencies that pyproject.toml allows, in an environment of its own: another torch is fetched.
test-lowest: $(LOWEST)/.test
	$(LOWEST)/bin/python -m pytest -n $(WORKERS) --maxschedchunk 1 -m "not benchmark"

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Each table is a file of tests/benchmarks. INNATE_BENCH_IMAGES=100 gives a first look in a few minutes.
bench: $(VENV)/.bench
	$(BIN)/python -m pytest -m benchmark -s tests/benchmarks

# Ten minutes at most, on one card; skipped without CUDA. INNATE_GPU_TABLE=FILE keeps the table. More: tests/gpu/__init__.py
gpu: $(VENV)/.bench
	$(BIN)/python -m pytest -s tests/gpu

faults: $(VENV)/.test
	INNATE_KILLS=200 $(BIN)/python -m pytest -s tests/faults

screens: $(VENV)/.test
	$(BIN)/python -m tests.screens.make

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# --no-compile: a module is compiled when it is first imported, and two thirds of torch and its companions never are.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --editable ".[test,check,parity]"
	touch $@

$(LOWEST)/.test: pyproject.toml .ci/lowest.py
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python .ci/lowest.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/constraints.txt --editable ".[test,parity]"
	touch $@

# torchattacks pins requests to a version of 2020, which it does not import and which the other libraries cannot take.
$(VENV)/.bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable ".[test,check,parity,bench]"
	$(BIN)/python -m pip install --quiet --no-deps torchattacks==3.5.1
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
