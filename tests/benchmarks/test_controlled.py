"""The study of controlled particles: problems are what they are said to be, cells repeat, and claims have teeth."""

import numpy as np
import pytest

from benchmarks.controlled.__main__ import evaluate_claims
from benchmarks.controlled.cells import (
    FAMILIES,
    ControlledSpec,
    PartitionSpec,
    problem,
    run_controlled_cell,
    run_partition_cell,
)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_the_coordinates(family: str) -> None:
    """At the vertices and at time zero: against the derivative of each coordinate's law."""
    fused, pools, frame = problem(family, 3, 0)
    x, t = np.random.default_rng(0).standard_normal((4, 3)), 0.2
    for i, model in enumerate(fused.models):
        laws = [pool.components[i].diffuse(np.exp(-t), np.sqrt(-np.expm1(-2 * t))) for pool in pools]
        own = x @ frame
        want = np.hstack([law.score(own[:, [j]]) for j, law in enumerate(laws)]) @ frame.T
        np.testing.assert_allclose(model.score(x, t), want, rtol=1e-10, atol=1e-12)
    again = problem.__wrapped__(family, 3, 0)[0]
    np.testing.assert_array_equal(again.score(x, t), fused.score(x, t))


@pytest.mark.slow
def test_cells_repeat_and_judge_samples_of_the_truth_as_such() -> None:
    spec = ControlledSpec("different", 2, "controlled", 200, 0, 0)
    row = run_controlled_cell(spec)
    assert row == run_controlled_cell(spec)
    assert 0.0 < row["tv_mean"] <= row["tv_worst"] < 3.0 * row["tv_floor"]
    assert run_partition_cell(PartitionSpec("four", 2, 0))["error"] > 0.0


def test_claims_have_teeth() -> None:
    base = {"r": 8, "n": 8000, "tv_floor": 0.02, "founders": 2000.0, "log_z_gap": 0.1, "log_z_error": 0.1}
    rows = [
        base | {"family": f, "method": m, "tv_worst": tv, "trustworthy": m == "controlled"}
        for f in FAMILIES
        for m, tv in (("controlled", 0.04), ("corrected", 0.3))
    ]
    partition = [
        {"family": "four", "ratio": 1.01, "deviations": 1.0, "spread_controlled": 0.01, "spread_plain": 0.01},
    ]
    assert all(claim.stands for claim in evaluate_claims(rows, partition))
    assert not all(claim.stands for claim in evaluate_claims([r | {"trustworthy": True} for r in rows], partition))
    assert not all(claim.stands for claim in evaluate_claims([r | {"log_z_gap": 1.0} for r in rows], partition))
    assert not all(claim.stands for claim in evaluate_claims(rows, [partition[0] | {"deviations": 9.0}]))
