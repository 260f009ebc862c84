"""Laws, data and problems shared by the tests."""

import pytest

import sfbench
from sfbench import FusedScore, OrnsteinUhlenbeck
from synthetic import SyntheticProblem, make_problem


@pytest.fixture(scope="session")
def ou() -> sfbench.OrnsteinUhlenbeck:
    return sfbench.OrnsteinUhlenbeck()


@pytest.fixture(scope="session")
def shifted() -> SyntheticProblem:
    return make_problem("shifted_gaussians", k=3, d=5, weights=(0.5, 0.3, 0.2))


@pytest.fixture(scope="session")
def reference() -> SyntheticProblem:
    """The reference 1-D problem with the barycenter at equal weights as its target."""
    return make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=(0.5, 0.5))


@pytest.fixture(scope="session")
def problem() -> SyntheticProblem:
    return make_problem("paper_mixture_1d", space="raw", scale=6.0)


@pytest.fixture(scope="session")
def fused(problem) -> FusedScore:
    return FusedScore(problem.auxiliaries, [0.5, 0.5], process=OrnsteinUhlenbeck())
