# The two commands of the README are `make run` and `make test`; both set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Hashes are checked. Nothing is installed but what the lock file names.
# --no-compile: only few of these modules are ever imported, and Python compiles those then; saves over a minute.
# At a terminal pip shows its progress.
INSTALL = $(BIN)/python -m pip install $$([ -t 2 ] || echo --quiet) --disable-pip-version-check --no-compile --no-deps --require-hashes -r

# Where it is set, each of the many processes of the tests would compile all that it imports, and take twice as long.
unexport PYTHONDONTWRITEBYTECODE
# What a site has set for other programs of Python: packages of its own, or another place to install to.
unexport PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT
export PIP_USER := 0

.PHONY: help run test pacs cluster lint check format lock openapi docs screenshots bench soak torture offline release images clean

help:  ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

run: $(VENV)/.cpu  ## Start the service with the bundled model on port 8000.
	$(BIN)/python -m service serve

test: $(VENV)/.dev  ## Run the tests.
	@echo "Running the tests in three processes. They import TensorFlow first: the first dots appear after up to a minute."
	@$(BIN)/python -m pytest -n 3

pacs: $(VENV)/.dev  ## Run the tests with a real PACS (needs orthanc and dcmtk; skipped without).
	@tests/pacs.sh

cluster: $(VENV)/.dev  ## Run the tests with a Ray cluster in network namespaces (needs root, iproute2 and nftables; skipped without).
	@tests/cluster.sh

lint: $(VENV)/.dev  ## Check format, style and types.
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary

.PHONY: store
store: $(VENV)/.dev  ## Run the tests of `bulk` with an S3 store (moto, in an environment of its own).
	@tests/store.sh

check: lint docs test  ## All that CI checks: lint, docs and test.

format: $(VENV)/.dev  ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links pyproject.toml
lock: $(VENV)/.dev  ## Renew the lock files in requirements/ from pyproject.toml.
	$(LOCK) --upgrade --extra dev -o requirements/dev.txt
	for extra in client cpu dicom bulk cluster gpu gpu-cuda12 training training-gpu docs sbom; do $(LOCK) -c requirements/dev.txt --extra $$extra -o requirements/$$extra.txt; done

openapi: $(VENV)/.dev  ## Renew docs/openapi.json from the code.
	$(BIN)/python -m service openapi > docs/openapi.json

docs: $(VENV)/.docs  ## Build the documentation site in build/docs/site; a broken link is an error.
	$(BIN)/python tools/build_site.py

screenshots: $(VENV)/.dev  ## Renew the screenshots in docs/images (needs chromium).
	$(BIN)/python tools/screenshots.py

bench: $(VENV)/.dev  ## Measure us beside six peers (12 minutes, needs wrk; BENCH="--help" for options).
	$(BIN)/python benchmarks/bench.py --store $(BENCH)

MINUTES ?= 60
soak: $(VENV)/.dev  ## Load the service for MINUTES with every kind of client; counts and slopes (needs wrk).
	$(BIN)/python benchmarks/soak.py --store --minutes $(MINUTES)

torture: $(VENV)/.dev  ## Attack the service for 25 minutes and print a table of the results (atheris is used if installed).
	$(BIN)/python -m tools.torture

PARTS ?= proxy monitoring node
offline:  ## Make one archive that installs the service without internet (needs Docker).
	deploy/offline.sh $(PARTS)

release: $(VENV)/.dev  ## Build a release in dist/VERSION: wheel, packages, SBOM, checksums, notes; with Docker also the images.
	deploy/release.sh

IMAGES = python:3.11-slim $(shell sed -nE 's/^ *image: \$$\{[A-Z]+_IMAGE:-(.*)\}/\1/p' compose.*.yaml)
images:  ## Renew the digests of base and third-party images in deploy/images.lock (needs Docker and a registry).
	deploy/pinned.sh --renew $(IMAGES)

clean:  ## Remove what the targets above have made.
	rm -rf $(VENV) build benchmarks/.peers .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.11"; exit 1; }
	@echo "Creating $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Python's venv module is needed: apt-get install python3-venv"; exit 1; }

$(VENV)/.cpu: requirements/cpu.txt | $(VENV)/bin/python
	@echo "Installing the service into $(VENV) (once)"
	@$(INSTALL) $<
	@touch $@

$(VENV)/.docs: requirements/docs.txt | $(VENV)/bin/python
	@echo "Installing what builds the documentation into $(VENV) (once; about 200 MB)"
	@$(INSTALL) $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing everything the tests need into $(VENV) (once; about 2 GB)"
	@$(INSTALL) $<
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.cpu $(VENV)/.docs
