# Every target works alone on a bare clone: what needs the environment makes it first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# The first that answers; asked only where it is needed.
ENGINE ?= $(shell for name in docker podman; do "$$name" info > /dev/null 2>&1 && echo "$$name" && break; done)
IMAGE ?= localhost/tsa-python:dev

# Compiled modules are kept, whatever the environment says: every stage and many tests are processes of their own, and
# each would compile the project anew.
export PYTHONDONTWRITEBYTECODE :=

# A single thread per test process: the networks of the tests are too small to gain from more. Each process takes a
# run of neighbouring tests, so that few fixtures are made twice.
TEST_ENV := OMP_NUM_THREADS=1
PYTEST := $(TEST_ENV) $(PY) -m pytest -n auto --dist worksteal

.PHONY: help setup run test coverage test-slow test-image check compile image clean

help:  ## Show this list
	@echo "TSA Pipeline. On a bare clone: 'make run', then 'make test'."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  make run EVENTS=orders.parquet CONFIG=configs/handbook.yaml OPTIONS='--seed 3 --max-epochs 2'"

setup: $(STAMP)  ## Make .venv with the pinned packages (Python 3.11 or newer); once

$(STAMP): pyproject.toml constraints.txt
	@python=$$(for name in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3; do
	    "$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break
	done) || true
	if [ -z "$$python" ]; then
	    echo "No Python 3.11 or newer with venv and pip was found. Install one (on Debian and Ubuntu: python3.11-venv)," >&2
	    echo "or name it: make setup PYTHON=/path/to/python3.11" >&2
	    exit 1
	fi
	[ -x $(VENV)/bin/pip ] || "$$python" -m venv $(VENV)
	echo "Installing the pinned packages into $(VENV) (several minutes on a first run) ..."
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(PY) -m compileall -q pipeline.py commands components data_contracts launcher train_job tsa_model
	touch $@

run: $(STAMP)  ## Run the whole pipeline here: EVENTS=<files>, CONFIG=<name or file>, OPTIONS='--seed 3 ...'
	@$(PY) pipeline.py run $(if $(EVENTS),--events '$(EVENTS)') $(if $(CONFIG),--config '$(CONFIG)') $(OPTIONS)

test: $(STAMP)  ## Run the unit tests (some minutes)
	@$(PYTEST) $(OPTIONS)

coverage: $(STAMP)  ## Run the unit tests and say which lines they do not reach
	@$(PYTEST) --cov --cov-report=term $(OPTIONS)

test-slow: $(STAMP)  ## Run the slow tests too: whole local pipeline runs, short trainings
	@$(PYTEST) -m 'not gpu and not image' $(OPTIONS)

check: $(STAMP)  ## Check format, style, types and imports, and that pipeline.yaml is current
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo --no-cache
	$(PY) pipeline.py compile --check

compile: $(STAMP)  ## Write pipeline.yaml, the form a cluster takes
	@$(PY) pipeline.py compile

image:  ## Build the container image every stage runs in: IMAGE=<reference>, ENGINE=docker|podman
	@[ -n "$(ENGINE)" ] || { echo "Neither docker nor podman answers." >&2; exit 1; }
	$(ENGINE) build $(BUILD_OPTIONS) -t $(IMAGE) .

test-image: $(STAMP)  ## Build the image and test it, whole runs included; IMAGE=<reference> tests that one
	@engine='$(ENGINE)'
	if [ "$(origin IMAGE)" = file ] && [ -n "$$engine" ]; then $(MAKE) image ENGINE="$$engine"; fi
	TSA_IMAGE='$(IMAGE)' TSA_ENGINE="$$engine" $(PY) -m pytest -m image -rs tests/image $(OPTIONS)

clean:  ## Delete everything that was made here, .venv and runs included
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +
