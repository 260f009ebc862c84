"""The study of certificates: cells are right, and a certificate that is too small is a claim that fails."""

import pytest

from benchmarks.certificates.cells import FAMILIES, CertificateSpec, run_certificate_cell
from benchmarks.certificates.claims import evaluate_claims


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cell_holds_and_repeats(family: str) -> None:
    spec = CertificateSpec(family, 1, 0)
    row = run_certificate_cell(spec)
    assert row == run_certificate_cell(spec)
    assert row["holds"]
    assert 0 <= row["kl"] <= row["bound"] + 5 * row["kl_error"] + 1e-9


def test_claims_have_teeth() -> None:
    good = {"kl": 0.9, "bound": 1.0, "holds": True, "coarse_holds": False, "integral": 1.0, "integral_error": 1e-5}
    rows = [{"family": family} | good for family in FAMILIES for _ in range(200)]
    assert all(claim.stands for claim in evaluate_claims(rows))
    assert not evaluate_claims([row | {"holds": False} for row in rows])[0].holds
    assert evaluate_claims([row | {"coarse_holds": True} for row in rows])[0].control_fails is False
    assert not evaluate_claims([row | {"integral_error": 0.01} for row in rows])[-1].holds
