"""Bounds: their formulas by hand, that they hold with no slack of ours, and that wrong ones do not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.integrate import quad

import sfbench
from sfbench import GramError, GridError, OrnsteinUhlenbeck, VarianceExploding, VariancePreserving, bounds
from sfbench.bounds import Bound, check
from sfbench.laws import affine_fused_law, fokker_planck_1d
from sfbench.metrics import kl_divergence, total_variation
from solvers import solve
from synthetic import EmbeddedMixture, Estimate, GaussianMixture, LogLinearPool, SyntheticProblem, make_problem

OU = OrnsteinUhlenbeck()
PROCESSES = (OU, VariancePreserving(0.1, 12.0), VarianceExploding(8.0))
UPPER = Bound(1.0, "one", "upper", ())
every_process = pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)


# ---------------------------------------------------------------------- comparing
@pytest.mark.parametrize(
    ("observed", "z", "holds", "slack"),
    [
        (0.9, 5.0, True, 0.1),
        (1.1, 5.0, False, -0.1),
        (1.0, 5.0, True, 0.0),
        (Estimate(1.1, 0.1), 5.0, True, 0.4),
        (Estimate(1.1, 0.01), 5.0, False, -0.05),
        (Estimate(1.1, 0.1), 0.0, False, -0.1),
    ],
)
def test_a_check_allows_standard_errors_and_nothing_else(observed: Any, z: float, holds: bool, slack: float) -> None:
    found = check(observed, UPPER, z=z)
    assert found.holds is holds
    assert found.slack == pytest.approx(slack, abs=1e-15)
    assert found.bound is UPPER
    assert found.observed.value == float(observed)


def test_a_limit_of_means_is_not_said_to_be_violated_by_one_observation() -> None:
    assert "is VIOLATED" in repr(check(1.1, UPPER))
    above = repr(check(1.1, replace(UPPER, guarantee="asymptotic")))
    assert "above" in above
    assert "VIOLATED" not in above


def test_rounding_is_no_violation_and_more_than_rounding_is() -> None:
    assert check(1.0 + 1e-13, UPPER).holds
    assert not check(1.0 + 1e-11, UPPER).holds
    assert check(1e-13, replace(UPPER, value=0.0)).holds


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check(1.0, UPPER, z=-1.0), "z must be at least 0"),
        (lambda: check(1.0, UPPER, z=np.nan), "z must be finite"),
        (lambda: check(np.nan, UPPER), "must be finite"),
        (lambda: Bound(np.nan, "a", "upper", ()), "a bound must be a number of at least 0, got nan"),
        (lambda: Bound(-1.0, "a", "upper", ()), "got -1.0"),
        (lambda: bounds.instance_certificate(np.nan, UPPER), r"J\(w\) must be finite"),
        (lambda: bounds.instance_certificate(-1.0, UPPER), "got -1.0"),
        (lambda: bounds.prior_mismatch(make_problem("shifted_gaussians").target, PROCESSES[0], 0.0), "t_max must be"),
        (lambda: bounds.prior_mismatch(make_problem("random_mixtures").target, PROCESSES[0], 5.0), "rank at most 2"),
    ],
)
def test_what_is_no_bound_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------------- from KL to TV
@pytest.mark.slow
@hypothesis_settings(deadline=None)
@given(st.floats(0, 50))
def test_the_smaller_of_two_inequalities(kl: float) -> None:
    found = bounds.total_variation_certificate(replace(UPPER, value=kl))
    both = (np.sqrt(kl / 2), np.sqrt(-np.expm1(-kl)))
    assert found.value == pytest.approx(min(both), rel=1e-9, abs=1e-15)
    assert ("Pinsker" in found.label) == (both[0] <= both[1])


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.floats(-4, 4), st.floats(0.2, 4.0))
def test_both_hold_for_gaussians_and_half_of_them_does_not(shift: float, variance: float) -> None:
    p, q = GaussianMixture([1.0], [[0.0]], 1.0), GaussianMixture([1.0], [[shift]], variance)
    kl = replace(UPPER, value=max(kl_divergence(p, q).value, 0.0))
    assert check(total_variation(p, q), bounds.total_variation_certificate(kl)).holds


def test_the_inequalities_are_not_vacuous() -> None:
    """Close Gaussians: TV is 0.8 of Pinsker's bound, so half of the bound fails."""
    p, q = GaussianMixture([1.0], [[0.0]], 1.0), GaussianMixture([1.0], [[0.1]], 1.0)
    bound = bounds.total_variation_certificate(replace(UPPER, value=kl_divergence(p, q).value))
    assert not check(total_variation(p, q), replace(bound, value=bound.value / 2)).holds


