# Everything is started from here; `make` alone lists it. The work is in scripts/.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PATH := $(CURDIR)/.venv/bin:$(PATH)
export PATH
# DVC must not report what tests and the demo do with it.
export DVC_NO_ANALYTICS := 1

PROTOS := $(sort $(wildcard proto/wherry/v1/*.proto))
PYTEST_ARGS ?=
# Most of a test's time is spent waiting for containers and services: more processes than processors, a file to each.
# In the order of collection, which tests/conftest.py sees to. A process that ends ends them all: the test it was at failed.
PYTEST_PROCESSES ?= 3

.PHONY: help setup engine image demo test lint types check proto proto-check bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv and .venv-dvc; costs nothing when nothing has changed
	@scripts/setup.sh

engine: ## make sure a Docker engine answers
	@scripts/engine.sh ensure

image: engine ## make sure the engine has the image that stages run in
	@scripts/stage-image.sh

demo: ## the example from end to end, on this machine
	@scripts/demo.sh

test: setup image ## every test, on a real engine, S3 server, PostgreSQL and real DVC
	@scripts/postgres.sh
	@scripts/packages.sh zsh fish chromium
	pytest -n $(PYTEST_PROCESSES) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(PYTEST_ARGS)

lint: setup ## style, imports between layers, the protocol, generated code
	ruff check .
	ruff format --check .
	lint-imports
	buf lint
	buf format --diff --exit-code
	@$(MAKE) --no-print-directory proto-check

types: setup ## strict types
	mypy service client tests bench deploy

check: lint types test ## what has to pass before a change goes in

# $(call generate,FOLDER)
generate = python -m grpc_tools.protoc -I proto --python_out=$(1) --mypy_out=quiet:$(1) \
	--grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) $(PROTOS)

proto: setup ## generate proto/gen from proto/wherry
	find proto/gen -name '*_pb2*' -delete
	$(call generate,proto/gen)

proto-check: setup
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(call generate,"$$fresh"); \
	diff -r --exclude=__pycache__ --exclude=py.typed "$$fresh" proto/gen || { echo 'proto/gen is not what proto/ says: make proto' >&2; exit 1; }

bench: setup image ## against DVC, rclone, s5cmd and the bare engine: overhead, cached runs, many at once, reading, large inputs, moving content
	python -m bench.chain
	python -m bench.fan_out
	python -m bench.cached
	python bench/reading.py --stages 200
	python bench/reading.py --stages 1000 --no-dvc
	python bench/layout.py
	python bench/container.py
	python -m bench.transfer
	python -m bench.bounds
	python -m bench.cli
	python -m bench.watching
	python -m bench.submissions
	python -m bench.twice
	python -m bench.watchers
	python -m bench.growth

# Each list is held to dev.txt, so that what is shipped is what was tested.
COMPILE = .venv/uv/bin/uv pip compile -q --upgrade --generate-hashes --universal --python-version 3.11 --no-header
lock: setup ## bring the pinned packages of requirements/ up to date
	$(COMPILE) --all-extras --group dev -o requirements/dev.txt pyproject.toml
	$(COMPILE) --no-annotate --extra service --extra postgres -c requirements/dev.txt -o requirements/service.txt pyproject.toml
	printf 'hatchling\nsetuptools\n' | $(COMPILE) --no-annotate -c requirements/dev.txt -o requirements/build.txt -
	echo 'uv' | $(COMPILE) --no-annotate -o requirements/uv.txt -
	$(COMPILE) -o requirements/dvc.txt requirements/dvc.in

clean: ## remove environments, caches and generated files that are not in git; stop an engine that we started
	@scripts/engine.sh stop
	rm -rf .venv .venv-dvc .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
