# Everything begins here: `make run` starts the trap, `make test` tests it, `make help` lists the rest.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Programs the tests talk to. No service of theirs is used: the tests start their own.
DEBIAN_FOR_TESTS := bind9-utils chromium clamav-daemon curl dnsmasq iproute2 libdbd-pg-perl libsisimai-perl nftables node-nodemailer nodejs openssl postfix \
	postgresql razor rbldnsd redis-server rspamd shellcheck spamassassin spamc spamd swaks systemd tmux unbound util-linux

.PHONY: help run test check format bench bench-quick lock clean programs
.DEFAULT_GOAL := help

help: ## List what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

run: $(VENV)/ready ## Set up, then run the trap on embedded defaults (127.0.0.1:2525)
	@$(BIN)/spamtrap up

test: $(VENV)/ready-dev programs ## Set up all that the tests need, then test
	$(BIN)/python -m pytest

check: $(VENV)/ready-dev ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v shellcheck >/dev/null; then shellcheck tmpfs-setup.sh .ci/run; fi

format: $(VENV)/ready-dev ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/ready-bench ## Measure all against its peers, two hours; writes bench/results and docs
	@$(BIN)/python bench/run.py

bench-quick: $(VENV)/ready-bench ## The same in three minutes, roughly; only prints
	@$(BIN)/python bench/run.py --quick

lock: $(VENV)/ready-dev ## Resolve the dependencies anew
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --extra dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --extra bench pyproject.toml -o requirements-bench.lock

clean: ## Remove what was made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Debian splits venv from Python. Root gets it installed, others are told.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; } || \
	  { echo "make: Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: $(VENV)/bin/python requirements.lock pyproject.toml
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@$(BIN)/python -m compileall -q trap stages  # inject is started for each mail, by users who can't write here
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/ready-bench: $(VENV)/ready requirements-bench.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

# What is missing is installed for root; for others the tests that need it say so and are skipped.
programs:
	@missing=$$(for package in $(DEBIAN_FOR_TESTS); do dpkg -s $$package >/dev/null 2>&1 || echo $$package; done); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "make: some tests will be skipped without: $$missing" >&2; fi
