# The two commands on a bare machine: `make demo` and `make test`. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOMS := core proto client aggregator model simulation
STRICT := --config-settings editable_mode=strict
# a strict install lives in build/, which only `make clean` removes; setuptools need not say so every time
QUIET := PYTHONWARNINGS="ignore:Editable installation"

# torch starts a thread per core in each of several processes; one thread each is faster on few cores
export OMP_NUM_THREADS ?= 1

.PHONY: install demo test lint proto docs base clean
.DEFAULT_GOAL := install

install: $(VENV)/.linked

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	@echo "installing MedForge and what it needs into $(VENV), a few minutes the first time"
	@$(QUIET) $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]" $(STRICT)
	@touch $@

# a strict editable install links file by file, so it is made again when a file comes or goes
$(VENV)/.linked: $(VENV)/.installed $(VENV)/.files
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

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m medforge.proto.generate --check

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
