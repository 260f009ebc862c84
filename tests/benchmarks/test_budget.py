"""The study of fits on a budget: a cell repeats, and claims fail where they should."""

import pytest

from benchmarks.budget.cells import FAMILIES, BudgetSpec, run_budget_cell
from benchmarks.budget.claims import evaluate_claims


@pytest.mark.slow
def test_a_cell_repeats() -> None:
    spec = BudgetSpec("reference", 1, 0)
    row = run_budget_cell(spec)
    assert row == run_budget_cell(spec)
    assert row["budget_length"] < row["full_length"]
    assert row["budget_evaluations"] <= row["full_evaluations"]


def test_claims_have_teeth() -> None:
    good = {"k": 2, "tolerance_evaluations": 100}
    for kind in ("full", "budget", "tolerance"):
        length = 0.2 if kind == "full" else 0.1
        good |= {f"{kind}_length": length, f"{kind}_covered": 0.9, f"{kind}_covered_by_half": 0.6}
    rows = [{"family": family} | good for family in FAMILIES for _ in range(100)]
    assert all(claim.stands for claim in evaluate_claims(rows))
    for change in ({"budget_length": 0.19}, {"budget_covered": 0.7}, {"full_covered_by_half": 0.9}):
        assert not all(claim.stands for claim in evaluate_claims([row | change for row in rows]))
    assert not all(claim.stands for claim in evaluate_claims([row | {"tolerance_length": 0.11} for row in rows]))
