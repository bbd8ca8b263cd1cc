# `make help` lists the targets. Requires Python >= 3.11; choose an interpreter with `make PYTHON=python3.12 …`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo test test-slow test-all test-soak lint
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-12s%s\n", $$1, $$2}' Makefile

setup: $(READY)  ## create .venv with the tested versions and this project, editable

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "regseg needs Python >= 3.11; specify one with make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## create street scenes, train RegSeg on them and evaluate it (4 to 6 minutes on 2 cores)
	$(BIN)/python -m regseg.train experiment=demo overwrite=true

test: $(READY)  ## run the tests (about 8 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(READY)  ## run the tests that compile networks or kernels, measure memory, or build the wheel (3 minutes)
	$(BIN)/python -m pytest -m slow -n 2

test-all: $(READY)  ## run the tests of `test` and `test-slow` together, as in CI (about 10 minutes on 2 cores)
	$(BIN)/python -m pytest -m 'not soak' -n 2 --dist loadfile

test-soak: $(READY)  ## kill a training run 24 times and compare its result with an uninterrupted run (3 minutes)
	$(BIN)/python -m pytest -m soak

lint: $(READY)  ## ruff (rules and formatting) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