# ---------------------------------------------------------------------- prior mismatch
@every_process
@pytest.mark.parametrize("d", [1, 6])
def test_prior_mismatch_of_a_gaussian_is_the_divergence_itself(process: Any, d: int) -> None:
    target = GaussianMixture([1.0], np.full((1, d), 0.7), 1.3)
    t = process.horizon
    noised = target.diffuse(float(process.alpha(t)), float(process.sigma(t)))
    exact = kl_divergence(noised, process.prior(d, t)).value
    assert bounds.prior_mismatch(target, process, t).value == pytest.approx(exact, rel=1e-9, abs=1e-15)


@every_process
@pytest.mark.parametrize("t", [0.05, 0.4])
def test_prior_mismatch_bounds_the_divergence_of_mixtures_and_pools(process: Any, t: float) -> None:
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")
    mixture = problem.auxiliaries[0]
    noised = mixture.diffuse(float(process.alpha(t)), float(process.sigma(t)))
    bound = bounds.prior_mismatch(mixture, process, t)
    observed = kl_divergence(noised, process.prior(1, t))
    assert check(observed, bound).holds
    assert not check(observed, replace(bound, value=0.3 * observed.value)).holds
    pool = bounds.prior_mismatch(problem.target, process, t)
    single = bounds.prior_mismatch(LogLinearPool([mixture], [1.0]), process, t)
    assert pool.value > 0
    assert check(observed, single).holds  # convexity over x_0 is the coarser of the two
    assert single.value >= bound.value - 1e-12


def test_prior_mismatch_of_a_pool_is_its_second_moment() -> None:
    """``E KL(N(alpha x_0, sigma^2) || N(0, 1)) = (sigma^2 - 1 - log sigma^2 + alpha^2 E x_0^2) / 2``."""
    problem, process, t = make_problem("paper_mixture_1d", scale=6.0, target="barycenter"), PROCESSES[0], 0.3
    pool = problem.target
    second = quad(lambda x: x**2 * np.exp(float(pool.log_prob([[x]])[0])), -4, 4, limit=400)[0]
    alpha, sigma2 = np.exp(-t), 1 - np.exp(-2 * t)
    expected = 0.5 * (sigma2 - 1 - np.log(sigma2) + alpha**2 * second)
    assert bounds.prior_mismatch(pool, process, t).value == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("d", [1, 2, 30])
def test_prior_mismatch_of_an_embedding_adds_the_complement(d: int) -> None:
    core, process, t = GaussianMixture([0.4, 0.6], [[-1.0], [2.0]], [0.5, 1.0]), PROCESSES[0], 0.7
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(d, 1)))[0]
    shift = np.random.default_rng(1).normal(size=d)
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    rest = alpha * (shift - frame @ (frame.T @ shift))
    variance = alpha**2 * 0.8 + sigma**2
    outside = 0.5 * ((d - 1) * (variance - 1 - np.log(variance)) + rest @ rest)
    centred = core.affine(1.0, float(frame[:, 0] @ shift))  # coordinates of the law along the frame
    inside = bounds.prior_mismatch(centred, process, t).value
    found = bounds.prior_mismatch(EmbeddedMixture(core, frame, 0.8, shift), process, t)
    assert found.value == pytest.approx(inside + outside, rel=1e-9)


# ---------------------------------------------------------------------- the certificate
def certificate(problem: SyntheticProblem, w: np.ndarray, process: Any, window: tuple[float, float]) -> Bound:
    population = sfbench.population_gram(problem, process=process, grid=sfbench.time_grid(*window, 48))
    return bounds.instance_certificate(population.value(w), bounds.prior_mismatch(problem.target, process, window[1]))


@every_process
@pytest.mark.parametrize("family", ["shifted_gaussians", "scaled_gaussians"])
def test_the_certificate_holds_for_gaussians_at_any_weights(process: Any, family: str) -> None:
    problem = make_problem(family, k=3, d=5)
    window = (1e-3, process.horizon)
    noised = problem.target.diffuse(float(process.alpha(1e-3)), float(process.sigma(1e-3)))  # type: ignore[attr-defined]
    for w in np.vstack([np.eye(3), np.random.default_rng(0).dirichlet(np.ones(3), size=4)]):
        fused = affine_fused_law(problem.auxiliaries, w, process=process, t_min=window[0], t_max=window[1])
        bound, observed = certificate(problem, w, process, window), kl_divergence(noised, fused)
        assert check(observed, bound).holds
        assert check(total_variation(noised, fused, n=4000), bounds.total_variation_certificate(bound)).holds


