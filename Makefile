.PHONY: check lint types layers test fast data-tests fuzz docs
CASES ?= 200000
DATA = mnist font_digits faces series temperatures alanine qm9 mnist_cnn

check: lint types layers test  ## what CI runs on the code

lint:
	ruff check .
	ruff format --check .

types:
	mypy

layers:
	lint-imports

test:  ## everything but the tests of fetched data
	python -m pytest

fast:  ## the tests that need less than two seconds each
	python -m pytest -m "not slow"

data-tests:  ## fetch the data sets that tests need, then test them
	for name in $(DATA); do sfbench data fetch $$name || exit 1; done
	python -m pytest -m data

fuzz:  ## hostile arguments for every public function; an hour by default
	SFBENCH_FUZZ_CASES=$(CASES) python -m pytest tests/fuzz
