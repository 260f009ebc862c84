"""Laws that any object of `synthetic` obeys, as functions that raise AssertionError.

They are functions, not tests, so that `test_teeth.py` can show that each of them fails on a broken law.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

SIGMAS = 5.0  # of a Monte Carlo mean before it counts as wrong
P_VALUE = 1e-6


def points_of(law: Any, n: int = 40, seed: int = 0) -> Any:
    """Draws of a law: where its values matter."""
    return law.sample(n, rng=seed)


def assert_mean(values: Any, expected: Any) -> None:
    """The mean of i.i.d. rows equals its expectation within its standard error."""
    error = values.std(axis=0) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) - expected) <= SIGMAS * error + 1e-12)


def score_is_gradient(law: Any) -> None:
    """The score is the central difference of the log density."""
    x, h = points_of(law), 1e-4
    for e, step in enumerate(h * np.eye(law.dim)):
        slope = (law.log_prob(x + step) - law.log_prob(x - step)) / (2 * h)
        np.testing.assert_allclose(law.score(x)[:, e], slope, rtol=1e-5, atol=3e-5)


def divergence_is_trace_of_jacobian(law: Any) -> None:
    """The divergence is the trace of the central difference of the score."""
    x, h = points_of(law), 1e-4
    trace = np.zeros(len(x))
    for e, step in enumerate(h * np.eye(law.dim)):
        trace += (law.score(x + step) - law.score(x - step))[:, e] / (2 * h)
    np.testing.assert_allclose(law.divergence(x), trace, rtol=1e-5, atol=3e-5)


def density_integrates_to_one(law: Any) -> None:
    """In one and two dimensions the density has mass one, by brute force."""
    if law.dim > 2:
        return
    draws = points_of(law, 4000)
    centre, reach = draws.mean(axis=0), 3 * (draws.max(axis=0) - draws.min(axis=0))
    axes = [
        np.linspace(c - a / 2, c + a / 2, 4001 if law.dim == 1 else 801) for c, a in zip(centre, reach, strict=True)
    ]
    nodes = np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")], axis=1)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    np.testing.assert_allclose(np.exp(law.log_prob(nodes)).sum() * cell, 1.0, rtol=1e-6)


def draws_obey_stein(law: Any) -> None:
    """``E s = 0`` and ``E x s' = -I`` over the law's own draws: sampler and score belong together, in any dimension."""
    x = law.sample(20_000, rng=1)
    s = law.score(x)
    centred = x - law.sample(2000, rng=2).mean(axis=0)  # any constant will do
    assert_mean(s, 0.0)
    assert_mean(np.einsum("nd,ne->nde", centred, s), -np.eye(law.dim))


def divergence_averages_to_minus_square(law: Any) -> None:
    """``E div s = -E |s|^2``."""
    x = law.sample(20_000, rng=3)
    assert_mean(law.divergence(x) + (law.score(x) ** 2).sum(axis=1), 0.0)


def draws_follow_the_density(law: Any) -> None:
    """Kolmogorov-Smirnov in one dimension, against the integrated density."""
    if law.dim > 1:
        return
    draws = law.sample(20_000, rng=4)[:, 0]
    grid = np.linspace(draws.mean() - 12 * draws.std(), draws.mean() + 12 * draws.std(), 40_001)
    density = np.exp(law.log_prob(grid[:, None]))
    cdf = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    assert stats.kstest(draws, lambda x: np.interp(x, grid, cdf)).pvalue > P_VALUE


def seed_decides_the_draws(law: Any) -> None:
    """One seed, one sample, to the bit; another seed, another sample."""
    assert np.array_equal(law.sample(50, rng=5), law.sample(50, rng=5))
    assert np.array_equal(law.sample(50, rng=5), law.sample(50, rng=np.random.default_rng(5)))
    assert not np.array_equal(law.sample(50, rng=5), law.sample(50, rng=6))


def shapes_hold_down_to_no_points(law: Any) -> None:
    """n = 0 and n = 1 are points like any other."""
    for n in (0, 1):
        x = law.sample(n, rng=0)
        assert x.shape == (n, law.dim) == law.score(x).shape
        assert law.log_prob(x).shape == law.divergence(x).shape == (n,)


CHECKS: dict[str, Callable[[Any], None]] = {
    check.__name__: check
    for check in (
        score_is_gradient,
        divergence_is_trace_of_jacobian,
        density_integrates_to_one,
        draws_obey_stein,
        divergence_averages_to_minus_square,
        draws_follow_the_density,
        seed_decides_the_draws,
        shapes_hold_down_to_no_points,
    )
}
