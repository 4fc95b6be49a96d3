SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run cluster fake-vendors test test-faults test-cluster bench bench-smoke lint format docs lock audit clean

bin := .venv/bin
# Tests run side by side, each process with a PostgreSQL of its own; more than this only wait for each other's disk.
# One more than processors, as some wait for a broker or a process that stops.
beside := -n $(shell echo $$(( $$(nproc) < 4 ? $$(nproc) + 1 : 4 )))
# Whoever sets it would have each of the hundreds of processes that tests start compile all of Kith anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: ## make .venv from the lock file (the other targets do it for you)
	@tools/setup

run: ## start everything on embedded defaults and serve on port 8000
	@tools/setup run
	@exec $(bin)/kith serve

cluster: setup ## start Kafka, PostgreSQL, Redis, two APIs, two writers and a worker on this machine, to try them
	@tools/services
	@exec $(bin)/python -m tools.cluster

fake-vendors: ## stand in for HubSpot and Mailchimp on port 8900, to try integrations without accounts
	@tools/setup run
	@exec $(bin)/python -m tools.fake_vendors $(ARGS)

test: setup ## run every test but the long fault runs
	@$(bin)/pytest $(beside) $(ARGS)

test-faults: setup ## kill processes under load, 30 times (`make test` does it 6 times)
	@KITH_TEST_KILLS=$${KITH_TEST_KILLS:-30} KITH_TEST_ROUNDS=$${KITH_TEST_ROUNDS:-400} \
		$(bin)/pytest -m faults --ignore tests/faults/test_cluster.py $(ARGS)

test-cluster: setup ## kill, pause, stop and flush parts of a cluster under load, 50 times (`make test`: 11 times)
	@KITH_TEST_KILLS=$${KITH_TEST_KILLS:-50} $(bin)/pytest tests/faults/test_cluster.py $(ARGS)

bench: setup ## measure ratios against bare PostgreSQL and a bare endpoint, and write the page of them (40 minutes)
	@$(bin)/python -m tests.bench $(ARGS)

bench-smoke: setup ## the same, small and short; fails where a ratio is far off
	@$(bin)/python -m tests.bench --smoke $(ARGS)

lint: setup ## style, types, layers and house rules
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo
	@$(bin)/pytest -q -p no:cacheprovider tests/test_tidy.py

format: setup ## let ruff rewrite what it can
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

docs: setup ## renew the pages that are written from the program, and build the site in build/site
	@$(bin)/python -m tools.reference
	@$(bin)/zensical build --strict

lock: ## renew the lock files (for maintainers; needs uv)
	@tools/lock

audit: ## ask PyPI for known holes in what the lock files name; fails also for what it could not ask
	@python3 -m venv build/audit && build/audit/bin/pip -q install pip-audit
	@for file in requirements.lock requirements-dev.lock; do \
	    build/audit/bin/pip-audit --strict -s pypi --require-hashes --disable-pip -r $$file || exit 1; \
	done

clean: ## remove .venv, caches and results; data folders stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist bench-results
	@find src tests tools -name __pycache__ -prune -exec rm -rf {} +
