# make demo: watch it work. make test: the suite. Both set themselves up; PYTHON picks the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development
RELEASE := $(VENV)/.release
BENCH := $(VENV)/.bench
IMAGE := $(VENV)/image
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# $(call locked,SET): install constraints.txt down to the end of a set, each file by its hash, nothing beside it.
locked = sed '/^\# end of $(1)$$/q' constraints.txt | \
  $(PIP) install --require-hashes --no-build-isolation --use-pep517 --requirement /dev/stdin
SELF := --no-index --no-deps --no-build-isolation

.PHONY: demo test faults check bench lock sbom clean
.DELETE_ON_ERROR:

$(RUNTIME): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or newer, or call make PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) --version) is too old: call make PYTHON=python3.11 or newer."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "The venv module is missing: on Debian, apt-get install python3-venv."; exit 1; }
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(call locked,build)
	@$(PIP) install $(SELF) --editable .
	@touch $@

$(DEVELOPMENT): $(RUNTIME)
	@$(call locked,dev)
	@touch $@

$(RELEASE): $(DEVELOPMENT)
	@$(call locked,release)
	@touch $@

$(BENCH): $(RELEASE)
	@$(call locked,bench)
	@touch $@

demo: $(RUNTIME)
	$(BIN)/hotbandd demo

test: $(DEVELOPMENT)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(TESTS)

faults: $(DEVELOPMENT)
	$(BIN)/python -m pytest $(if $(FAULT),'$(FAULT)',tests/faults) $(if $(SEED),--seed $(SEED),--full)

check: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml config/compose/dask.yaml config/compose/cluster.yaml
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml hotbandd kernels
	$(BIN)/python -m pip check

bench: $(BENCH)
	$(BIN)/python -m benchmarks.kernels
	$(BIN)/python -m benchmarks.pool
	$(BIN)/python -m benchmarks.backtest
	$(BIN)/python -m benchmarks.evaluator
	$(BIN)/python -m benchmarks.toolchain
	$(BIN)/python -m benchmarks.room

# UPGRADE=all takes the newest version of every dependency, UPGRADE=NAME that of one.
lock:
	@test -x $(BIN)/uv || $(MAKE) $(RELEASE)
	$(BIN)/python .ci/lock.py $(if $(UPGRADE),$(if $(filter all,$(UPGRADE)),--upgrade,--upgrade-package $(UPGRADE)))

# What the container image holds of Python, webhooks included, as CycloneDX.
sbom: $(RELEASE)
	@rm -rf $(IMAGE) dist
	@$(PYTHON) -m venv --without-pip $(IMAGE)
	@sed '/^\# build$$/,/^\# end of build$$/d; /^\# end of notify$$/q' constraints.txt | \
	  $(PIP) --python $(IMAGE)/bin/python install --require-hashes --no-build-isolation --requirement /dev/stdin
	@$(PIP) wheel $(SELF) --wheel-dir dist .
	@$(PIP) --python $(IMAGE)/bin/python install $(SELF) dist/hotband-*.whl
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible --validate \
	  --output-format JSON --output-file dist/sbom.cdx.json $(IMAGE)/bin/python
	@echo "dist/sbom.cdx.json: $$(grep -c '"bom-ref"' dist/sbom.cdx.json) components, valid"

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
