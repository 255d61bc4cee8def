# `make` alone lists the targets. Each one creates or refreshes .venv first when it has to.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
BENCHMARKS = $(filter-out chaos doors judges mutants record,$(patsubst %.py,%,$(notdir $(wildcard tests/benchmarks/[a-z]*.py))))

# One thread per process: Ray runs several processes, and torch threads that compete for the same
# cores are many times slower than one.
export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false
# The demo and the tests use the embedded sandbox, so nothing has to be fetched or reported.
export HF_HUB_OFFLINE := 1
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help venv demo loop test check bench chaos compat format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## create .venv with the pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: try make PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]' -c constraints.txt
	@touch $@

demo: $(STAMP) ## first pairs, then a small loop, on the embedded sandbox: minutes on a laptop
	$(BIN)/python -m jobs.demo

loop: $(STAMP) ## the loop on the embedded sandbox at the size that can promote
	$(BIN)/python -m jobs.loop

# Two processes, to each a file at a time: what is slow mostly waits for processes that start. Files
# are given out in the order of tests/conftest.py, and what ARGS says of the same options counts.
test: $(STAMP) ## the test suite (ARGS="-m 'not slow'" for the quick part)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(STAMP) ## ruff, mypy --strict, import-linter; pip-audit where it is installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if test -x $(BIN)/pip-audit; then $(BIN)/pip-audit --skip-editable; \
	else echo "pip-audit is not installed: no audit of the dependencies"; fi

bench: $(STAMP) ## run every module in tests/benchmarks
	@test -n "$(BENCHMARKS)" || { echo "tests/benchmarks has no modules" >&2; exit 1; }
	@set -e; for name in $(BENCHMARKS); do \
		echo "== $$name"; $(BIN)/python -m tests.benchmarks.$$name; done

chaos: $(STAMP) ## 200 faults against produce and curate (ARGS="--faults 20 --minutes 5" for fewer)
	$(BIN)/python -m tests.benchmarks.chaos $(ARGS)

compat: $(STAMP) ## exports in their trainers, and judges beside torchvision (ARGS="--install" makes environments)
	$(BIN)/python -m tests.compat $(ARGS)

format: $(STAMP) ## apply ruff's fixes and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches and build output; .venv and runs/ stay
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +
