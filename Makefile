# What there is to do here. `make demo` and `make test` need nothing but Python 3.11; the real servers need Go.
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
# How many seconds `make soak` takes.
SECONDS ?= 600
# Debian packages that the stack tests use; the tests of what is missing are skipped (and fail with CI=true).
PACKAGES := redis-server victoria-metrics prometheus-alertmanager wrk

.PHONY: venv lock check dashboards packages binaries test test-fast demo stack bench bench-outage bench-redis malformed soak wheel clean

venv: .venv/.from-lock

.venv/.from-lock: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, set PYTHON=" if sys.version_info < (3, 11) else 0)'
	test -x $(PY) || $(PYTHON) -m venv .venv
	@echo "installing what requirements.lock pins: about 1 min, once for this lock"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

lock: ## pin every dependency by its hashes, without the address of any registry
	$(BIN)/uv pip compile --quiet pyproject.toml --extra openai --group dev --python-version 3.11 --universal \
	  --generate-hashes --no-header -o requirements.lock

check: venv ## lint, strict types, import contracts, generated files up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PY) -m dashboards --check

dashboards: venv ## writes what is generated from the catalogue: dashboard, rules and their tests, data sources, docs/metrics.md
	$(PY) -m dashboards

packages: ## Debian packages for the stack tests: installs what is missing where this is root
	@missing=""; for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "not installed:$$missing (their tests are skipped; sudo apt-get install$$missing)"; exit 0; fi; \
	echo "installing$$missing (about 1 min, once)"; export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing >/dev/null

binaries: venv ## the real servers, built from their pins into the user's cache
	$(PY) -m stack.servers.binaries

test: venv packages binaries ## the whole suite, real servers included
	$(PY) -m pytest

test-fast: venv ## all that needs no server
	$(PY) -m pytest -m "not stack"

demo: venv ## the service under a small load, its metrics live in the terminal
	$(PY) -m demo

stack: venv packages binaries ## service, Collector, Prometheus and Jaeger on this machine, with a live check of the pipeline
	$(PY) -m stack

bench: venv ## the tables of the benchmarks
	$(PY) -m benchmarks

bench-outage: venv packages binaries ## a minute's outage of Collector, trace store and Prometheus, in figures
	$(PY) -m benchmarks.outage

bench-redis: venv packages ## what a Redis that is slow, hung, killed or stopped adds to a request
	$(PY) -m benchmarks.redis_outage

malformed: venv ## 100,000 malformed requests over sockets: no 5xx, no new series, no memory growth (about 10 min)
	$(PY) -m benchmarks.malformed

soak: venv ## the service under load for SECONDS: memory, scrapes, tasks, threads, files, sockets
	$(PY) -m benchmarks.soak --seconds $(SECONDS)

wheel: venv
	$(PY) -m build

clean:
	rm -rf dist build .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
