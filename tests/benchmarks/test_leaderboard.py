"""The leaderboard and the judge of samples: ranks, pages, submissions, claims with teeth."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.common.study import write_rows
from benchmarks.judging.cells import JudgeSpec, run_judge_cell
from benchmarks.judging.claims import evaluate_claims
from benchmarks.leaderboard.__main__ import main
from benchmarks.leaderboard.cells import LeaderSpec, run_leader_cell, score_submission
from benchmarks.leaderboard.joining import join, read_about, read_table
from benchmarks.leaderboard.table import by_problem, ranking, shifted_mean, write_pages
from sfbench import SfbenchError
from sfbench.experiments import MixedVersionsError
from sfbench.truths import get_truth

RESULTS = Path(__file__).parents[2] / "benchmarks/results"

NAME = "gaussian_scaled_d4_ratio4"


def row(method: str, problem: str, tv: float | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    base = {"method": method, "problem": problem, "budget": 64, "seed": seed}
    if tv is None:
        return base | {"status": "budget", "reason": "too few"} | more
    done = {"status": "ok", "tv": tv, "law": "fused", "log_z_error": None, "evaluations": 60.0, "cpu_s": 0.1}
    return base | done | more


def test_ranks_count_failures_as_one() -> None:
    rows = [row("a", "p", 0.1), row("a", "q", 0.1), row("b", "p", 0.01), row("b", "q", None), row("c", "p", 0.05)]
    table = ranking(rows, 64)
    assert [cells[1] for cells in table] == ["a", "b", "c"]
    assert float(table[0][2]) == pytest.approx(0.1)
    assert float(table[1][2]) == pytest.approx((0.02 * 1.01) ** 0.5 - 0.01, abs=1e-4)
    assert table[1][8] == "1"
    assert float(table[2][2]) == pytest.approx((0.06 * 1.01) ** 0.5 - 0.01, abs=1e-4)  # c never ran on q
    assert shifted_mean([0.0, 0.0]) == pytest.approx(0.0)
    header, cells = by_problem(rows, 64, ["a", "b"])
    assert header == ["problem", "a", "b"]
    assert cells == [["p", "0.100 F", "0.010 F"], ["q", "0.100 F", "budget"]]


@pytest.mark.slow
def test_pages_show_what_was_measured(tmp_path: Path) -> None:
    rows = [row("a<b>", "p", 0.1, law="near barycenter"), row("a<b>", "p", 0.2, seed=1), row("c", "p", 0.3)]
    runs = [{"methods": ["a<b>", "c"], "command": "python -m x --y '<'", "revision": "f00"}]
    about = {"title": "Ranks", "words": "Few.", "runs": runs}
    paths = write_pages(tmp_path, rows, about)
    assert {path.name for path in paths} == {"leaderboard.md", "leaderboard.html", "leaderboard.png"}
    text, page = (paths[i].read_text(encoding="utf-8") for i in (0, 1))
    assert "| 1 | a<b> | 0.1500 | 0.1000 to 0.2000 |" in text
    assert "| a<b>, c | `python -m x --y '<'` | f00 |" in text
    assert "a&lt;b&gt;" in page
    assert "<b>" not in page


@pytest.mark.slow
def test_cells_say_why_they_failed() -> None:
    few = run_leader_cell(LeaderSpec(NAME, "fused", 1, 200, 50, 0, 0))
    assert few["status"] == "budget"
    none = run_leader_cell(LeaderSpec(NAME, "minimax", 64, 200, 50, 0, 0))
    assert none["status"] == "not applicable"
    done = run_leader_cell(LeaderSpec(NAME, "uniform", 64, 1000, 50, 0, 0))
    assert done["status"] == "ok"
    assert done["evaluations"] <= 64
    assert 0.0 <= done["tv_low"] <= done["tv"] <= done["tv_high"]


def submission(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    np.save(folder / "x.npy", get_truth(NAME).sample("barycenter", 2000, rng=1))
    entry = {
        "problem": NAME,
        "seed": 0,
        "samples": "x.npy",
        "sha256": hashlib.sha256((folder / "x.npy").read_bytes()).hexdigest(),
        "evaluations": 100,
        "log_z": -0.9,
    }
    entry |= changes.pop("entry", {})
    about = {"name": "exact", "provenance": "drawn exactly", "entries": [entry]} | changes
    (folder / "submission.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_submissions_are_merged_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    run = ["--quick", "--problems", NAME, "--methods", "uniform", "mixture", "--out", out, "--jobs", "1"]
    assert main(run) == 0
    assert main(["--merge", str(submission(tmp_path / "mine")), "--out", out]) == 0
    text = (tmp_path / "out" / "leaderboard.md").read_text(encoding="utf-8")
    assert "exact (submitted)" in text
    assert "barycenter 1" in text
    other = str(tmp_path / "other")
    assert main(["--methods", "nearest", "mixture", "--join", out, "--out", other, "--jobs", "1"]) == 0
    about = json.loads((tmp_path / "other" / "summary.json").read_text(encoding="utf-8"))
    assert [entry["methods"] for entry in about["runs"]] == [["uniform"], ["nearest", "mixture"]]
    assert about["runs"][1]["command"].endswith(f"--join {out} --out {other} --jobs 1")
    assert {r["method"] for r in read_table(tmp_path / "other")} == {"uniform", "nearest", "mixture"}
    assert "exact (submitted)" in (tmp_path / "other" / "leaderboard.md").read_text(encoding="utf-8")
    assert main([*run, "--seed", "0"]) == 0  # stays in the tables of later runs
    assert "exact (submitted)" in (tmp_path / "out" / "leaderboard.md").read_text(encoding="utf-8")
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(["--problems", "discrete_chain", "--out", out])
    assert "discrete_chain" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": ""}, "needs a `name`"),
        ({"name": "fused"}, "is the name of a method here"),
        ({"provenance": ""}, "needs a `provenance`"),
        ({"entries": []}, "needs `entries`"),
        ({"entries": [{"problem": NAME}]}, r"entries\[0\] lacks 'seed'"),
        ({"entries": [3]}, r"entries\[0\] must be an object"),
        ({"entry": {"problem": "nowhere"}}, "unknown problem 'nowhere'"),
        ({"entry": {"evaluations": "many"}}, r"entries\[0\].evaluations"),
        ({"entry": {"evaluations": float("nan")}}, r"entries\[0\].evaluations"),
        ({"entry": {"seed": [1]}}, r"entries\[0\].seed"),
        ({"entry": {"sha256": "0" * 64}}, "is not the file"),
        ({"entry": {"samples": "../x.npy"}}, "must be the name of an .npy file"),
    ],
)
def test_bad_submissions_are_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(SfbenchError, match=match):
        score_submission(submission(tmp_path / "mine", **changes))


def test_what_cannot_run_is_said_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("os:nothing", "no_such_module:x", "json:loads"):
        with pytest.raises(SystemExit, match="2"):
            main(["--methods", name, "--out", str(tmp_path)])
        assert name.split(":")[0] in capsys.readouterr().err
    assert main(["--merge", str(tmp_path), "--out", str(tmp_path / "new")]) == 2
    assert "holds no leaderboard" in capsys.readouterr().err


def test_a_narrower_command_does_not_drop_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(tmp_path, "leaderboard", [row("uniform", NAME, 0.1), row("fused", NAME, 0.2)])
    (tmp_path / "summary.json").write_text("{}")
    assert main(["--methods", "uniform", "--problems", NAME, "--budgets", "64", "--out", str(tmp_path)]) == 2
    assert "1 rows that this command does not make" in capsys.readouterr().err
    assert len(read_table(tmp_path)) == 2
    with pytest.raises(SystemExit, match="2"):
        main(["--methods", "fusde", "--out", str(tmp_path)])
    assert "did you mean 'fused'" in capsys.readouterr().err


def test_methods_join_a_table_under_its_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--methods", "uniform", "--join", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(run) == 2
    assert "holds no leaderboard" in capsys.readouterr().err
    for more in (["--data", "32"], ["--quick"], ["--merge", str(tmp_path)]):
        with pytest.raises(SystemExit, match="2"):
            main([*run, *more])
        assert "--join" in capsys.readouterr().err
    old = [
        {"methods": ["a", "b"], "command": "x", "revision": "1"},
        {"methods": ["c"], "command": "y", "revision": "2"},
    ]
    new = {"methods": ["b", "c"], "command": "z", "revision": "3"}
    stored = [row(name, "p", 0.1, algorithm_version=1) for name in "abc"]
    rows, runs = join(stored, old, [row(name, "p", 0.2, algorithm_version=1) for name in "bc"], new)
    assert {r["method"]: r["tv"] for r in rows} == {"a": 0.1, "b": 0.2, "c": 0.2}
    assert runs == [old[0] | {"methods": ["a"]}, new]
    with pytest.raises(MixedVersionsError, match="stored table"):
        join(stored, old, [row("b", "p", 0.2, algorithm_version=2)], new)


def test_committed_tables_say_how_each_row_was_made(tmp_path: Path) -> None:
    for name in ("leaderboard", "leaderboard/rows_32"):
        folder = RESULTS / name
        about, rows = read_about(folder), read_table(folder)
        assert sorted(m for run in about["runs"] for m in run["methods"]) == sorted({r["method"] for r in rows})
        write_rows(tmp_path, "leaderboard", rows)
        assert (tmp_path / "leaderboard.csv").read_bytes() == (folder / "leaderboard.csv").read_bytes()


@pytest.mark.slow
def test_the_judge_is_judged() -> None:
    found = run_judge_cell(JudgeSpec(NAME, "mixture", 2000, 0, 0))
    assert found["verdict"] == "mixture"
    assert found["tv_of"] == 2
    assert run_judge_cell(JudgeSpec(NAME, "scaled", 3000, 0, 0))["verdict"] == "neither"


def test_claims_about_the_judge_can_fail() -> None:
    counts = {f"{kind}{end}": n for kind in ("tv", "kl", "mass") for end, n in (("", 9), ("_half", 6), ("_of", 10))}
    good = [
        {"problem": "p", "law": "fused", "verdict": "fused", "compatible": "fused", "power": 1.0, **counts}
        for _ in range(40)
    ]
    claims = evaluate_claims(good)
    assert all(claim.stands for claim in claims)
    assert len(claims) == 4
    wrong = [r | {"verdict": "mixture"} if i < 4 else r for i, r in enumerate(good)]
    assert not evaluate_claims(wrong)[0].holds
    wide = [r | {"tv": 10, "tv_half": 9} for r in good]
    assert sum(not claim.stands for claim in evaluate_claims(wide)) == 1
    unsure = [r | {"power": 0.01, "compatible": "mixture, barycenter"} for r in good]
    assert not evaluate_claims(unsure)[0].holds
