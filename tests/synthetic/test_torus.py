"""Laws of angles: wrapped mixtures and their pools."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic import CovarianceError, IntractableError, ShapeError, SyntheticError, student_mixture
from synthetic.torus import WrappedMixture, WrappedPool, _wrapped, torus_grid, torus_total_variation, wrap

ANGLES = st.floats(-20.0, 20.0)
NARROW = WrappedMixture([0.5, 0.5], [[-1.0], [2.0]], [0.05, 0.5])
WIDE = WrappedMixture([0.7, 0.3], [[1.0], [-2.5]], 1.7)
PLANE = [
    WrappedMixture([0.4, 0.6], [[-1.0, 0.5], [2.0, -2.0]], [[0.2, 1.5], [0.4, 0.3]]),
    WrappedMixture([1.0], [[1.5, -1.0]], 0.6),
]


def mass(law: WrappedMixture | WrappedPool) -> float:
    return float(np.exp(law.log_prob(torus_grid(law.dim))).mean()) * (2.0 * np.pi) ** law.dim


@settings(max_examples=40, deadline=None)
@given(x=st.lists(ANGLES, min_size=1, max_size=5), variance=st.floats(0.01, 30.0))
def test_wrapped_normal_is_the_sum_of_its_images(x: list[float], variance: float) -> None:
    points = np.array(x)
    images = wrap(points)[:, None] + 2.0 * np.pi * np.arange(-20, 21)
    oracle = np.logaddexp.reduce(scipy.stats.norm.logpdf(images, scale=np.sqrt(variance)), axis=1)
    np.testing.assert_allclose(_wrapped(points, variance)[0], oracle, atol=1e-9)


@pytest.mark.parametrize("law", [NARROW, WIDE, *PLANE], ids=str)
def test_score_and_divergence_are_derivatives(law: WrappedMixture) -> None:
    x, h = np.random.default_rng(0).uniform(-9.0, 9.0, (30, law.dim)), 1e-5
    divergence = 0.0
    for i, step in enumerate(h * np.eye(law.dim)):
        slope = (law.log_prob(x + step) - law.log_prob(x - step)) / (2.0 * h)
        np.testing.assert_allclose(law.score(x)[:, i], slope, atol=1e-6)
        divergence = divergence + (law.score(x + step) - law.score(x - step))[:, i] / (2.0 * h)
    np.testing.assert_allclose(law.divergence(x), divergence, atol=1e-5)
    np.testing.assert_allclose(law.score(x + 2.0 * np.pi), law.score(x), atol=1e-9)


@pytest.mark.parametrize(
    "law", [NARROW, WIDE, *PLANE, WrappedPool([NARROW, WIDE], [0.4, 0.6]), WrappedPool(PLANE, [0.3, 0.7])]
)
def test_densities_have_mass_one(law: WrappedMixture | WrappedPool) -> None:
    assert mass(law) == pytest.approx(1.0, abs=1e-12)


def test_diffusion_is_convolution_with_a_wrapped_normal() -> None:
    nodes = torus_grid(1)
    kernel = np.exp(WrappedMixture([1.0], [[0.0]], 0.3**2).log_prob(nodes))
    density = np.exp(NARROW.log_prob(nodes))
    found = np.fft.ifft(np.fft.fft(density) * np.fft.fft(np.fft.ifftshift(kernel))).real * (2.0 * np.pi / len(nodes))
    np.testing.assert_allclose(found, np.exp(NARROW.diffuse(1.0, 0.3).log_prob(nodes)), atol=1e-12)


def test_pool_score_is_the_mean_and_log_z_is_negative() -> None:
    pool = WrappedPool(PLANE, [0.3, 0.7])
    x = np.random.default_rng(1).uniform(-3.0, 3.0, (10, 2))
    np.testing.assert_allclose(pool.score(x), 0.3 * PLANE[0].score(x) + 0.7 * PLANE[1].score(x))
    np.testing.assert_allclose(pool.divergence(x), 0.3 * PLANE[0].divergence(x) + 0.7 * PLANE[1].divergence(x))
    assert pool.log_partition().value < -0.1
    assert pool.log_partition().stderr < 1e-10


@pytest.mark.parametrize("law", [NARROW, WrappedPool([NARROW, WIDE], [0.4, 0.6])])
def test_samples_follow_the_density(law: WrappedMixture | WrappedPool) -> None:
    nodes = torus_grid(1)[:, 0]
    step = nodes[1] - nodes[0]
    edges, levels = np.append(nodes, np.pi), np.append(0.0, np.cumsum(np.exp(law.log_prob(nodes[:, None]))) * step)
    x = np.sort(law.sample(4000, rng=3)[:, 0])
    distance = np.abs(np.interp(x, edges, levels) - (np.arange(4000) + 0.5) / 4000).max()
    assert distance < 0.03  # 1.9 over the root of 4000
    other = np.abs(np.interp(wrap(x + 0.3), edges, levels) - (np.arange(4000) + 0.5) / 4000).max()
    assert other > 0.05  # turned angles would be seen


def test_total_variation() -> None:
    assert torus_total_variation(NARROW, NARROW).value == 0.0
    turned = WrappedMixture([1.0], [[np.pi / 2.0]], 0.01), WrappedMixture([1.0], [[-np.pi / 2.0]], 0.01)
    assert torus_total_variation(*turned).value == pytest.approx(1.0, abs=1e-9)
    assert torus_total_variation(NARROW, WIDE).value == pytest.approx(torus_total_variation(WIDE, NARROW).value)


def test_wrap_and_turning() -> None:
    assert np.all(wrap([np.pi, -np.pi, 3.0 * np.pi]) == -np.pi)
    assert -np.pi <= wrap(-np.pi - 1e-17) < np.pi
    x = np.array([[0.4], [2.0]])
    np.testing.assert_allclose(NARROW.affine(1.0, 0.5).log_prob(x + 0.5), NARROW.log_prob(x))


def test_refusals() -> None:
    with pytest.raises(IntractableError, match="alpha must be 1"):
        NARROW.diffuse(0.5, 0.1)
    with pytest.raises(CovarianceError, match="positive"):
        WrappedMixture([1.0], [[0.0]], 0.0)
    with pytest.raises(ShapeError, match="variances"):
        WrappedMixture([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(IntractableError, match="d <= 2"):
        WrappedPool([WrappedMixture([1.0], [[0.0, 0.0, 0.0]], 1.0)], [1.0])
    with pytest.raises(SyntheticError, match="WrappedMixture"):
        WrappedPool([student_mixture(3.0)], [1.0])  # type: ignore[list-item]
    apart = WrappedPool([WrappedMixture([1.0], [[m]], 1e-3) for m in (0.0, 3.0)], [0.5, 0.5])
    with pytest.raises(IntractableError, match="overlap"):
        apart.sample(1)


@pytest.mark.parametrize("df", [1.5, 3.0, 8.0])
def test_student_mixture_has_the_density_of_student(df: float) -> None:
    x = np.linspace(-4.0, 6.0, 101)
    law = student_mixture(df, 1.0, 0.7)
    oracle = scipy.stats.t(df, 1.0, 0.7).logpdf(x)
    assert np.abs(np.exp(law.log_prob(x[:, None]) - oracle) - 1.0).max() < 2e-2
    assert 0.5 * np.abs(np.exp(law.log_prob(x[:, None])) - np.exp(oracle)).sum() * 0.1 < 1e-5
    plane = student_mixture(df, [0.0, 0.0])
    z = np.array([[0.5, -1.0], [2.0, 0.0]])
    np.testing.assert_allclose(plane.log_prob(z), scipy.stats.multivariate_t([0, 0], df=df).logpdf(z), atol=1e-3)


def test_student_mixture_refuses() -> None:
    for bad in (-1.0, np.nan):
        with pytest.raises(SyntheticError):
            student_mixture(bad)
    with pytest.raises(ShapeError):
        student_mixture(3.0, np.zeros((2, 2)))
    with pytest.raises(SyntheticError, match="tail"):
        student_mixture(3.0, tail=0.5)
