# launchgate: every target sets up what it needs, is safe to run twice, and safe to interrupt.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
# Tests that need machines use a fleet of their own, so that a demo may stay up beside them.
export LAUNCHGATE_TEST_FLEET ?= test

.PHONY: help setup demo test lint bench prove clean lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Python environment and Debian packages (root; repeats in a second)
	@bash infra/setup.sh

demo: setup ## sandbox up, good releases, a bad one taken back, report
	@$(BIN)/launchgate demo

test: setup ## all tests, on real machines too (root; about half an hour)
	@COVERAGE_CORE=ctrace $(BIN)/python -m pytest tests -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term --durations=40

lint: setup ## ruff and mypy --strict
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: setup ## side-by-side measurements, ratios printed
	@$(BIN)/python -m loadtests.judge_bench
	@$(BIN)/python -m loadtests.service_bench

prove: setup ## break every proven item on the running fleet and see the gate notice
	@$(BIN)/launchgate prove inventories/sandbox.py

clean: ## take fleets down, remove what was built (the package cache stays: rm -r /var/lib/launchgate)
	@if [ -x $(BIN)/launchgate ]; then for fleet in demo $(LAUNCHGATE_TEST_FLEET); do \
	    LAUNCHGATE_FLEET=$$fleet $(BIN)/launchgate sandbox down; done; fi
	rm -rf .venv dist build out .launchgate .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

lock: ## lock the requirements anew, with hashes
	@for audience in service toolkit installer; do $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header requirements/$$audience.in -o requirements/$$audience.txt; done
