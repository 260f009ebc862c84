"""The example of docs/samplers.md runs as printed and says what the text says."""

import contextlib
import io
import re
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_example_of_the_page_runs():
    text = (Path(__file__).parents[2] / "docs" / "samplers.md").read_text(encoding="utf-8")
    section = text[text.index("## Which sampler") :]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.group(1), {})
    words = printed.getvalue()
    assert "from the fused law P_w" in words
    assert "from the KL barycenter p_w" in words
    assert "(sampling" in words
    assert "WARNING" not in words
