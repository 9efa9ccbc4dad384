.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
BIN := .venv/bin

# A checkout that was moved, or whose python is gone, is installed anew.
$(shell [ "$$(cat .venv/place 2>/dev/null)" = "$(CURDIR)" ] && $(BIN)/python -c "" 2>/dev/null || rm -f .venv/*.stamp)

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: .venv/review.stamp ## Review a small shop with six bugs in it: no model, no key, nothing sent
	cat ensembles/examples/shop.py | $(BIN)/llm-orc invoke code-review --offline

.PHONY: test
test: .venv/dev.stamp ## Run the tests (ARGS="-k name" for some)
	$(BIN)/python -m pytest -n 2 $(ARGS)

.PHONY: test-live
test-live: .venv/dev.stamp ## Ask each provider whose key is there, and each local server, once: at most 5 cents each
	$(BIN)/python -m pytest -n 0 -m live tests/live $(ARGS)

.PHONY: soak
soak: .venv/dev.stamp ## Kill a run at 100 moments, and go on with it: takes minutes
	$(BIN)/python -m pytest -n 0 -m soak $(ARGS)

.PHONY: check formatting lint types floors budgets
check: .venv/dev.stamp ## Check format, lint, types, floors and budgets
	@$(MAKE) --no-print-directory --keep-going formatting lint types floors budgets

formatting: .venv/dev.stamp
	$(BIN)/ruff format --check .

lint: .venv/dev.stamp
	$(BIN)/ruff check .

types: .venv/dev.stamp
	$(BIN)/mypy

floors: .venv/dev.stamp
	$(BIN)/lint-imports --no-logo

budgets: .venv/dev.stamp
	$(BIN)/python checks/budgets.py $(wildcard llm_orc ensembles/scripts bench checks docs)

.PHONY: format
format: .venv/dev.stamp ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: .venv/dev.stamp ## Measure the budgets of speed and memory
	$(BIN)/python -m bench $(ARGS)

.PHONY: docs
docs: .venv/dev.stamp ## Write the generated pages of docs/
	$(BIN)/python docs/generate.py

.PHONY: install
install: ## Put llm-orc on the PATH, with uv or pipx
	@if command -v uv >/dev/null 2>&1; then uv tool install --force --reinstall ".[review]"; \
	elif command -v pipx >/dev/null 2>&1; then pipx install --force ".[review]"; \
	else \
	  echo "Neither uv nor pipx is on the PATH. Install one of them, then make install again;" >&2; \
	  echo "or run make demo once and call $(CURDIR)/$(BIN)/llm-orc." >&2; \
	  exit 1; \
	fi

.PHONY: requirements
requirements: ## Pin the dependencies anew (needs uv)
	@command -v uv >/dev/null 2>&1 || { echo "Pinning for every system at once needs uv, and it is not on the PATH." >&2; exit 1; }
	$(PIN) --extra dev pyproject.toml -o requirements/dev.txt
	$(PIN) --extra review -c requirements/dev.txt pyproject.toml -o requirements/review.txt
	echo hatchling | $(PIN) -c requirements/dev.txt - -o requirements/build.txt
PIN := uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --python-version 3.11 --custom-compile-command "make requirements"

.PHONY: clean
clean: ## Remove .venv and what tools left behind
	rm -rf .venv build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/review.stamp: .ci/venv pyproject.toml requirements/review.txt requirements/build.txt
	@.ci/venv review
	@touch $@

.venv/dev.stamp: .ci/venv pyproject.toml requirements/dev.txt requirements/build.txt
	@.ci/venv dev
	@touch .venv/review.stamp $@
