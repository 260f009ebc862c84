"""The study of the number of auxiliaries: its methods, and claims that fail when they should."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.auxiliaries import __main__ as study
from benchmarks.auxiliaries.cells import AuxiliariesSpec, fits, problem_of, run_cell, weights_of
from benchmarks.auxiliaries.claims import above
from sfbench import ScoreGram

SPEC = AuxiliariesSpec("disjoint", 16, 4, (64, 1024), 0)


@pytest.mark.slow
def test_a_cell_repeats_and_every_method_stays_on_the_simplex() -> None:
    rows = run_cell(SPEC)
    plain = [{k: v for k, v in row.items() if k != "solve_s"} for row in rows]
    assert plain == [{k: v for k, v in row.items() if k != "solve_s"} for row in run_cell(SPEC)]
    assert {row["n"] for row in rows} == {64, 1024}
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    gram = ScoreGram(root @ root.T, rng.normal(size=6), None, 100)
    for name, (weights, _, _) in fits(gram, (gram, gram)):
        assert weights.min() >= 0, name
        assert weights.sum() == pytest.approx(1.0), name
        assert gram.value(weights) >= gram.value(dict(fits(gram, (gram, gram)))["exact"][0]) - 1e-9


def test_the_excess_is_the_kl_divergence_of_means() -> None:
    """``J(w) - J(w*)`` of unit Gaussians is ``C |M (w - w*)|^2``, C the integral of the window."""
    weights = weights_of(4, 0)
    means = np.stack([law.means[0] for law in problem_of("random", 4, weights, 1).auxiliaries])
    row = next(r for r in run_cell(replace(SPEC, geometry="random", k=4, support=0)) if r["method"] == "best single")
    candidates = 0.5 * ((means - weights @ means) ** 2).sum(axis=1)
    assert np.abs(candidates * (np.exp(-2e-3) - np.exp(-10.0)) / row["excess"] - 1.0).min() < 2e-3


def test_drawn_geometries_differ_between_seeds() -> None:
    def mean(geometry: str, seed: int) -> np.ndarray:
        return AuxiliariesSpec(geometry, 4, 4, (64,), seed).problem().auxiliaries[0].means[0]

    for geometry in ("random", "near-duplicate", "covariances"):
        np.testing.assert_array_equal(mean(geometry, 0), mean(geometry, 1))
        assert not np.allclose(mean(f"{geometry}, drawn", 0), mean(f"{geometry}, drawn", 1))


def test_means_above_their_bound_are_found() -> None:
    cell: Any = ("disjoint", 4, 4, "exact", 64)
    values = 1.0 + 0.01 * np.random.default_rng(0).normal(size=8)
    assert above({cell: values}, {cell: 0.9}) == [cell]
    assert above({cell: values}, {cell: 1.1}) == []


@pytest.mark.slow
def test_a_small_run_ends_in_claims_and_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(quick: bool, seed: int) -> list[AuxiliariesSpec]:
        cells = [("disjoint", 4, 0), ("disjoint", 4, 4), ("covariances", 4, 0)]
        cells += [(g, 16, s) for g in ("disjoint", "near-duplicate") for s in (0, 1, 4)]
        return [AuxiliariesSpec(*cell, (64, 1024), i) for cell in cells for i in (0, 1, 2)]

    monkeypatch.setattr(study, "grid", tiny)
    code = study.main(["--quick", "--jobs", "1", "--out", str(tmp_path)])
    claims = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert (tmp_path / "auxiliaries.png").stat().st_size > 10_000
    assert code == (0 if all(c["holds"] and c["control_fails"] is not False for c in claims) else 1)
    bounds = [claim for claim in claims if claim["name"].startswith("cells above")]
    assert all(claim["holds"] for claim in bounds)
