# Two commands on a fresh machine: `make demo` and `make test`. See CONTRIBUTING.md for the others.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(wildcard pfs/*.c pfs/*.h pps/sandbox/*.c pps/sandbox/*.h)

.PHONY: setup demo check test test-long test-s3 test-clients test-containers bench reliability clean
setup: $(STAMP)-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(STAMP)-dev: pyproject.toml setup.py $(NATIVE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[dev,demo]'
	touch $@

$(STAMP)-demo: pyproject.toml setup.py $(NATIVE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[demo]'
	touch $@

demo: $(STAMP)-demo
	$(BIN)/python examples/demo.py

check: $(STAMP)-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest -m 'not long' -n 2 --dist loadfile

test-long: $(STAMP)-dev
	$(BIN)/pytest -m long

# Against a real S3 server: Debian's radosgw, which is installed first where that can be done.
# The files are named, as reading all of the others takes longer than these tests.
test-s3: $(STAMP)-dev
	$(BIN)/python -m benchmarks.radosgw $(BIN)/pytest -m 's3 and not long' $$(grep -rlw 'mark\.s3' tests)

# With docker or podman, and Debian's busybox-static, of which the image is made.
test-containers: $(STAMP)-dev
	$(BIN)/pytest tests/containers

# Real S3 clients have venvs of their own, as they hold other versions of what the gateway uses.
CLIENTS := $(VENV)-clients
AIO := $(VENV)-clients-aio
RUN_CLIENTS = -m pytest --confcutdir tests/clients -o filterwarnings=default -W ignore::ResourceWarning
$(CLIENTS)/.installed: tests/clients/requirements.txt
$(AIO)/.installed: tests/clients/aio/requirements.txt
$(CLIENTS)/.installed $(AIO)/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r $<
	touch $@

# The others come from registries into .clients; `make test-clients WITHOUT="spark mc"` leaves some out.
PROGRAMS := .clients
test-clients: export PFS_CLIENTS = $(abspath $(BIN))
test-clients: export PFS_CLIENT_PROGRAMS = $(abspath $(PROGRAMS))
test-clients: export PFS_CLIENTS_WITHOUT = $(WITHOUT)
test-clients: $(STAMP)-dev $(CLIENTS)/.installed $(AIO)/.installed
	$(CLIENTS)/bin/python tests/clients/install.py $(PROGRAMS) --without $(WITHOUT)
	$(CLIENTS)/bin/python $(RUN_CLIENTS) tests/clients --ignore tests/clients/aio
	$(AIO)/bin/python $(RUN_CLIENTS) tests/clients/aio

# Writes docs/performance.md. `make bench BENCH=--quick` shows in 2 to 3 minutes that all of it runs.
bench: $(STAMP)-dev
	$(BIN)/python -m benchmarks.install_peers
	$(BIN)/python -m benchmarks $(BENCH)

# Breaks every write of every operation and writes the table of docs/reliability.md; ONLY="merge purge" runs some.
reliability: $(STAMP)-dev
	$(BIN)/python -m tests.matrix $(ONLY)

clean:
	rm -rf build dist *.egg-info pfs/_cdc*.so pfs/_batch*.so pps/sandbox/_plain*.so pps/sandbox/_worker*.so
