# One command for each thing: `make run`, `make test`, `make check`, `make chaos`, `make fuzz`,
# `make bench`, `make screenshots`, `make wheel`.
# Each sets up .venv as far as it needs it, again only when pyproject.toml has changed.
# ARGS are handed on: make run ARGS="--port 9000", make test ARGS="tests/unit -x".

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

.PHONY: run test check chaos fuzz bench screenshots wheel clean

run: $(VENV)/run.stamp
	@exec $(BIN)/pacifica-dispatcher standalone $(ARGS)

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/check.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

chaos: $(VENV)/test.stamp
	$(BIN)/python -m chaos $(ARGS)

fuzz: $(VENV)/fuzz.stamp
	$(BIN)/python -m fuzz $(ARGS)

bench: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks $(ARGS)

screenshots: $(VENV)/test.stamp
	$(BIN)/python -m tests.screenshots docs/screenshots

wheel: $(VENV)/run.stamp
	$(RM) -r build dist
	$(PIP) wheel --no-deps --wheel-dir dist .

clean:
	$(RM) -r $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
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
