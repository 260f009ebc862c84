"""The coverage study: problems have the weights and multipliers they claim; verdicts have teeth; the table."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.coverage.__main__ import main
from benchmarks.coverage.cells import PROBLEMS, CoverageSpec, run_coverage_cell
from benchmarks.coverage.claims import Coverage, evaluate_claims, summarise
from benchmarks.coverage.problems import NODES, PROCESS, WINDOW, Gaussians, Location
from sfbench import GramSettings, score_gram, time_grid
from solvers import solve
from synthetic import GaussianMixture


def test_location_statistics_are_those_of_the_scores() -> None:
    """Up to one factor, G and b of unit Gaussians under the process are those of their means and the data's."""
    rng = np.random.default_rng(0)
    means, x = rng.normal(size=(4, 3)), rng.normal(size=(50, 3))
    laws = [GaussianMixture([1.0], [mean], 1.0) for mean in means]
    gram = score_gram(laws, x, GramSettings(PROCESS, time_grid(*WINDOW, NODES), "antithetic"), rng=0)
    relative = means - means[0]
    factor = gram.G[1, 1] / (relative @ relative.T)[1, 1]
    assert np.allclose(gram.G, factor * relative @ relative.T)
    assert np.allclose(gram.b, factor * relative @ (x.mean(axis=0) - means[0]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem",
    [
        Location((0.5, 0.381, 0.0, 0.0, 0.119), (0.7, 0.2), 1000, seed=2),
        Location((0.6, 0.4, 0.0), (3.0,), degrees=5.0, seed=3),
        Location((0.4, 0.3, 0.2, 0.1), twins=1, seed=13),
        Location((0.4, 0.3, 0.2, 0.1), twins=1, apart=0.5, seed=15),
        Location((0.4, 0.3, 0.2, 0.1), cap=0.35, seed=16),
        Gaussians(5, 3, degrees=5.0, zeros=1),
    ],
)
def test_large_samples_find_the_weights(problem: Location | Gaussians) -> None:
    gram = problem.draw(400_000 if isinstance(problem, Location) else 40_000, np.random.default_rng(1))
    weights = solve(gram.to_qp(), problem.solver or "auto", tol=1e-6).weights
    truth = problem.truth(1000)
    assert np.all(weights > truth[:, 0] - 0.03)
    assert np.all(weights < truth[:, 1] + 0.03)


def test_multipliers_are_in_standard_errors() -> None:
    problem, n = Location((0.5, 0.3, 0.0, 0.2), (2.0,), seed=2), 2000
    rng = np.random.default_rng(0)
    weights = np.array([0.5, 0.3, 0.0, 0.2])
    gradients = []
    for _ in range(400):
        gram = problem.draw(n, rng)
        gradient = 2.0 * (gram.G @ weights - gram.b)
        gradients.append(gradient[2] - weights @ gradient)
    assert np.mean(gradients) / np.std(gradients) == pytest.approx(2.0, abs=0.25)


def test_verdicts_have_teeth() -> None:
    good = Coverage("p", 100, "auto", 400, (0.9, 0.87), 0.1, 0.0, 0.0)
    bad = Coverage("p", 100, "auto", 400, (0.9, 0.78), 0.1, 0.0, 0.0)
    flagged = Coverage("p", 100, "auto", 400, (0.9, 0.78), 0.1, 0.0, 1.0)
    missing = Coverage("p", 100, "auto", 400, (0.9, 0.9), 0.1, 0.01, 1.0)
    control = Coverage("p", 100, "sandwich", 400, (0.9, 0.3), 0.1, 0.2, 0.0)
    assert [cell.holds for cell in (good, bad, flagged, missing, control)] == [True, False, True, False, False]
    assert [cell.verdict for cell in (good, bad, flagged, missing)] == ["covered", "FAILS", "warned", "FAILS"]
    assert all(claim.stands for claim in evaluate_claims([good, control]))
    assert not all(claim.stands for claim in evaluate_claims([bad, control]))
    assert not all(
        claim.stands for claim in evaluate_claims([good, Coverage("p", 100, "sandwich", 400, (0.9,), 0.1, 0.0, 0.0)])
    )


def test_a_cell_counts_hits_and_repeats() -> None:
    spec = CoverageSpec("k = 2, multiplier 0.3", 32, 0, 5, 0)
    rows = run_coverage_cell(spec)
    assert rows == run_coverage_cell(spec)
    assert [row["method"] for row in rows] == ["auto", "sandwich"]
    cell = summarise(rows)[0]
    assert cell.draws == 5
    assert cell.missed == 0.0
    assert set(PROBLEMS) >= {"one at zero", "cap 0.35", "a model twice"}


@pytest.mark.slow
def test_the_study_writes_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.coverage.__main__.QUICK", ("two at zero", "k = 2, multiplier 0.3"))
    main(["--quick", "--draws", "10", "--jobs", "1", "--out", str(tmp_path)])
    assert (tmp_path / "coverage.csv").exists()
    assert "sandwich" in capsys.readouterr().out
    found = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert any("outside their own interval" in claim["name"] for claim in found)
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["--draws", "10", "--out", str(blocked / "x")]) == 2
    assert "cannot write" in capsys.readouterr().err