@pytest.mark.slow
def test_the_certificate_of_the_reference_problem_is_that_of_the_theory() -> None:
    """Target mixture, w = (0.5, 0.5): KL 2.17 <= 2.62."""
    problem, process, w = make_problem("paper_mixture_1d", scale=6.0), OrnsteinUhlenbeck(), np.array([0.5, 0.5])
    window = (1e-4, 6.0)
    bound = certificate(problem, w, process, window)
    fused = fokker_planck_1d(sfbench.FusedScore(problem.auxiliaries, w, process=process), t_min=1e-4, t_max=6.0)
    noised = problem.target.diffuse(float(process.alpha(1e-4)), float(process.sigma(1e-4)))  # type: ignore[attr-defined]
    observed = fused.kl_from(noised)
    assert observed.value == pytest.approx(2.17, abs=0.02)
    assert bound.value == pytest.approx(2.62, abs=0.02)
    assert check(observed, bound).holds


@pytest.mark.parametrize("fault", ["half", "sigma2 weighting", "other weights", "short window", "swapped target"])
def test_wrong_certificates_are_violated(fault: str) -> None:
    problem, process, window = make_problem("shifted_gaussians", k=3, d=4), OrnsteinUhlenbeck(), (1e-3, 5.0)
    w = np.array([0.8, 0.1, 0.1])
    noised = problem.target.diffuse(float(process.alpha(1e-3)), float(process.sigma(1e-3)))  # type: ignore[attr-defined]
    fused = affine_fused_law(problem.auxiliaries, w, process=process, t_min=1e-3, t_max=5.0)
    observed = kl_divergence(noised, fused)
    bound = certificate(problem, w, process, window)
    assert check(observed, bound).holds
    grid = sfbench.time_grid(*window, 48)
    mismatch = bounds.prior_mismatch(problem.target, process, 5.0)
    exact = sfbench.population_gram(problem, process=process, grid=grid)
    wrong = {
        "half": lambda: bound.value / 2,
        "sigma2 weighting": lambda: (
            mismatch.value
            + sfbench.population_gram(
                problem, process=process, grid=sfbench.time_grid(1e-3, 0.5, 48), weighting="sigma2"
            ).value(w)
        ),
        "other weights": lambda: mismatch.value + exact.value(problem.true_weights),
        "short window": lambda: (
            certificate(problem, w, process, (1e-3, 0.2)).value
            - bounds.prior_mismatch(problem.target, process, 0.2).value
        ),
        "swapped target": lambda: (
            certificate(replace(problem, target=problem.auxiliaries[0]), w, process, window).value
        ),
    }
    assert not check(observed, replace(bound, value=wrong[fault]())).holds


