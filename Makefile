# The two commands on a bare machine: `make demo` and `make test`. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOMS := core proto client aggregator model simulation
STRICT := --config-settings editable_mode=strict
# a strict install lives in build/, which only `make clean` removes; setuptools need not say so every time
QUIET := PYTHONWARNINGS="ignore:Editable installation"

LOCKS := requirements/base.txt requirements/dev.txt

# `make install TORCH=cpu` takes PyTorch's builds for the CPU from their own index: 2 GB instead of 6.3
TORCH ?= locked
ifeq ($(TORCH),cpu)
PLACE := build/cpu
else
PLACE := requirements
endif

# torch starts a thread per core in each of several processes; one thread each is faster on few cores
export OMP_NUM_THREADS ?= 1

.PHONY: install demo test flower-versions lint lock sbom audit proto docs base clean
.DEFAULT_GOAL := install

install: $(VENV)/.linked

# nothing comes in that is not in a lock, with its digest; what builds the working copy is in them too
$(VENV)/.installed: $(LOCKS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what MedForge needs into $(VENV), a few minutes the first time"
ifeq ($(TORCH),cpu)
	@$(BIN)/python -m requirements.cpu $(PLACE) $(LOCKS)
	@$(BIN)/python -m pip install --quiet --no-deps --requirement $(PLACE)/torch.txt
endif
	@$(BIN)/python -m pip install --quiet --require-hashes $(LOCKS:requirements/%=--requirement $(PLACE)/%)
	@touch $@

# a strict editable install links file by file, so it is made again when a file comes or goes
$(VENV)/.linked: $(VENV)/.installed $(VENV)/.files pyproject.toml
	@$(QUIET) $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . $(STRICT)
	@touch $@

$(VENV)/.files: FORCE | $(VENV)/.installed
	@find $(ROOMS) -type f -not -name '*.pyc' | LC_ALL=C sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

FORCE:

demo: install
	@$(BIN)/medforge simulate

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -q --durations=20

# Flower's lowest declared version and its newest, each in an environment of its own
flower-versions: install
	MEDFORGE_FLOWER_VERSIONS=1 $(BIN)/python -m pytest -q -rs tests/apps/test_flower_versions.py

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m medforge.proto.generate --check

# pins and hashes of what is installed, after pyproject.toml changed; `make lock LOCK=--upgrade` takes newer versions
lock: install
	$(BIN)/python -m requirements.lock $(LOCK)

# the bill of materials of what is locked and of the embedded weights, as CycloneDX JSON
sbom: install
	$(BIN)/python -m requirements.sbom build/medforge.cdx.json

# known vulnerabilities of what is locked; `make audit DATABASE=all.zip` asks OSV's file of them and no network
audit: install
	$(BIN)/python -m requirements.audit $(DATABASE)

proto: install
	$(BIN)/python -m medforge.proto.generate

# the reference pages that follow from the code
docs: install
	$(BIN)/python -m docs.generate

# rebuild the embedded base module (under 30 minutes on 2 cores)
base: install
	$(BIN)/python -m pretraining.tiny

clean:
	rm -rf $(VENV) build dist *.egg-info
