# Two commands on a fresh machine: `make demo` and `make test`. Both install what is missing and skip what is done.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test install install-test lint clean

demo: install
	$(BIN)/python -m tests.pathfinding_test
	cp results/pathfinding.png results/demo.png

test: install-test lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

install: .venv/installed
install-test: .venv/installed-test

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
