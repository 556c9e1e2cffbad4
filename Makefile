# The two commands to know: `make setup`, `make demo`. Everything lands in .venv; nothing outside the repository
# changes, except system packages that `make setup` installs when it runs as root.

BIN := .venv/bin
DEMO_SECONDS ?= 20
TEST_PROCESSES ?= 3
# Files of few tests are the long ones (whole appliances). Sorted by number, they would come last and leave processes idle.
TEST_ORDER := --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-real test check soak faults bench train-env train train-neu train-tabs lock clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 - /p' Makefile

setup: ## everything into .venv, the simulated camera compiled; PROVIDER=openvino, cuda or cpu chooses ONNX Runtime's build
	@.ci/setup

demo: setup build/rendered-tabs ## inspect rendered electrode tabs from a simulated camera for about 20 seconds, then print a summary
	$(BIN)/appliance run --config examples/demo.toml --duration $(DEMO_SECONDS)

demo-real: setup ## the same with real images, of circuit boards
	$(BIN)/appliance run --config examples/demo-real.toml --duration $(DEMO_SECONDS)

build/rendered-tabs: # seed 2026: parts that no training and no test of a model has seen
	@mkdir -p build
	$(BIN)/appliance dataset render-tabs --out $@ --parts 60 --seed 2026 --split 0,0,1

test: setup ## unit and integration tests, TEST_PROCESSES at a time
	$(BIN)/pytest --numprocesses $(TEST_PROCESSES) $(TEST_ORDER)

check: setup ## ruff, mypy (strict), layer contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: setup ## the long tests
	$(BIN)/pytest -m soak --timeout 0

KILLS ?= 1000
SEED ?= 1

faults: setup ## kill, stop, starve, cut power, talk nonsense, KILLS times with SEED; root for the disks; half an hour
	$(BIN)/python -m appliance.testing.faults --kills $(KILLS) --seed $(SEED)
	$(BIN)/python -m appliance.testing.faults --power-cuts 100 --seed $(SEED)
	$(BIN)/python -m appliance.testing.faults --fuzz 100000 --seed $(SEED)

bench: setup ## figures of this machine: frame hand-off, inspection alone, camera to verdict, delivery
	$(BIN)/appliance bench ring
	$(BIN)/appliance bench inspect
	$(BIN)/appliance bench pipeline
	$(BIN)/appliance bench delivery

BACKEND ?= appliance
TABS ?= 6000
TRAIN := $(BIN)/appliance train
ARGS ?=

train-env: ## PyTorch and what training needs into .venv-train; BACKEND=libreyolo: .venv-libreyolo; DEVICE=cuda
	@.ci/train-env $(BACKEND)

train: setup train-env ## train deeppcb-nano from DATA=/path/to/DeepPCB; ARGS= more options of `appliance train`
	@test -n "$(DATA)" || { echo "error: say where the images are: make train DATA=/path/to/DeepPCB" >&2; exit 2; }
	$(TRAIN) "$(DATA)" --name deeppcb-nano --settings examples/training/deeppcb.toml \
		--calibration calibration/int8/deeppcb --overwrite $(ARGS)

train-neu: setup train-env ## train neu-nano from DATA=/path/to/NEU-DET, into build/models: its licence isn't stated
	@test -n "$(DATA)" || { echo "error: say where the images are: make train-neu DATA=/path/to/NEU-DET" >&2; exit 2; }
	@mkdir -p build/models
	$(TRAIN) "$(DATA)" --name neu-nano --settings examples/training/neu.toml --size 192x192 \
		--val-share 0.15 --models-dir build/models --overwrite $(ARGS)

train-tabs: setup train-env build/training-tabs ## train tabs-fine on TABS rendered electrode tabs
	$(TRAIN) build/training-tabs --name tabs-fine --settings examples/training/tabs.toml --overwrite $(ARGS)

build/training-tabs: # of 6000 parts 3400 to learn from, 600 to choose, 2000 to measure; the demo has another seed
	@mkdir -p build
	$(BIN)/appliance dataset render-tabs --out $@ --parts $(TABS) --seed 11 --split 0.5666667,0.1,0.3333333

lock: ## rewrite the lock files from pyproject.toml
	.ci/lock
	.ci/lock-training

clean: ## remove what set-up and tests made
	rm -rf .venv .venv-train .venv-libreyolo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf appliance/capture/simcam/build examples/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
