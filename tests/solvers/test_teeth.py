"""The conformance suite catches broken solvers: each of them fails the check that names its fault."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from solvers import Candidate, SimplexQP, solve
from solvers.active_set import ActiveSet
from solvers.frank_wolfe import FrankWolfe
from solvers.testing import CHECKS, ConformanceError, check_solver


@dataclass(frozen=True)
class Broken:
    """The exact solver with one fault."""

    fault: str
    name: ClassVar[str] = "broken"
    requires: ClassVar[Any] = "quadratic"

    def solve(self, objective: SimplexQP, *, tol: float, max_iter: Any, start: Any, rng: Any) -> Candidate:
        if self.fault == "early_stopping":
            return replace(FrankWolfe().solve(objective, tol=tol, max_iter=5, start=start, rng=rng), exhausted=False)
        true = ActiveSet().solve(objective, tol=tol, max_iter=max_iter, start=start, rng=rng)
        w = true.weights.copy()
        if self.fault == "unnormalised":
            w *= 1.01
        elif self.fault == "negative":
            w = w + np.where(np.arange(len(w)) == 0, -0.05, 0.05 / (len(w) - 1))
        elif self.fault == "lying_status":
            return replace(true, exhausted=False)
        elif self.fault == "mutating":
            objective.q.flags.writeable = True
            objective.q[0] += 1e-3
        elif self.fault == "mutating_start" and start is not None:
            start.flags.writeable = True
            start[:] = 0.0
        elif self.fault == "non_deterministic":
            w = w + 1e-9 * np.random.default_rng().random(len(w))
            w /= w.sum()
        elif self.fault == "noisy":
            print("Iteration 1")
        elif self.fault == "perturbed":
            w = 0.99 * w + 0.01 / len(w)
        elif self.fault == "nan":
            w[0] = np.nan
        elif self.fault == "scale_dependent" and objective.P[0, 0] > 1.0:
            w = np.full(len(w), 1.0 / len(w))
        elif self.fault == "truncated":
            w = w[:-1]
        return replace(true, weights=w)


FAULTS = {
    "unnormalised": "feasible",
    "negative": "feasible",
    "lying_status": "honest_status",
    "mutating": "inputs_untouched",
    "mutating_start": "inputs_untouched",
    "early_stopping": "certified",
    "non_deterministic": "deterministic",
    "noisy": "silent",
    "perturbed": "certified",
    "nan": "certified",
    "scale_dependent": "certified",
    "truncated": "feasible",
}


def test_the_healthy_solver_passes() -> None:
    report = check_solver(Broken("none"))
    assert report.passed == tuple(CHECKS)
    assert not report.failures


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_caught(fault: str) -> None:
    with pytest.raises(ConformanceError, match=FAULTS[fault]):
        check_solver(Broken(fault))


def test_expected_failures_are_allowed_and_must_be_true() -> None:
    report = check_solver(Broken("lying_status"), expected_failures={"honest_status"})
    assert set(report.failures) == {"honest_status"}
    with pytest.raises(ConformanceError, match="passed unexpectedly"):
        check_solver(Broken("none"), expected_failures={"honest_status"})
    with pytest.raises(ValueError, match="unknown checks"):
        check_solver(Broken("none"), expected_failures={"honesty"})


def test_a_wrong_answer_is_reported_by_the_facade_not_believed() -> None:
    problem = SimplexQP(np.eye(3), [0.0, -0.2, -0.4])
    result = solve(problem, Broken("perturbed"), tol=1e-9)
    assert not result.converged
    assert "auto" in result.status
