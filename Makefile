.PHONY: check lint types layers test fast data-tests fuzz docs
CASES ?= 200000
SEED ?= random
DATA = alanine efficientnet_lite0 faces font_digits mnist mnist_cnn qm9 series temperatures

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

fast:  ## the tests that need less than a second each
	python -m pytest -m "not slow"

data-tests:  ## fetch the data sets and judges that tests need, then test them
	pip install -c constraints.txt -e '.[dev,judges]'
	for name in $(DATA); do sfbench data fetch $$name || exit 1; done
	python -m pytest -m data

fuzz:  ## hostile arguments for every public function; an hour by default
	SFBENCH_FUZZ_CASES=$(CASES) python -m pytest tests/fuzz --hypothesis-seed=$(SEED)
