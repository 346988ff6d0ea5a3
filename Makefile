# avcmr: `make demo` shows the whole pipeline on synthetic clips, `make test` checks everything.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The tests of a file share what is made for them, such as a Ray.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

.PHONY: help install demo check test lint clean

help:
	@echo "make demo     synthetic videos -> features -> two-stage training -> MAP table and report"
	@echo "make check    lint, types, import contracts and the quick tests: within two minutes"
	@echo "make test     the same with every test: within a quarter of an hour"
	@echo "make install  the environment alone, in $(VENV)"
	@echo "make clean    remove what demo and tests made, and the environment"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "avcmr needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,test]'
	@touch $@

demo: install
	$(BIN)/avcmr demo-clips demo/videos
	$(BIN)/avcmr extract --videos demo/videos --out demo/features.h5 --untrained-audio
	@# A run of an earlier version, on other features or settings, makes way for a new one.
	@[ demo/features.h5 -ot demo/runs/features/config.yaml ] \
	  && [ configs/demo.yaml -ot demo/runs/features/config.yaml ] || rm -rf demo/runs
	$(BIN)/avcmr train --features demo/features.h5 --config configs/demo.yaml --runs demo/runs --workers 2
	$(BIN)/avcmr evaluate demo/runs/features

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/oxlint --deny-warnings avcmr/web/page
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

check: lint
	$(PYTEST) --numprocesses 2 -m "not (ray or slow or browser or gpu)"

# Three at a time on two cores: each waits, much of the time, for a Ray to start or to end.
test: lint
	$(PYTEST) --numprocesses 3

clean:
	rm -rf demo runs $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
