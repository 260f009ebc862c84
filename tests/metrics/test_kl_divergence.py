"""KL divergence: positive, additive, invariant, contracted by noise, and equal to what other methods find."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbench import ModelError, NotFiniteError
from sfbench.metrics import kl_divergence, total_variation
from synthetic import (
    EffectiveSampleSizeError,
    EmbeddedMixture,
    GaussianMixture,
    IntractableError,
    LogLinearPool,
    UnknownNameError,
    make_problem,
)

from . import oracles
from .laws import CORES, LAYOUTS, examined, gaussian, mixtures_1d, random_mixture


# ---------------------------------------------------------------------- laws of a divergence
@examined
@given(mixtures_1d, mixtures_1d)
def test_it_is_positive_and_bounds_total_variation(p: GaussianMixture, q: GaussianMixture) -> None:
    kl, tv = kl_divergence(p, q).value, total_variation(p, q).value
    assert kl >= 2 * tv**2 - 1e-12  # Pinsker
    assert -np.expm1(-kl) >= tv**2 - 1e-12  # Bretagnolle-Huber
    assert kl_divergence(p, p).value <= 1e-12


@examined
@given(mixtures_1d, mixtures_1d, st.floats(-5, 5).filter(lambda a: abs(a) > 0.01), st.floats(-100, 100))
def test_affine_maps_change_nothing(p: GaussianMixture, q: GaussianMixture, scale: float, shift: float) -> None:
    moved = kl_divergence(p.affine(scale, shift), q.affine(scale, shift)).value
    assert moved == pytest.approx(kl_divergence(p, q).value, rel=1e-6, abs=1e-9)


@examined
@given(mixtures_1d, mixtures_1d, st.floats(0.05, 2.0), st.floats(0.05, 2.0))
def test_noise_contracts(p: GaussianMixture, q: GaussianMixture, first: float, more: float) -> None:
    values = [
        kl_divergence(p.diffuse(1.0, sigma), q.diffuse(1.0, sigma)).value
        for sigma in (0.0, first, float(np.hypot(first, more)))
    ]
    assert values[0] + 1e-10 >= values[1] >= values[2] - 1e-10


def _product(first: GaussianMixture, second: GaussianMixture) -> GaussianMixture:
    """Independent coordinates: every pair of components."""
    pairs = [(i, j) for i in range(first.n_components) for j in range(second.n_components)]
    return GaussianMixture(
        [first.weights[i] * second.weights[j] for i, j in pairs],
        [[first.means[i, 0], second.means[j, 0]] for i, j in pairs],
        [[first.covariances[i], second.covariances[j]] for i, j in pairs],
    )


def test_divergences_of_independent_coordinates_add() -> None:
    p, q, r, s = (random_mixture(seed) for seed in (1, 2, 3, 4))
    joint = kl_divergence(_product(p, r), _product(q, s))
    assert joint.value == pytest.approx(kl_divergence(p, q).value + kl_divergence(r, s).value, rel=1e-8)


def test_the_barycenter_minimises_the_averaged_divergence_to_the_auxiliaries() -> None:
    """``sum_i w_i KL(p_w || p_i) = -log Z(w)``, and no other law does better."""
    w = (0.5, 0.2, 0.3)
    pool = LogLinearPool(CORES, w)

    def averaged(law: Any) -> float:
        return float(sum(share * kl_divergence(law, p).value for share, p in zip(w, CORES, strict=True)))

    assert averaged(pool) == pytest.approx(-pool.log_partition().value, rel=1e-9)
    for other in (LogLinearPool(CORES, (0.4, 0.3, 0.3)), CORES[0], random_mixture(3)):
        assert averaged(other) > averaged(pool) + 1e-6


# ---------------------------------------------------------------------- oracles
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_line_equals_adaptive_quadrature(seed: int) -> None:
    p, q = random_mixture(seed), random_mixture(seed + 10)
    assert kl_divergence(p, q).value == pytest.approx(oracles.kl_1d(p, q), rel=1e-7)
    assert kl_divergence(p, q).value != pytest.approx(oracles.kl_1d(q, p), rel=1e-3)  # the order matters


def test_pools_on_the_line_equal_adaptive_quadrature() -> None:
    p, q = LogLinearPool(CORES, (0.5, 0.2, 0.3)), LogLinearPool(CORES, (0.1, 0.1, 0.8))
    assert kl_divergence(p, q).value == pytest.approx(oracles.kl_1d(p, q), rel=1e-7)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_plane_equals_a_plain_sum(layout: str) -> None:
    p, q = (random_mixture(seed, 2, 3, layout) for seed in (3, 4))
    found = kl_divergence(p, q)
    assert found.method == "quadrature"
    assert found.value == pytest.approx(oracles.brute_force_2d(p, q)[1], rel=1e-6)


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("d", [1, 2, 9])
def test_gaussians_have_the_closed_form(first: str, second: str, d: int) -> None:
    p, q = gaussian(5, d, first), gaussian(6, d, second)
    found = kl_divergence(p, q)
    assert found.method == "closed form"
    assert found.value == pytest.approx(oracles.gaussian_kl(p, q), rel=1e-10)


@pytest.mark.parametrize("layout", ["isotropic", "diagonal"])
@pytest.mark.parametrize("size", [1e-4, 1e-8, 1e-12])
def test_close_gaussians_lose_no_digits(layout: str, size: float) -> None:
    """``KL(N(0, v) || N(0, v (1 + e))) = d/2 (log(1 + e) - e/(1 + e)) ~ d e^2 / 4``."""
    p, d = gaussian(7, 5, layout), 5
    q = GaussianMixture([1.0], p.means, p.covariances * (1 + size))
    found = kl_divergence(p, q).value
    actual = float(((q.spectrum.values[0] - p.spectrum.values[0]) / p.spectrum.values[0])[0])  # as floats hold it
    assert found == pytest.approx(d * actual**2 / 4, rel=1e-3 + 4 * size)


@pytest.mark.parametrize("d", [1, 4, 50])
def test_embedded_laws_have_the_divergence_of_their_cores(d: int) -> None:
    frame = np.linalg.qr(np.random.default_rng(9).normal(size=(d, 1)))[0]
    p, q = (EmbeddedMixture(core, frame, 0.7, np.full(d, 3.0)) for core in CORES[:2])
    assert kl_divergence(p, q).value == pytest.approx(kl_divergence(*CORES[:2]).value, rel=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_monte_carlo_agrees_with_independent_draws_and_densities(layout: str) -> None:
    p, q = (random_mixture(seed, 6, 2, layout, reach=0.8) for seed in (7, 8))
    found = kl_divergence(p, q, rng=0)
    rng = np.random.default_rng(1)
    labels = rng.choice(2, size=20_000, p=p.weights)
    factors = np.linalg.cholesky(p.spectrum.dense())[labels]
    x = p.means[labels] + np.einsum("nde,ne->nd", factors, rng.standard_normal((20_000, 6)))
    terms = oracles.log_density(p, x) - oracles.log_density(q, x)
    assert abs(found.value - terms.mean()) < 5 * np.hypot(found.stderr, terms.std() / np.sqrt(len(terms)))


# ---------------------------------------------------------------------- every family
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("shifted_gaussians", {"condition": 20.0, "d": 6}),
        ("scaled_gaussians", {}),
        ("paper_mixture_1d", {"scale": 6.0, "target": "barycenter"}),
        ("embedded_mixture", {}),
        ("embedded_mixture", {"rank": 2, "target": "mixture"}),
        ("bimodal_from_unimodal", {"d": 3, "separation": 3.0}),
        ("random_mixtures", {}),
        ("random_mixtures", {"covariance": "full", "d": 4, "k": 2}),
        ("near_duplicates", {}),
    ],
)
def test_every_family_by_two_methods(name: str, params: dict[str, Any]) -> None:
    problem = make_problem(name, **params)
    weights = np.arange(2.0, problem.k + 2)
    other = problem.barycenter(weights / weights.sum())
    exact = kl_divergence(problem.target, other)
    sampled = kl_divergence(problem.target, other, method="monte carlo", n=10_000, rng=1)
    assert exact.value >= 0
    assert abs(exact.value - sampled.value) < 5 * np.hypot(exact.stderr, sampled.stderr) + 1e-12
    if problem.true_weights is not None:
        assert kl_divergence(problem.target, problem.barycenter(problem.true_weights)).value < 1e-9


# ---------------------------------------------------------------------- refusals
def test_methods_that_do_not_apply_say_so_before_any_work() -> None:
    p, q = (random_mixture(seed, 3, layout="full") for seed in (0, 1))
    with pytest.raises(UnknownNameError, match="did you mean 'closed form'"):
        kl_divergence(p, q, method="close form")  # type: ignore[arg-type]
    with pytest.raises(IntractableError, match="for Gaussians only"):
        kl_divergence(p, q, method="closed form")
    with pytest.raises(IntractableError, match="rank at most 2, got 3"):
        kl_divergence(p, q, method="quadrature")
    with pytest.raises(ModelError, match="n must be an integer of at least 2"):
        kl_divergence(p, q, n=1)
    with pytest.raises(ModelError, match="p is a NoneType"):
        kl_divergence(None, q)  # type: ignore[arg-type]


def test_an_estimate_that_rests_on_a_handful_of_draws_is_refused() -> None:
    """One draw in a thousand sees the second mode, where all of the divergence is."""
    common = np.eye(3)[:2] * 1e3
    p = GaussianMixture([0.999, 0.001], common, [1.0, 2.0])
    q = GaussianMixture([1.0 - 1e-12, 1e-12], common, [1.0, 2.0])
    with pytest.raises(EffectiveSampleSizeError, match=r"KL rests on \d+\.\d effective draws of 20000"):
        kl_divergence(p, q)
    assert kl_divergence(p, q, n=400_000).value == pytest.approx(0.001 * np.log(1e9) - 0.001, rel=0.3)


@pytest.mark.parametrize("share", [0.5, 0.99, 0.9999])
def test_a_mode_of_q_that_no_draw_of_p_sees_still_counts(share: float) -> None:
    """``KL = -log share``. The terms r - 1 - log r have no variance here, and miss ``1 - share`` of it."""
    p = GaussianMixture([0.4, 0.6], np.eye(3)[:2], [1.0, 2.0])
    far = GaussianMixture(
        [0.4 * share, 0.6 * share, 1 - share], np.vstack([np.eye(3)[:2], np.full((1, 3), 60.0)]), [1.0, 2.0, 1.0]
    )
    assert kl_divergence(p, far).value == pytest.approx(-np.log(share), rel=1e-9)


def test_an_infinite_divergence_is_not_a_number() -> None:
    class Truncated:
        """Standard normal on x > 0, a law that this package knows nothing about."""

        dim = 3

        def log_prob(self, x: Any) -> Any:
            inside = x[:, 0] > 0
            log_density = -0.5 * (np.asarray(x) ** 2).sum(axis=1) - 1.5 * np.log(2 * np.pi) + np.log(2)
            return np.where(inside, log_density, -np.inf)

        def sample(self, n: int, *, rng: Any = None) -> Any:
            x = np.random.default_rng(rng).standard_normal((n, 3))
            x[:, 0] = np.abs(x[:, 0])
            return x

    law: Any = Truncated()
    normal = GaussianMixture([1.0], np.zeros((1, 3)), 1.0)
    with pytest.raises(NotFiniteError, match="KL is infinite or undefined"):
        kl_divergence(normal, law)
    assert kl_divergence(law, normal).value == pytest.approx(np.log(2), abs=1e-9)
    estimate = total_variation(law, normal)
    assert abs(estimate.value - 0.5) < 5 * estimate.stderr
