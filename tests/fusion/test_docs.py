"""The code of docs/intervals.md runs as it is."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "intervals.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_blocks_of_the_page_run(number: int) -> None:
    exec(compile(BLOCKS[number], f"docs/intervals.md, block {number}", "exec"), {})


def test_the_page_has_code() -> None:
    assert BLOCKS
