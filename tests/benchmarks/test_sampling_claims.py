"""The claims of the sampling study: they hold on rows that are right, and every one fails on rows that are wrong."""

import copy

import pytest

from benchmarks.sampling_error.claims import evaluate_claims, slope, summary
from benchmarks.sampling_error.integrator_cells import EXPECTED_ORDERS

CHECK_COLUMNS = [f"{column}_{name}" for column in ("check", "check_cpu") for name in ("fused", "ode", "corrected")]


def laws():
    rows = []
    for w, gap, log_z in ((0.5, 0.4, -0.86), (0.2, 0.28, -0.6), (0.8, 0.27, -0.5)):
        common = {"w_1": w, "tv_laws": gap, "mass_pool": 0.8}
        for seed in (1, 2):
            fused = {"tv_fused": 0.01, "floor_fused": 0.01, "tv_pool": gap, "mass": 0.4}
            corrected = {"tv_fused": gap, "floor_fused": 0.01, "tv_pool": 0.01, "mass": 0.803}
            z = {"log_z": log_z - 0.004, "log_z_truth": log_z}
            z |= {"log_z_error": 0.002, "log_z_error_sampling": 8e-4, "log_z_error_steps": 1.8e-3}
            rows += [common | fused | {"method": "fused", "seed": seed}]
            rows += [common | corrected | z | {"method": "corrected", "seed": seed}]
        rows.append(common | {"method": "auxiliary 1", "seed": -1, "tv_fused": 0.3, "tv_pool": 0.4, "mass": 0.5})
    return rows


def products():
    rows = []
    for r, founders, error in ((1, 4000, 0.01), (64, 5, 0.4)):
        plain = {"method": "plain", "r": r, "n": 8000, "founders": founders, "ess_min": 0.8, "tv_mean": error}
        plain |= {"tv_worst": error, "correlation": 0.5 * (r > 1), "trustworthy": founders > 500}
        rows += [plain, plain | {"method": "blocks", "founders": 4000, "tv_mean": 0.01, "tv_worst": 0.01}]
        rows[-1] |= {"correlation": 0.02, "trustworthy": True}
    return rows


@pytest.fixture
def tables():
    steps = (16, 32, 64, 128)
    return {
        "laws": laws(),
        "products": products(),
        "vertices": [{"vertex": 0, "sampler": "fused", "tv": 0.012, "floor": 0.01}],
        "evaluations": [
            {"integrator": name, "evaluations": n, "tv": tv}
            for name, n, tv in (("EM, uniform", 1024, 0.04), ("EM", 512, 0.009), ("2M", 32, 0.006))
        ],
        "orders": [
            {"integrator": name, "n_steps": s, "strong": s**-order}
            for name, order in EXPECTED_ORDERS.items()
            for s in steps
        ],
        "certificate": [{"kl": 2.0, "kl_error": 1e-3, "bound": 2.1}],
        "embedded": [{"d": 1, "ess": 0.59}, {"d": 1024, "ess": 0.6}],
        "windows": [
            {"chosen": True, "tv": 0.01, "trustworthy": True},
            {"chosen": False, "tv": 0.3, "trustworthy": False},
        ],
        "trust": [
            {"sampler": "corrected", "n_steps": k, "trustworthy": True, "messages": "they are too long" if k else ""}
            | {"log_z_gap": 0.005, "log_z_error": 0.002, "log_z_sampling": 0.001}
            for k in (0, 8)
        ],
        "cost": [{"d": 1, "ratio": 1.2} | dict.fromkeys(CHECK_COLUMNS, 0.05)],
    }


def test_right_rows_pass_and_their_controls_fail(tables):
    for claim in evaluate_claims(tables):
        assert claim.holds, claim
        assert claim.control_fails, claim


FAULTS = {
    "TV(P_w, p_w)": ("laws", lambda r: r.update(tv_laws=0.35)),
    "the fused sampler": ("laws", lambda r: r.update(tv_fused=0.05) if r["method"] == "fused" else None),
    "corrected: in every run": ("laws", lambda r: r.update(mass=0.811) if r.get("seed") == 2 else None),
    "log Z from scores": ("laws", lambda r: r.update(log_z=-0.7) if "log_z" in r else None),
    "at a vertex": ("vertices", lambda r: r.update(tv=0.03)),
    "evaluations": ("evaluations", lambda r: r.update(tv=0.02)),
    "strong orders": ("orders", lambda r: r.update(strong=r["n_steps"] ** -0.5)),
    "Girsanov": ("certificate", lambda r: r.update(kl=2.2)),
    "rank 1": ("embedded", lambda r: r.update(ess=0.3) if r["d"] > 1 else None),
    "no clean bill": ("products", lambda r: r.update(trustworthy=True)),
    "blocked resampling": ("products", lambda r: r.update(tv_mean=0.1)),
    "blocks stay": ("products", lambda r: r.update(correlation=0.99)),
    "corrected costs": ("cost", lambda r: r.update(ratio=1.4)),
    "the check of the steps": ("cost", lambda r: r.update(check_ode=0.2)),
    "narrow modes": ("windows", lambda r: r.update(tv=0.2, trustworthy=True)),
    "default steps": ("trust", lambda r: r.update(messages="they are too long")),
    "log Z of random": ("trust", lambda r: r.update(log_z_gap=1.0)),
}


@pytest.mark.parametrize("title", FAULTS)
def test_wrong_rows_fail_their_claim(tables, title):
    name, spoil = FAULTS[title]
    wrong = copy.deepcopy(tables)
    for row in wrong[name]:
        spoil(row)
    failed = [claim.name for claim in evaluate_claims(wrong) if not claim.holds]
    assert any(claim.startswith(title) for claim in failed)


def test_every_claim_has_a_fault(tables):
    titles = [claim.name for claim in evaluate_claims(tables)]
    assert len(titles) == len(FAULTS)
    assert all(any(title.startswith(start) for start in FAULTS) for title in titles)


def test_summary_and_slope(tables):
    table = summary(tables["laws"])
    assert {row["runs"] for row in table} == {1, 2}
    assert next(row for row in table if row["method"] == "corrected")["tv_pool"] == pytest.approx(0.01)
    assert slope([{"n_steps": s, "strong": s**-2.0} for s in (16, 32, 64)], "strong") == pytest.approx(2.0)
