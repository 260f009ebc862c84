"""The benchmark runs, writes what it says, and its published-way comparison is about the same objective."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import published_way, solver_speed
from solvers import SimplexQP


def test_benchmark_writes_records_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(solver_speed, "_DIMS", (2, 8))
    monkeypatch.setattr(published_way, "run", lambda **_: _FAKE)
    assert solver_speed.main(["--quick", "--solver", "active_set", "--solver", "piqp", "--out", str(tmp_path)]) == 0
    records = [json.loads(line) for line in (tmp_path / "solver_speed.jsonl").read_text().splitlines()]
    assert records[0]["kind"] == "header"
    cells = [r for r in records if r["kind"] == "cell"]
    assert {r["solver"] for r in cells} == {"auto", "active_set", "piqp", "cvxpy"}
    assert all(r["certified"] for r in cells)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["solver_speed.jsonl", "solver_speed.pdf", "solver_speed.png"]
    assert "auto / fastest" in capsys.readouterr().out


_FAKE = {
    "kind": "published_way",
    "n": 1,
    "epochs": 1,
    "excess": {kind: {name: [1.0] for name in ("gram_qp", "adam", "sgd")} for kind in ("population", "training")},
    "cpu_ratio": {name: [1.0] for name in ("adam", "sgd")},
}


def test_unwritable_output_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert solver_speed.main(["--out", str(blocker / "inside")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("solver_speed: cannot write to --out")
    assert error.count("\n") == 1


def test_both_ways_of_the_comparison_share_one_objective() -> None:
    """The antithetic Gram, the minibatch gradient and the population quadrature agree within sampling error."""
    pair = [
        published_way.Mixture1D(np.array([0.5, 0.5]), np.array([-0.5, 1.7]), np.array([0.03, 0.03])),
        published_way.Mixture1D(np.array([0.7, 0.3]), np.array([-1.2, 1.5]), np.array([0.03, 0.03])),
    ]
    rng = np.random.default_rng(0)
    n = 100_000
    component = rng.random(n) < 0.6
    x = np.where(component, -1.0, 1.0) + 0.13 * rng.normal(size=n)
    target = published_way.Mixture1D(np.array([0.6, 0.4]), np.array([-1.0, 1.0]), np.full(2, 0.13**2))
    exact = SimplexQP(*published_way._population_qp(target, pair))
    estimate = SimplexQP(*published_way._gram(pair, x, rng))
    objective = published_way.DenoisingObjective(tuple(pair), x, batch=n)
    w = np.array([0.3, 0.7])
    assert np.allclose(estimate.gradient(w), exact.gradient(w), atol=0.03)
    assert np.allclose(objective.minibatch_gradient(w, rng), exact.gradient(w), atol=0.05)
