# `make demo` and `make test` work on a fresh machine with Python 3.10+, git and make: each builds .venv itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-parallel test-data check format bench bench-compress clean

$(VENV)/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[pocketsphinx]'
	touch $@

# torch first and by itself: its plain range would bring several GB of GPU packages.
$(VENV)/.test: $(VENV)/.base requirements-test.txt
	$(PIP) torch==2.13.0
	$(PIP) -r requirements-test.txt
	$(PIP) -e '.[hf,hub,ct2,sherpa,whispercpp,pocketsphinx,nvml,parquet,vad,profile,train,compress]'
	touch $@

demo: $(VENV)/.base
	$(BIN)/wattscribe bench benchmarks/demo.toml --out runs/demo --overwrite

test: $(VENV)/.test
	$(BIN)/python -m pytest

# The same on two cores: two at a time, a file of tests by one process; then what nothing may run beside.
test-parallel: $(VENV)/.test
	status=0; $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not alone' || status=1; \
	$(BIN)/python -m pytest -m alone tests/runs tests/cli tests/metering tests/process || status=1; exit $$status

# What needs the real data of ../shared, which `make test` skips where they are not; with an environment that is there already.
test-data:
	PYTHONPATH=$(CURDIR)/src $(BIN)/python -m pytest -m data

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.stated

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks

bench-compress: $(VENV)/.test
	$(BIN)/python -m benchmarks.compress

# What was measured, in runs/, stays.
clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
