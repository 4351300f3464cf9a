# make run    everything on this machine, at http://127.0.0.1:8000 (DEMO=0: without the recorded market)
# make test   every check and every test
# make faults the tests that kill, freeze and starve real processes, at length, as a table (FAULTS_SEED=n: other faults)
# make bench  the figures of this machine, also as bench.json
# Needs Python 3.11 or newer with pip. Everything it makes is in .venv, data and caches.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
KERNEL_SOURCES := $(shell find app/quant -name '*.py')

.PHONY: help run test lint faults bench clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

run: $(VENV)/.kernels
	@$(PY) -m app run

test: lint $(VENV)/.kernels
	$(PY) -m pytest

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

faults: $(VENV)/.dev $(VENV)/.kernels
	FAULTS=full $(PY) -m pytest tests/faults tests/e2e

bench: $(VENV)/.bench $(VENV)/.kernels
	$(PY) -m tests.bench

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench.json
	find app tests -name __pycache__ -prune -exec rm -rf {} +

# Works where Debian has split ensurepip off: python3's own pip installs into the new environment.
install = if $(PYTHON) -m pip --version >/dev/null 2>&1; \
	then $(PYTHON) -m pip --python $(PY) install --disable-pip-version-check --require-hashes -r $(1); \
	else $(PY) -m ensurepip --upgrade && $(PY) -m pip install --disable-pip-version-check --require-hashes -r $(1); fi

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.runtime: requirements.lock | $(PY)
	@$(call install,requirements.lock)
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(PY)
	@$(call install,requirements-dev.lock)
	@touch $@ $(VENV)/.runtime

$(VENV)/.bench: requirements-bench.lock | $(VENV)/.dev
	@$(call install,requirements-bench.lock)
	@touch $@

$(VENV)/.kernels: $(VENV)/.runtime $(KERNEL_SOURCES)
	@$(PY) -m app warm
	@touch $@
