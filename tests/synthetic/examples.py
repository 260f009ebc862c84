"""The laws under test: random mixtures of every layout, and one of each kind of law."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from synthetic import EmbeddedMixture, GaussianMixture, LogLinearPool

LAYOUTS = ("shared", "isotropic", "diagonal", "full")

examined = settings(max_examples=20, deadline=None, derandomize=True)


def random_covariances(rng: np.random.Generator, layout: str, m: int, d: int) -> Any:
    """Covariances of a layout, with variances between 0.3 and 3 or thereabouts."""
    if layout == "full":
        root = rng.standard_normal((m, d, d)) / np.sqrt(d)
        return root @ root.transpose(0, 2, 1) + 0.3 * np.eye(d)
    return rng.uniform(0.5, 2.0, {"shared": (), "isotropic": (m,), "diagonal": (m, d)}[layout])


def random_parts(seed: int, layout: str, m: int, d: int) -> tuple[Any, Any, Any]:
    """Weights, means and covariances of a random mixture."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(m, 3.0)), 2.0 * rng.standard_normal((m, d)), random_covariances(rng, layout, m, d)


def random_mixture(seed: int, layout: str = "diagonal", m: int = 3, d: int = 2) -> GaussianMixture:
    """A random mixture of a layout."""
    return GaussianMixture(*random_parts(seed, layout, m, d))


def random_frame(seed: int, d: int, r: int) -> Any:
    """Orthonormal columns (d, r)."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, r)))[0]


def embedded(seed: int, d: int = 5, r: int = 1, m: int = 2, layout: str = "diagonal") -> EmbeddedMixture:
    """A random core in a frame that depends on d and r only."""
    return EmbeddedMixture(random_mixture(seed, layout, m, r), random_frame(7, d, r), 0.7, np.linspace(-1.0, 1.0, d))


def pool(k: int = 3, weights: Any = None, **kind: Any) -> LogLinearPool:
    """A pool of random mixtures at unequal weights."""
    w = np.arange(1.0, k + 1) if weights is None else np.asarray(weights, float)
    return LogLinearPool([random_mixture(40 + i, **kind) for i in range(k)], w / w.sum())


mixture_parts = st.builds(
    random_parts,
    seed=st.integers(0, 2**32 - 1),
    layout=st.sampled_from(LAYOUTS),
    m=st.integers(1, 4),
    d=st.sampled_from([1, 2, 3, 8, 9, 12]),  # 8 | 9: component-major and row-major kernels
)
mixtures = st.builds(lambda parts: GaussianMixture(*parts), mixture_parts)
numbers = st.floats(-3.0, 3.0).filter(lambda a: abs(a) > 0.05)

# Every kind of law, in every regime of its kernel.
KINDS: dict[str, Callable[[], Any]] = {
    "one component": lambda: random_mixture(1, "shared", 1, 1),
    "shared variance 1-D": lambda: random_mixture(2, "shared", 3, 1),
    "isotropic 2-D": lambda: random_mixture(3, "isotropic", 3, 2),
    "diagonal 2-D": lambda: random_mixture(4, "diagonal", 3, 2),
    "full 1-D": lambda: random_mixture(5, "full", 2, 1),
    "full 2-D": lambda: random_mixture(6, "full", 3, 2),
    "shared variance 12-D": lambda: random_mixture(7, "shared", 3, 12),
    "isotropic 12-D": lambda: random_mixture(8, "isotropic", 3, 12),
    "diagonal 12-D": lambda: random_mixture(9, "diagonal", 3, 12),
    "full 5-D": lambda: random_mixture(10, "full", 3, 5),
    "far from the origin": lambda: random_mixture(11, "isotropic", 3, 2).affine(1.0, 1e4),
    "embedded rank 1": lambda: embedded(12),
    "embedded rank 2, full core": lambda: embedded(13, 6, 2, 3, "full"),
    "embedded in the plane": lambda: embedded(15, 2, 1),
    "embedded without complement": lambda: embedded(14, 2, 2),
    "pool of Gaussians": lambda: pool(m=1, layout="full", d=2),
    "pool of mixtures 1-D": lambda: pool(layout="isotropic", d=1),
    "pool of mixtures 2-D": lambda: pool(layout="full", d=2, m=2),
    "pool of mixtures 4-D": lambda: pool(layout="diagonal", d=4, m=2),
    "pool of shared variance 6-D": lambda: LogLinearPool(
        [GaussianMixture([0.3, 0.7], random_frame(i, 6, 2).T, 0.8) for i in range(2)], [0.4, 0.6]
    ),
    "pool of embedded mixtures": lambda: LogLinearPool([embedded(1), embedded(2)], [0.3, 0.7]),
}
