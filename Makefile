# Every target prints what it does with `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help up stack test test-containers lint dev triton train train-resnet lock clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.serve ## set up what serving needs (no PyTorch) and serve models/ on http://127.0.0.1:8080
	exec $(BIN)/grayscale up

stack: ## build the images and run the stack in containers (Docker 25+): docs/docker.md
	docker/make-secrets
	docker compose -f docker/compose.yaml up --detach --build --wait

test: $(VENV)/.dev ## set up everything and run all tests but those in containers
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/e2e --ignore tests/browser --ignore tests/containers
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/e2e tests/browser

test-containers: $(VENV)/.dev ## build the images and test the stack in containers (Docker 25+)
	$(BIN)/python -m pytest tests/containers

lint: $(VENV)/.dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

dev: $(VENV)/.dev ## set up .venv with everything

triton: .cache/triton/.done ## set up NVIDIA's Triton without its image, for tests (CPU only): docs/triton.md

train: $(VENV)/.dev ## train the sample model anew and print its accuracy
	$(BIN)/python -m exporters.digits.train
	$(BIN)/grayscale models reference digits --from digits:held-out

train-resnet: $(VENV)/.dev ## train a ResNet-18 on rendered shapes, into .cache/shapes, and print its accuracy
	$(BIN)/python -m exporters.shapes.train

lock: $(VENV)/.dev ## resolve requirements/*.txt anew from pyproject.toml
	$(BIN)/pip-compile $(LOCK) -o requirements/serve.txt pyproject.toml
	$(BIN)/pip-compile $(LOCK) --extra export --extra dev -c requirements/serve.txt -c requirements/constraints.in -o requirements/dev.txt pyproject.toml
	$(BIN)/pip-compile $(LOCK) -c requirements/serve.txt -o requirements/gpu.txt requirements/gpu.in
	$(BIN)/pip-compile $(LOCK) --only-build-deps --build-deps-for wheel -o requirements/build.txt pyproject.toml
	sed -i -e 's/+cpu$$//' -e 's/^\(tensorrt-[a-z0-9-]*==[0-9.]*\)$$/\1 ; sys_platform == "linux" and platform_machine == "x86_64"/' requirements/dev.txt
LOCK := --quiet --strip-extras --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

clean: ## remove .venv, caches and the server's state
	rm -rf $(VENV) .grayscale .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Only its server is run, so what the wheel asks for beside it stays out; NumPy is for the server's Python backend.
.cache/triton/.done: | $(BIN)/python
	rm -rf .cache/triton
	$(PIP) install --quiet --no-deps --target .cache/triton nvidia-pytriton==0.7.0 numpy==1.26.4
	@touch $@

$(VENV)/.serve: requirements/serve.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --no-deps -r requirements/serve.txt
	$(PIP) install --quiet --no-deps --editable .
	$(BIN)/python -m compileall -q services
	@touch $@

# The extra packages come on top of what serving needs, so `make up` keeps working in the same .venv.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.serve
	$(PIP) install --quiet -r requirements/dev.txt
	@touch $@
