# make demo: from nothing to a cross-validated score and a submission, on bundled digits; installs no extra.
# make test: what every change must pass: 6 minutes on 2 cores, one of them to install. make test-all: also the slow tests and the type checks.
# make docs: the site of docs/ in site/; a warning is an error. make figures: the pictures of README and docs, 10 minutes.
# PYTHON=python3.12 make … chooses the interpreter.

PYTHON ?= python3
unexport PYTHONDONTWRITEBYTECODE  # without compiled files each process takes 15 s for Keras, not 6
BIN := .venv/bin
SAMPLE := input/sample

.PHONY: demo test test-fast test-all lint format docs figures kernels notebooks clean

demo: .venv/installed
	$(BIN)/python -m digit_recognizer.download sample --input-dir $(SAMPLE)
	$(BIN)/python -m digit_recognizer.cv --model baseline --input-dir $(SAMPLE) --epochs 60 --batch-size 64
	@echo "For the competition's own data: . .venv/bin/activate, then python -m digit_recognizer.download kaggle"

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

test-fast: .venv/installed-test
	$(BIN)/python -m pytest -m fast

test-all: lint .venv/installed-docs
	$(BIN)/python -m pytest -m ""

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# benchmarks/example_pictures.py makes the rest: it trains for minutes, and need not be repeated when a page changes
figures: .venv/installed-test
	$(BIN)/python benchmarks/figures.py
	$(BIN)/python benchmarks/gallery.py
	$(BIN)/python benchmarks/result_figures.py
	$(BIN)/python benchmarks/example_pictures.py

# The notebooks of examples/, and the outputs of kernels/notebook-champion, on the bundled sample: 10 minutes.
notebooks: .venv/installed-test
	$(BIN)/python examples/build.py

clean:
	rm -rf .venv build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "make: Python 3.11 to 3.13 is needed; $(PYTHON) is another. Try: PYTHON=python3.12 make demo"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

# --no-compile: most modules are never imported; to compile those of JAX alone takes 2 s
.venv/installed-test: .venv/bin/python setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[test]'
	@touch .venv/installed $@

.venv/installed-docs: .venv/installed setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

# The kernels carry the package as it was at a version: build them again when the version changes. What was edited in a
# kernel is kept, and stops this, unless OVERWRITE=--overwrite says otherwise.
kernels: .venv/installed
	$(BIN)/python -m digit_recognizer.kernel build baseline $(OVERWRITE)
	$(BIN)/python -m digit_recognizer.kernel build champion $(OVERWRITE)
	$(BIN)/python -m digit_recognizer.kernel notebook champion $(OVERWRITE)