def test_the_fused_law_of_gaussians_by_ode_equals_its_closed_form() -> None:
    problem, w = make_problem("shifted_gaussians", k=3, d=4), [0.2, 0.3, 0.5]
    means = np.stack([law.means[0] for law in problem.auxiliaries])  # type: ignore[union-attr]
    for process in PROCESSES:
        mean, variance = bounds.gaussian_fused_law(means, w, process, 1e-3, process.horizon)
        law = affine_fused_law(problem.auxiliaries, w, process=process)  # type: ignore[arg-type]
        assert np.allclose(law.means[0], mean, atol=1e-9)
        assert np.allclose(law.covariances, variance, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("process", PROCESSES[:2], ids=["ou", "vp"])
def test_the_fused_law_of_gaussians_equals_fokker_planck(process: Any) -> None:
    laws = [GaussianMixture([1.0], [[0.0]], 0.3), GaussianMixture([1.0], [[2.0]], 2.0)]
    exact = affine_fused_law(laws, [0.4, 0.6], process=process)
    score = sfbench.FusedScore(laws, [0.4, 0.6], process=process)
    grid = fokker_planck_1d(score, t_min=1e-3, t_max=process.horizon, n_cells=1500, steps=150)
    assert grid.total_variation(exact).value < 1e-4
    barycenter = LogLinearPool(laws, [0.4, 0.6]).as_mixture()
    assert grid.total_variation(barycenter).value > 0.05  # another law


def test_the_fused_law_of_full_covariances_is_that_of_diagonal_ones_rotated() -> None:
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    diagonal = [GaussianMixture([1.0], [np.arange(3.0) * i], [[0.5, 1.0 + i, 2.0]]) for i in range(2)]
    full = [
        GaussianMixture([1.0], law.means @ rotation.T, rotation @ law.spectrum.dense() @ rotation.T) for law in diagonal
    ]
    a, b = (affine_fused_law(laws, [0.3, 0.7], process=PROCESSES[0]) for laws in (diagonal, full))
    assert np.allclose(b.means[0], rotation @ a.means[0], atol=1e-9)
    assert np.allclose(b.spectrum.dense()[0], rotation @ a.spectrum.dense()[0] @ rotation.T, atol=1e-9)


@pytest.mark.parametrize("window", [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (1e-3, np.inf)])
def test_fused_laws_need_a_window(window: tuple[float, float]) -> None:
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    with pytest.raises(GridError, match="need 0 < t_min"):
        affine_fused_law([law], [1.0], process=PROCESSES[0], t_min=window[0], t_max=window[1])
    with pytest.raises(sfbench.ModelError, match="no Gaussian"):
        affine_fused_law([GaussianMixture([0.5, 0.5], [[0.0], [1.0]], 1.0)], [1.0], process=PROCESSES[0])


# ---------------------------------------------------------------------- terms
def test_the_terms_add_up_to_the_certificate() -> None:
    problem, process, window = make_problem("scaled_gaussians"), OrnsteinUhlenbeck(), (1e-3, 5.0)
    population = sfbench.population_gram(problem, process=process, grid=sfbench.time_grid(*window, 32))
    optimum = solve(population.to_qp(), "active_set", tol=1e-12).weights
    mismatch = bounds.prior_mismatch(problem.target, process, 5.0)
    w = np.array([0.6, 0.3, 0.1])
    terms = bounds.error_terms(population, w, optimum, 0.0, mismatch)
    assert terms.total == pytest.approx(bounds.instance_certificate(population.value(w), mismatch).value, rel=1e-9)
    assert terms.best_in_simplex > 0  # pooling and noise do not commute here
    assert terms.statistical_excess > 0
    assert bounds.error_terms(population, optimum, optimum, 0.0, mismatch).statistical_excess == 0.0
    assert bounds.error_terms(population, w, optimum, 0.5, mismatch).total == pytest.approx(terms.total + 0.5)
    with pytest.raises(GramError, match="constant c"):
        bounds.error_terms(replace(population, c=None), w, optimum, 0.0, mismatch)


def narrow(seed: int) -> SyntheticProblem:
    """Mixtures of components down to standard deviation 0.01, the third as target."""
    rng = np.random.default_rng(seed)
    laws = [
        GaussianMixture([0.5, 0.5], rng.normal(0.0, 1.5, (2, 1)), np.exp(rng.uniform(np.log(0.01), 0.0, 2)) ** 2)
        for _ in range(3)
    ]
    return SyntheticProblem("narrow", laws[2], tuple(laws[:2]), None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2, 4])
def test_certificates_of_narrow_components_hold(seed: int) -> None:
    """A vertex makes the certificate an equality up to the prior: what few time nodes miss of J is then a violation."""
    problem, vertex = narrow(seed), [1.0, 0.0]
    bound = bounds.certificate(problem, vertex, process=OU)
    score = sfbench.FusedScore(problem.auxiliaries, vertex, process=OU)
    fused = fokker_planck_1d(score, t_min=1e-3, t_max=OU.horizon, n_cells=1500, steps=150)
    observed = fused.kl_from(problem.target.diffuse(float(OU.alpha(1e-3)), float(OU.sigma(1e-3))))
    assert bounds.check(observed, bound).holds
    fine = sfbench.population_gram(problem, process=OU, grid=sfbench.time_grid(1e-3, OU.horizon, 512)).value(vertex)
    integral = bounds.objective_integral(problem, vertex, OU, 1e-3, OU.horizon)
    assert integral.value == pytest.approx(fine, rel=1e-4)
    assert abs(integral.value - fine) <= integral.stderr + 1e-9 * fine


def test_few_time_nodes_miss_a_part_of_the_integral() -> None:
    """The negative control: 16 nodes are short by 600 times the error that the adaptive integral states."""
    problem = narrow(11)
    grid = sfbench.time_grid(1e-3, OU.horizon)
    coarse = sfbench.population_gram(problem, process=OU, grid=grid).value([1.0, 0.0])
    integral = bounds.objective_integral(problem, [1.0, 0.0], OU, 1e-3, OU.horizon)
    assert integral.value - coarse > 100 * integral.stderr
