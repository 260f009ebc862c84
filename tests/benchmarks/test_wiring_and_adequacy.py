"""The studies of mis-wirings and of the misfit test: cells repeat, and claims have teeth."""

import pytest

from benchmarks.adequacy.cells import CASES, AdequacySpec, run_adequacy_cell
from benchmarks.adequacy.claims import evaluate_claims as adequacy_claims
from benchmarks.wiring.cells import WiringSpec, run_wiring_cell
from benchmarks.wiring.claims import evaluate_claims as wiring_claims


@pytest.mark.slow
def test_a_network_that_was_hardly_trained_raises_no_alarm() -> None:
    rows = run_wiring_cell(WiringSpec("mlp", 0, 5, 0))
    assert len({row["wiring"] for row in rows if row["expected"]}) == 15
    assert not any(row["said"] for row in rows if not row["expected"])


def test_claims_on_wirings_have_teeth() -> None:
    base = {"kind": "mlp", "group": 0, "loss": 0.6, "best": 0.5}
    wrong = [base | {"rows": n, "wiring": "v", "expected": "e", "said": "e", "named": True} for n in (64, 32)]
    right = [base | {"rows": n, "wiring": "right", "expected": "", "said": "", "named": False} for n in (64, 32)]
    assert all(claim.stands for claim in wiring_claims(wrong + right))
    assert not wiring_claims([row | {"named": False} for row in wrong] + right)[0].holds
    assert not wiring_claims(wrong + [row | {"said": "e"} for row in right])[1].holds


def test_a_cell_of_draws_repeats_and_finds_what_is_far() -> None:
    spec = AdequacySpec("plane_modes", 1.0, 300, 2, 0, 0)
    rows = run_adequacy_cell(spec)
    assert rows == run_adequacy_cell(spec)
    assert all(row["p_value"] < 1e-3 and 0 < row["misfit"] < 1.2 * row["excess"] for row in rows)


def test_claims_on_adequacy_have_teeth() -> None:
    good = [
        {"case": case, "distance": d, "n": 1000, "p_value": 0.5 if d == 0 else 1e-9, "misfit": d, "excess": d + 1e-9}
        for case in CASES
        for d in (0.0, 1.0)
        for _ in range(20)
    ]
    assert all(claim.stands for claim in adequacy_claims(good))
    refusing = [row | {"p_value": 1e-9} for row in good]
    assert not adequacy_claims(refusing)[0].holds
    blind = [row | {"p_value": 0.5} for row in good]
    assert not any(claim.holds for claim in adequacy_claims(blind) if claim.name.startswith("power") and claim.required)
    boastful = [row | {"misfit": 2.0 * row["excess"]} for row in good]
    assert not adequacy_claims(boastful)[-1].holds
