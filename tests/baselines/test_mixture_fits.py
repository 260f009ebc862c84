"""Mixtures trained and fine-tuned on rows: against likelihoods, closed forms, and what must not help."""

import numpy as np
import pytest

import sfbench
from sfbench.baselines import fit_mixture, tune_mixture
from sfbench.baselines.mixture_fits import held_back
from synthetic import GaussianMixture

LAW = GaussianMixture([0.3, 0.7], [[-2.0, 0.0], [1.0, 1.0]], [[0.4, 1.0], [1.0, 0.2]])


def loss(law: GaussianMixture, seed: int = 99) -> float:
    return -float(law.log_prob(LAW.sample(20_000, rng=seed)).mean())


@pytest.mark.slow
def test_from_scratch_comes_close_and_closer_with_rows() -> None:
    few, many = (loss(fit_mixture(LAW.sample(n, rng=1), rng=0)) - loss(LAW) for n in (40, 600))
    assert many < 0.05
    assert many < few < 1.0
    single = fit_mixture(LAW.sample(600, rng=1), components=[1], rng=0)
    assert loss(single) - loss(LAW) > 0.1  # one component cannot hold two modes


def test_one_gaussian_held_back_has_a_closed_form() -> None:
    start = GaussianMixture([1.0], [[1.0, -1.0]], np.array([[[2.0, 0.5], [0.5, 1.0]]]))
    x, kappa = np.random.default_rng(0).normal(size=(30, 2)), 7.0
    found = held_back(start, x, kappa)
    mean = (x.sum(axis=0) + kappa * start.means[0]) / (30 + kappa)
    old = start.means[0] - mean
    spread = (x - mean).T @ (x - mean) + kappa * (start.covariances[0] + np.outer(old, old))
    np.testing.assert_allclose(found.means[0], mean, atol=1e-10)
    np.testing.assert_allclose(found.covariances[0], spread / (30 + kappa), atol=1e-4)


@pytest.mark.parametrize("shape", [1, 2, 3])
def test_fine_tuning_helps_a_wrong_start_and_keeps_a_right_one(shape: int) -> None:
    covariances = [np.full(2, 0.8), np.full((2, 2), 0.8), np.stack([0.8 * np.eye(2)] * 2)][shape - 1]
    wrong = GaussianMixture([0.5, 0.5], [[-1.5, 0.3], [1.5, 0.5]], covariances)
    tuned = tune_mixture(wrong, LAW.sample(300, rng=2), rng=0)
    assert tuned.covariances.ndim == shape
    assert loss(tuned) < loss(wrong) - 0.1
    kept = tune_mixture(LAW, LAW.sample(12, rng=3), rng=0)
    assert loss(kept) - loss(LAW) < 0.1  # twelve rows may not lead far away
    assert loss(tune_mixture(LAW, LAW.sample(12, rng=3), strengths=[0.01], rng=0)) - loss(LAW) > 0.2


@pytest.mark.slow
def test_rows_in_order_are_left_out_in_blocks() -> None:
    """Neighbours that are copies of each other betray a fit that is judged by them."""
    x = np.repeat(np.random.default_rng(4).normal(size=(16, 6)), 4, axis=0)
    truth = GaussianMixture([1.0], np.zeros((1, 6)), 1.0)
    fresh = truth.sample(5000, rng=5)
    shuffled, blocks = (
        fit_mixture(x, components=[1, 3], in_order=order, rng=0).log_prob(fresh).mean() for order in (False, True)
    )
    assert blocks > shuffled
    assert blocks > truth.log_prob(fresh).mean() - 1.0


def test_bad_input_is_refused_by_name() -> None:
    x = LAW.sample(10, rng=0)
    for change, match in (
        ({"x": x[:3]}, "at least 4 rows"),
        ({"x": x[:, :1]}, "x must have shape"),
        ({"mixture": 3}, "mixture must be"),
        ({"strengths": [0.0]}, "strengths"),
        ({"strengths": None}, "strengths"),
        ({"in_order": 2}, "in_order"),
    ):
        with pytest.raises(sfbench.SfbenchError, match=match):
            tune_mixture(**({"mixture": LAW, "x": x} | change))  # type: ignore[arg-type]
    for components in (3, [0], ["a"]):
        with pytest.raises(sfbench.SfbenchError, match="components"):
            fit_mixture(x, components=components)  # type: ignore[arg-type]
