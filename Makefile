.PHONY: check lint types layers test

check: lint types layers test

lint:
	ruff check .
	ruff format --check .

types:
	mypy

layers:
	lint-imports

test:
	python -m pytest
