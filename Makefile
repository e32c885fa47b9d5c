# `make help` lists the targets. `make demo` and `make test` need only Python 3.11; building the real servers needs Go.
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
# Duration of `make soak`.
SECONDS ?= 600
# Number of runs of `make bench`.
RUNS ?= 1
# Debian packages that the stack tests use. Tests whose package is missing are skipped; with CI=true they fail.
PACKAGES := redis-server prometheus-alertmanager wrk
# Rooms of the library in the API reference.
ROOMS := metric instruments tracing exposition prefork pipeline runtime agentos
# Not for callers; pdoc cannot resolve some of their annotations.
NOT_IN_REFERENCE := '!telemetry.agentos.genai' '!telemetry.tracing.provider'

.PHONY: help venv lock check dashboards manifests packages binaries test test-fast demo stack bench bench-compare bench-record bench-outage bench-redis malformed scale soak wheel release snapshot environments test-matrix test-api-server docs clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

venv: .venv/.from-lock ## install the packages that requirements.lock pins into .venv

.venv/.from-lock: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, set PYTHON=" if sys.version_info < (3, 11) else 0)'
	test -x $(PY) || $(PYTHON) -m venv .venv
	@echo "installing what requirements.lock pins: about 1 min, once for this lock"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

lock: ## pin every dependency by its hashes in requirements.lock, without a registry's address
	$(BIN)/uv pip compile --quiet pyproject.toml agents/pyproject.toml --all-extras --group dev --python-version 3.11 \
	  --universal --generate-hashes --no-header --no-emit-package agentos-telemetry -o requirements.lock

check: venv ## lint, check types and import contracts, fail if a generated file is stale
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy deploy/compose/receiver.py
	$(BIN)/lint-imports
	$(PY) -m dashboards --check

dashboards: venv ## write the files generated from the catalogue: dashboards, rules, rule tests, data sources, docs/metrics.md
	$(PY) -m dashboards

manifests: venv ## write deploy/kubernetes and the table of values from the Helm chart; builds Helm the first time
	$(PY) -m stack.manifests

packages: ## install missing Debian packages of the stack tests (only as root)
	@missing=""; for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "not installed:$$missing (their tests are skipped; sudo apt-get install$$missing)"; exit 0; fi; \
	echo "installing$$missing (about 1 min, once)"; export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing >/dev/null

binaries: venv ## build the pinned servers into the user's cache
	$(PY) -m stack.servers.binaries

test: venv packages binaries ## run the whole suite, real servers included
	$(PY) -m pytest

test-fast: venv ## run the tests that need no server
	$(PY) -m pytest -m "not stack"

demo: venv ## run the service under a small load and show agents, tools, MCP and workspaces in the terminal
	$(PY) -m demo

stack: venv packages binaries ## run service, Collector, Prometheus and Jaeger, and check the pipeline end to end
	$(PY) -m stack

bench: venv ## print the tables of the benchmarks, as the medians of RUNS runs; one run takes about 10 min
	$(PY) -m benchmarks --runs $(RUNS)

bench-compare: venv ## say what became slower in the newest run of `make bench` than in the committed results
	$(PY) -m benchmarks --compare

bench-record: venv ## copy the newest run to benchmarks/results and write the tables of docs/performance.md
	$(PY) -m benchmarks --keep

bench-outage: venv packages binaries ## measure an outage of one minute each of Collector, trace store and Prometheus
	$(PY) -m benchmarks.outage

bench-redis: venv packages ## measure what a slow, hung, killed or stopped Redis adds to a request
	$(PY) -m benchmarks.redis_outage

malformed: venv ## send 100,000 malformed requests: no 5xx, no new series, no memory growth (about 10 min)
	$(PY) -m benchmarks.malformed

scale: venv binaries ## feed 200 instances through one agent into three Cortex nodes and one Prometheus (about 8 min)
	$(PY) -m benchmarks.scale

soak: venv ## run the service under load for SECONDS; print memory, scrapes, tasks, threads, files, sockets
	$(PY) -m benchmarks.soak --seconds $(SECONDS)

wheel: venv ## build library and service, each as a wheel and a source distribution, into dist/
	rm -f dist/agentos*.whl dist/agentos*.tar.gz
	$(PY) -m build --outdir dist .
	$(PY) -m build --outdir dist agents

release: venv ## build what the tag of HEAD releases into dist/, SBOMs and checksums included, and check it (about 3 min)
	$(PY) -m stack.release

snapshot: venv ## the same of the working tree, without a tag, at its development version
	$(PY) -m stack.release --snapshot

environments: venv ## install the wheels into fresh environments: packages, MB, a scrape, openai-agents beside
	$(PY) -m stack.environments

test-matrix: venv ## run the library's tests with other versions of the SDK and of Python
	$(PY) -m stack.matrix

test-api-server: venv ## give the chart's objects to a real API server of Kubernetes; builds it the first time (5 min)
	$(PY) -m stack.servers.binaries helm controller-gen kube-apiserver etcd
	$(PY) -m pytest -m api_server tests/stack/test_chart_api_server.py

docs: venv ## write the API reference of the library from its docstrings into build/docs
	rm -rf build/docs
	$(PY) -m pdoc --docformat google --no-include-undocumented --no-show-source --output-directory build/docs telemetry $(ROOMS:%=telemetry.%) $(NOT_IN_REFERENCE)

clean: ## remove build outputs, caches and .venv
	rm -rf dist build .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
