"""`check_bounds`: every family, the exact law it compares with, and faults that it reports."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sfbench import OrnsteinUhlenbeck, VarianceExploding, bounds
from sfbench.bounds import BoundCheck, checks
from sfbench.bounds.checks import CheckedBound, check_bounds
from synthetic import GaussianMixture, SyntheticProblem, make_problem

QUANTITIES = ["KL(q_delta || P_w)", "TV(q_delta, P_w)", "J(w) - J(w*)", "J(w) - J(w*)", "J_n(w) - min J_n"]
QUANTITIES.append("J(w) - J(w*)")  # by aggregation


def compared(rows: list[CheckedBound]) -> dict[str, BoundCheck]:
    """Comparisons by quantity and guarantee."""
    return {f"{row.quantity} {row.check.bound.guarantee}": row.check for row in rows if row.check is not None}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params", "exact"),
    [
        ("shifted_gaussians", {"k": 3, "d": 5}, True),
        ("shifted_gaussians", {"k": 3, "d": 5, "condition": 10.0}, True),
        ("scaled_gaussians", {}, True),
        ("bimodal_from_unimodal", {"d": 20}, True),
        ("near_duplicates", {"spread": 0.0}, True),
        ("paper_mixture_1d", {"scale": 6.0}, True),
        ("random_mixtures", {"m": 1, "covariance": "full", "d": 3}, True),
        ("random_mixtures", {"k": 2, "m": 2}, False),
        ("shifted_gaussians", {"k": 1, "d": 1}, True),
    ],
)
def test_every_bound_of_every_family_holds(name: str, params: dict[str, Any], exact: bool) -> None:
    result, rows = check_bounds(make_problem(name, **params), n=300, seed=1)
    assert [row.quantity for row in rows] == QUANTITIES
    assert not any(row.violated for row in rows)
    assert result.gram.n == 300
    assert (rows[0].check is not None) == exact
    for row in rows:
        assert (row.check is None) == bool(row.reason)
        if row.check is not None:
            assert row.check.observed.value >= 0
    assert rows[2].asserted
    assert not rows[3].asserted  # a limit of the mean


@pytest.mark.slow
def test_a_target_that_is_a_pool_on_the_line() -> None:
    """Its noised density comes from quadrature; w = (0.5, 0.5) of section 6: TV(P_w, p_w) is 0.39 there."""
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")
    _, rows = check_bounds(problem, n=300, seed=1)
    found = compared(rows)
    assert found["TV(q_delta, P_w) upper"].observed.value == pytest.approx(0.39, abs=0.02)
    assert found["KL(q_delta || P_w) upper"].holds


@pytest.mark.slow
def test_other_processes_have_their_own_certificates() -> None:
    problem = make_problem("scaled_gaussians", k=2, d=3)
    values = set()
    for process in (OrnsteinUhlenbeck(), VarianceExploding(10.0)):
        _, rows = check_bounds(problem, n=100, process=process, t_min=1e-2)
        assert not any(row.violated for row in rows)
        values.add(compared(rows)["KL(q_delta || P_w) upper"].bound.value)
    assert len(values) == 2


@pytest.mark.slow
def test_reproducible_and_independent_of_nothing_but_the_seed() -> None:
    problem = make_problem("shifted_gaussians", k=2, d=2)
    first, again, other = (check_bounds(problem, n=50, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first[0].weights, again[0].weights)
    assert [row.check for row in first[1]] == [row.check for row in again[1]]
    assert not np.array_equal(first[0].weights, other[0].weights)


# ---------------------------------------------------------------------- teeth
def weaker(name: str, factor: float) -> Any:
    honest = getattr(bounds, name)

    def broken(*args: Any, **options: Any) -> Any:
        bound = honest(*args, **options)
        return replace(bound, value=bound.value * factor)

    return broken


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "factor", "quantity"),
    [
        ("certificate", 0.9, "KL(q_delta || P_w)"),
        ("total_variation_certificate", 0.5, "TV(q_delta, P_w)"),
        ("slow_rate", 1e-5, "J(w) - J(w*)"),
    ],
)
def test_bounds_that_are_too_small_are_violated(
    name: str, factor: float, quantity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, name, weaker(name, factor))
    _, rows = check_bounds(make_problem("shifted_gaussians", k=3, d=3), n=64, seed=1)
    assert quantity in {row.quantity for row in rows if row.violated}


@pytest.mark.slow
def test_a_wrong_fused_law_violates_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    from sfbench import laws

    honest = laws.affine_fused_law

    def elsewhere(*args: Any, **options: Any) -> GaussianMixture:
        return honest(*args, **options).affine(1.0, 0.2)

    monkeypatch.setattr(laws, "affine_fused_law", elsewhere)
    _, rows = check_bounds(make_problem("shifted_gaussians", k=3, d=3), n=1000, seed=1)
    assert {row.quantity for row in rows if row.violated} == {"KL(q_delta || P_w)", "TV(q_delta, P_w)"}


@pytest.mark.slow
def test_a_solver_whose_gap_is_a_lie_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = checks.fuse

    def lying(*args: Any, **options: Any) -> Any:
        result = honest(*args, **options)
        return replace(result, weights=np.array([1.0, 0.0, 0.0]), solver=replace(result.solver, gap=1e-12))

    monkeypatch.setattr(checks, "fuse", lying)
    _, rows = check_bounds(make_problem("shifted_gaussians", k=3, d=3), n=100, seed=1)
    assert "J_n(w) - min J_n" in {row.quantity for row in rows if row.violated}


def test_what_cannot_be_compared_says_why() -> None:
    target = GaussianMixture([0.5, 0.5], 3 * np.eye(3)[:2], [0.5, 2.0])
    general = SyntheticProblem("general", target, make_problem("shifted_gaussians", k=2, d=3).auxiliaries, None)
    _, rows = check_bounds(general, n=50)
    assert "own noised score" in rows[0].reason
    assert not rows[0].asserted
    assert not rows[0].violated
    _, single = check_bounds(make_problem("shifted_gaussians", k=1, d=2), n=50)
    assert single[3].reason == "one auxiliary: nothing to learn"
