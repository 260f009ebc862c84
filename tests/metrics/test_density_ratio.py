"""Monte Carlo distances: their intervals cover, unknown constants cancel, and the tests can tell."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from sfbench.metrics import density_ratio, kl_divergence, total_variation
from sfbench.metrics.density_ratio import DensityRatios, bridge_constant, density_ratios, is_normalised
from synthetic import EffectiveSampleSizeError, Estimate, GaussianMixture, LogLinearPool, make_problem

from .laws import CORES, lifted, pools, random_mixture

P_VALUE = 1e-6
Metric = Callable[..., Estimate]
PAIRS = {
    "close pools": ((0.3, 0.3, 0.4), (0.31, 0.3, 0.39)),
    "pools": ((0.3, 0.3, 0.4), (0.6, 0.2, 0.2)),
    "law and pool": ((1.0, 0.0, 0.0), (0.1, 0.8, 0.1)),
    "laws": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}


def z_scores(metric: Metric, pair: str, repeats: int = 80, n: int = 1500) -> tuple[np.ndarray, float]:
    """Deviations from quadrature on the line in standard errors, and the mean relative standard error."""
    p, q, core_p, core_q = pools(*PAIRS[pair])
    truth = metric(core_p, core_q).value
    estimates = [metric(p, q, method="monte carlo", n=n, rng=seed) for seed in range(repeats)]
    deviations = np.array([(e.value - truth) / e.stderr for e in estimates])
    return deviations, float(np.mean([e.stderr for e in estimates]) / truth)


def covers(deviations: np.ndarray) -> bool:
    """Whether the deviations could be those of honest standard errors: coverage and bias."""
    hits = binomtest(int(np.sum(np.abs(deviations) < 1.96)), len(deviations), 0.95, alternative="less").pvalue
    wide = binomtest(int(np.sum(np.abs(deviations) < 0.1)), len(deviations), 0.08, alternative="greater").pvalue
    return bool(hits > P_VALUE and wide > P_VALUE and abs(deviations.mean()) < 5 / np.sqrt(len(deviations)))


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("metric", [total_variation, kl_divergence])
def test_intervals_cover_the_truth(metric: Metric, pair: str) -> None:
    deviations, relative = z_scores(metric, pair)
    assert covers(deviations), (deviations.mean(), deviations.std())
    assert relative < 0.2  # and they are short, even for close laws


# ---------------------------------------------------------------------- teeth
@pytest.mark.slow
@pytest.mark.parametrize("metric", [total_variation, kl_divergence])
def test_standard_errors_three_times_too_small_are_caught(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = DensityRatios.standard_error
    monkeypatch.setattr(DensityRatios, "standard_error", lambda self, *args: honest(self, *args) / 3)
    assert not covers(z_scores(metric, "pools")[0])


@pytest.mark.slow
@pytest.mark.parametrize("metric", [total_variation, kl_divergence])
def test_standard_errors_ten_times_too_large_are_caught(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = DensityRatios.standard_error
    monkeypatch.setattr(DensityRatios, "standard_error", lambda self, *args: honest(self, *args) * 10)
    assert not covers(z_scores(metric, "pools")[0])


@pytest.mark.slow
@pytest.mark.parametrize("metric", [total_variation, kl_divergence])
def test_a_constant_off_by_a_tenth_is_caught(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(at_p: Any, at_q: Any) -> tuple[float, float]:
        constant, error = bridge_constant(at_p, at_q)
        return constant + 0.1, error

    monkeypatch.setattr(density_ratio, "bridge_constant", shifted)
    assert not covers(z_scores(metric, "close pools")[0])


@pytest.mark.slow
def test_a_metric_of_the_wrong_laws_is_caught() -> None:
    def reversed_kl(p: Any, q: Any, **options: Any) -> Estimate:
        return kl_divergence(*((q, p) if options else (p, q)), **options)

    def squared(p: Any, q: Any, **options: Any) -> Estimate:
        found = total_variation(p, q, **options)
        return Estimate(found.value**2, 2 * found.value * found.stderr) if options else found

    assert not covers(z_scores(reversed_kl, "law and pool")[0])
    assert not covers(z_scores(squared, "pools")[0])


# ---------------------------------------------------------------------- the bridge
@pytest.mark.parametrize("offset", [-50.0, 0.0, 3.0, 1e6])
def test_the_bridge_finds_the_constant(offset: float) -> None:
    p, q = (random_mixture(seed, 4, layout="diagonal") for seed in (0, 1))
    ratios = density_ratios(p, q, 20_000, np.random.default_rng(0))
    constant, error = bridge_constant(ratios.at_p + offset, ratios.at_q + offset)
    assert abs(constant - offset) < 5 * error
    assert 0 < error < 0.1


@pytest.mark.slow
def test_the_error_of_the_bridge_covers() -> None:
    p, q = (random_mixture(seed, 3, layout="full", reach=1.0) for seed in (0, 1))
    found = []
    for seed in range(150):
        ratios = density_ratios(p, q, 400, np.random.default_rng(seed))
        constant, error = bridge_constant(ratios.at_p, ratios.at_q)
        found.append(constant / error)
    assert covers(np.array(found))


def test_laws_equal_up_to_their_constant_are_at_distance_zero() -> None:
    constant, error = bridge_constant(np.full(100, 7.0), np.full(100, 7.0))
    assert (constant, error) == (7.0, 0.0)
    pool = make_problem("random_mixtures").target
    for metric in (total_variation, kl_divergence):
        found = metric(pool, LogLinearPool(pool.components, pool.weights))  # type: ignore[attr-defined]
        assert found.method == "monte carlo"
        assert found.value + found.stderr < 1e-12


def test_laws_without_overlap_have_no_bridge() -> None:
    assert bridge_constant(np.full(50, 300.0), np.full(50, -300.0))[1] == np.inf
    assert bridge_constant(np.full(50, np.inf), np.full(50, -np.inf))[1] == np.inf


@pytest.mark.slow
def test_pools_without_overlap_fall_back_on_their_own_constants() -> None:
    pool = LogLinearPool([lifted(core) for core in CORES], (0.3, 0.3, 0.4))
    far = LogLinearPool([lifted(core.affine(1.0, 100.0)) for core in CORES], (0.3, 0.3, 0.4))
    core, far_core = (
        LogLinearPool(CORES, pool.weights),
        LogLinearPool([c.affine(1.0, 100.0) for c in CORES], far.weights),
    )
    assert not is_normalised(pool)
    assert total_variation(pool, far).value == pytest.approx(1.0, abs=1e-12)
    found, exact = kl_divergence(pool, far), kl_divergence(core, far_core)
    assert abs(found.value - exact.value) < 5 * found.stderr
    assert found.stderr > pool.log_partition().stderr


def test_constants_too_uncertain_to_mean_anything_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = LogLinearPool([lifted(core) for core in CORES], (0.3, 0.3, 0.4))
    far = GaussianMixture([0.5, 0.5], np.full((2, 3), 100.0) + np.eye(2, 3), [1.0, 2.0])
    monkeypatch.setattr(
        LogLinearPool, "log_partition", lambda self, *args, **options: Estimate(-1.0, 0.2, 100, "envelope")
    )
    for metric in (total_variation, kl_divergence):
        with pytest.raises(EffectiveSampleSizeError, match=r"log Z of a pool is known to \+-0.2 only"):
            metric(pool, far)


def test_pools_need_no_partition_function_where_they_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What made a distance between pools slow was their log Z; it also left an error as large as their distance."""

    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("log Z was computed")

    monkeypatch.setattr(LogLinearPool, "log_partition", refuse)
    problem = make_problem("random_mixtures")
    other = problem.barycenter(problem.true_weights + np.array([0.01, -0.01, 0.0]))
    found = total_variation(problem.target, other)
    assert found.stderr < 0.01 * found.value


@pytest.mark.slow
def test_a_distance_between_pools_is_quick() -> None:
    problem = make_problem("random_mixtures")
    other = problem.barycenter([0.2, 0.5, 0.3])
    total_variation(problem.target, other)
    best = np.inf
    for _ in range(3):
        started = time.process_time()
        total_variation(problem.target, other)
        best = min(best, time.process_time() - started)
    assert best < 2.0  # about 0.15 s; it took 4 s
