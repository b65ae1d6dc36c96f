# Each command sets up .venv on its first call and reuses it after; versions are those of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHON_LINE := Python 3.10 or newer with venv is needed (Debian and Ubuntu: apt-get install python3 python3-venv).

.PHONY: demo test test-library test-lowest test-newest test-slicer test-pages lint lock checkpoint docs figures results screenshot soak

demo: $(VENV)/.ready
	$(BIN)/lmidiffusion demo --output demo

test: lint
	$(BIN)/python tools/run_tests.py

test-library: $(VENV)/.ready-test
	$(BIN)/python tools/run_tests.py Testing/Library

# The lowest versions that pyproject.toml allows, and the newest that there are.
test-lowest: $(VENV)/.ready-lock
	$(BIN)/python tools/version_range.py lowest

test-newest: $(VENV)/.ready-lock
	$(BIN)/python tools/version_range.py newest

# The module on the oldest and the newest of Slicer's libraries; SLICER_PYTHON=folder adds Slicer's own Python files.
test-slicer: $(VENV)/.ready-test
	$(BIN)/python tools/slicer_versions.py

# The commands of all pages, in an environment made by README's own lines.
test-pages: $(VENV)/.ready-test
	$(BIN)/python tools/follow_pages.py

lint: $(VENV)/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=LMIDiffusion $(BIN)/lint-imports --no-cache
	@if $(BIN)/python -c "import sys; sys.exit(sys.version_info < (3, 11))"; then echo $(BIN)/mypy; $(BIN)/mypy; \
	else echo "Types are not checked on Python 3.10: its last NumPy declares others."; fi

lock: $(VENV)/.ready-lock
	$(BIN)/uv pip compile --universal --python-version 3.10 --all-extras --upgrade --output-file constraints.txt --quiet pyproject.toml
	$(MAKE) test

# Trains a checkpoint by the recipe: T1W is a folder of scans, LABELS one of label maps. Hours; called again, it resumes.
checkpoint: $(VENV)/.ready-test
	$(BIN)/lmidiffusion train $(T1W) --label-maps $(LABELS) --output runs/checkpoint $(if $(wildcard runs/checkpoint/last.ckpt),--resume)

docs: $(VENV)/.ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "Open site/index.html"

figures: $(VENV)/.ready-test
	$(BIN)/python docs/figures.py

# The tables of docs/results.md, from the folder DATA of scans that docs/protocol.md names; goes on after a stop.
results: $(VENV)/.ready-test
	@test -n "$(DATA)" || { echo "Give the folder of the scans: make results DATA=folder"; exit 1; }
	$(BIN)/python tools/result_pairs.py "$(DATA)" results
	nice $(BIN)/lmidiffusion benchmark quality results/pairs.csv --output results/scores --every 12 \
		--target-scans "$(DATA)/ixi_t1w_2mm" --methods identity histogram-matching tone-map repainting sdedit-0.5 \
		lmidiffusion lmidiffusion@t1w-ixi-2mm target-to-itself
	nice $(BIN)/lmidiffusion benchmark quality results/pairs.csv --output results/errors --every 30 \
		--expected-error --methods lmidiffusion

screenshot: $(VENV)/.ready-test
	$(BIN)/python tools/screenshot.py screenshots

soak: $(VENV)/.ready-test
	$(BIN)/python tools/soak.py

$(VENV)/.ready: EXTRAS :=
$(VENV)/.ready-docs: EXTRAS := docs
$(VENV)/.ready-lock: EXTRAS := lock
$(VENV)/.ready-test: EXTRAS := slicer,test
$(VENV)/.ready $(VENV)/.ready-docs $(VENV)/.ready-lock $(VENV)/.ready-test: pyproject.toml constraints.txt
	@$(PYTHON) -c "" || { echo "$(PYTHON_LINE)"; exit 1; }
	$(PYTHON) tools/set_up.py $(VENV) --extras "$(EXTRAS)"
	touch $@
