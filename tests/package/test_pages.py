"""Every block of Python of every page runs: here, or in the test of the page's own area, and none is forgotten."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib import pyplot

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "README.md": "tests/package/test_package.py",
    "docs/diffusers.md": "tests/diffusers/test_page.py",
    "docs/discrete.md": "tests/discrete/test_docs.py",
    "docs/extending.md": "tests/package/test_extending.py",
    "docs/fit.md": "tests/fusion/test_docs.py",
    "docs/intervals.md": "tests/fusion/test_docs.py",
    "docs/networks.md": "tests/nets/test_docs.py",
    "docs/solvers.md": "tests/solvers/test_docs.py",
    "docs/studies.md": "tests/experiments/test_docs.py",
}
HERE = {
    "docs/auxiliaries.md": (),
    "docs/data.md": (pytest.mark.data,),  # a molecule is simulated
    "docs/index.md": (),
    "docs/own_networks.md": (pytest.mark.slow,),
    "docs/samplers.md": (pytest.mark.slow,),
    "docs/speed.md": (),
}


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", [pytest.param(page, marks=marks) for page, marks in HERE.items()])
def test_the_blocks_of_a_page_run_one_after_another(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    names: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    pyplot.close("all")
    if page == "docs/own_networks.md":
        table, printed = names["table"], capsys.readouterr().out
        assert (table.differences()[1:, 1] > 0).all()  # type: ignore[attr-defined]  # as the page says
        assert "optimal: yes" in printed
        assert "WARNING" not in printed
        assert {path.name for path in tmp_path.iterdir()} == {"fit", "fit.png"}


def test_no_page_is_forgotten() -> None:
    pages = {"README.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))}
    with_code = {page for page in pages if blocks(page)}
    assert with_code == set(ELSEWHERE) | set(HERE)
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")
