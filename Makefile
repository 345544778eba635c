# Every target works on a fresh machine that has only make, pip and Python 3.11 or newer.
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
# Touched when an install has ended well: one that was cut short is done again by the next call.
STAMP := $(VENV)/.installed
SCRIPTS := $(filter-out benchmarks/_%,$(sort $(wildcard benchmarks/*.py)))

RECENT := import sys; sys.exit(sys.version_info < (3, 11))
FOUND := $$($(PYTHON) -V 2>&1 | head -n 1)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo serve test test-full check format docs bench lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

install: $(STAMP) ## Create .venv and install everything (the other targets do it when needed)

demo: $(STAMP) ## Compress a small network from end to end
	$(BIN)/automc demo

serve: $(STAMP) ## Serve the dashboard on this machine, with a campaign to look at
	$(BIN)/automc serve --demo

# The number of threads is the tests' own business. A file's tests share what it sets up, so they stay together.
PYTEST := env -u OMP_NUM_THREADS $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test: $(STAMP) ## Run the tests, without those marked slow
	$(PYTEST) -m "not slow"

test-full: $(STAMP) ## Run every test
	$(PYTEST)

check: $(STAMP) ## Run all checkers: style, format, types, import layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Mend what the style checker can mend, and format
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

docs: $(STAMP) ## Build the documentation's site into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: $(STAMP) ## Run the scripts in benchmarks/ one after the other
	@set -e; for script in $(SCRIPTS); do echo "== $$script"; $(BIN)/python $$script; done

# Left out: what torch itself pins for one kind of machine, and the local part of its version.
lock: ## Resolve the ranges of pyproject.toml anew and rewrite constraints.txt
	@$(PYTHON) -c '$(RECENT)' 2>/dev/null || { echo "AutoMC needs Python 3.11 or newer; $(PYTHON) says: $(FOUND)" >&2; exit 1; }
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/python -m pip install -e '.[dev]'
	build/lock/bin/python -m pip freeze --all --exclude-editable --exclude pip > build/frozen.txt
	head -n 1 constraints.txt > build/constraints.txt
	grep -vE '^(cuda-|nvidia-|triton=)' build/frozen.txt | sed 's/+[^ ]*$$//' | LC_ALL=C sort -f >> build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/lock build/frozen.txt

clean: ## Delete caches and build outputs (.venv stays; delete it by hand to start afresh)
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find automc tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@rm -f $@
	@$(BIN)/python -c 'import pip; $(RECENT)' 2>/dev/null || { \
	  $(PYTHON) -c '$(RECENT)' 2>/dev/null || { \
	    echo "AutoMC needs Python 3.11 or newer; $(PYTHON) says: $(FOUND). Try: make PYTHON=python3.11" >&2; exit 1; }; \
	  echo "$(PYTHON) -m venv --clear $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
