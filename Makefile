# avcmr: `make demo` shows the whole pipeline on made-up clips, `make test` checks everything.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test lint clean

help:
	@echo "make demo     made-up videos -> features -> two-stage training -> MAP table and report"
	@echo "make test     lint, types and the whole test suite"
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
	$(BIN)/mypy

# The tests of a file share what is made for them, such as a Ray; files are shared by two workers.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

clean:
	rm -rf demo runs $(VENV) .mypy_cache .pytest_cache .ruff_cache
