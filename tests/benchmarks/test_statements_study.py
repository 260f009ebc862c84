"""The study of single statements: a cell repeats, its sides agree, and a side that is off is a claim that fails."""

from benchmarks.statements.cells import FitSpec, LawsSpec, run_fit_cell, run_laws_cell
from benchmarks.statements.claims import evaluate_claims


def test_claims_of_a_few_laws_hold_and_have_teeth() -> None:
    laws = [run_laws_cell(LawsSpec(number, 0)) for number in range(3)]
    assert laws[0] == run_laws_cell(LawsSpec(0, 0))
    fits = [{"n": 100, "error_likelihood": 0.01, "error_matched": 0.1}]
    claims = evaluate_claims({"laws": laws, "fits": fits})
    assert all(claim.holds for claim in claims)
    wrong = {"mean_kl": 9.0, "j_form": 9.0, "least_eigenvalue": -0.1, "bend": 99.0, "tv": 2.0}
    wrong |= {"scale_mixture_change": 0.1, "tv_uniform": 1.0, "uniform_bound": 0.5}
    broken = evaluate_claims({"laws": [row | wrong for row in laws], "fits": [fits[0] | {"error_likelihood": 0.1}]})
    assert [claim.name for claim in broken if claim.holds] == []


def test_a_fit_by_likelihood_finds_the_weights() -> None:
    row = run_fit_cell(FitSpec(2000, 0, 0))
    assert row["error_likelihood"] < 0.05
