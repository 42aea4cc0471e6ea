# Development commands; `make help` lists them. Each target sets up the virtual environment as far
# as it needs, again only when pyproject.toml has changed.
# ARGS are passed on: make run ARGS="--port 9000", make test ARGS="tests/unit -x".
# Another Python has an environment of its own: make unit PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
# Most tests wait for processes, so there are more workers than cores.
PYTEST := $(BIN)/python -m pytest -n 6 --dist worksteal

.PHONY: help run test unit check lint chaos fuzz bench screenshots wheel clean

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: $(VENV)/run.stamp  ## Run all tiers on one machine
	@exec $(BIN)/pacifica-dispatcher standalone $(ARGS)

test: $(VENV)/test.stamp  ## Run all tests; those whose server is missing are skipped
	$(PYTEST) $(ARGS)

unit: $(VENV)/test.stamp  ## Run the unit tests that need no server
	$(PYTEST) tests/unit -m "not server" $(ARGS)

lint: $(VENV)/check.stamp  ## Check formatting, style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## Run lint and all tests

chaos: $(VENV)/test.stamp  ## Kill processes and servers at random, and check the guarantees
	$(BIN)/python -m chaos $(ARGS)

fuzz: $(VENV)/fuzz.stamp  ## Fuzz the parsers
	$(BIN)/python -m fuzz $(ARGS)

bench: $(VENV)/test.stamp  ## Measure throughput, latency and memory
	$(BIN)/python -m benchmarks $(ARGS)

screenshots: $(VENV)/test.stamp  ## Take the screenshots of the documentation
	$(BIN)/python -m tests.screenshots docs/screenshots

wheel: $(VENV)/run.stamp  ## Build the wheel in dist
	$(RM) -r build dist
	$(PIP) wheel --no-deps --wheel-dir dist .

clean:  ## Delete the environments and everything built
	$(RM) -r .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	$(RM) -r .import_linter_cache .hypothesis

$(VENV)/run.stamp: pyproject.toml
	@echo "Installing into $(VENV) (once; it takes a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade pip
	@$(PIP) install --editable .
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	@$(PIP) install --group test
	@touch $@

$(VENV)/fuzz.stamp: $(VENV)/test.stamp
	@$(PIP) install --group fuzz
	@touch $@

$(VENV)/check.stamp: $(VENV)/test.stamp
	@$(PIP) install --group check
	@touch $@
