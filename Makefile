# Everything a developer or CI does with Tamis. `make` alone explains itself.
#
# Each target that needs the environment depends on a stamp file, so the second call costs nothing; the stamp is
# renewed when pyproject.toml or a constraints file changes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.tamis-installed
EXTRAS := demo,tensorboard,embed,eval,dev

# pip itself says only what went wrong; we say one line a step. Where the home cannot be written, pip goes without
# its cache, in which it would otherwise fail to build wheels. Python compiles a module at its first import: of all that
# is installed few are imported, and compiling the others is a quarter of the time.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet

.PHONY: help
help: ## Explain the targets
	@echo "Tamis: raw crawl in, scored shards and token batches out."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## Create .venv and install Tamis with all its extras

# Any Python from 3.11 on that can make an environment will do; `PYTHON=/path/to/python3 make install` picks one.
$(BIN)/python:
	@for candidate in "$${PYTHON:-python3}" python3.11 python3.12 python3.13 python3 /usr/local/bin/python3; do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "== creating $(VENV) with $$("$$candidate" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
	    "$$candidate" -m venv $(VENV); exit 0; \
	  fi; \
	done; \
	echo "Tamis needs Python 3.11 or later with its venv module (on Debian: python3-venv) on the PATH." >&2; exit 1

$(STAMP): pyproject.toml constraints.txt constraints-nodeps.txt | $(BIN)/python
	@echo "== installing tamis[$(EXTRAS)] (about 2.7 GB once installed; minutes the first time)"
	@mkdir -p "$$($(BIN)/python -m pip cache dir 2>/dev/null)" 2>/dev/null || export PIP_NO_CACHE_DIR=1; \
	export PIP_CONSTRAINT=constraints.txt; \
	$(PIP) install --upgrade pip setuptools wheel; \
	$(PIP) install --no-compile --editable ".[$(EXTRAS)]"; \
	echo "== installing what must come without its dependencies (constraints-nodeps.txt)"; \
	$(PIP) install --no-compile --no-deps --requirement constraints-nodeps.txt
	@touch $@
	@echo "== installed: $(BIN)/tamis"

.PHONY: demo
demo: $(STAMP) ## Run the whole chain over 25 MB of English and Chinese text, then train; ends with a report
	@$(BIN)/tamis demo

# Two processes, the tests of a file in one of them. FEWER: a tenth of the random examples of each property, for what
# runs many times a day; `make test` and CI try them all.
PYTEST := $(BIN)/python -m pytest
IN_TWO := --numprocesses 2 --dist loadscope --no-loadscope-reorder
FEWER  := TAMIS_EXAMPLES=0.1

.PHONY: test
test: $(STAMP) ## Run every test, in two processes
	@$(PYTEST) $(IN_TWO)

.PHONY: test-room
test-room: $(STAMP) ## Run the unit tests of one room or wing: make test-room ROOM=filters, ROOM=filters/pii
	@$(FEWER) $(PYTEST) tests/unit/$(or $(ROOM),$(error say which: make test-room ROOM=filters))

.PHONY: lint
lint: $(STAMP) ## What CI runs before the tests: ruff, mypy, import rules
	@echo "== ruff";             $(BIN)/ruff check .
	@echo "== ruff format";      $(BIN)/ruff format --check .
	@echo "== mypy";             $(BIN)/mypy
	@echo "== import rules";     $(BIN)/lint-imports

.PHONY: check
check: $(STAMP) ## Before each commit: lint beside unit and contract tests, but for the slow ones
	@$(MAKE) --no-print-directory --jobs 2 lint check-tests

.PHONY: check-tests
check-tests: $(STAMP)
	@echo "== unit tests";       $(FEWER) $(PYTEST) $(IN_TWO) -m 'not slow' tests/unit tests/contract

.PHONY: format
format: $(STAMP) ## Let ruff rewrite the files
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

.PHONY: docs
docs: $(STAMP) ## Write docs/configuration.md from the classes that read it
	@$(BIN)/python -m cli.configuration > docs/configuration.md

.PHONY: package
package: $(STAMP) ## Build dist/tamis.zip for spark-submit --py-files
	@$(BIN)/python -m pipelines.spark.package --out dist/tamis.zip

.PHONY: bench
bench: $(STAMP) ## Run every benchmark, or one: make bench BENCH=name (`python -m benchmarks` lists them)
	@$(BIN)/python -m benchmarks $(or $(BENCH),all)

.PHONY: clean
clean: ## Remove what make and the tools wrote, the environment included
	rm -rf $(VENV) demo dist build *.egg-info spark-warehouse metastore_db derby.log
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
