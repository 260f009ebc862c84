"""Fusing models of angles."""

import numpy as np
import pytest

import sfbench
from sfbench import GridError, ModelError, torus
from sfbench.errors import GramError
from synthetic import GaussianMixture
from synthetic.torus import WrappedMixture, WrappedPool, torus_grid

LAWS = [
    WrappedMixture([0.5, 0.5], [[-1.0], [2.0]], [0.05, 0.5]),
    WrappedMixture([0.7, 0.3], [[1.0], [-2.5]], 0.2),
]
WEIGHTS = [0.4, 0.6]
POOL = WrappedPool(LAWS, WEIGHTS)
MOTION = torus.torus_motion()
FUSED = sfbench.FusedScore(LAWS, WEIGHTS, process=MOTION)
GRID = sfbench.time_grid(7e-3, 7.0, 24)


def binned(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.histogram(x[:, 0], 16, (-np.pi, np.pi), weights=weights)[0]


def masses(density: np.ndarray) -> np.ndarray:
    """Masses of 16 bins of a density on equally spaced nodes, by summing a shifted grid."""
    fine = np.interp(
        np.arange(4096) / 4096.0, np.arange(len(density) + 1) / len(density), np.append(density, density[0])
    )
    return fine.reshape(16, -1).mean(axis=1) * (2.0 * np.pi / 16)


def test_a_single_law_comes_back() -> None:
    nodes, density = torus.circle_law(sfbench.FusedScore(LAWS, [1.0, 0.0], process=MOTION), n_cells=128, n_steps=200)
    truth = np.exp(LAWS[0].diffuse(1.0, 7e-3).log_prob(nodes[:, None]))
    assert 0.5 * np.abs(density - truth).sum() * 2.0 * np.pi / 128 < 2e-4


def test_fused_law_obeys_its_certificate_and_is_not_the_barycenter() -> None:
    nodes, density = torus.circle_law(FUSED, n_cells=128, n_steps=200)
    target = np.exp(POOL.log_prob(nodes[:, None]))
    step = 2.0 * np.pi / 128
    kl = float(step * target @ np.log(target / density))
    objective = torus.population_gram(POOL, LAWS, process=MOTION, grid=GRID).value(WEIGHTS)
    assert 0.5 * objective < kl <= objective
    assert 0.5 * step * np.abs(target - density).sum() > 0.1


@pytest.mark.slow
def test_samplers_draw_the_laws_that_they_name() -> None:
    _nodes, density = torus.circle_law(FUSED, n_cells=128, n_steps=200)
    truths = {"fused": masses(density), "corrected": masses(np.exp(POOL.log_prob(torus_grid(1))))}
    for name, truth in truths.items():
        drawn = torus.sample(FUSED, 6000, name, n_steps=96, check_steps=name == "corrected", rng=0)
        assert np.all((drawn.x >= -np.pi) & (drawn.x < np.pi))
        assert 0.5 * np.abs(binned(drawn.x, drawn.weights) - truth).sum() < 0.03
        other = truths["fused" if name == "corrected" else "corrected"]
        assert 0.5 * np.abs(binned(drawn.x, drawn.weights) - other).sum() > 0.1
        assert drawn.diagnostics.messages == ()
        assert drawn.diagnostics.prior_mismatch < 1e-9
        if drawn.diagnostics.log_partition is not None:
            estimate = drawn.diagnostics.log_partition
            assert abs(estimate.value - POOL.log_partition().value) < 4.0 * estimate.stderr < 0.3


def test_fit_finds_the_population_weights_and_short_windows_the_pool() -> None:
    x = POOL.sample(3000, rng=0)
    population = torus.population_gram(POOL, LAWS, process=MOTION, grid=GRID)
    fit = sfbench.fuse(LAWS, x, process=MOTION, t_min=7e-3, check_models=False, rng=0)
    np.testing.assert_allclose(fit.gram.G, population.G, rtol=0.05, atol=1e-9)
    assert abs(fit.gram.b[1] / population.b[1] - 1.0) < 0.1
    short = torus.population_gram(POOL, LAWS, process=MOTION, grid=sfbench.time_grid(1e-3, 1e-2, 4))
    assert short.b[1] / short.G[1, 1] == pytest.approx(0.6, abs=1e-3)


@pytest.mark.slow
def test_statistics_of_two_angles() -> None:
    laws = [WrappedMixture([1.0], [[0.0, m]], [[0.5, 0.3]]) for m in (0.0, 1.0)]
    line = [WrappedMixture([1.0], [[m]], 0.3) for m in (0.0, 1.0)]
    two = torus.population_gram(laws[1], laws, process=MOTION, grid=sfbench.time_grid(0.1, 7.0, 8))
    one = torus.population_gram(line[1], line, process=MOTION, grid=sfbench.time_grid(0.1, 7.0, 8))
    np.testing.assert_allclose(two.G, one.G, rtol=1e-9)  # laws that share an angle differ in the other alone
    np.testing.assert_allclose(two.b, one.b, rtol=1e-9)
    assert two.c == pytest.approx(one.c)
    assert two.value([0.0, 1.0]) == pytest.approx(0.0, abs=1e-9)


def test_uniform_mismatch_bounds_the_truth() -> None:
    process = torus.torus_motion(2.0)
    law = WrappedMixture([1.0], [[0.3]], 1e-6).diffuse(1.0, 2.0)
    truth = 0.5 * np.abs(np.exp(law.log_prob(torus_grid(1))) * 2.0 * np.pi - 1.0).mean()
    assert 0.5 * torus.uniform_mismatch(process, 1) < truth <= torus.uniform_mismatch(process, 1)


def test_refusals() -> None:
    flat = sfbench.FusedScore([GaussianMixture([1.0], [[0.0]], 1.0)], [1.0], process=MOTION)
    with pytest.raises(ModelError, match="not periodic"):
        torus.sample(flat, 10)
    with pytest.raises(GridError, match="alpha must be 1"):
        torus.population_gram(POOL, LAWS, process=sfbench.OrnsteinUhlenbeck(), grid=GRID)
    with pytest.raises(GridError, match="not uniform yet"):
        torus.sample(sfbench.FusedScore(LAWS, WEIGHTS, process=torus.torus_motion(1.0)), 10)
    with pytest.raises(GramError, match="target must be"):
        torus.population_gram(flat, LAWS, process=MOTION, grid=GRID)  # type: ignore[arg-type]
    with pytest.raises(GramError, match=r"auxiliaries\[0\]"):
        torus.population_gram(POOL, [1], process=MOTION, grid=GRID)  # type: ignore[list-item]
    plane = WrappedMixture([1.0], [[0.0, 0.0]], 1.0)
    with pytest.raises(ModelError, match="one angle"):
        torus.circle_law(sfbench.FusedScore([plane], [1.0], process=MOTION))
