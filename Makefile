# Two commands from a bare machine: `make demo` and `make test`. Each makes .venv first, once (scripts/setup_env.py).

SETUP_PYTHON := $(or $(shell command -v python3 || command -v python3.12 || command -v python3.11 || command -v python3.10),$(PYTHON))
BIN := .venv/bin
TRANSFORMERS_DEMO := work_dirs/demo_transformers
# Demo and tests start many processes. Without bytecode, each would compile what it imports anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-upstream test-oldest test-wheel fast lint types docs docs-serve setup clean

help:
	@echo 'make demo   trains a detector on a mix of data sets, unweighted and weighted, and shows what the weights did'
	@echo '            (digits with wrong labels and boxes; make demo ARGS=crowns: real and rendered tree crowns)'
	@echo 'make test   lint, types, all tests          make fast   the same without the slow tests'
	@echo 'make test-upstream   the detectors of the zoo on upstream mmdetection 3.3 and mmcv 2.1 (an environment of its own)'
	@echo 'make test-oldest     the wing for transformers on the last transformers 4, without mmdetection (an environment of its own)'
	@echo 'make test-wheel      the built wheel with each extra alone, in fresh environments'
	@echo 'make docs   builds the site into site/               make docs-serve   shows it while you write'
	@echo 'make setup  only makes .venv                make clean  removes it (pip keeps the compiled mmcv)'

setup:
	@$(if $(SETUP_PYTHON),,$(error Python 3.10, 3.11 or 3.12 is needed: install it, or name it with make PYTHON=...))PYTHON='$(PYTHON)' $(SETUP_PYTHON) scripts/setup_env.py

# Without a compiler: the example for transformers, in an environment of its own.
ifeq ($(FRAMEWORK),transformers)
demo:
	@PYTHON='$(PYTHON)' $(SETUP_PYTHON) scripts/setup_env.py transformers
	@.venv-transformers/bin/python -W ignore examples/transformers/train.py --output $(TRANSFORMERS_DEMO) $(ARGS)
	@.venv-transformers/bin/headweights report $(TRANSFORMERS_DEMO)/unweighted $(TRANSFORMERS_DEMO)/weighted --out $(TRANSFORMERS_DEMO)/report.html
else
demo: setup
	@$(if $(filter-out mmdetection,$(FRAMEWORK)),$(error FRAMEWORK is $(FRAMEWORK); it is mmdetection or transformers))$(BIN)/headweights demo $(ARGS)
endif

test: setup lint types
	$(BIN)/python -m pytest $(ARGS)

test-upstream:
	@$(SETUP_PYTHON) scripts/setup_env.py upstream
	.venv-upstream/bin/python -m pytest tests/exactness/test_two_stage.py tests/exactness/test_zoo.py tests/unit/mmdet $(ARGS)

test-oldest:
	@$(SETUP_PYTHON) scripts/setup_env.py oldest
	.venv-oldest/bin/python -m pytest tests/exactness/test_transformers*.py tests/unit/transformers $(ARGS)

test-wheel:
	@$(SETUP_PYTHON) scripts/test_wheel.py $(ARGS)

fast: setup lint types
	$(BIN)/python -m pytest -m 'not slow' $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: setup
	$(BIN)/mypy

# The variable silences the theme's advertisement.
docs: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(ARGS)
	@echo 'The site is in site/: open site/index.html. Its search needs a server: make docs-serve'

docs-serve: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve $(ARGS)

clean:
	rm -rf .venv .venv.* .venv-*
