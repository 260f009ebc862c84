import pytest

from sfbench.processes import OrnsteinUhlenbeck
from sfbench.scores import FusedScore
from synthetic import SyntheticProblem, make_problem


@pytest.fixture(scope="session")
def problem() -> SyntheticProblem:
    return make_problem("paper_mixture_1d", space="raw", scale=6.0)


@pytest.fixture(scope="session")
def fused(problem) -> FusedScore:
    return FusedScore(problem.auxiliaries, [0.5, 0.5], process=OrnsteinUhlenbeck())
