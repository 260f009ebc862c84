"""`GaussianMixture` against independent oracles, and the algebra it is closed under."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import GaussianMixture, ShapeError, arithmetic_mixture
from synthetic._mixture_kernel import MixtureKernel

from .examples import LAYOUTS, examined, mixture_parts, mixtures, numbers, random_mixture, random_parts
from .oracles import dense, scipy_log_prob, torch_score_and_divergence

CLOSE: Any = {"rtol": 1e-8, "atol": 1e-9}


def values(law: Any, x: Any) -> tuple[Any, Any, Any]:
    return law.log_prob(x), law.score(x), law.divergence(x)


def assert_same_law(a: Any, b: Any, x: Any) -> None:
    for left, right in zip(values(a, x), values(b, x), strict=True):
        np.testing.assert_allclose(left, right, **CLOSE)


# ---------------------------------------------------------------------- oracles
@examined
@given(mixture_parts, st.integers(0, 100))
def test_log_density_equals_scipy(parts: Any, seed: int) -> None:
    x = 3.0 * np.random.default_rng(seed).standard_normal((20, parts[1].shape[1]))
    np.testing.assert_allclose(GaussianMixture(*parts).log_prob(x), scipy_log_prob(*parts, x), **CLOSE)


@examined
@given(mixture_parts, st.integers(0, 100))
def test_score_and_divergence_equal_automatic_derivatives(parts: Any, seed: int) -> None:
    x = 3.0 * np.random.default_rng(seed).standard_normal((20, parts[1].shape[1]))
    score, divergence = torch_score_and_divergence(*parts, x)
    law = GaussianMixture(*parts)
    np.testing.assert_allclose(law.score(x), score, **CLOSE)
    np.testing.assert_allclose(law.divergence(x), divergence, rtol=1e-7, atol=1e-7)


@examined
@given(mixtures)
def test_joint_evaluations_equal_single_ones(law: GaussianMixture) -> None:
    x = law.sample(10, rng=0)
    _, score, divergence = values(law, x)
    for left, right in zip(law.score_and_divergence(x), (score, divergence), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-13, atol=1e-13)


def test_standard_normal_in_closed_form() -> None:
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    x = np.array([[0.0], [2.0]])
    np.testing.assert_allclose(law.log_prob(x), -0.5 * np.log(2 * np.pi) - np.array([0.0, 2.0]), rtol=1e-15)
    np.testing.assert_array_equal(law.score(x), -x)
    np.testing.assert_allclose(law.divergence(x), [-1.0, -1.0], rtol=1e-15)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_moments_are_those_of_the_draws(layout: str) -> None:
    law = random_mixture(3, layout, 3, 4)
    x = law.sample(100_000, rng=0)
    np.testing.assert_allclose(law.mean(), x.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(law.covariance(), np.cov(x.T), atol=0.15)


# ---------------------------------------------------------------------- equal laws in different clothes
@examined
@given(mixture_parts, st.randoms(use_true_random=False))
def test_order_of_components_does_not_matter(parts: Any, random: Any) -> None:
    weights, means, covariances = parts
    m = len(weights)
    order = random.sample(range(m), m)
    permuted = covariances if np.ndim(covariances) == 0 else covariances[order]
    law = GaussianMixture(*parts)
    assert_same_law(law, GaussianMixture(weights[order], means[order], permuted), law.sample(15, rng=0))


@examined
@given(st.integers(0, 1000), st.sampled_from([1, 3, 12]), st.floats(0.1, 10.0))
def test_layouts_agree_where_their_covariances_do(seed: int, d: int, variance: float) -> None:
    weights, means, _ = random_parts(seed, "shared", 3, d)
    law = GaussianMixture(weights, means, variance)
    x = law.sample(15, rng=0)
    for covariances in (np.full(3, variance), np.full((3, d), variance), dense(variance, 3, d)):
        other = GaussianMixture(weights, means, covariances)
        assert_same_law(law, other, x)
        np.testing.assert_allclose(other.covariances.ravel(), covariances.ravel(), rtol=1e-12, atol=1e-12)


@examined
@given(mixtures)
def test_splitting_a_component_changes_nothing(law: GaussianMixture) -> None:
    twice = arithmetic_mixture([law, law], [0.3, 0.7])
    assert twice.n_components == 2 * law.n_components
    assert_same_law(law, twice, law.sample(15, rng=0))


@pytest.mark.parametrize("layouts", [("shared", "diagonal"), ("isotropic", "full"), ("diagonal", "full")])
def test_arithmetic_mixture_averages_densities(layouts: tuple[str, str]) -> None:
    p, q = (random_mixture(i, layout, 2, 3) for i, layout in enumerate(layouts))
    x = p.sample(20, rng=0)
    average = 0.25 * np.exp(p.log_prob(x)) + 0.75 * np.exp(q.log_prob(x))
    np.testing.assert_allclose(np.exp(arithmetic_mixture([p, q], [0.25, 0.75]).log_prob(x)), average, rtol=1e-9)
    with pytest.raises(ShapeError, match=r"one dimension, got \[3, 1\]"):
        arithmetic_mixture([p, random_mixture(0, d=1)], [0.5, 0.5])


@examined
@given(mixture_parts, st.floats(1e-3, 1e12), st.floats(1e-12, 1e3))
def test_components_of_weight_zero_are_inert(parts: Any, place: float, size: float) -> None:
    weights, means, covariances = parts
    (m, d), law = means.shape, GaussianMixture(*parts)
    covs = np.broadcast_to(covariances, (m,)) if np.ndim(covariances) == 0 else covariances
    extra = size * np.ones((1, *covs.shape[1:])) if covs.ndim < 3 else size * np.eye(d)[None]
    padded = GaussianMixture(
        np.append(weights, 0.0), np.vstack([means, np.full(d, place)]), np.concatenate([covs, extra])
    )
    x = law.sample(15, rng=0)
    for left, right in zip(values(padded, x), values(law, x), strict=True):
        np.testing.assert_array_equal(left, right)


# ---------------------------------------------------------------------- the product form and the whitened form
@examined
@given(mixture_parts)
def test_product_and_whitened_forms_agree(parts: Any) -> None:
    law = GaussianMixture(*parts)
    x = law.sample(25, rng=0)
    out = np.empty(25), np.empty(x.shape), np.empty(25)
    MixtureKernel(law.weights, law.means, law.spectrum)._fall_back(x, 0, *out)
    for left, right in zip(values(law, x), out, strict=True):
        np.testing.assert_allclose(left, right, **CLOSE)


# ---------------------------------------------------------------------- maps
@examined
@given(mixtures, numbers, numbers, numbers, numbers)
def test_affine_maps_compose(law: GaussianMixture, a: float, b: float, scale: float, shift: float) -> None:
    once = law.affine(a * scale, a * shift + b)
    assert_same_law(law.affine(scale, shift).affine(a, b), once, once.sample(10, rng=0))


@examined
@given(mixtures, numbers, numbers, st.floats(0.1, 2.0), st.floats(0.0, 2.0))
def test_diffusions_compose(law: GaussianMixture, a: float, b: float, s: float, t: float) -> None:
    once = law.diffuse(a * b, float(np.hypot(b * s, t)))
    assert_same_law(law.diffuse(a, s).diffuse(b, t), once, once.sample(10, rng=0))


@examined
@given(mixtures, numbers, numbers)
def test_affine_follows_the_change_of_variables(law: GaussianMixture, scale: float, shift: float) -> None:
    image, x = law.affine(scale, shift), law.sample(10, rng=0)
    y = scale * x + shift
    np.testing.assert_allclose(image.log_prob(y), law.log_prob(x) - law.dim * np.log(abs(scale)), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(image.score(y), law.score(x) / scale, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(image.divergence(y), law.divergence(x) / scale**2, rtol=1e-6, atol=1e-5)


@examined
@given(mixtures)
def test_identity_maps_are_identities(law: GaussianMixture) -> None:
    x = law.sample(10, rng=0)
    for same in (law.affine(1.0), law.diffuse(1.0, 0.0)):
        for left, right in zip(values(same, x), values(law, x), strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_diffusion_is_a_convolution(layout: str) -> None:
    law, alpha, sigma = random_mixture(5, layout, 2, 1), 0.6, 0.9
    x, z = np.linspace(-4, 4, 9)[:, None], np.linspace(-30, 30, 6001)
    kernel = np.exp(-((x - alpha * z) ** 2) / (2 * sigma**2)) / np.sqrt(2 * np.pi) / sigma
    brute = kernel @ np.exp(law.log_prob(z[:, None])) * (z[1] - z[0])
    np.testing.assert_allclose(np.exp(law.diffuse(alpha, sigma).log_prob(x)), brute, rtol=1e-9)


def test_diffusion_of_a_full_mixture_keeps_its_factors() -> None:
    law = random_mixture(1, "full", 2, 4)
    assert law.diffuse(0.3, 0.4).spectrum.basis is law.spectrum.basis


def test_forgetting_the_start_leaves_the_noise() -> None:
    law = random_mixture(1, "diagonal", 3, 2).diffuse(0.0, 2.0)
    assert_same_law(law, GaussianMixture([1.0], [[0.0, 0.0]], 4.0), np.ones((1, 2)))


def test_means_move_to_another_dimension_when_isotropic() -> None:
    law = random_mixture(1, "isotropic", 3, 2)
    moved = law.map_means(lambda mu: mu @ np.eye(2, 5))
    assert moved.dim == 5
    np.testing.assert_array_equal(moved.covariances, law.covariances)
    with pytest.raises(ShapeError, match="only isotropic"):
        random_mixture(1, "diagonal").map_means(lambda mu: mu)
