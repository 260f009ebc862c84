"""Hamiltonian moves: the pool they keep, what they cost, and that refusals are not for show."""

import numpy as np
import pytest

import sfbench
from sfbench.baselines import AnnealedHamiltonian
from sfbench.metrics import total_variation_from_samples
from sfbench.sampling import FusedSampler
from sfbench.sampling.integrators import BETWEEN_LAW, ReverseProcess
from synthetic import GaussianMixture, LogLinearPool

OU = sfbench.OrnsteinUhlenbeck()
LAWS = (
    GaussianMixture([0.5, 0.5], [[-0.6], [1.6]], 0.15),
    GaussianMixture([0.7, 0.3], [[-1.2], [1.4]], 0.15),
)
WEIGHTS = (0.5, 0.5)
POOL = LogLinearPool(LAWS, WEIGHTS)


def pool_density(x: np.ndarray, t: float) -> np.ndarray:
    alpha, sigma = float(OU.alpha(t)), float(OU.sigma(t))
    laws = zip(WEIGHTS, LAWS, strict=True)
    return sum(w * law.diffuse(alpha, sigma).log_prob(x) for w, law in laws)


def distance(sampler: object) -> float:
    score = sfbench.FusedScore(LAWS, WEIGHTS, process=OU)
    found = sfbench.sample(score, 4000, sampler, steps=40, check_steps=False, rng=0)  # type: ignore[arg-type]
    return total_variation_from_samples(found.x, POOL).value


@pytest.mark.slow
def test_many_moves_reach_the_barycenter() -> None:
    """The floor of 4,000 points is 0.024."""
    assert distance(FusedSampler(AnnealedHamiltonian(12, 2, log_density=pool_density))) < 0.04
    assert distance(FusedSampler(AnnealedHamiltonian(12, 2))) < 0.04
    assert distance("fused") > 0.05
    assert AnnealedHamiltonian().law == BETWEEN_LAW


def test_moves_that_are_accepted_by_densities_keep_a_law_that_leapfrog_does_not() -> None:
    law = GaussianMixture([1.0], [[0.0, 0.0]], 1.0)
    sigma = float(OU.sigma(0.7))

    def variance(log_density: object) -> float:
        rng = np.random.default_rng(0)
        reverse = ReverseProcess(lambda x, t: law.score(x), OU, lambda like: rng.standard_normal(like.shape))
        moves = AnnealedHamiltonian(30, 1, 1.6 / sigma, log_density)  # type: ignore[arg-type]
        x, score = moves.advance(reverse, rng.standard_normal((4000, 2)), (None, 0.7 + 1e-9, 0.7), None)
        np.testing.assert_allclose(score, law.score(x))
        return float(x.var())

    assert variance(lambda x, t: law.log_prob(x)) == pytest.approx(1.0, abs=0.06)
    assert variance(None) > 1.5  # 1 / (1 - eps^2 / 4)


def test_evaluations_are_as_said() -> None:
    asked: list[int] = []
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    rng = np.random.default_rng(0)

    def score(x: np.ndarray, t: float) -> np.ndarray:
        asked.append(len(x))
        return law.diffuse(float(OU.alpha(t)), float(OU.sigma(t))).score(x)

    integrator, x, memory = AnnealedHamiltonian(3, 2), rng.normal(size=(5, 1)), None
    reverse = ReverseProcess(score, OU, lambda like: rng.standard_normal(like.shape))
    for t, t_next in ((1.0, 0.9), (0.9, 0.8)):
        x, memory = integrator.advance(reverse, x, (None, t, t_next), memory)
    assert len(asked) == 1 + 2 * integrator.evaluations
    for bad in ({"moves": 0}, {"leapfrog": 1.5}, {"size": -1.0}):
        with pytest.raises(sfbench.GridError):
            AnnealedHamiltonian(**bad)  # type: ignore[arg-type]
