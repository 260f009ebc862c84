"""What tests of several packages share: a foreign score model and small settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import sfbench
from sfbench.statistics.passes import accumulate
from sfbench.statistics.samples import data_source
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


def ambient_gram(
    laws: Sequence[Any], x: np.ndarray, rule: sfbench.GramSettings, *, keep: int = 0, rng: int = 0
) -> sfbench.ScoreGram:
    """Statistics of reduced laws with the noise that an unreduced pass draws, projected: equal to it to rounding."""
    source = data_source(laws, x, rule, np.random.default_rng(rng), ambient=True)
    return accumulate(source, rule, [len(x)], keep)[0].at()


def streamed(laws: Sequence[Any], rule: sfbench.GramSettings) -> list[sfbench.AnalyticScore]:
    """The laws as score models, of which no reduction is known."""
    return [sfbench.AnalyticScore(law, rule.process) for law in laws]
