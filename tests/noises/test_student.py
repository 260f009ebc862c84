"""Student noise on the augmented state."""

import numpy as np
import pytest
import scipy.stats

import sfbench
from sfbench import ModelError, student
from synthetic import EmbeddedMixture, GaussianMixture, LogLinearPool, student_mixture

OU = sfbench.OrnsteinUhlenbeck()
LAWS = [
    student_mixture(3.0, -2.5, 0.5, n_components=24, tail=1e-5),
    student_mixture(4.0, 1.0, n_components=24, tail=1e-5),
]
WEIGHTS = [0.4, 0.6]
POOL = LogLinearPool(LAWS, WEIGHTS)


def test_scores_are_those_of_the_noised_law_given_the_scale() -> None:
    model, t, s = student.ScaledScore(LAWS[0], OU), 0.3, np.array([0.5, 4.0, 0.5])
    y = np.array([[0.1], [-2.0], [3.0]])
    for row, scale in enumerate(s):
        noised = LAWS[0].diffuse(float(OU.alpha(t)), float(np.sqrt(scale) * OU.sigma(t)))
        expected = np.sqrt(scale) * noised.score(np.sqrt(scale) * y[row : row + 1])
        np.testing.assert_allclose(model.score(y, t, s)[row : row + 1], expected, rtol=1e-12)


@pytest.mark.parametrize("df", [1.5, 5.0])
def test_noise_is_student(df: float) -> None:
    scales = student.noise_scales(df, 4000, strata=500, rng=0)
    assert len(np.unique(scales)) == 500
    noise = np.sqrt(scales) * np.random.default_rng(1).standard_normal(4000)
    assert scipy.stats.kstest(noise, scipy.stats.t(df).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(noise, scipy.stats.norm.cdf).pvalue < 1e-3


def test_fit_on_a_short_window_finds_the_weights_of_the_pool() -> None:
    x = POOL.sample(1500, rng=0)
    fit = student.fuse(LAWS, x, df=3.0, process=OU, t_min=1e-3, t_max=1e-2, n_nodes=4, strata=8, rng=0)
    assert abs(fit.weights[0] - 0.4) < 0.08


@pytest.mark.slow
def test_corrected_sampler_draws_the_barycenter_whatever_the_noise() -> None:
    grid = np.sinh(np.linspace(-7.0, 7.0, 4001))
    density = np.exp(POOL.log_prob(grid[:, None]))
    levels = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(grid)))
    fused = sfbench.FusedScore(student.scaled_scores(LAWS, OU), WEIGHTS, process=OU)
    distance = {}
    for name in ("fused", "corrected"):
        drawn = student.sample(fused, 4000, name, df=2.0, steps=48, strata=4, check_steps=False, rng=0)
        order = np.argsort(drawn.x[:, 0])
        reached = np.cumsum(drawn.weights[order])
        distance[name] = float(np.abs(reached - np.interp(drawn.x[order, 0], grid, levels)).max())
    assert distance["corrected"] < 0.035 < 0.06 < distance["fused"]


def test_embedded_laws_keep_their_subspace() -> None:
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 1)))[0]
    law = EmbeddedMixture(LAWS[0], frame, 0.5, np.zeros(5))
    y = np.random.default_rng(1).normal(size=(6, 5))
    inner = student.ScaledScore(LAWS[0], OU).score(y @ frame, 0.2, np.full(6, 2.0))
    outer = student.ScaledScore(law, OU).score(y, 0.2, np.full(6, 2.0))
    np.testing.assert_allclose(outer @ frame, inner, rtol=1e-9)


def test_refusals() -> None:
    with pytest.raises(ModelError, match="diffuse and affine"):
        student.ScaledScore(POOL, OU)  # type: ignore[arg-type]
    with pytest.raises(sfbench.SfbenchError, match="df"):
        student.noise_scales(-1.0, 5)
    with pytest.raises(sfbench.SfbenchError, match="leave it out"):
        student.sample(sfbench.FusedScore(student.scaled_scores(LAWS, OU), WEIGHTS, process=OU), 4, df=3.0, condition=1)
    with pytest.raises(ModelError, match="takes one"):
        student.sample(sfbench.FusedScore([GaussianMixture([1.0], [[0.0]], 1.0)], [1.0], process=OU), 4, df=3.0)
