# Each target sets up what it needs, from a fresh clone, into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 4483
# Workers take whole files, the longest first; --numprocesses auto is explained in tests/conftest.py.
PYTEST := $(BIN)/python -m pytest --quiet --numprocesses auto --dist loadfile --no-loadscope-reorder
# Tests start some thousand processes: without compiled modules, each would take twice as long to start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run demo test check static fresh durations bench protocol clean setup

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

static: setup               ## format, lint, types, layers
	$(BIN)/ruff format --check client hub tests
	$(BIN)/ruff check client hub tests
	$(BIN)/mypy
	$(BIN)/lint-imports

check: setup                ## static checks and unit tests: a minute
	$(call beside,$(PYTEST) tests/unit)

test: setup                 ## everything; gets from Debian's packages what pip cannot bring
	sh tests/needs.sh
	$(call beside,$(PYTEST) --durations 25 --durations-min 5)

durations: setup            ## write tests/durations.json, which says what tests run first
	$(PYTEST) --write-durations

fresh:                      ## what a fresh install gets: are the versions within the bounds, and are all names there?
	@venv=$$(mktemp -d) && trap "rm -rf $$venv" EXIT && $(PYTHON) -m venv $$venv && \
	$$venv/bin/python -m pip install --quiet --disable-pip-version-check '.[hub]' pytest packaging && \
	$$venv/bin/python -m pytest -q -p no:cacheprovider -c /dev/null --rootdir . --noconftest tests/unit/test_dependencies.py

# Static checks while another command runs. Their output follows that of the command, and both must succeed.
define beside
@log=$$(mktemp); $(MAKE) --no-print-directory static >$$log 2>&1 & static=$$!; \
$(1); tests=$$?; wait $$static; static=$$?; cat $$log; rm $$log; exit $$((static | tests))
endef

bench: $(VENV)/.bench       ## measure beside Redis and NATS, 15 minutes at most; writes docs/performance.md and docs/measurements.md
	sh tests/bench/needs.sh
	PATH="$$PATH:/usr/sbin" $(BIN)/python -m tests.bench

protocol: setup             ## write the tables of docs/protocol.md, and its schema, from the vocabulary
	$(BIN)/python -m tests.tools.protocol_reference

$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[hub,dev,bench]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
