"""The study of switched sampling: cells repeat, gains are computed right, and claims fail where they should."""

import pytest

from benchmarks.switched.__main__ import make_specs
from benchmarks.switched.cells import OrderSpec, SwitchedSpec, run_switched_cell
from benchmarks.switched.claims import evaluate_claims, evaluations_at, gain, order_claims


@pytest.mark.slow
@pytest.mark.parametrize("family", ["line", "embedded"])
def test_a_cell_repeats_and_counts(family: str) -> None:
    found = {}
    for method in ("all", "balanced", "one for all"):
        spec = SwitchedSpec(family, 2, 0, method, "exponential", 16, 2000, 0)  # type: ignore[arg-type]
        found[method] = run_switched_cell(spec)
        assert found[method] == run_switched_cell(spec)
    assert found["all"]["evaluations"] == 2 * found["balanced"]["evaluations"] == 32


def test_evaluations_are_interpolated_in_logarithms() -> None:
    rows = [{"evaluations": 16, "tv": 0.16}, {"evaluations": 64, "tv": 0.04}, {"evaluations": 32, "tv": 0.08}]
    assert evaluations_at(rows, 0.08) == pytest.approx(32)
    assert evaluations_at(rows, 0.05) == pytest.approx(51.2)
    assert evaluations_at(rows, 0.2) == 16
    assert evaluations_at(rows, 0.01) == float("inf")


def test_claims_have_teeth() -> None:
    specs = make_specs([2, 4], problems=1, points=1000, seed=0)

    def rows(spent_by_all: float) -> list[dict[str, object]]:
        found = []
        for spec in specs:
            cost = spec.steps * (spec.k if spec.method == "all" else 1)
            error = 2.0 / (spec.steps if spec.method == "all" else spec.steps / spent_by_all)
            tv = 0.3 if spec.method == "one for all" else error
            found.append(vars(spec) | {"tv": tv, "floor": 0.0, "evaluations": cost})
        return found

    assert gain([r for r in rows(1.0) if (r["family"], r["k"]) == ("line", 4)], "exponential") == pytest.approx(4.0)
    assert all(claim.stands for claim in evaluate_claims(rows(1.0)))
    assert not all(claim.stands for claim in evaluate_claims(rows(2.0)))


def test_orders_have_teeth() -> None:
    orders = {"balanced": 2.0, "independent": 1.0, "shared": 1.1}
    rows = [
        vars(OrderSpec(4, 0, method, scheme, 0)) | {"order": order}  # type: ignore[arg-type]
        for method, order in orders.items()
        for scheme in ("ddim", "dpm_solver_2m", "heun")
    ]
    assert all(claim.stands for claim in order_claims(rows))
    assert not all(claim.stands for claim in order_claims([row | {"order": 1.0} for row in rows]))
    assert not all(claim.stands for claim in order_claims([row | {"order": 2.0} for row in rows]))
