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

from benchmarks.common.claims import Claim, within, write_claims
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
from sfbench.experiments.report import Summary, summarise, write_page
from sfbench.experiments.report.plots import figure_data, slices
from sfbench.experiments.report.tables import load_table
from sfbench.experiments.report.words import number
from sfbench.experiments.store.compare import compare

from .example_cells import Grid, Spec, plain_function, run_cell, run_grid, run_odd, small_study

QUIET = RunSettings(progress=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of 120 cells of which every tenth is missing."""
    folder = tmp_path / "study"
    run_study(small_study(20), folder, QUIET)
    with closing(sqlite3.connect(store_path(folder))) as connection:
        connection.execute("DELETE FROM cell WHERE rowid % 10 = 0")
        connection.commit()
    return folder


def summary_of(folder: Path, name: str = "rates") -> Summary:
    with Journal(store_path(folder)) as journal:
        return summarise(load_table(journal, name))


def test_a_summary_counts_what_is_missing_and_averages_nothing_unseen(folder: Path) -> None:
    with Journal(store_path(folder)) as journal:
        table = load_table(journal, "rates")
    summary = summarise(table)
    assert summary.table.caption() == "108 of 120 cells, 12 missing"
    assert summary.axes == ["n"]
    assert (summary.metrics, summary.bounds) == (["kl", "tv"], {"kl": ["bound"]})
    assert [check["checked"] for check in summary.checks] == [54, 54]
    assert len(summary.points) == 6
    assert sum(point["missing"] for point in summary.points) == 12
    assert {point["seeds"] + point["missing"] for point in summary.points} == {20}
    for point in summary.points:
        values = [row["tv"] for row in table.rows if all(row[f] == v for f, v in point["factors"].items())]
        assert point["metrics"]["tv"][0] == pytest.approx(np.median(values), rel=1e-15)
        assert point["metrics"]["tv"][3] == len(values)


def test_seconds_of_cells_are_counted_once_by_factors_that_are_one_in_each(folder: Path) -> None:
    with Journal(store_path(folder)) as journal:
        table, stored = load_table(journal, "rates"), journal.cells_of(run_cell.name)

    def whole(costs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {cost["of"]: cost for cost in costs if cost["time"] == "whole cells"}

    cells = whole(summarise(table).costs)
    assert list(cells) == ["all", "a", "b", "n = 16", "n = 64", "n = 256"]
    assert cells["all"]["measured"] == cells["a"]["measured"] + cells["b"]["measured"] == len(stored) == 108
    assert cells["all"]["sum"] == pytest.approx(sum(cell.seconds for cell in stored), rel=1e-12)
    assert cells["all"]["largest"] == max(cell.seconds for cell in stored)
    # rows of one cell that differ in a factor do not multiply its seconds
    halves = [{**row, "solver": name} for row in table.rows for name in "ab"]
    split = whole(summarise(replace(table, rows=halves)).costs)
    assert list(split) == ["all", "n = 16", "n = 64", "n = 256"]
    assert split["all"]["sum"] == pytest.approx(cells["all"]["sum"], rel=1e-12)


def test_fields_of_specs_are_no_results_even_if_no_cell_is_missing(tmp_path: Path) -> None:
    study = make_study("plain", CellFunction(run_cell.function, factors=("solver",)), small_study(3).specs)
    run_study(study, tmp_path, QUIET)
    summary = summary_of(tmp_path, "plain")
    assert not summary.table.missing
    assert summary.metrics == ["tv", "kl", "bound"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-5.307e-16, "-5.31e-16"),
        (0.0, "0"),
        (1.0, "1"),
        (0.0123456, "0.0123"),
        (1234.5, "1,230"),
        (64, "64"),
        (100_000, "100,000"),
        (None, "-"),
        (1e-4, "1e-4"),
        (2.5e12, "2.5e12"),
        ("a", "a"),
        (True, "True"),
    ],
)
def test_numbers_are_written_as_a_person_would(value: Any, text: str) -> None:
    assert number(value) == text


def test_a_report_takes_one_version_and_says_which_it_leaves_out(folder: Path, capsys: Any) -> None:
    bumped = CellFunction(run_cell.function, version="2", factors=("solver", "n"))
    run_study(make_study("rates", bumped, small_study(20).specs), folder, QUIET)
    assert main(["report", str(folder)]) == 0
    assert "120 of 120 cells (without the results of version 1)" in capsys.readouterr().out
    with Journal(store_path(folder)) as journal:
        one, two = (load_table(journal, "rates", version) for version in "12")
    with pytest.raises(MixedVersionsError, match=r"1 \(108 rows\), 2 \(120 rows\)"):
        summarise(replace(one, rows=one.rows + two.rows))


# ---------------------------------------------------------------------- figures
def test_a_bound_is_drawn_on_the_axis_of_what_it_bounds(folder: Path) -> None:
    summary = summary_of(folder)
    data = figure_data(summary, "n")["data"]
    dotted = [trace for trace in data if trace.get("line", {}).get("dash") == "dot"]
    medians = [p["metrics"]["bound"][0] for p in summary.points if p["factors"]["solver"] == "a"]
    assert dotted[0]["y"] == medians
    assert dotted[0]["line"]["color"] == next(t for t in data if t["mode"] == "lines+markers")["line"]["color"]


def complex_study(folder: Path) -> Summary:
    """Two experiments: one over n at d = 4 with most cells, one over d; they share no combination but one."""
    specs = [Grid("n", n, 4, s) for n in (16, 32, 64) for s in range(3)]
    specs += [Grid("d", 16, d, s) for d in (8, 16, 4) for s in range(3)]
    run_study(make_study("two", run_grid, specs), folder, QUIET)
    return summary_of(folder, "two")


def test_a_figure_opens_on_cells_that_exist_and_mixes_no_experiments(tmp_path: Path) -> None:
    summary = complex_study(tmp_path)
    parts = slices(summary, "n")
    assert [part.name for part in parts] == ["d = 4", "d = 8", "d = 16"]
    assert [(name, len(points)) for name, points in parts[0].lines] == [("", 3)]  # not the stray dot of the other
    assert parts[0].dots == 1
    figure = figure_data(summary, "n")
    shown = [trace for trace in figure["data"] if trace["visible"] and trace["mode"] == "lines+markers"]
    assert len(shown) == 1
    assert shown[0]["y"] == [p["metrics"]["tv"][0] for p in parts[0].lines[0][1]]


def test_a_menu_that_leads_nowhere_says_so(tmp_path: Path) -> None:
    """A result that a slice lacks: the figure says that no cell passes instead of staying empty."""
    summary = complex_study(tmp_path)
    figure = figure_data(summary, "n")
    results, parts, _ = figure["layout"]["updatemenus"]
    assert [button["label"] for button in results["buttons"]] == ["total variation", "extra"]
    y, visible = results["buttons"][1]["args"][0]["y"], parts["buttons"][1]["args"][0]["visible"]
    shown = [values for values, on in zip(y, visible, strict=True) if on]
    assert shown[0] == [1.0]  # the note
    assert figure["data"][0]["text"] == ["no cell passes the filters"]
    assert all(value is None for values in shown[1:] for value in values)
    y = results["buttons"][0]["args"][0]["y"]
    assert next(values for values, on in zip(y, visible, strict=True) if on) == [None]


def test_labels_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    """Plotly reads labels as a kind of HTML."""
    specs = [Grid('<a href="https://x">', n, 4, s) for n in (1, 2) for s in range(2)]
    specs += [Grid("<b>y</b>", n, 4, s) for n in (1, 2) for s in range(2)]
    run_study(make_study("two", run_grid, specs), tmp_path, QUIET)
    text = json.dumps(figure_data(summary_of(tmp_path, "two"), "n"))
    assert "<a" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;y" in text


# ---------------------------------------------------------------------- the page
def test_a_study_without_factors_or_axes_still_has_a_page(tmp_path: Path) -> None:
    study = make_study("</script><b>x", CellFunction(plain_function), [Spec(3, s) for s in range(4)])
    run_study(study, tmp_path, QUIET)
    write_page(tmp_path / "page.html", [summary_of(tmp_path, study.name)], {}, "a < b {x}")
    text = (tmp_path / "page.html").read_text()
    assert "<title>a &lt; b {x}</title>" in text
    assert "</script><b>x" not in text
    assert (tmp_path / "plotly.min.js").stat().st_size > 1_000_000


def test_the_page_shows_claims_with_their_controls(folder: Path) -> None:
    """As ``benchmarks.common.claims`` writes them: one that holds, one that fails, one whose control passes."""
    slope, ends = -0.4674856932436394, (-0.5389706, -0.41359667)
    claims = [
        within("slope <i>", slope, -0.6, 0.0, control=(0.03263, "permuted"), interval=ends, note="20 seeds"),
        within("gap", 3e-16, 0.0, 0.0),
        within(
            "weak",
            0.5,
            high=1.0,
            control=(0.7, "shifted"),
        ),
        Claim("seconds", 1234.5),
    ]
    write_claims(folder, claims, seed=0)
    assert main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    assert "slope &lt;i&gt;" in text
    assert "-0.4675 [-0.539, -0.4136]" in text
    assert "0.03263 (permuted)" in text
    assert "20 seeds" in text
    assert '<td class="bad">FAILS</td>' in text
    assert '<td class="bad">CONTROL PASSES</td>' in text
    assert text.index("<h2>Claims</h2>") < text.index(">rates</h2>") < text.index("Provenance")
    (folder / "claims.json").write_text('{"claims": 3}')
    assert main(["report", str(folder)]) == 2


def test_ordinary_records_with_unusual_columns_have_a_report(tmp_path: Path) -> None:
    """A column called ``cell``, factors that are lists, seeds that are dictionaries, whole numbers beyond float64."""
    specs = [Grid("odd", n, 4, s) for n in (1, 2) for s in range(2)]
    run_study(make_study("odd", run_odd, specs), tmp_path, QUIET)
    assert main(["report", str(tmp_path)]) == 0
    assert main(["study", "export", str(tmp_path), "--format", "csv", "--format", "parquet"]) == 0
    with Journal(store_path(tmp_path)) as journal:
        table = load_table(journal, "odd")
        assert [row["record_cell"] for row in table.rows] == [7] * 4
        assert len({row["cell"] for row in table.rows}) == 4
        assert compare(journal, journal)[0]["same"]


def test_a_folder_whose_name_is_not_utf8_has_a_report(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    run_study(small_study(1), folder, QUIET)
    assert main(["report", str(folder)]) == 0


# ---------------------------------------------------------------------- in a browser
_HEAD = """<script>window.problems = [];
addEventListener("error", (e) => problems.push(String(e.message)));
addEventListener("securitypolicyviolation", (e) => problems.push(e.violatedDirective + " " + e.blockedURI));
</script>"""
_TAIL = """<script>addEventListener("load", () => setTimeout(async () => {
  const figure = document.getElementById("figure0_0"), menus = figure.layout.updatemenus;
  const look = () => ({
    lines: figure.data.filter((t) => t.showlegend !== false && t.visible).map((t) => t.name),
    drawn: figure.querySelectorAll(".scatterlayer .trace .lines path").length,
    symbols: figure.data.filter((t) => t.mode === "lines+markers").map((t) => t.marker.symbol).flat(),
    y: figure.layout.yaxis.title.text, kind: figure.layout.yaxis.type,
    paper: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(figure.querySelector(".xtick text")).fill,
  });
  const choose = async (menu, i) => {
    const button = menus[menu].buttons[i];
    await Plotly[button.method](figure, ...button.args);
  };
  const seen = { start: look() };
  await choose(0, 1);
  await choose(menus.length - 1, 1);
  document.getElementById("flip").click();
  seen.changed = look();
  seen.text = document.body.innerText;
  seen.details = [...document.querySelectorAll("summary")].map((e) => e.textContent);
  seen.unfocusable = [...document.querySelectorAll("input, summary, a")].filter(
    (e) => { e.focus(); return document.activeElement !== e; }).map((e) => e.outerHTML);
  seen.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  seen.problems = problems;
  seen.resources = performance.getEntriesByType("resource").map((r) => r.name.split("/").pop());
  document.body.setAttribute("data-seen", JSON.stringify(seen));
}, 500));</script>"""


def _browse(page: Path, *options: str) -> str:
    browser = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={page.parent / 'browser'}",
        "--virtual-time-budget=10000",
        *options,
        page.as_uri(),
    ]
    environment = {**os.environ, "HOME": str(page.parent)}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, env=environment).stdout


@pytest.mark.chromium
@pytest.mark.parametrize("width", [1000, 500])
def test_the_page_works_in_a_browser_without_a_network(folder: Path, width: int) -> None:
    assert main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#|plotly\.min\.js)", text)
    probe = text.replace("<style>", _HEAD + "<style>", 1)
    place = probe.rindex("</body>")
    page = folder / "probe.html"
    page.write_text(probe[:place] + _TAIL + probe[place:])
    found = re.search(r'data-seen="([^"]*)"', _browse(page, "--dump-dom", f"--window-size={width},900"))
    assert found is not None
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    assert seen["problems"] == []
    assert set(seen["resources"]) <= {"plotly.min.js"}
    start, changed = seen["start"], seen["changed"]
    assert start["lines"] == ["a", "b"]
    assert start["drawn"] >= 4  # two lines and their bounds
    assert start["symbols"] == ["x-open"] * 6  # every point lacks some of its repetitions
    assert (start["y"], start["kind"]) == ("KL divergence (nats)<br>dotted: bound", "log")
    assert (changed["y"], changed["kind"]) == ("total variation", "linear")
    assert changed["paper"] != start["paper"]
    assert changed["ink"] != start["ink"]
    assert "108 of 120 cells, 12 missing" in seen["text"]
    assert seen["details"][-4:] == ["Missing cells: 12", "results", "environments", "runs"]
    assert seen["unfocusable"] == []
    assert not seen["wide"]


@pytest.mark.chromium
def test_the_page_draws_something(folder: Path) -> None:
    import matplotlib.image

    assert main(["report", str(folder)]) == 0
    picture = folder / "page.png"
    _browse(folder / "report.html", f"--screenshot={picture}", "--window-size=1000,900")
    pixels = matplotlib.image.imread(picture)[..., :3]
    blue = np.abs(pixels - np.array([0.0, 0x72 / 255, 0xB2 / 255])).max(axis=-1) < 0.2
    assert blue.sum() > 300  # the first line
    assert len(np.unique((pixels * 15).astype(int).reshape(-1, 3), axis=0)) > 20
