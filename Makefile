# Everything runs from .venv, which is made from requirements.lock on first use and only looked at
# afterwards. PYTHON=python3.12 picks another interpreter, VENV=.venv-3.12 keeps it beside the first.

VENV  ?= .venv
PROTO := .venv-proto
FUZZ  := $(VENV)-fuzz
BIN   := $(VENV)/bin
READY := $(VENV)/.ready

export PYTHON UV

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# A named interpreter of another version than the environment's means: make it again.
ifdef PYTHON
  version = $(shell $(1) -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null)
  ifneq ($(call version,$(PYTHON)),$(call version,$(BIN)/python))
    $(READY): always
  endif
endif

.PHONY: always
always:

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# -- environments ------------------------------------------------------------------------------

$(READY): requirements.lock pyproject.toml .ci/venv
	@.ci/venv $(VENV) requirements.lock .
	@touch $@

$(PROTO)/.ready: proto/requirements.lock .ci/venv
	@.ci/venv $(PROTO) proto/requirements.lock
	@touch $@

# What only fuzzing needs; the rest it finds in the first environment, so both are of one version.
$(FUZZ)/.ready: tests/fuzz/requirements.lock $(READY)
	@PYTHON=$(BIN)/python .ci/venv $(FUZZ) tests/fuzz/requirements.lock
	@touch $@

.PHONY: setup
setup: $(READY) ## make the environment in .venv

# -- to see it and to prove it -----------------------------------------------------------------

.PHONY: demo
demo: $(READY) ## set up and run the story (ONCE=1: end after it)
	@$(BIN)/toolreeve up --demo $(if $(filter-out 0 no,$(ONCE)),--once)

.PHONY: test
test: $(READY) ## run the tests (ARGS="tests/unit -k limits"; JOBS=1: one after the other)
	@$(BIN)/python -m pytest -n $(or $(JOBS),auto) --maxprocesses 4 --dist loadfile $(ARGS)

BENCHMARKS := $(filter-out benchmarks/soak_%,$(wildcard benchmarks/*.py))

.PHONY: soak
soak: $(READY) ## play simulated histories (SEEDS=100000; SEED=7: that one, again)
	@$(BIN)/python -m tests.simulation.soak $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),10000))

.PHONY: bench
bench: $(READY) ## run the benchmarks (BENCH=gateway: only that one)
	@set -e; for file in $(or $(BENCH:%=benchmarks/%.py),$(BENCHMARKS)); do \
		echo "== $$file"; $(BIN)/python "$$file" $(ARGS); \
	done

.PHONY: bench-peers
bench-peers: $(READY) ## fetch other gateways and measure beside them (ARGS="--quick")
	@$(BIN)/python benchmarks/peers/install.py
	@$(BIN)/python benchmarks/gateway.py --peers $(ARGS)

.PHONY: soak-gateway
soak-gateway: $(READY) ## load a gateway for an hour, look for leaks (SECONDS=120)
	@$(BIN)/python benchmarks/soak_gateway.py --seconds $(or $(SECONDS),3600) $(ARGS)

.PHONY: nemesis
nemesis: $(READY) ## kill, cut off and fill real processes by chance (SECONDS=600 SEED=7)
	@$(BIN)/python -m tests.nemesis --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

FUZZED     := policy dialect calls pattern message events lines header
WITH_FUZZ  = PYTHONPATH=$$($(FUZZ)/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')

.PHONY: fuzz
fuzz: $(FUZZ)/.ready ## fuzz (TARGET=policy SECONDS=300; KEEP=1: choose anew what is kept)
	@set -e; export $(WITH_FUZZ); for target in $(or $(TARGET),$(FUZZED)); do \
		echo "== $$target"; fuzz="$(BIN)/python -m tests.fuzz.run $$target"; \
		$(if $(KEEP),$$fuzz --keep; $$fuzz --settle,$$fuzz --seconds $(or $(SECONDS),60)); \
	done

.PHONY: fuzz-messages
fuzz-messages: $(FUZZ)/.ready ## read generated messages with every parser (MESSAGES=10000000 SEED=1)
	@$(WITH_FUZZ) $(BIN)/python -m tests.fuzz.differential \
		--messages $(or $(MESSAGES),1000000) --seed $(or $(SEED),1)

# -- what a change must pass ---------------------------------------------------------------------

CHECKS := check-style check-mypy check-pyright check-imports check-proto check-deploy

.PHONY: check $(CHECKS)
check: $(CHECKS) ## style, types, import contracts, contract and its code, deploy files
	@echo "make check: all passed"

check-style: $(READY)
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

check-mypy: $(READY)
	@echo "== mypy"
	@$(BIN)/mypy --python-executable $(BIN)/python

check-pyright: $(READY)
	@echo "== pyright"
	@$(BIN)/pyright --pythonpath $(BIN)/python

check-imports: $(READY)
	@echo "== import contracts"
	@$(BIN)/lint-imports --no-logo

check-proto: $(READY) $(PROTO)/.ready
	@echo "== contract"
	@$(BIN)/buf lint proto
	@$(PROTO)/bin/python proto/generate.py --check

check-deploy: $(READY)
	@echo "== deploy"
	@$(BIN)/python deploy/check.py

# -- to make again -------------------------------------------------------------------------------

.PHONY: proto
proto: $(READY) $(PROTO)/.ready ## write the contract's Python code again
	@$(BIN)/buf lint proto
	@$(PROTO)/bin/python proto/generate.py

COMPILE := uv pip compile --quiet --generate-hashes --universal --no-header --no-annotate \
           --python-version 3.11 $(if $(UPGRADE),--upgrade)

.PHONY: lock
lock: ## resolve the locks again, keeping versions (UPGRADE=1: take the newest); needs uv
	@uv --version >/dev/null 2>&1 || { echo "make lock needs uv: https://docs.astral.sh/uv/"; exit 1; }
	$(COMPILE) --all-extras --group dev pyproject.toml -o requirements.lock
	$(COMPILE) proto/requirements.in -o proto/requirements.lock
	$(COMPILE) tests/fuzz/requirements.in -o tests/fuzz/requirements.lock
	echo hatchling | $(COMPILE) -c requirements.lock - -o deploy/build.lock
	$(COMPILE) -c requirements.lock --extra fast pyproject.toml -o deploy/enforcer.lock
	$(COMPILE) -c requirements.lock --extra fast --extra control pyproject.toml -o deploy/control.lock
	$(COMPILE) -c requirements.lock --extra fast --extra analytics pyproject.toml -o deploy/worker.lock

.PHONY: clean
clean: ## remove the environments, caches and what was built
	rm -rf $(VENV) $(PROTO) $(FUZZ) build dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find proto enforcer services analytics tests benchmarks deploy -name __pycache__ -prune -exec rm -rf {} +
