# Every target works on a machine that has only Python 3.11 and make: uv is brought into .uv/ when it is not on the PATH.
#
#   make demo     train the tiny model on this laptop and print where its report is
#   make test     every package's tests, each leaf in an environment that holds that leaf alone
#   make check    lint, format, spelling, types, import borders, portable lock
#   make wheels   build every member's wheel and import it outside the workspace
#   make proof    VERL's whole training loop without a GPU (8.8 GB to install), checked by hand computation
#   make proofs   that with every fault, again, resumed, with a LoRA, on two workers (half an hour)
#   make bench    the benchmarks, each ending in one JSON line
#   make docs     the documentation site, into site/

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help drawing demo proof proofs test test-leaves test-trainer check lint types borders lock spelling dist lowest wheels bench docs setup clean

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3))
UV := $(or $(shell command -v uv),$(CURDIR)/.uv/bin/uv)
ENVS := $(CURDIR)/.uv/envs
# Which tests: `make test MARK="not gpu"` adds the slow ones.
MARK ?= not slow and not gpu

LEAVES := spider-data sql-graph sql-reward
SOURCES := packages/spider-data/src:packages/sql-graph/src:packages/sql-reward/src:packages/lit-sql-trainer/src:apps/train/src
# One environment per purpose, side by side, so that none is torn down and built again.
in_env = UV_PROJECT_ENVIRONMENT=$(ENVS)/$(1) $(UV)
PROOF := --python 3.11 --package lit-sql-trainer --no-group app --group proof
CPU := --package lit-sql-trainer --no-group app --group cpu --group dev

help:
	@sed -n '3,10p' Makefile | cut -c3-

$(CURDIR)/.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

setup: $(UV)    ## git then commits uv.lock in its portable form by itself (CONTRIBUTING.md, "The lock file")
	git config filter.portable-lock.clean 'python3 scripts/portable_lock.py --stdin'

demo: $(UV)
	$(call in_env,trainer) run $(CPU) train tiny

test: test-leaves test-trainer

test-leaves: $(addprefix test-,$(LEAVES))

test-%: $(UV)
	$(call in_env,$*) run --exact --package $* --group dev pytest packages/$*/tests -m "$(MARK)"

test-trainer: $(UV)
	$(call in_env,trainer) run --exact $(CPU) pytest packages/lit-sql-trainer/tests apps/train/tests tests -m "$(MARK)"

check: lint spelling types borders lock

lint: $(UV)
	$(call in_env,lint) run --only-group lint ruff check .
	$(call in_env,lint) run --only-group lint ruff format --check .

spelling: $(UV)
	$(call in_env,lint) run --only-group lint codespell

types: $(UV)
	$(call in_env,trainer) sync --quiet --exact $(CPU)
	$(call in_env,lint) run --only-group lint basedpyright --pythonpath $(ENVS)/trainer/bin/python

borders: $(UV)
	PYTHONPATH=$(SOURCES) $(call in_env,lint) run --only-group lint lint-imports --no-cache

drawing:    ## docs/architecture.svg and its tables, from the code
	$(PYTHON) scripts/draw_architecture.py

lock: $(UV)
	$(UV) lock --quiet
	$(PYTHON) scripts/portable_lock.py --check

wheels: $(UV)
	UV=$(UV) bash scripts/check_wheels.sh

dist: $(UV)    ## PACKAGE's wheel and source distribution, into dist/
	rm -rf dist
	$(UV) build --package $(PACKAGE) --out-dir dist

lowest: $(addprefix lowest-,$(LEAVES))    ## each leaf's tests with the lowest versions that its pyproject.toml allows

lowest-%: $(UV)
	$(UV) venv --quiet --clear --python 3.11 $(ENVS)/lowest-$*
	$(UV) pip install --quiet --python $(ENVS)/lowest-$* --resolution lowest-direct --editable packages/$*
	$(UV) pip install --quiet --python $(ENVS)/lowest-$* --group packages/$*/pyproject.toml:dev
	$(ENVS)/lowest-$*/bin/pytest packages/$*/tests -m "not slow and not gpu and not server and not data"

bench: $(UV)
	$(call in_env,trainer) sync --quiet --exact $(CPU)
	@for file in benchmarks/*.py; do echo "== $$file"; $(ENVS)/trainer/bin/python $$file || exit 1; done

docs: $(UV)
	$(call in_env,docs) run --only-group docs mkdocs build --strict --quiet

proof: $(UV)
	$(call in_env,proof) run --exact $(PROOF) train fast --cpu-proof

proofs: $(UV)
	$(call in_env,proof) run --exact $(PROOF) --group dev pytest packages/lit-sql-trainer/tests/verl apps/train/tests/proof -v --durations=0

clean:
	rm -rf .uv/envs dist site .pytest_cache .ruff_cache
