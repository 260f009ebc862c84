"""The code of docs/intervals.md and docs/fit.md runs as it is."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    name: re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)
    for name in ("intervals.md", "fit.md")
}


@pytest.mark.parametrize("number", range(len(PAGES["intervals.md"])))
def test_blocks_of_the_page_run(number: int) -> None:
    exec(compile(PAGES["intervals.md"][number], f"docs/intervals.md, block {number}", "exec"), {})


@pytest.mark.slow
def test_blocks_of_the_page_on_fits_run_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in PAGES["fit.md"]:
        exec(compile(block, "docs/fit.md", "exec"), names)
    assert set(names["kept"].weights.tolist()) == set(names["result"].weights.tolist())  # type: ignore[attr-defined]


def test_the_pages_have_code() -> None:
    assert all(PAGES.values())
