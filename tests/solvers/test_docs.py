"""Examples in docstrings run."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["solvers", "solvers.testing"])
def test_docstring_examples(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module(module))
    assert outcome.attempted > 0
    assert outcome.failed == 0
