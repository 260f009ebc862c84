"""The study of discrete diffusion models: its peer's arithmetic, and a small run from command to claims."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.discrete import __main__ as study
from benchmarks.discrete import cells
from benchmarks.discrete.clamped import clamped_sample
from sfbench.discrete import MaskedNoise
from synthetic.discrete import DiscreteTable, all_states


@pytest.mark.slow
def test_the_clamped_scheme_approaches_the_barycenter_with_many_steps() -> None:
    """What it is compared on is fair: its only error is that of its steps."""
    problem = cells.problem_of("Potts, 8 states")
    fused = cells.rates_of(problem, MaskedNoise(2, "linear"))
    x, weights, log_z = clamped_sample(fused, 4000, 100, np.random.default_rng(0))
    found = DiscreteTable.from_samples(x, 2, weights=weights).probs
    truth = np.exp(problem.target.log_prob(all_states(2, 3)))
    assert 0.5 * np.abs(found - truth).sum() < 0.04
    assert log_z == pytest.approx(problem.target.log_partition().value, abs=0.05)


@pytest.mark.slow
def test_a_small_run_ends_in_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(quick: bool, seed: int) -> dict[str, Any]:
        p = "chains, 4 states"
        fits = [cells.FitSpec("masked", "cross_entropy", n, s) for n in (100, 400) for s in (0, 1)]
        return {
            "laws": (cells.run_law_cell, [cells.LawSpec(q, "masked", 500, 0) for q in (p, "Ising 2 x 2")]),
            "fits": (cells.run_fit_cell, fits),
            "lengths": (cells.run_length_cell, [cells.LengthSpec(m, 400, 0) for m in (3, 8)]),
            "peers": (cells.run_peer_cell, [cells.PeerSpec(p, 500, 8, 0)]),
            "bounds": (cells.run_bound_cell, [cells.BoundSpec(p, "masked", cells.WEIGHTS, 0)]),
        }

    monkeypatch.setattr(study, "grids", tiny)
    code = study.main(["--quick", "--jobs", "1", "--out", str(tmp_path)])
    claims = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert {claim["name"].split(":")[0] for claim in claims} >= {"log Z", "certificate", "switched"}
    assert code == (0 if all(c["holds"] and c["control_fails"] is not False for c in claims) else 1)
    assert study.main(["--quick", "--jobs", "1", "--out", str(tmp_path)]) == code  # from what is kept
