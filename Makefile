# flowlake: make help lists what there is.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
export SPARK_LOCAL_IP ?= 127.0.0.1
export PYTHONDONTWRITEBYTECODE ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint package bench accuracy clean

help: ## lists the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## makes the environment in .venv

$(VENV)/.ready: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "flowlake needs Python 3.11: set PYTHON to it (make PYTHON=/path/to/python3.11 $(MAKECMDGOALS))"; exit 2; }
	@echo "making the environment in $(VENV) (once, about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9 2>/dev/null || echo "uv could not be had: pip does it, in about twice the time"
	@if test -x $(BIN)/uv; then $(BIN)/uv pip install --system-certs --quiet --compile-bytecode --python $(BIN)/python -e '.[dev]' \
	   || $(BIN)/python -m pip install --quiet -e '.[dev]'; \
	 else $(BIN)/python -m pip install --quiet -e '.[dev]'; fi
	@$(BIN)/python -m flowlake.flows.java_archive
	@touch $@

demo: setup ## a simulated estate, the whole way: raw flow logs in, answers out
	@$(BIN)/flowlake demo

test: setup lint ## lint, types and the whole suite
	@$(BIN)/python -m pytest

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

package: setup ## the wheel for Glue and the zip for the Lambda, in dist/
	@$(BIN)/python -m tools.package

bench: setup ## speed, as ratios against peers in one run
	@$(BIN)/python -m benchmarks.speed

accuracy: setup ## published rows against the truth of a simulated estate
	@$(BIN)/python -m benchmarks.accuracy

clean: ## removes what was built, not the environment
	@rm -rf build dist demo out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis spark-warehouse
