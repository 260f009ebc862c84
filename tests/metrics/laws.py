"""Laws that the tests of the metrics share."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from synthetic import GaussianMixture, LogLinearPool

examined = settings(max_examples=25, deadline=None)
LAYOUTS = ("isotropic", "diagonal", "full")


def random_mixture(seed: int, d: int = 1, m: int = 2, layout: str = "isotropic", reach: float = 2.0) -> GaussianMixture:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(m, d, d))
    covariances = {
        "isotropic": rng.uniform(0.4, 1.5, m),
        "diagonal": rng.uniform(0.4, 1.5, (m, d)),
        "full": factor @ factor.transpose(0, 2, 1) / d + 0.4 * np.eye(d),
    }
    return GaussianMixture(rng.dirichlet(np.full(m, 3.0)), rng.uniform(-reach, reach, (m, d)), covariances[layout])


def gaussian(seed: int, d: int, layout: str) -> GaussianMixture:
    return random_mixture(seed, d, 1, layout)


def lifted(core: GaussianMixture) -> GaussianMixture:
    """The law on R^3 with two more coordinates that all such laws share, but no shared *isotropic* complement."""
    ones = np.ones((core.n_components, 1))
    means = np.hstack([core.means, 0.5 * ones, -ones])
    variances = np.hstack([core.spectrum.dense()[:, :, 0], 0.3 * ones, 2.0 * ones])
    return GaussianMixture(core.weights, means, variances)


CORES = (
    GaussianMixture([0.3, 0.7], [[-1.0], [1.5]], [0.5, 1.2]),
    GaussianMixture([0.6, 0.4], [[0.0], [2.0]], [1.0, 0.4]),
    GaussianMixture([0.5, 0.5], [[-2.0], [0.5]], [0.8, 0.6]),
)


def pools(w: Any, v: Any) -> tuple[LogLinearPool, LogLinearPool, LogLinearPool, LogLinearPool]:
    """Pools at two weights on R^3, whose log Z the envelope has to estimate, and the same on the line."""
    laws = [lifted(core) for core in CORES]
    return LogLinearPool(laws, w), LogLinearPool(laws, v), LogLinearPool(CORES, w), LogLinearPool(CORES, v)


mixtures_1d = st.builds(random_mixture, st.integers(0, 10_000), m=st.integers(1, 3))
