"""Total variation: a metric, invariant, contracted by noise, and equal to what other methods find."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from sfbench import ModelError
from sfbench.metrics import total_variation
from synthetic import (
    EmbeddedMixture,
    GaussianMixture,
    IntractableError,
    LogLinearPool,
    UnknownNameError,
    arithmetic_mixture,
    make_problem,
)

from . import oracles
from .laws import CORES, LAYOUTS, examined, gaussian, mixtures_1d, random_mixture

seeds = st.integers(0, 10_000)


# ---------------------------------------------------------------------- laws of a distance
@examined
@given(mixtures_1d, mixtures_1d, mixtures_1d)
def test_it_is_a_metric(p: GaussianMixture, q: GaussianMixture, r: GaussianMixture) -> None:
    pq, qr, pr = (total_variation(*pair).value for pair in ((p, q), (q, r), (p, r)))
    assert 0.0 <= pq <= 1.0
    assert total_variation(q, p).value == pytest.approx(pq, abs=1e-13)
    assert pr <= pq + qr + 1e-13
    assert total_variation(p, p).value == 0.0


@examined
@given(mixtures_1d, mixtures_1d, st.floats(-5, 5).filter(lambda a: abs(a) > 0.01), st.floats(-1e3, 1e3))
def test_affine_maps_change_nothing(p: GaussianMixture, q: GaussianMixture, scale: float, shift: float) -> None:
    moved = total_variation(p.affine(scale, shift), q.affine(scale, shift)).value
    assert moved == pytest.approx(total_variation(p, q).value, abs=1e-9)


@examined
@given(mixtures_1d, mixtures_1d, st.floats(0.05, 2.0), st.floats(0.05, 2.0))
def test_noise_contracts(p: GaussianMixture, q: GaussianMixture, first: float, more: float) -> None:
    values = [
        total_variation(p.diffuse(1.0, sigma), q.diffuse(1.0, sigma)).value
        for sigma in (0.0, first, float(np.hypot(first, more)))
    ]
    assert values[0] + 1e-13 >= values[1] >= values[2] - 1e-13


@pytest.mark.slow
@examined
@given(mixtures_1d, mixtures_1d, mixtures_1d, st.floats(0, 1))
def test_it_is_jointly_convex(p: GaussianMixture, q: GaussianMixture, r: GaussianMixture, share: float) -> None:
    weights = [share, 1 - share]
    mixed = total_variation(arithmetic_mixture([p, r], weights), arithmetic_mixture([q, r], weights)).value
    assert mixed <= share * total_variation(p, q).value + 1e-13


@pytest.mark.parametrize("method", ["quadrature", "monte carlo"])
def test_a_projection_contracts(method: Any) -> None:
    """Marginals of planar laws are closer than the laws."""
    p, q = (random_mixture(seed, 2, layout="full") for seed in (1, 2))
    along = [GaussianMixture(law.weights, law.means[:, :1], law.spectrum.dense()[:, :1, :1]) for law in (p, q)]
    assert total_variation(*along).value < total_variation(p, q, method=method).value


# ---------------------------------------------------------------------- oracles
@pytest.mark.slow
@examined
@given(mixtures_1d, mixtures_1d)
def test_crossings_equal_a_plain_sum(p: GaussianMixture, q: GaussianMixture) -> None:
    found = total_variation(p, q, method="cdf crossings")
    assert found.value == pytest.approx(oracles.brute_force_1d(p, q), abs=1e-7)
    assert found.value == pytest.approx(total_variation(p, q, method="quadrature").value, abs=1e-12)
    assert found.stderr == 0.0


@pytest.mark.parametrize("seed", [1, 2])
def test_crossings_equal_adaptive_quadrature_to_its_last_digits(seed: int) -> None:
    p, q = random_mixture(seed), random_mixture(seed + 10)
    assert total_variation(p, q).value == pytest.approx(oracles.total_variation_1d(p, q), abs=1e-8)


def test_laws_that_are_equal_in_places_to_rounding() -> None:
    """Signs of p - q are noise where both are dominated by one law: this raised before."""
    p, q, r = (random_mixture(seed, m=1) for seed in (0, 2, 1))
    mixed = [arithmetic_mixture([law, r], [0.5, 0.5]) for law in (p, q)]
    assert total_variation(*mixed).value == pytest.approx(0.5 * total_variation(p, q).value, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(0.5, 0.2, 0.3), (0.0, 0.9, 0.1)])
def test_panels_of_pools_equal_adaptive_quadrature(weights: tuple[float, ...]) -> None:
    p, q = LogLinearPool(CORES, weights), LogLinearPool(CORES, (0.1, 0.1, 0.8))
    found = total_variation(p, q)
    assert found.method == "quadrature"
    assert found.value == pytest.approx(oracles.total_variation_1d(p, q), abs=1e-8)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_planar_grid_equals_a_plain_sum(layout: str) -> None:
    p, q = (random_mixture(seed, 2, 3, layout) for seed in (3, 4))
    found = total_variation(p, q)
    assert found.method == "quadrature"
    assert abs(found.value - oracles.brute_force_2d(p, q)[0]) < 5 * found.stderr + 2e-5
    assert found.stderr < 1e-3


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [1, 2, 7, 300])
def test_gaussians_of_one_covariance_have_the_closed_form(layout: str, d: int) -> None:
    if layout == "full" and d == 300:
        d = 40
    p = gaussian(5, d, layout)
    step = np.random.default_rng(6).normal(size=d) / np.sqrt(d)
    q = p.affine(1.0, step)
    distance = np.sqrt(step @ np.linalg.solve(p.spectrum.dense()[0], step))
    found = total_variation(p, q)
    assert found.method == "closed form"
    assert found.value == pytest.approx(2 * norm.cdf(distance / 2) - 1, abs=1e-12)


@pytest.mark.parametrize("distance", [1e-12, 1e-6, 1.0, 8.0, 1e3, 1e9])
def test_close_and_far_gaussians_lose_no_digits(distance: float) -> None:
    p = GaussianMixture([1.0], [[0.0, 0.0]], 1.0)
    q = GaussianMixture([1.0], [[distance, 0.0]], 1.0)
    # phi(0) distance for small ones; 1 for large ones
    expected = distance / np.sqrt(2 * np.pi) if distance < 1e-3 else 1 - 2 * norm.sf(distance / 2)
    assert total_variation(p, q).value == pytest.approx(expected, rel=1e-6)


def test_well_separated_and_nested_mixtures() -> None:
    spread = GaussianMixture([0.5, 0.5], [[0.0], [1e6]], 1.0)
    assert total_variation(spread, GaussianMixture([1.0], [[0.0]], 1.0)).value == pytest.approx(0.5, abs=1e-12)
    needle = GaussianMixture([0.9, 0.1], [[0.0], [0.3]], [1.0, 1e-10])
    assert total_variation(needle, GaussianMixture([1.0], [[0.0]], 1.0)).value == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [3, 20])
def test_monte_carlo_agrees_with_an_estimate_that_shares_no_code(layout: str, d: int) -> None:
    """``TV = E_p max(0, 1 - q/p)``, with densities of scipy and draws of its own."""
    p, q = (random_mixture(seed, d, 2, layout, reach=1.5 / np.sqrt(d)) for seed in (7, 8))
    found = total_variation(p, q, rng=0)
    rng = np.random.default_rng(1)
    labels = rng.choice(2, size=20_000, p=p.weights)
    factors = np.linalg.cholesky(p.spectrum.dense())[labels]
    x = p.means[labels] + np.einsum("nde,ne->nd", factors, rng.standard_normal((20_000, d)))
    terms = np.maximum(0.0, -np.expm1(oracles.log_density(q, x) - oracles.log_density(p, x)))
    error = np.hypot(found.stderr, terms.std() / np.sqrt(len(terms)))
    assert abs(found.value - terms.mean()) < 5 * error
    assert found.method == "monte carlo"


@pytest.mark.parametrize("d", [1, 3, 60])
def test_embedded_laws_have_the_distance_of_their_cores(d: int) -> None:
    frame = np.linalg.qr(np.random.default_rng(9).normal(size=(d, 1)))[0]
    p, q = (EmbeddedMixture(core, frame, 0.7, np.full(d, 3.0)) for core in CORES[:2])
    assert total_variation(p, q).value == pytest.approx(total_variation(*CORES[:2]).value, abs=1e-12)
    pool = [LogLinearPool([p, q], w) for w in ((0.5, 0.5), (0.9, 0.1))]
    core = [LogLinearPool(CORES[:2], w) for w in ((0.5, 0.5), (0.9, 0.1))]
    assert total_variation(*pool).value == pytest.approx(total_variation(*core).value, abs=1e-12)


@pytest.mark.parametrize("d", [2, 5, 200])
def test_isotropic_mixtures_of_one_variance_reduce_at_any_dimension(d: int) -> None:
    axis = np.ones(d) / np.sqrt(d)
    p, q = (GaussianMixture(w, np.outer([-1.0, 1.0], axis), 0.3) for w in ([0.5, 0.5], [0.2, 0.8]))
    found = total_variation(p, q)
    assert found.method == "cdf crossings"
    line = [GaussianMixture(law.weights, [[-1.0], [1.0]], 0.3) for law in (p, q)]
    assert found.value == pytest.approx(oracles.brute_force_1d(*line), abs=1e-7)


# ---------------------------------------------------------------------- every family
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("shifted_gaussians", {}),
        ("shifted_gaussians", {"condition": 20.0, "d": 6}),
        ("scaled_gaussians", {}),
        ("paper_mixture_1d", {"scale": 6.0}),
        ("paper_mixture_1d", {"target": "barycenter"}),
        ("embedded_mixture", {}),
        ("embedded_mixture", {"rank": 2, "target": "mixture"}),
        ("bimodal_from_unimodal", {"d": 3}),
        ("random_mixtures", {}),
        ("random_mixtures", {"covariance": "full", "d": 4, "k": 2}),
        ("near_duplicates", {}),
    ],
)
def test_every_family_by_two_methods(name: str, params: dict[str, Any]) -> None:
    problem = make_problem(name, **params)
    weights = np.arange(1.0, problem.k + 1)
    other = problem.barycenter(weights / weights.sum())
    exact, sampled = (
        total_variation(problem.target, other),
        total_variation(problem.target, other, method="monte carlo", n=5000, rng=1),
    )
    assert 0 <= exact.value <= 1
    assert abs(exact.value - sampled.value) < 5 * np.hypot(exact.stderr, sampled.stderr) + 1e-12
    if problem.true_weights is not None:
        same = problem.barycenter(problem.true_weights)
        assert total_variation(problem.target, same).value < 1e-9


# ---------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, CORES[0]), ModelError, "p is a int; a law needs `dim`"),
        ((CORES[0], "law"), ModelError, "q is a str"),
        ((CORES[0], gaussian(0, 2, "full")), ModelError, "one dimension, got 1 and 2"),
    ],
)
def test_arguments_that_are_no_laws_of_one_space_are_named(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        total_variation(*arguments)


def test_methods_that_do_not_apply_say_so_before_any_work() -> None:
    p, q = (random_mixture(seed, 3, layout="full") for seed in (0, 1))
    with pytest.raises(UnknownNameError, match="unknown method 'quadratur'"):
        total_variation(p, q, method="quadratur")  # type: ignore[arg-type]
    with pytest.raises(IntractableError, match="Gaussians with one covariance only"):
        total_variation(p, q, method="closed form")
    with pytest.raises(IntractableError, match="cdf crossings need 1-D mixtures"):
        total_variation(p, q, method="cdf crossings")
    with pytest.raises(IntractableError, match="rank at most 2, got 3"):
        total_variation(p, q, method="quadrature")
    for n in (1, 0, -5, 2.5, "many", True):
        with pytest.raises(ModelError, match="n must be an integer of at least 2"):
            total_variation(p, q, n=n)  # type: ignore[arg-type]
