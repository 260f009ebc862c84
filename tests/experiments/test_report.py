"""The report: what it counts and refuses, and the page itself in a real browser without a network."""

import html
import json
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfbench.cli import main
from sfbench.experiments import (
    CellFunction,
    Journal,
    MixedVersionsError,
    RunSettings,
    make_study,
    run_study,
    store_path,
)
from sfbench.experiments.report import draw_figures, loglog_slope, summarise, write_page
from sfbench.experiments.report.tables import load_table

from .example_cells import run_cell, small_study

QUIET = RunSettings(progress=False)
BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of 120 cells of which every tenth is missing."""
    folder = tmp_path / "study"
    run_study(small_study(20), folder, QUIET)
    with closing(sqlite3.connect(store_path(folder))) as connection:
        connection.execute("DELETE FROM cell WHERE rowid % 10 = 0")
        connection.commit()
    return folder


def test_a_summary_counts_what_is_missing_and_averages_nothing_unseen(folder: Path) -> None:
    with Journal(store_path(folder)) as journal:
        table = load_table(journal, "rates")
    summary = summarise(table)
    assert summary.caption == "108 of 120 cells, 12 missing"
    assert summary.axes == ["n"]
    assert (summary.metrics, summary.bounds, summary.costs) == (["tv", "kl", "bound"], ["kl_holds"], ["wall_s"])
    assert len(summary.points) == 6
    assert sum(point["missing"] for point in summary.points) == 12
    assert {point["seeds"] + point["missing"] for point in summary.points} == {20}
    for point in summary.points:
        values = [row["tv"] for row in table.rows if all(row[f] == v for f, v in point["factors"].items())]
        assert point["metrics"]["tv"][0] == pytest.approx(np.median(values), rel=1e-15)
        assert point["metrics"]["tv"][3] == len(values)


def test_seconds_of_cells_are_counted_once_by_factors_that_are_one_in_each(folder: Path, tmp_path: Path) -> None:
    with Journal(store_path(folder)) as journal:
        table, stored = load_table(journal, "rates"), journal.cells_of("tests.experiments.example_cells:run_cell")
    cells = summarise(table).cells
    assert [cell["factors"] for cell in cells] == [{"solver": s, "n": n} for s in "ab" for n in (16, 64, 256)]
    assert sum(cell["cells"] for cell in cells) == len(stored) == 108
    assert sum(cell["sum"] for cell in cells) == pytest.approx(sum(cell.seconds for cell in stored), rel=1e-12)
    assert max(cell["largest"] for cell in cells) == max(cell.seconds for cell in stored)
    # rows of one cell that differ in a factor do not multiply its seconds
    halves = [{**row, "solver": name} for row in table.rows for name in "ab"]
    split = summarise(replace(table, rows=halves)).cells
    assert [cell["factors"] for cell in split] == [{"n": n} for n in (16, 64, 256)]
    assert sum(cell["sum"] for cell in split) == pytest.approx(sum(cell["sum"] for cell in cells), rel=1e-12)


def test_fields_of_specs_are_no_results_even_if_no_cell_is_missing(tmp_path: Path) -> None:
    study = make_study("plain", CellFunction(run_cell.function, factors=("solver",)), small_study(3).specs)
    run_study(study, tmp_path, QUIET)
    with Journal(store_path(tmp_path)) as journal:
        summary = summarise(load_table(journal, "plain"))
    assert not summary.missing
    assert summary.metrics == ["tv", "kl", "bound"]


def test_slopes_use_complete_repetitions_and_say_how_many(folder: Path) -> None:
    with Journal(store_path(folder)) as journal:
        summary = summarise(load_table(journal, "rates"))
    slopes = [slope for slope in summary.slopes if slope["metric"] == "tv"]
    assert len(slopes) == 2
    for slope in slopes:
        assert slope["low"] <= slope["slope"] <= slope["high"]
        assert slope["low"] < -0.5 < slope["high"]  # tv falls like 1/sqrt(n) by construction
        assert 2 <= slope["seeds"] <= 20


def test_a_short_axis_has_no_slope(folder: Path) -> None:
    with Journal(store_path(folder)) as journal:
        table = load_table(journal, "rates")
    assert summarise(table).slopes
    short = [{**row, "n": {16: 16, 64: 32, 256: 64}[row["n"]]} for row in table.rows]
    assert not summarise(replace(table, rows=short)).slopes


def test_slopes_find_an_exact_power_and_a_shuffled_one_not() -> None:
    x, rng = [16, 64, 256, 1024], np.random.default_rng(0)
    table = np.exp(rng.standard_normal((30, 1)) * 0.1) * np.array(x) ** -0.5
    slope, low, high = loglog_slope(x, table)
    assert slope == pytest.approx(-0.5, abs=1e-12)
    assert high - low < 1e-9  # all seeds have the same slope
    assert abs(loglog_slope(x, rng.permuted(table, axis=1))[0]) < 0.3
    assert np.isnan(loglog_slope(x, np.zeros((5, 4)))).all()


def test_versions_do_not_meet_in_a_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bumped = CellFunction(run_cell.function, version="2", factors=("solver", "n"))
    run_study(make_study("rates", bumped, small_study(20).specs), folder, QUIET)
    assert main(["report", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "algorithm versions 1 (108 cells), 2 (120 cells)" in error
    assert error.count("\n") == 1
    assert not (folder / "report.html").exists()
    assert main(["report", str(folder), "--algorithm-version", "2"]) == 0
    with Journal(store_path(folder)) as journal:
        one, two = (load_table(journal, "rates", version) for version in "12")
    with pytest.raises(MixedVersionsError, match=r"1 \(108 rows\), 2 \(120 rows\)"):
        summarise(replace(one, rows=one.rows + two.rows))


def test_figures_for_papers_are_drawn_from_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    with Journal(store_path(folder)) as journal:
        summary = summarise(load_table(journal, "rates"))
    drawn = draw_figures([summary], tmp_path / "figures", ["png", "pdf"])
    assert sorted(path.name for path in drawn)[:2] == ["rates_bound_n.pdf", "rates_bound_n.png"]
    assert all(path.stat().st_size > 5000 for path in drawn)


def test_a_study_without_factors_or_axes_still_has_a_page(tmp_path: Path) -> None:
    import tests.experiments.example_cells as cells

    study = make_study("</script><b>x", CellFunction(cells.plain_function), [cells.Spec(3, s) for s in range(4)])
    run_study(study, tmp_path, QUIET)
    with Journal(store_path(tmp_path)) as journal:
        summary = summarise(load_table(journal, study.name))
    write_page(tmp_path / "page.html", [summary], {}, "a < b @@DATA@@")
    text = (tmp_path / "page.html").read_text()
    assert "<title>a &lt; b @@DATA@@</title>" in text
    assert "</script><b>x" not in text


# ---------------------------------------------------------------------- in a browser
_HEAD = """<script>window.problems = [];
addEventListener("error", (e) => problems.push(String(e.message)));
addEventListener("securitypolicyviolation", (e) => problems.push(e.violatedDirective + " " + e.blockedURI));
</script>"""
_TAIL = """<script>addEventListener("load", () => setTimeout(() => {
  const figure = document.getElementById("figure"), byId = (id) => document.getElementById(id);
  const look = () => ({
    lines: figure.data.filter((t) => t.name).map((t) => t.name),
    symbols: figure.data.filter((t) => t.name).map((t) => t.marker.symbol).flat(),
    y: figure.layout.yaxis.title.text, kind: figure.layout.yaxis.type, caption: byId("caption").textContent,
    slopes: byId("slopes").querySelectorAll("tbody tr").length, bounds: byId("bounds").innerText,
    costs: byId("costs").querySelectorAll("tbody tr").length,
    cells: [...byId("cells").querySelectorAll("tbody tr")].map((row) => Number(row.children[2].textContent)),
    missing: byId("missing").querySelectorAll("tbody tr").length,
    numbers: byId("numbers").querySelectorAll("tbody tr").length,
    paper: getComputedStyle(document.body).backgroundColor,
  });
  const seen = { start: look() };
  document.querySelector("[data-factor=solver] input").click();
  seen.filtered = look();
  const metric = byId("metric");
  metric.value = "kl";
  metric.dispatchEvent(new Event("change"));
  byId("log").click();
  byId("theme").click();
  seen.changed = look();
  seen.unlabelled = [...document.querySelectorAll("select, input, button")].filter(
    (e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).map((e) => e.outerHTML);
  seen.unfocusable = [...document.querySelectorAll("select, input, button, summary")].filter(
    (e) => { e.focus(); return document.activeElement !== e; }).map((e) => e.outerHTML);
  seen.provenance = byId("provenance").innerText.includes("digest");
  seen.problems = problems;
  seen.resources = performance.getEntriesByType("resource").map((r) => r.name);
  document.body.setAttribute("data-seen", JSON.stringify(seen));
}, 500));</script>"""


def _browse(page: Path, *options: str) -> str:
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={page.parent / 'browser'}",
        "--virtual-time-budget=10000", *options, page.as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(page.parent)}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, env=environment).stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_the_page_works_in_a_browser_without_a_network(folder: Path) -> None:
    assert main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?(?!data:)[a-z/]", text.split("<script", 1)[0])
    probe = text.replace("<style>", _HEAD + "<style>", 1)
    place = probe.rindex("</body>")
    page = folder / "probe.html"
    page.write_text(probe[:place] + _TAIL + probe[place:])
    found = re.search(r'data-seen="([^"]*)"', _browse(page, "--dump-dom"))
    assert found is not None
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    assert seen["problems"] == []
    assert seen["resources"] == []
    start, filtered, changed = seen["start"], seen["filtered"], seen["changed"]
    assert start["lines"] == ["a", "b"]
    assert start["symbols"] == ["x-open"] * 6  # every point lacks some of its repetitions
    assert "108 of 120 cells, 12 missing (6 points drawn as crosses lack some)" in start["caption"]
    assert (start["slopes"], start["missing"], start["numbers"], start["costs"]) == (6, 12, 6, 2)
    assert "kl_holds" in start["bounds"]
    everything, *by_factor = start["cells"]  # all, two solvers, three n
    assert everything == sum(by_factor[:2]) == sum(by_factor[2:]) == 108
    assert len(by_factor) == 5
    everything, only_solver, *by_n = filtered["cells"]
    assert everything == only_solver == sum(by_n) == by_factor[1]
    assert (filtered["lines"], filtered["slopes"], filtered["numbers"]) == (["b"], 3, 3)
    assert (changed["y"], changed["kind"]) == ("kl", "linear")
    assert changed["paper"] != start["paper"]
    assert seen["unlabelled"] == []
    assert seen["unfocusable"] == []
    assert seen["provenance"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_the_page_draws_something(folder: Path) -> None:
    import matplotlib.image

    assert main(["report", str(folder)]) == 0
    picture = folder / "page.png"
    _browse(folder / "report.html", f"--screenshot={picture}", "--window-size=1000,900")
    pixels = matplotlib.image.imread(picture)[..., :3]
    blue = np.abs(pixels - np.array([0.0, 0x72 / 255, 0xB2 / 255])).max(axis=-1) < 0.2
    assert blue.sum() > 300  # the first line
    assert len(np.unique((pixels * 15).astype(int).reshape(-1, 3), axis=0)) > 20
