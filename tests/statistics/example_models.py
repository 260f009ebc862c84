"""Models for tests, in a module that worker processes can import."""

from typing import Any

import numpy as np

from sfbench import GramSettings, OrnsteinUhlenbeck, time_grid
from synthetic import GaussianMixture


def build(d: int = 3) -> tuple[list[GaussianMixture], GramSettings]:
    """Three mixtures and a coarse grid."""
    rng = np.random.default_rng(1)
    laws = [GaussianMixture([0.4, 0.6], rng.standard_normal((2, d)), 0.5) for _ in range(3)]
    return laws, GramSettings(OrnsteinUhlenbeck(), time_grid(1e-3, 5.0, 4))


class Shrinking:
    """A score without structure."""

    def __init__(self, rate: float) -> None:
        self.dim, self.rate = 3, rate

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        return -self.rate * x / (1.0 + t) + np.sin(x)


def general_models() -> list[Any]:
    return [Shrinking(rate) for rate in (0.5, 1.0, 2.0)]
