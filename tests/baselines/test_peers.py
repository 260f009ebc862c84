"""Two published schemes, as they were published, against what was measured of them on problems with known answers.

Feynman-Kac correction (even grid of times, Euler-Maruyama steps, resampling at every step) on the reference problem at
equal weights: 0.81 of the mass is right of zero, and 0.41 without correction (docs/theory.md). SuperDiff's OR
composition by densities along the path: shares of two separate modes are the weights, which the averaged score of the
same models does not know.
"""

import numpy as np
import pytest

import sfbench
from sfbench.baselines import superdiff
from sfbench.sampling import CorrectedSampler, EulerMaruyama
from sfbench.times import time_steps
from synthetic import GaussianMixture, make_problem

OU = sfbench.OrnsteinUhlenbeck()


@pytest.mark.slow
def test_feynman_kac_correctors_as_published() -> None:
    problem = make_problem("paper_mixture_1d", space="raw", scale=6.0, target="barycenter", weights=(0.5, 0.5))
    score = sfbench.FusedScore(problem.auxiliaries, problem.true_weights, process=OU)
    published = CorrectedSampler(EulerMaruyama(), threshold=1.0, noise="independent", check_steps=False)

    def right(sampler: object, n_steps: int) -> float:
        steps = time_steps(OU, n_steps, "uniform")
        found = sfbench.sample(score, 3000, sampler, steps=steps, check_steps=False, rng=0)  # type: ignore[arg-type]
        return float(found.weights @ (found.x[:, 0] > 0) / found.weights.sum())

    assert right(published, 1000) == pytest.approx(0.81, abs=0.12)  # even steps are 0.05 short
    assert right("fused", 400) == pytest.approx(0.41, abs=0.06)


def test_superdiff_or_keeps_shares_that_scores_do_not_hold() -> None:
    laws = [GaussianMixture([1.0], [[m]], 0.1) for m in (-1.5, 1.5)]
    score = sfbench.FusedScore(laws, [0.25, 0.75], process=OU)
    composed, averaged = superdiff(score, 2000, "or", steps=200, rng=0).x, sfbench.sample(score, 2000, rng=0).x
    assert np.mean(composed > 0) == pytest.approx(0.75, abs=0.04)  # four standard errors
    assert np.mean(np.abs(composed) < 0.5) < 0.02
    assert np.mean(np.abs(averaged - 0.75) < 1.2) > 0.98  # one mode between the two
