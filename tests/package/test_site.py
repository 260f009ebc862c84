"""The site's pages: generated ones hold what the stores hold, and every page is reached from the home page."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def site_module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the site's, imported from its file: `docs` is not a package."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", DOCS / "_site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, f"site_{name}", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return site_module("results", monkeypatch)


def test_pages_of_results_are_what_the_stores_hold(results: ModuleType) -> None:
    made = results.pages()
    committed = {*(DOCS / "results").glob("*.md")} - {results.INDEX}  # the index is written when the site is built
    assert set(made) == {*committed, *results.VALUED}
    assert {DOCS / "theory.md", *(DOCS / "theory").glob("*.md")} < {*results.VALUED}
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
    forged = re.sub(r"\*\*[^*]*\*\*; required", "**0.123**; required", text)
    assert forged != text
    assert results.with_measured_values(forged) == text
    with pytest.raises(LookupError, match="no such claim"):
        results.with_measured_values("<!-- measured: complexity | no such claim -->\n<!-- end -->")


def test_the_index_links_to_every_study_and_is_written_once(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = results.index()
    pages = [path for path in results.pages() if path.parent == results.PAGES]
    assert [path.name for path in pages if f"]({path.name})" not in index or f"\n{path.stem}\n" not in index] == []
    monkeypatch.setattr(results, "INDEX", tmp_path / "index.md")
    for before in ("", "old"):
        results.INDEX.write_text(before, encoding="utf-8")
        results.write_index()
        assert results.INDEX.read_text(encoding="utf-8") == index


def linked_pages(path: Path, written: dict[Path, str]) -> set[Path]:
    """Pages that a page links to; ``written`` holds those that the site's build writes."""
    text = written.get(path) or path.read_text(encoding="utf-8")
    named = re.findall(r"\]\(([\w./-]+\.md)", text)
    for block in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
        named += [f"{line}.md" for line in block.split() if not line.startswith(":")]
        named += [
            str(page.relative_to(path.parent))
            for line in block.split()
            if "*" in line
            for page in path.parent.glob(line)
        ]
    found = {(path.parent / name).resolve() for name in named}
    return {page for page in found if page in written or page.is_file()}


def test_every_page_is_within_three_clicks_of_the_home_page(results: ModuleType) -> None:
    written = {results.INDEX.resolve(): results.index()}
    reached = {(DOCS / "index.md").resolve()}
    for _ in range(3):
        reached |= {page for path in reached for page in linked_pages(path, written)}
    every = {path.resolve() for path in DOCS.rglob("*.md") if not {"_build", "auto_gallery"} & set(path.parts)}
    assert every <= reached, sorted(path.name for path in every - reached)


def test_every_package_of_sfbench_has_a_page_in_the_reference() -> None:
    import sfbench

    listed = set(re.findall(r"^generated/([\w.]+)$", (DOCS / "reference" / "index.md").read_text(), re.MULTILINE))
    packages = {f"sfbench.{path.parent.name}" for path in (ROOT / "sfbench").glob("*/__init__.py")}
    assert {f"sfbench.{name}" for name in sfbench.__all__} & packages <= listed
    assert {"sfbench", "solvers", "synthetic"} <= listed


# ---------------------------------------------------------------------- the check of the built site's links
@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return site_module("links", monkeypatch)


def small_site(root: Path, **articles: str) -> Path:
    """Pages in a row, each linked from the text of the one before; the menu of the first page links to all of them."""
    names = [f"{name}.html" for name in articles]
    for i, (name, text) in enumerate(articles.items()):
        following = f'<a href="{names[i + 1]}">on</a>' if i + 1 < len(names) else ""
        menu = "".join(f'<a href="{other}">{other}</a>' for other in names)
        page = f'<nav>{menu}</nav><article><h1 id="top">{name}</h1>{text} {following}</article>'
        (root / f"{name}.html").write_text(page, encoding="utf-8")
    return root.resolve()


def test_links_to_nowhere_are_found(links: ModuleType, tmp_path: Path) -> None:
    text = '<a href="a.html#top">x</a> <a href="#top">x</a> <a href="https://example.org/#x">x</a>'
    root = small_site(tmp_path, index=text, a="")
    assert [*links.broken(links.read_site(root), root)] == []
    wrong = '<a href="a.html#end">x</a> <a href="b.html">x</a> <a href="#bottom">x</a>'
    small_site(tmp_path, index=wrong, a="")
    found = [*links.broken(links.read_site(root), root)]
    assert [text.partition(": ")[2] for text in found] == [
        "a.html#end: the page has no such anchor",
        "b.html: there is no such file",
        "#bottom: the page has no such anchor",
    ]


def test_answers_must_be_there_and_near(links: ModuleType, tmp_path: Path) -> None:
    root = small_site(tmp_path, index="", a="", b="", c="the answer", d="another")
    site = links.read_site(root)
    assert [*links.distances(site, root / "index.html").values()] == [0, 1, 2, 3, 4]  # menus do not count
    near = {"near": ("c.html", "top", "the answer")}
    assert [*links.unanswered(site, root, near)] == []
    others = {
        "far": ("d.html", "top", "another"),
        "gone": ("c.html", "top", "no"),
        "moved": ("c.html", "end", "answer"),
    }
    assert [text.partition(":")[0] for text in links.unanswered(site, root, near | others)] == ["far", "gone", "moved"]


def test_what_readers_look_for_is_named_in_the_sources(links: ModuleType) -> None:
    for name, _, words in links.READERS.values():
        assert words in (DOCS / name).with_suffix(".md").read_text(encoding="utf-8").replace("`", "")


def test_a_site_that_is_not_built_is_said(links: ModuleType, tmp_path: Path) -> None:
    assert links.main([str(tmp_path)]).endswith("holds no built site: make docs")
