"""The study of conditions: its problems, and a small run to its claims."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.conditions import __main__ as study
from benchmarks.conditions.cells import ConditionsSpec, problem_of, run_cell
from benchmarks.conditions.claims import over_fast, roc_area

SPEC = ConditionsSpec("fixed", 0.0, 1.0, 6, "gaussian", 400, 3, 0)


def test_heavy_tails_keep_mean_and_covariance_and_the_distance_is_what_it_says() -> None:
    plain, heavy = (problem_of(replace(SPEC, tails=tails)).target for tails in ("gaussian", "heavy"))
    assert heavy.mean() == pytest.approx(plain.mean())  # type: ignore[attr-defined]
    assert np.diag(heavy.covariance()) == pytest.approx(np.diag(plain.covariance()))  # type: ignore[attr-defined]
    moved = problem_of(replace(SPEC, distance=2.0)).target
    assert np.linalg.norm(moved.mean() - plain.mean()) == pytest.approx(2.0)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_cell_repeats_and_is_within_its_bounds() -> None:
    rows = run_cell(SPEC)
    assert rows == run_cell(SPEC)
    assert rows[0]["kl"] <= rows[0]["certificate"]
    assert all(row["excess"] <= row["slow"] for row in rows)
    found = over_fast(rows)
    assert found is not None
    assert found < 5


def test_the_area_under_a_curve_is_a_probability() -> None:
    assert roc_area([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert roc_area([1.0], [1.0]) == 0.5
    assert roc_area([0.0, 1.0], [0.0, 1.0]) == 0.5


@pytest.mark.slow
def test_a_small_run_ends_in_claims_and_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(quick: bool, seed: int) -> list[ConditionsSpec]:
        cells = [(r, x, d) for r in ("fixed", "growing") for x in (0.0, 2.0) for d in (4, 16)]
        found = [ConditionsSpec(rank, x, 3.0, d, "gaussian", 200, 3, seed) for rank, x, d in cells]
        return [*found, replace(found[0], tails="heavy")]

    monkeypatch.setattr(study, "grid", tiny)
    code = study.main(["--quick", "--jobs", "1", "--out", str(tmp_path)])
    claims = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert code == (0 if all(c["holds"] and c["control_fails"] is not False for c in claims) else 1)
    assert next(c for c in claims if c["name"] == "violations of the certificate")["holds"]
    assert (tmp_path / "conditions.png").stat().st_size > 10_000
