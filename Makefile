# Each target sets up what it needs, from a fresh clone, into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 4483
# The files of tests take turns on the cores that there are: most of them wait for something most of the time.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: run demo test check unit bench protocol clean setup

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml client/waggle/version.py
	@command -v $(PYTHON) >/dev/null || { echo "waggle: Python 3.11 or newer is needed: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "waggle: Python 3.11 or newer is needed, this is" `$(PYTHON) --version`; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "waggle: Python's venv is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[hub,dev]'
	@touch $@

run: setup                  ## start a hub
	$(BIN)/waggle serve --port $(PORT)

demo: setup                 ## start a hub and a crew of sample agents
	$(BIN)/waggle demo --port $(PORT)

check: setup                ## format, lint, types, layers, unit tests: under a minute
	$(BIN)/ruff format --check client hub tests
	$(BIN)/ruff check client hub tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/unit -q

test: setup                 ## everything; gets from Debian's packages what pip cannot bring
	sh tests/needs.sh
	$(BIN)/ruff format --check client hub tests
	$(BIN)/ruff check client hub tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)
	WAGGLE_TEST_SERVER=plain $(PYTEST) tests/e2e/test_wire*.py tests/e2e/test_hostile.py tests/e2e/test_chaos.py tests/e2e/test_client*.py tests/scenario tests/linear tests/crash
	WAGGLE_TEST_SERVER=hypercorn $(PYTEST) tests/e2e/test_wire*.py -m "not own_server"

bench: $(VENV)/.bench       ## measure beside Redis and NATS, 15 minutes at most; writes docs/performance.md
	sh tests/bench/needs.sh
	PATH="$$PATH:/usr/sbin" $(BIN)/python -m tests.bench

protocol: setup             ## write the tables of docs/protocol.md, and its schema, from the vocabulary
	$(BIN)/python -m tests.tools.protocol_reference

$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[hub,dev,bench]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
