"""The benchmark runs, writes what it says, and its published-way comparison is about the same objective."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import published_way, solver_speed, window_bias
from solvers import SimplexQP
from synthetic import make_problem

OPTIONS = ["--quick", "--k", "2", "--k", "8", "--solver", "active_set", "--solver", "piqp"]


def test_benchmark_writes_records_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(published_way, "run", lambda **_: _FAKE)
    assert solver_speed.main([*OPTIONS, "--out", str(tmp_path)]) == 0
    records = [json.loads(line) for line in (tmp_path / "solver_speed.jsonl").read_text().splitlines()]
    assert records[0]["kind"] == "header"
    cells = [r for r in records if r["kind"] == "cell"]
    assert {r["solver"] for r in cells} == {"auto", "active_set", "piqp", "cvxpy"}
    assert all(r["certified"] and 0.0 < r["ratio"] < np.inf for r in cells)
    assert {r["family"] for r in cells} == {"general", "correlated"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["solver_speed.jsonl", "solver_speed.pdf", "solver_speed.png"]
    printed = capsys.readouterr().out
    assert printed.count("auto / fastest") == 4
    assert "over a raw piqp call" in printed
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
    cells = [
        {"kind": "cell", "family": "general", "k": k, "rank": rank, "solver": solver, "ratio": 1.0, "gap": 0.0,
         "certified": True, "error": None}
        for k in (8, 2000) for rank in ("full", "half") for solver in ("auto", "scipy_slsqp")
        if (k, solver) != (2000, "scipy_slsqp")
    ]  # fmt: skip
    printed = solver_speed.report(cells)
    assert printed.count("left out") == 3
    assert "left out above k = 100: scipy_slsqp, one call at k = 500 had not ended" in printed


def test_unwritable_output_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert solver_speed.main(["--out", str(blocker / "inside")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("solver_speed: cannot write to --out")
    assert error.count("\n") == 1


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


def test_window_bias_study_tells_the_cases_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [(name, target, models, sizes[:1], *rest) for name, target, models, sizes, *rest in window_bias.cases()]
    monkeypatch.setattr(window_bias, "cases", lambda: few)
    assert window_bias.main(["--draws", "2"]) == 0
    assert "warned 2 of 2" in capsys.readouterr().out
    monkeypatch.setattr(window_bias, "cases", lambda: [(*case[:-1], not case[-1]) for case in few])
    assert window_bias.main(["--draws", "2"]) == 1
