# From a bare machine to a result: Python 3.11 or newer and make, nothing else.
#
#   make demo     check → attack → align → check again on a small chat model; the report's path is printed last
#   make test     the tests
#   make lint     ruff, pyright and the floors of the architecture
#   make docs     the pages of the papers, the README's tables, and the site in site/
#   make families docs/models.md: what trued and plain transformers give on every family of models, in half an hour
#   make bench    the benchmarks beside their peers
#   make tables   the table of settings that the help of `trued` is made from
#   make clean    remove what the others made; runs and the model cache stay
#
# The first call makes .venv with the versions of constraints.txt; later calls start at once.
#   PYTHON=/path/to/python      an interpreter of your choice
#   TORCH_INDEX=URL             where torch comes from; the CPU index that pytorch.org names saves 2 GB on Linux
#   JOBS=1                      tests at once; one per processor otherwise
#   ARGS='-k preference'        passed on to pytest, `trued loop` or the benchmarks

VENV   ?= .venv
PYTHON ?= python3.13 python3.12 python3.11 python3 python
JOBS   ?= logical
ARGS   ?=
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
TORCH  := $(shell grep '^torch==' constraints.txt)

export PYTHONNOUSERSITE := 1
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DELETE_ON_ERROR:
.PHONY: demo test lint format docs families bench tables constraints clean

demo: $(VENV)/.stamp-run
	$(BIN)/trued loop --output demo $(ARGS)

test: $(VENV)/.stamp-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --maxprocesses 8 --dist worksteal $(ARGS)

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.stamp-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.stamp-docs
	$(BIN)/python docs/build_pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

families: $(VENV)/.stamp-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.families --write docs/models.md $(ARGS)

bench: $(VENV)/.stamp-dev
	$(BIN)/python -m benchmarks $(ARGS)

tables: $(VENV)/.stamp-run
	$(BIN)/python -m trued.cli.methods

$(VENV)/.stamp-run: $(VENV)/.stamp-torch pyproject.toml
	$(PIP) install --constraint constraints.txt --editable '.[models]'
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-torch pyproject.toml
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.stamp-run

$(VENV)/.stamp-docs: $(VENV)/.stamp-torch pyproject.toml
	$(PIP) install --constraint constraints.txt --editable '.[docs]'
	@touch $@ $(VENV)/.stamp-run

# torch comes first and by itself, because it alone may come from another index.
$(VENV)/.stamp-torch: $(VENV)/.stamp-venv constraints.txt
	$(PIP) install --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	@touch $@

$(VENV)/.stamp-venv:
	@for python in $(PYTHON); do \
	  if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "$(VENV): made with $$($$python --version)"; \
	    $$python -m venv $(VENV) && touch $@; exit; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer with its venv module among: $(PYTHON)."; \
	echo "Install one (Debian, Ubuntu: apt install python3-venv), or say where it is: make PYTHON=/path/to/python3"; \
	exit 2

# The newest versions that fit pyproject.toml, of every dependency of every extra. Run the tests before you commit them;
# torch is held where it is: change its line by hand.
constraints:
	@$(MAKE) --no-print-directory VENV=$(VENV)-constraints $(VENV)-constraints/.stamp-venv
	$(VENV)-constraints/bin/python -m pip install '$(TORCH)' \
	  --editable '.[dev,docs,all]'
	@{ sed -n '/^#/p;/^#/!q' constraints.txt; \
	  $(VENV)-constraints/bin/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9]*$$//'; } > constraints.new
	@mv constraints.new constraints.txt
	rm -rf $(VENV)-constraints

clean:
	rm -rf $(VENV) site docs/papers demo build dist src/*.egg-info
	rm -rf .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
