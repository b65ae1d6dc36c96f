# `make demo` and `make test` set up .venv on the first call and reuse it after.
PYTHON ?= python3
# The CPU build of PyTorch is enough for both; give another requirement to choose another build.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

# Slicer's scene and Qt's classes are one a process: each of these files gets its own, two at a time.
MODULE_TESTS := $(wildcard Testing/Host/test_*.py Testing/Module/test_*.py Testing/Module/*/test_*.py)

.PHONY: demo test lint docs figures screenshot soak

demo: $(VENV)/.ready
	$(BIN)/lmidiffusion demo --output demo

test: lint
	printf '%s\n' Testing/Library $(MODULE_TESTS) | OMP_NUM_THREADS=1 xargs -n 1 -P 2 $(BIN)/python -m pytest --quiet

screenshot: $(VENV)/.ready-test
	$(BIN)/python tools/screenshot.py screenshots

soak: $(VENV)/.ready-test
	$(BIN)/python tools/soak.py

docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "Open site/index.html"

figures: $(VENV)/.ready-test
	$(BIN)/python docs/figures.py

lint: $(VENV)/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=LMIDiffusion $(BIN)/lint-imports --no-cache
	$(BIN)/mypy

$(VENV)/.ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable ".[train,test]"
	touch $@
