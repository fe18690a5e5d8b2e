# The commands of the README. Each sets up what it needs on a fresh machine: Python 3.11+, make and pip's index suffice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DURATION ?= 30
FOREVER ?= 0

define PYTHON_IS_NEW
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "packseal: $(PYTHON) is missing or older than 3.11; install it, or name one with PYTHON=" >&2; exit 69; }
endef

.PHONY: demo test check lint soak vm-test vm-soak vm-shell explore bench lock clean help

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/ready  ## three simulated packs, agent, broker and ledger for DURATION seconds; FOREVER=1 stays
	@$(BIN)/python -m demo --duration $(DURATION) $(if $(filter 1,$(FOREVER)),--forever)

test: $(VENV)/ready  ## the everyday tests
	$(BIN)/python -m pytest -q -m "not soak" -n 4 --dist loadfile

check: lint test  ## lint, types, import rules and the everyday tests

lint: $(VENV)/ready  ## ruff, mypy --strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

soak: $(VENV)/ready  ## the long tests: fifty kills each, every bit of a bundle, every scenario to its end
	$(BIN)/python -m pytest -v -m soak -n 2 --dist worksteal --maxfail 1 --durations 0

vm-test:  ## everyday tests on an emulated arm64 machine with CAN and systemd (root, apt); JOB=tests/vm/guest/... runs one
	$(PYTHON_IS_NEW)
	@$(PYTHON) -m tests.vm $(addprefix --only ,$(JOB))

vm-soak:  ## all tests on that machine: every fault of the service, the update and the removal, python-can beside us
	$(PYTHON_IS_NEW)
	@$(PYTHON) -m tests.vm --whole

vm-shell:  ## a shell on that machine, until poweroff; MACHINE=bus has packseal ready, install nothing yet, car the service
	$(PYTHON_IS_NEW)
	@$(PYTHON) -m tests.vm --shell --machine $(or $(MACHINE),bus)

explore: $(VENV)/ready  ## ten times the examples of the property tests, new ones each time
	PACKSEAL_HYPOTHESIS=explore $(BIN)/python -m pytest -q -m "not soak" -n 2 --timeout 1800 tests/property

bench: $(VENV)/ready  ## the figures of docs/performance.md, on a machine that does nothing else
	$(BIN)/python bench/cells_speed.py
	$(BIN)/python bench/sim_speed.py
	$(BIN)/python bench/paced_bus.py
	$(BIN)/python bench/ledger_load.py
	$(BIN)/python bench/slcan_cpu.py

lock: $(VENV)/ready  ## pin the development libraries anew, with hashes and without addresses
	$(BIN)/pip-compile -q --extra dev --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --strip-extras --no-annotate --no-header --allow-unsafe --upgrade -o requirements-dev.lock pyproject.toml

clean:  ## remove the environment and everything that was fetched or built
	rm -rf $(VENV) .cache dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/ready: requirements-dev.lock pyproject.toml
	$(PYTHON_IS_NEW)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "packseal: Python's venv is missing; apt-get install python3-venv" >&2; exit 69; }
	@echo "setting up $(VENV) (a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@
