# Everything from a bare python3: `make train`, `make test`.  Another Python: make PYTHON=python3.12 VENV=.venv312 …

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
TYPES  := $(VENV)/.types
SITE   := $(VENV)/.site
WORKERS ?= 2

ifneq ($(origin PYTHON),file)  # asked for, and there may be an environment of another one
ifneq ($(wildcard $(BIN)/python),)
ifneq ($(shell $(PYTHON) --version 2>&1),$(shell $(BIN)/python --version 2>&1))
$(error $(VENV) is $(shell $(BIN)/python --version), not $(shell $(PYTHON) --version 2>&1): name another folder, VENV=.venv-other)
endif
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup train sweep test test-slow test-gpu bench bench-check lint typecheck docs format clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with the locked versions (about a minute, once)

train: $(READY)  ## the whole recipe on a CPU, about 4 minutes: SFT, then IGPO, then the report
	$(BIN)/python -m igpo_lightning.train experiment=quickstart $(ARGS)

sweep: $(READY)  ## IGPO and GRPO over three seeds (ARGS="…" for your own)
	$(BIN)/python -m igpo_lightning.train -m $(if $(ARGS),$(ARGS),experiment=quickstart algo=grpo,igpo seed=0,1,2)

test: $(READY)  ## the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-slow: $(READY)  ## the tests that take minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m slow $(ARGS)

test-gpu: $(READY)  ## the tests that need a CUDA GPU (one is enough, 80 GB; about 9 minutes)
	$(BIN)/python -m pytest -n 0 -s -m gpu tests/gpu $(ARGS)

bench: $(READY)  ## speed beside the published code, on one thread of a CPU, about 2 minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m igpo_lightning.bench $(ARGS)

bench-check: $(READY)  ## the same, compared with benchmarks/cpu.json: exit code 1 and names if something is slower
	OMP_NUM_THREADS=1 $(BIN)/python -m igpo_lightning.bench check=benchmarks/cpu.json $(ARGS)

lint: $(READY)  ## ruff, and types once `make typecheck` has been run, as CI runs it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@if [ -x $(BIN)/basedpyright ]; then $(MAKE) --no-print-directory typecheck; fi

typecheck: $(TYPES)  ## basedpyright in basic mode (about 2 minutes; loads 75 MB the first time)
	$(BIN)/basedpyright --pythonpath $(BIN)/python

docs: $(SITE)  ## the documents and a reference of the package as a site: build/site/index.html
	$(BIN)/python docs/site/pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -f build/mkdocs.yml

format: $(READY)  ## let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and caches; runs stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
	find igpo_lightning tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock holds versions that need Python 3.11; on 3.10 pip chooses from the ranges in pyproject.toml. It holds all but
# the libraries of torch's CUDA build, which pip adds; what is imported is compiled when it is (--no-compile).
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)': install Python 3.10 or later, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: $$($(PYTHON) --version) is too old: Python 3.10 or later is needed; say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "make: $(PYTHON) can't make environments: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): a minute, and gigabytes more where pip takes torch's CUDA build ..."
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	   $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile -r requirements.lock -e . ; \
	 else \
	   $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile \
	     -e '.[tasks,rewrite,sweep-joblib,dashboards,dev]' ; \
	 fi
	@$(BIN)/python -c 'import torch' || { echo "make: torch does not work in $(VENV): make clean, and try again" >&2; exit 1; }
	@touch $@

$(SITE): $(READY)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[docs]'
	@touch $@

$(TYPES): $(READY)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[types]'
	@touch $@
