# Commands for a fresh machine: `make demo`, `make real` and `make test` install what is missing and skip what is done.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo real test test-real test-gpu install install-test lint clean

demo: install
	$(BIN)/python -m tests.pathfinding_test
	cp results/pathfinding.png results/demo.png

real: .venv/installed-gguf
	$(BIN)/soft-prompts models install smollm2-135m
	$(BIN)/python -m tests.skills_test --preset real
	cp results/skills.png results/real.png

test: install-test lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-real: install-test
	$(BIN)/soft-prompts models install smollm2-135m
	$(BIN)/python -m pytest -m real

test-gpu: install-test
	CUDA_VISIBLE_DEVICES=0 $(BIN)/python -m pytest -m gpu

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

install: .venv/installed
install-test: .venv/installed-test

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.11 ..." * (sys.version_info < (3, 11)) or None)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-gguf: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[gguf]'
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
