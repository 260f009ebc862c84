"""The site's pages: generated ones hold what the stores hold, and every page is reached from the home page."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The generator, imported from its file: `docs` is no package."""
    spec = importlib.util.spec_from_file_location("site_results", DOCS / "_site" / "results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "site_results", module)
    spec.loader.exec_module(module)
    return module


def test_pages_of_results_are_what_the_stores_hold(results: ModuleType) -> None:
    made = results.pages()
    assert set(made) == {*(DOCS / "results").glob("*.md"), DOCS / "theory.md"}
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: make pages"


def test_a_changed_store_changes_its_page(results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "benchmarks" / "results" / "rates"
    folder.mkdir(parents=True)
    claims = '{"seed": 3, "claims": [{"name": "slope", "value": -0.5, "interval": null, "required": "[-0.6, -0.4]", '
    claims += '"holds": true, "control": "0.01 (permuted)", "control_fails": true, "note": "", "verdict": "holds"}]}'
    (folder / "claims.json").write_text(claims, encoding="utf-8")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    before = results.study_page(folder)
    assert "| slope | -0.5 | [-0.6, -0.4] | 0.01 (permuted) | holds |" in before
    (folder / "claims.json").write_text(claims.replace("-0.5,", "-0.3,"), encoding="utf-8")
    assert results.study_page(folder) != before


def test_measured_values_of_the_theory_come_from_stores(results: ModuleType) -> None:
    text = (DOCS / "theory.md").read_text(encoding="utf-8")
    assert text.count("<!-- measured: ") == text.count("> Measured: ") - text.count(".\n\n> Measured: ") > 0
    forged = re.sub(r"\*\*[^*]*\*\*; required", "**0.123**; required", text)
    assert forged != text
    assert results.with_measured_values(forged) == text
    with pytest.raises(LookupError, match="no such claim"):
        results.with_measured_values("<!-- measured: complexity | no such claim -->\n<!-- end -->")


def linked_pages(path: Path) -> set[Path]:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"\]\(([\w./-]+\.md)", text)
    for block in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
        named += [f"{line}.md" for line in block.split() if not line.startswith(":")]
        named += [
            str(page.relative_to(path.parent))
            for line in block.split()
            if "*" in line
            for page in path.parent.glob(line)
        ]
    named += [f"{line}.md" for line in re.findall(r":link: (\S+)", text)]
    return {(path.parent / name).resolve() for name in named if (path.parent / name).is_file()}


def test_every_page_is_within_three_clicks_of_the_home_page() -> None:
    reached = {(DOCS / "index.md").resolve()}
    for _ in range(3):
        reached |= {page for path in reached for page in linked_pages(path)}
    every = {path.resolve() for path in DOCS.rglob("*.md") if not {"_build", "auto_gallery"} & set(path.parts)}
    assert every <= reached, sorted(path.name for path in every - reached)


def test_every_package_of_sfbench_has_a_page_in_the_reference() -> None:
    import sfbench

    listed = set(re.findall(r"^generated/([\w.]+)$", (DOCS / "reference" / "index.md").read_text(), re.MULTILINE))
    packages = {f"sfbench.{path.parent.name}" for path in (ROOT / "sfbench").glob("*/__init__.py")}
    assert {f"sfbench.{name}" for name in sfbench.__all__} & packages <= listed
    assert {"sfbench", "solvers", "synthetic"} <= listed


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("theory.md", "**fused law**: what the reverse SDE driven by"),
        ("theory.md", "**Assumptions**: J holds the target's true score"),
        ("extending.md", "`solvers.SimplexSolver`"),
        ("diffusers.md", "LoRA"),
        ("decide.md", "## Why uniform weights are often as good"),
    ],
)
def test_what_readers_ask_is_answered_where_links_lead(page: str, words: str) -> None:
    assert words in (DOCS / page).read_text(encoding="utf-8")
    home = linked_pages(DOCS / "index.md")
    assert (DOCS / page).resolve() in home | {found for path in home for found in linked_pages(path)}
