# `make` alone shows what there is.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PORT ?= 8000
DIST ?= dist
export PORT

.DEFAULT_GOAL := help
.PHONY: help run install develop test test-long lint format bench wheels demo clean

help: ## Show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: $(VENV)/installed ## Serve on 127.0.0.1:$PORT (default 8000); installs and migrates first
	@$(BIN)/treenail serve --migrate

demo: $(VENV)/installed ## Two tenants with people and live documents; prints log-ins
	@$(BIN)/python examples/demo.py

install: $(VENV)/installed ## Make the virtual environment

develop: $(VENV)/developed ## And what tests, lint and benchmarks need

test: $(VENV)/developed ## The whole suite
	$(BIN)/pytest -n $(or $(WORKERS),auto) --dist loadfile $(ARGS)

test-long: $(VENV)/developed ## Fault and simulation rounds in full
	$(BIN)/pytest -n $(or $(WORKERS),auto) --dist loadfile -m long $(ARGS)

lint: $(VENV)/developed ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/developed ## Bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/developed tests/js/node_modules ## Every benchmark, each a ratio to its anchor
	$(BIN)/python bench/live/run.py
	$(BIN)/python bench/auth/doors.py
	$(BIN)/python bench/deliveries/engine.py
	$(BIN)/python bench/rest/grants_at_scale.py; grants=$$?; \
		$(BIN)/python bench/rest/compare.py && exit $$grants

wheels: $(VENV)/installed ## Build a wheel of each distribution into dist/
	$(BIN)/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w $(DIST) . ./core $(wildcard ./plugins/*)

clean: ## Remove what was built, not the data
	rm -rf $(VENV) tests/js/node_modules

SOURCES = setup.cfg requirements.txt constraints.txt core/pyproject.toml $(wildcard plugins/*/pyproject.toml)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Build tools first and no isolation: otherwise each member downloads its own.
$(VENV)/installed: $(VENV)/bin/python $(SOURCES)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt hatchling editables "setuptools>=77"
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -c constraints.txt -r requirements.txt
	@touch $@

$(VENV)/developed: $(VENV)/installed requirements-dev.txt
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	@touch $@

tests/js/node_modules: tests/js/package-lock.json
	cd tests/js && npm ci --no-audit --no-fund
	@touch $@
