"""Examples in docstrings and code blocks of docs/solvers.md run."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "solvers.md"


@pytest.mark.parametrize("module", ["solvers", "solvers.testing"])
def test_docstring_examples(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module(module))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_code_blocks_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), {})
    assert "0.66666667 0.16666667 0.16666667" in capsys.readouterr().out
