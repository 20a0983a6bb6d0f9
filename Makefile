# `make demo` and `make test` do all the set-up: a private .venv with exact versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint types docs build clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "hdap needs Python 3.11 or newer, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[grpc,postgres,report,serve,tensorboard]" --group dev
	touch $@

demo: setup  ## the main job on the bundled measured fleet
	$(BIN)/hdap demo

test: setup
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

docs: setup  ## the documentation as a site, in site/; any warning is an error
	$(BIN)/mkdocs build --strict

build: setup  ## the wheel works outside the checkout
	sh scripts/check_wheel.sh

clean:
	rm -rf $(VENV) build dist site *.egg-info
