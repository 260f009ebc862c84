"""One sample for every pool of the same laws: total variation by reweighting, and its honesty about its error."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import trapezoid

from synthetic import EffectiveSampleSizeError, LogLinearPool, PoolSample, ShapeError, SimplexError

from .examples import pool, random_mixture

LINE = pool(3, layout="isotropic", d=1)
NEAR = ([0.2, 0.3, 0.5], [0.3, 0.2, 0.5], [0.1, 0.4, 0.5])


def by_quadrature(weights: Any) -> float:
    """``TV`` of the pools on the line, from their unnormalised densities."""
    y = np.linspace(-40.0, 40.0, 80_001)
    densities = []
    for w in (weights, LINE.weights):
        density = np.exp(sum(wi * p.log_prob(y[:, None]) for wi, p in zip(w, LINE.components, strict=True)))
        densities.append(density / trapezoid(density, y))
    return float(trapezoid(np.abs(densities[0] - densities[1]), y) / 2)


@pytest.mark.parametrize("weights", NEAR)
def test_total_variation_is_that_by_quadrature(weights: Any) -> None:
    found = PoolSample(LINE, n=50_000, rng=1).total_variation(weights)
    assert 0.0 < found.stderr < 0.003
    assert abs(found.value - by_quadrature(weights)) < 5 * found.stderr


def test_the_stated_error_is_the_spread_over_samples() -> None:
    """Over 300 samples: calibrated, and so is its part that comes from the unknown constant."""
    truth, weights = by_quadrature(NEAR[0]), NEAR[0]
    found = [PoolSample(LINE, n=400, rng=seed).total_variation(weights) for seed in range(300)]
    scores = [(estimate.value - truth) / estimate.stderr for estimate in found]
    assert 0.85 < np.std(scores) < 1.2
    assert abs(np.mean(scores)) < 0.3  # |.| of a noisy mean is biased upwards, by less than this


def test_the_sample_s_own_weights_are_at_distance_zero() -> None:
    found = PoolSample(LINE, n=100).total_variation(LINE.weights)
    assert (found.value, found.stderr, found.n) == (0.0, 0.0, 100)


def test_many_dimensions_agree_with_the_pools_own_densities() -> None:
    """In 12 dimensions, against direct draws of both pools and their normalised densities."""
    first = pool(2, weights=[0.45, 0.55], layout="diagonal", d=12, m=2)
    second = LogLinearPool(first.components, [0.5, 0.5])
    x = np.concatenate([first.sample(20_000, rng=3), second.sample(20_000, rng=4)])
    direct = np.abs(np.tanh(0.5 * (first.log_prob(x) - second.log_prob(x))))
    found = PoolSample(first, rng=5).total_variation([0.5, 0.5])
    assert abs(found.value - direct.mean()) < 5 * (found.stderr + direct.std() / 200 + 0.002)  # log Z is estimated


def test_weights_too_far_away_are_refused() -> None:
    laws = [random_mixture(1, d=3).affine(1.0, shift) for shift in (0.0, 8.0)]
    sample = PoolSample(LogLinearPool(laws, [0.9, 0.1]), n=1000)
    with pytest.raises(EffectiveSampleSizeError, match="of the draws counts for these weights"):
        sample.total_variation([0.1, 0.9])
    sample.total_variation([0.89, 0.11])


def test_bad_weights_and_counts_are_named() -> None:
    with pytest.raises(ShapeError, match="n must be at least 2, got 1"):
        PoolSample(LINE, n=1)
    sample = PoolSample(LINE, n=10)
    with pytest.raises(ShapeError, match="weights must have length 3, got 2"):
        sample.total_variation([0.5, 0.5])
    with pytest.raises(SimplexError, match="weights sum to"):
        sample.total_variation([0.5, 0.5, 0.5])
