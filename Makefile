# `make demo` and `make test` do all the set-up: a private .venv with exact versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PHOTOGRAPHS := /usr/share/datasets/fashion-mnist
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: setup demo proof test lint types docs build clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "hdap needs Python 3.11 or newer, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[grpc,litert,mlflow,ncnn,objects,openvino,postgres,report,serve,ssh,tensorboard,watch]" --group dev
	touch $@

demo: setup  ## the main job on the bundled measured fleet
	$(BIN)/hdap demo

proof: setup  ## accuracy at equal measured latency on real photographs: hours, and goes on where it was stopped
	test -d $(PHOTOGRAPHS) || $(AS_ROOT) apt-get install --yes dataset-fashion-mnist
	$(BIN)/python -m benchmarks.quality.frontier $(PROOF)

test: setup  ## a worker that crashes ends the run and is named: with another in its place xdist hangs
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

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
