# make demo: watch it work. make test: the suite. Both set themselves up; PYTHON picks the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development
RIVALS := $(VENV)/.rivals
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: demo test faults check bench clean
.DELETE_ON_ERROR:

$(RUNTIME): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or newer, or call make PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) --version) is too old: call make PYTHON=python3.11 or newer."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "The venv module is missing: on Debian, apt-get install python3-venv."; exit 1; }
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) .
	@touch $@

$(DEVELOPMENT): $(RUNTIME)
	@$(INSTALL) '.[dev]'
	@touch $@

$(RIVALS): $(DEVELOPMENT)
	@$(INSTALL) '.[dev,rivals]'
	@touch $@

demo: $(RUNTIME)
	$(BIN)/hotbandd demo

test: $(DEVELOPMENT)
	$(BIN)/python -m pytest $(TESTS)

faults: $(DEVELOPMENT)
	$(BIN)/python -m pytest $(if $(FAULT),'$(FAULT)',tests/faults) $(if $(SEED),--seed $(SEED),--full)

check: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(RIVALS)
	$(BIN)/python -m benchmarks.kernels
	$(BIN)/python -m benchmarks.pool
	$(BIN)/python -m benchmarks.backtest
	$(BIN)/python -m benchmarks.evaluator
	$(BIN)/python -m benchmarks.toolchain

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
