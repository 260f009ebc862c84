"""Every block of Python of every page runs: here, or in the test of the page's own area, and none is forgotten."""

import re
import runpy
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
MARKS = {
    "docs/data.md": pytest.mark.data,  # a molecule is simulated
    "docs/samplers.md": pytest.mark.slow,
}


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
HERE = [pytest.param(p, marks=MARKS.get(p, ())) for p in PAGES if p not in ELSEWHERE and blocks(p)]


@pytest.mark.parametrize("page", HERE)
def test_the_blocks_of_a_page_run_one_after_another(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    names: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    pyplot.close("all")


@pytest.mark.slow
def test_the_walk_from_own_networks_to_a_kept_fit(capsys: pytest.CaptureFixture[str]) -> None:
    mpl.use("Agg")
    names = runpy.run_path(str(ROOT / "docs" / "tutorials" / "plot_2_own_networks.py"))
    pyplot.close("all")
    printed = capsys.readouterr().out
    assert (names["table"].differences()[1:, 1] > 0).all()  # as the page says
    assert "optimal: yes" in printed
    assert "WARNING" not in printed


@pytest.mark.parametrize("page", ELSEWHERE)
def test_the_other_pages_are_those_of_other_tests(page: str) -> None:
    assert blocks(page)
    assert Path(page).name in (ROOT / ELSEWHERE[page]).read_text(encoding="utf-8")
