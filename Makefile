# The front door of the repository; `make` alone lists what there is.
# Needs only Python 3.11 or later with venv, git and make. Everything else goes into .venv from hash-locked lists.

PYTHON ?= python3
FUZZ_SECONDS ?= 300
TEST_PROCESSES ?= 4
FAULT_PROCESSES ?= 2
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime-ready
DEV := $(VENV)/.dev-ready
APPS := .work/apps/.ready
PIP := $(PY) -m pip --disable-pip-version-check --no-input install --quiet

.PHONY: help venv run test check bench bench-large fuzz faults lock clean

help: ## show this list
	@echo "Posthouse: make TARGET"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'
	@echo
	@echo "The program is $(VENV)/bin/posthouse; 'make run' tries it at once."

venv: $(RUNTIME) ## prepare .venv with what the program needs, and nothing else

run: $(RUNTIME) ## start a mail server for trying out: posthouse dev $(ARGS)
	@$(VENV)/bin/posthouse dev $(ARGS)

test: $(DEV) $(APPS) ## install what the tests need and run them all
	@sh tools/test_packages.sh
	$(PY) -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(ARGS)

check: $(DEV) ## formatting, lint, types, layers, what the documents say of the tree
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) tools/rfc_index.py
	$(PY) tools/layout.py
	$(PY) tools/duplicates.py
	$(PY) tools/prose.py

bench: $(DEV) ## measure speed; ARGS="--help" shows what can be asked
	$(PY) -m benchmarks $(ARGS)

bench-large: $(DEV) ## the same for a mailbox of 200,000 messages
	$(PY) -m benchmarks.large_mailbox $(ARGS)

fuzz: $(DEV) ## fuzz each parser and engine for FUZZ_SECONDS (300) seconds
	@mkdir -p .work/fuzz
	@set -e; for target in tests/fuzz/fuzz_*.py; do \
		name=$$(basename $$target .py); mkdir -p .work/fuzz/$$name; \
		echo "== $$name: $(FUZZ_SECONDS) s"; \
		PYTHONPATH=. $(PY) $$target -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=.work/fuzz/$$name- .work/fuzz/$$name; \
	done

faults: $(DEV) ## the long forms of the tests of faults; POSTHOUSE_FAULTS_SCALE=0.2 for a fifth of them
	@sh tools/test_packages.sh
	POSTHOUSE_LONG=1 $(PY) -m pytest --numprocesses $(FAULT_PROCESSES) --dist loadfile --timeout 7200 -rA \
		--durations 0 --durations-min 10 tests/faults tests/stateful $(ARGS)

lock: ## resolve pyproject.toml anew into requirements/*.txt
	@test -x .work/lock/bin/uv || { $(PYTHON) -m venv .work/lock && .work/lock/bin/python -m pip install --quiet uv; }
	.work/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--group build pyproject.toml -o requirements/runtime.txt
	.work/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--group build --group dev pyproject.toml -c requirements/runtime.txt -o requirements/dev.txt
	.work/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--group apps -o requirements/apps.txt

clean: ## remove .venv, caches and scratch files
	rm -rf $(VENV) .work build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is older than its list when the list has changed: then, and only then, pip runs again.
$(RUNTIME): requirements/runtime.txt pyproject.toml
	@PYTHON="$(PYTHON)" sh tools/make_venv.sh $(VENV)
	@echo "Installing into $(VENV) (once; about a minute) ..."
	@$(PIP) --require-hashes --only-binary :all: -r requirements/runtime.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo "Installing what the tests need into $(VENV) (once) ..."
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# Programs that send mail, whose libraries Posthouse itself has no use for: an environment of their own.
$(APPS): requirements/apps.txt $(DEV)
	@echo "Installing what the programs of tests/interop/apps need into .work/apps (once) ..."
	@PYTHON="$(PYTHON)" sh tools/make_venv.sh .work/apps
	@.work/apps/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes -r requirements/apps.txt
	@touch $@
