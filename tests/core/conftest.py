"""Laws, data and objectives shared by the tests of the core."""

from dataclasses import dataclass

import numpy as np
import pytest

import sfbench
from synthetic import GaussianMixture, SyntheticProblem, make_problem


@dataclass(frozen=True)
class Foreign:
    """A score model that this package knows nothing about: the law's score under the process, and nothing else."""

    law: GaussianMixture
    process: sfbench.ForwardProcess

    @property
    def dim(self) -> int:
        return self.law.dim

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        return self.law.diffuse(float(self.process.alpha(t)), float(self.process.sigma(t))).score(x)


def settings(
    estimator: str = "antithetic", t_min: float = 1e-2, t_max: float = 2.0, n_nodes: int = 6, **options: object
) -> sfbench.GramSettings:
    grid = sfbench.time_grid(t_min, t_max, n_nodes)
    return sfbench.GramSettings(sfbench.OrnsteinUhlenbeck(), grid, estimator, **options)


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
