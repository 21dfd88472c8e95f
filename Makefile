# Everything runs from a virtual environment that the first target makes. PYTHON may name another interpreter.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
FILES  ?= 1000000
SEED   ?= 1

.PHONY: demo test test-all fuzz check floors types lint bench clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "suasion needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# Numba keeps a compiled loop for as long as the file that holds it is unchanged, whatever becomes of what it calls.
LOOPS  := $(VENV)/.loops
$(LOOPS): $(STAMP) $(shell grep -rl --include='*.py' numba src)
	find src -name '*.nb[ci]' -delete
	touch $@

demo: $(LOOPS)       ## train small Harvest, selfish and with shared reward; leave curves, a GIF and a table in demo/
	$(BIN)/suasion demo --out demo

test: $(LOOPS)       ## everything but what is marked slow
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(LOOPS)   ## the slow tests too
	$(BIN)/python -m pytest -n 2 --dist loadfile

fuzz: $(STAMP)       ## a million mutated files for each reader of tests/records/fuzz.py; FILES= and SEED= change that
	$(BIN)/python tests/records/fuzz.py --files $(FILES) --seed $(SEED)

check: $(STAMP) lint floors types

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

floors: $(STAMP)
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

bench: $(LOOPS)      ## ours against named peers; results as Markdown in benchmarks/
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .jax_cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
