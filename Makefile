# Everything runs from .venv, which `make install` builds. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The Python that .venv is built with: PYTHON=/path/to/python3.12 make install. Without it, the
# first of these that is 3.11, 3.12 or 3.13.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	if command -v $$p >/dev/null 2>&1 && $$p -c '$(SUPPORTED)' 2>/dev/null; then echo $$p; break; fi; done)
endif

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_ARGS ?=
# Files of tests side by side, one more than cores, since many tests wait for other processes;
# PYTEST_WORKERS=0 runs them in one process, for a debugger.
PYTEST_WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))
PARALLEL := -n $(PYTEST_WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Coverage is demanded of the whole run only: a part of the tests covers a part of the code.
COVERAGE := --cov=cfcre $(if $(strip $(PYTEST_ARGS)),,--cov-fail-under=85)
CODE := cfcre components pipelines tests benchmarks k8s

.PHONY: help install demo test lint typecheck format bench images clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | \
		while IFS=$$'\t' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

install: $(STAMP) ## build .venv with everything, at the versions of constraints.txt

# The stamp is written last: an interrupted installation is done again, a finished one is not.
$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: found no Python 3.11, 3.12 or 3.13; install one, or name one: make install PYTHON=/path/to/python3.12" >&2; exit 2; fi
	@if ! "$(PYTHON)" -c '$(SUPPORTED)'; then \
		echo "error: $(PYTHON) is $$("$(PYTHON)" --version 2>&1 | head -n 1); cfcre needs 3.11, 3.12 or 3.13; name one: make install PYTHON=/path/to/python3.12" >&2; exit 2; fi
	@if [ -x $(BIN)/python ] && ! $(BIN)/python -c '$(SUPPORTED)' 2>/dev/null; then \
		echo "error: $(VENV) holds an unusable or unsupported Python; run 'make clean' and try again" >&2; exit 2; fi
	@if ! [ -x $(BIN)/pip ]; then "$(PYTHON)" -m venv $(VENV) || { \
		echo "error: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu install python3-venv" >&2; exit 2; }; fi
	@echo "installing into $(VENV) at the versions of constraints.txt; the first time this takes minutes"
	@$(BIN)/pip install --disable-pip-version-check --progress-bar off -qq -c constraints.txt -e '.[offline,dev]'
	@touch $@

demo: install ## the main job: three batches dropped, learned, judged and registered
	$(BIN)/cfcre demo

test: install ## all tests, with coverage of cfcre (PYTEST_ARGS='-m "not slow" -k gate' for a part)
	$(BIN)/python -m pytest $(PARALLEL) $(COVERAGE) $(PYTEST_ARGS)

lint: install ## ruff: rules and format; import contracts
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/lint-imports

typecheck: install ## mypy --strict on cfcre
	$(BIN)/mypy

format: install ## rewrite the code in ruff's format, with the fixes that are safe
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: install ## the benchmarks: steps a second, predictions a second, stages of a task
	@set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

images: ## the two container images, with docker or buildah (docs/images.md; VARIANT=cuda for GPUs)
	k8s/images/build.sh

clean: ## remove .venv, caches and what the demo left
	rm -rf $(VENV) .cfcre .coverage .coverage.* htmlcov build dist *.egg-info \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
