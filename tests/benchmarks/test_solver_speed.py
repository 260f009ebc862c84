"""The benchmark runs, writes what it says, and its published-way comparison is about the same objective."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.solver_speed import __main__ as solver_speed
from benchmarks.solver_speed import cells, published_way
from benchmarks.window_bias import __main__ as window_bias
from solvers import SimplexQP
from synthetic import make_problem

OPTIONS = ["--quick", "--k", "2", "--k", "8", "--solver", "active_set", "--solver", "piqp"]


@pytest.mark.slow
def test_benchmark_writes_records_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def once(calls: Any, rounds: int, number: int, **options: Any) -> Any:
        return interleaved(calls, rounds=1, number=1, **options)

    interleaved = cells._interleaved
    monkeypatch.setattr(cells, "_interleaved", once)
    monkeypatch.setattr(published_way, "run", lambda **_: _FAKE)
    assert solver_speed.main([*OPTIONS, "--out", str(tmp_path)]) == 0
    records = [json.loads(line) for line in (tmp_path / "solver_speed.jsonl").read_text().splitlines()]
    assert records[0]["kind"] == "header"
    rows = [r for r in records if r["kind"] == "cell"]
    assert {r["solver"] for r in rows} == {"auto", "active_set", "piqp", "cvxpy"}
    assert all(r["certified"] and 0.0 < r["ratio"] < np.inf for r in rows)
    assert {r["family"] for r in rows} == {"general", "correlated"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["solver_speed.jsonl", "solver_speed.pdf", "solver_speed.png"]
    printed = capsys.readouterr().out
    assert printed.count("auto / fastest") == 4
    assert "Time over a raw call of the library" in printed
    assert printed.count("relative, k = ") == 12  # six dimensions, two libraries
    assert "solve_many with a cap on the weights, 30 perturbed problems of k = 8" in printed
    assert "against sgd: gram_qp_1 takes 10x less CPU; mean excess minus that of sgd: training -1.0e+00" in printed


_FAKE = {
    "kind": "published_way",
    "n": 1,
    "epochs": 1,
    "excess": {
        "population": {"samples": [1.0], "gram_qp_1": [3.0], "gram_qp_2": [3.0], "sgd": [2.0]},
        "training": {"gram_qp_1": [1.0], "gram_qp_2": [0.5], "sgd": [2.0]},
    },
    "cpu": {"gram_qp_1": [0.1], "gram_qp_2": [0.2], "sgd": [1.0]},
}


def test_solvers_left_out_have_a_printed_reason() -> None:
    rows = [
        {
            "kind": "cell",
            "family": "general",
            "k": k,
            "rank": rank,
            "solver": solver,
            "ratio": 1.0,
            "gap": 0.0,
            "certified": True,
            "error": None,
        }
        for k in (8, 2000)
        for rank in ("full", "half")
        for solver in ("auto", "scipy_slsqp")
        if (k, solver) != (2000, "scipy_slsqp")
    ]
    printed = solver_speed.report(rows)
    assert printed.count("left out") == 3
    assert "left out above k = 100: scipy_slsqp, one call at k = 500 had not ended" in printed


def test_unwritable_output_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert solver_speed.main(["--out", str(blocker / "inside")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmarks.solver_speed: cannot write to output folder")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_both_ways_of_the_comparison_share_one_objective() -> None:
    """The antithetic Gram, the minibatch gradient and the population quadrature agree within sampling error."""
    problem = make_problem("paper_mixture_1d", space="raw", scale=6.0, target="mixture")
    target, *pair = (published_way._flatten(p) for p in (problem.target, *problem.auxiliaries))
    rng = np.random.default_rng(0)
    x = problem.target.sample(100_000, rng=rng)
    exact = SimplexQP(*published_way._population_qp(target, pair))
    estimate = published_way.gram_qp(problem, x, rng, 1)
    objective = published_way.DenoisingObjective(tuple(pair), x[:, 0], batch=len(x))
    w, along = np.array([0.3, 0.7]), np.array([1.0, -1.0])  # the Gram is kept up to what the simplex cannot see
    slope = exact.gradient(w) @ along
    assert estimate.gradient(w) @ along == pytest.approx(slope, abs=0.005)
    assert objective.minibatch_gradient(w, rng) @ along == pytest.approx(slope, abs=0.03)
    assert estimate.hessian(w) @ along @ along == pytest.approx(exact.hessian(w) @ along @ along, rel=0.01)


@pytest.mark.slow
def test_published_way_resumes_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_way, "QUICK", published_way.Size(draws=2, n=128, epochs=2))
    record = published_way.run(seed=0, quick=True, folder=tmp_path)
    assert set(record["excess"]["population"]) == {"samples", *record["cpu"]}
    assert all(len(values) == 2 for values in record["cpu"].values())
    assert all(min(values) > -1e-12 for values in record["excess"]["training"].values())
    monkeypatch.setattr(published_way, "_ways", None)  # finished draws are not computed again
    assert published_way.run(seed=0, quick=True, folder=tmp_path) == record
    assert len(published_way.report(record)) == 2 + len(record["cpu"]) + 1 + len(published_way.PUBLISHED)


@pytest.mark.slow
def test_window_bias_study_tells_the_cases_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {name: replace(case, sizes=case.sizes[:1]) for name, case in window_bias.CASES.items()}
    monkeypatch.setattr(window_bias, "CASES", few)
    options = ["--draws", "2", "--jobs", "1", "--out", str(tmp_path)]
    assert window_bias.main([*options, "--time-limit", "1e-9"]) == 3
    assert "go on with the same command" in capsys.readouterr().err
    assert window_bias.main(options) == 0
    assert "Warnings of window bias" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "window_bias.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * len(few)
    assert all(row["verdict_holds"] for row in rows)
    assert {row["warned"] for row in rows} == {True, False}
    turned = {name: replace(case, biased=not case.biased) for name, case in few.items()}
    monkeypatch.setattr("benchmarks.window_bias.claims.CASES", turned)
    monkeypatch.setattr("benchmarks.window_bias.cells.target_and_models", None)  # finished cells are not computed again
    assert window_bias.main(options) == 1
