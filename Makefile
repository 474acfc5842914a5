# Two commands do all their own set-up on a machine that has only Python: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto

.PHONY: run test cover check peers bench lock clean

run: $(VENV)/ready  ## open the program on simulated services: no key, GPU or network is needed
	@$(BIN)/hawser demo

test: check peers  ## style, types, contracts and the whole suite, in parallel, with coverage
	$(BIN)/pytest -n $(WORKERS) --cov --cov-report=term:skip-covered

cover: $(VENV)/ready-to-test peers  ## the suite with full coverage, of branches and of every process too; takes twice as long
	$(BIN)/pytest -n $(WORKERS) --cov --cov-config=tests/cover.ini --cov-report=term:skip-covered

check: $(VENV)/ready-to-test  ## style, types and import contracts only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

peers: $(VENV)/ready-to-test  ## third-party programs in environments of their own, locked and cached
	$(BIN)/python -m tests.peers.environments

bench: $(VENV)/ready-to-test peers  ## the figures of the README
	$(BIN)/python -m benchmarks.headless
	$(BIN)/python -m benchmarks.links
	$(BIN)/python -m benchmarks.fleet
	$(BIN)/python -m benchmarks.machines
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.tui
	$(BIN)/python -m benchmarks.documents

$(VENV)/ready: requirements/dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Hawser needs Python 3.11 or later: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/ready-to-test: $(VENV)/ready requirements/torch.txt requirements/embeddings.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/embeddings.lock
	@touch $@

lock:  ## resolve every dependency anew, for all platforms, with hashes
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/python -m pip install --quiet uv
	.cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --group dev --output-file requirements/dev.lock pyproject.toml
	.cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    -c requirements/dev.lock --override requirements/no-torch.txt --output-file requirements/embeddings.lock requirements/embeddings.in
	for name in clients litellm vastai runpod lai; do .cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-annotate --output-file tests/peers/$$name.lock tests/peers/$$name.in; done
	for name in oterm elia parllama; do .cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-annotate --output-file benchmarks/peers/$$name.lock benchmarks/peers/$$name.in; done

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
