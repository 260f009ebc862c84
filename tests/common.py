"""What tests of several packages share: a foreign score model and small settings."""

from dataclasses import dataclass

import numpy as np

import sfbench
from synthetic import GaussianMixture


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
