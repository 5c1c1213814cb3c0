# `make demo` and `make test` work on a fresh machine with Python 3.10+, git and make: each builds .venv itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Bytecode of what is never imported would take 40 MB: Python compiles the rest on first use.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: demo test test-parallel test-data check format schemas bench bench-compress docs clean

$(VENV)/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[pocketsphinx]'
	touch $@

# torch first and by itself: its plain range would bring several GB of GPU packages.
$(VENV)/.test: $(VENV)/.base requirements-test.txt
	$(PIP) torch==2.13.0
	$(PIP) -r requirements-test.txt
	$(PIP) -e '.[hf,hub,ct2,sherpa,whispercpp,moonshine,onnx-asr,vosk,openvino,pocketsphinx,nvml,parquet,vad,profile,train,compress,mlflow,tune,fleet]'
	touch $@

$(VENV)/.docs: $(VENV)/.base requirements-docs.txt
	$(PIP) -r requirements-docs.txt
	touch $@

# PocketSphinx has no wheel for aarch64 (pyproject.toml): there the shipped model's two precisions are compared alone.
demo: $(VENV)/.base
	@experiment=demo; $(BIN)/python -c 'import pocketsphinx' 2>/dev/null || { experiment=demo-reference; \
	echo 'PocketSphinx is not installed (it has no wheel for aarch64): the shipped model is measured in both precisions.'; \
	echo 'With a compiler: $(BIN)/pip install pocketsphinx, then make demo again.'; }; set -x; \
	$(BIN)/wattscribe bench benchmarks/$$experiment.toml --out runs/demo --overwrite

test: $(VENV)/.test
	$(BIN)/python -m pytest

# The same on two cores: two at a time, a file of tests by one process; then what nothing may run beside.
test-parallel: $(VENV)/.test
	status=0; $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not alone' || status=1; \
	$(BIN)/python -m pytest -m alone tests/fleets tests/runs tests/cli tests/metering tests/process || status=1; exit $$status

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

# The JSON Schemas that the package ships, of what --json prints; a test compares them.
schemas: $(VENV)/.test
	$(BIN)/python -m wattscribe.cli.schemas

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks

bench-compress: $(VENV)/.test
	$(BIN)/python -m benchmarks.compress

# site/, of README, docs/ and the program's own help; a warning is an error. No network is needed to read it.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'Open site/index.html; with its search: $(BIN)/python -m http.server -b 127.0.0.1 -d site'

# What was measured, in runs/, stays.
clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
