"""Sums from distances to the means against sums of scores: the same numbers, wherever they have their digits."""

import numpy as np
import pytest

import sfbench
from sfbench.processes.times import time_grid
from sfbench.statistics import passes
from sfbench.statistics.isotropic_terms import IsotropicEvaluator, has_distances
from sfbench.statistics.samples import data_source
from synthetic import GaussianMixture

D = 24


def laws(counts=(3, 1, 4), spread=1.0, variances=(0.5, 1.5), seed=0):
    rng = np.random.default_rng(seed)
    return [
        GaussianMixture(np.full(m, 1 / m), spread * rng.standard_normal((m, D)), rng.uniform(*variances, m))
        for m in counts
    ]


def settings(estimator="antithetic", **options):
    return passes.GramSettings(sfbench.OrnsteinUhlenbeck(), time_grid(1e-3, 5.0, 8), estimator, **options)


def both(models, x, what, monkeypatch, sizes=None):
    """Statistics by distances and by scores, and the nodes that the first left to the second."""
    made = []

    def kept(*arguments):
        made.append(IsotropicEvaluator(*arguments))
        return made[-1]

    def run():
        source = data_source(models, x, what, np.random.default_rng(1))
        return passes.accumulate(source, what, sizes or [len(x)])[-1]

    monkeypatch.setattr(passes, "IsotropicEvaluator", kept)
    ours = run()
    assert len(made) == 1
    monkeypatch.setattr(passes, "has_distances", lambda *_: False)
    return ours, run(), made[0]._left


@pytest.mark.parametrize("estimator", ["antithetic", "dsm"])
@pytest.mark.parametrize("variances", [(0.5, 1.5), (0.7, 0.7)])
def test_same_numbers_at_every_node(estimator, variances, monkeypatch):
    models = laws(variances=variances)
    models[0] = GaussianMixture([0.5, 0.0, 0.5], models[0].means, models[0].spectrum.values[:, 0])
    x = models[2].sample(300, rng=3)
    ours, theirs, _ = both(models, x, settings(estimator), monkeypatch, [120, 300])
    scale = np.abs(theirs.G).max(axis=(1, 2))
    assert np.all(np.abs(ours.G - theirs.G).max(axis=(1, 2)) <= 1e-12 * scale)
    assert np.all(np.abs(ours.b - theirs.b).max(axis=1) <= 1e-11 * np.maximum(scale, np.abs(theirs.b).max(axis=1)))


def test_random_laws_are_summed_by_distances_alone(monkeypatch):
    models = laws()
    assert both(models, models[0].sample(100, rng=3), settings(), monkeypatch)[2] == []


def test_nearly_equal_models_are_left_to_scores_and_lose_no_digits(monkeypatch):
    first = laws((3,))[0]
    models = [first, GaussianMixture(first.weights, first.means + 1e-6, first.spectrum.values[:, 0])]
    models.append(laws((3,), seed=1)[0])  # or nothing would be left of the subspace
    ours, theirs, left = both(models, first.sample(100, rng=3), settings(), monkeypatch)
    assert left
    np.testing.assert_allclose(ours.G[:, 1, 1], theirs.G[:, 1, 1], rtol=1e-12)


def test_data_far_away_are_left_to_scores(monkeypatch):
    models = laws(spread=1e4, variances=(1e-3, 2e-3))
    ours, theirs, left = both(models, models[0].sample(100, rng=3), settings(), monkeypatch)
    assert 0 in left
    assert np.all(np.abs(ours.G - theirs.G).max(axis=(1, 2)) <= 1e-12 * np.abs(theirs.G).max(axis=(1, 2)))


def test_what_the_form_does_not_hold_for():
    isotropic = laws()
    assert has_distances(isotropic, settings())
    assert not has_distances(isotropic, settings("stein"))
    assert not has_distances(isotropic, settings(dtype=np.float32))
    assert not has_distances(laws((30, 30, 60)), settings())
    rng = np.random.default_rng(0)
    diagonal = GaussianMixture([1.0], rng.standard_normal((1, D)), rng.uniform(1.0, 2.0, (1, D)))
    assert not has_distances([*isotropic, diagonal], settings())


@pytest.mark.parametrize("scale", [0.1, 1e3, 1e30, 1e70])
def test_any_scale_of_the_data(scale, monkeypatch):
    rng = np.random.default_rng(0)
    means, variances = rng.standard_normal((2, 3, D)), rng.uniform(0.5, 1.5, (2, 3))
    models = [
        GaussianMixture(np.full(3, 1 / 3), scale * m, (scale**2) * v) for m, v in zip(means, variances, strict=True)
    ]
    x = scale * GaussianMixture(np.full(3, 1 / 3), means[0], variances[0]).sample(50, rng=3)
    ours, theirs, _ = both(models, x, settings(), monkeypatch)
    assert np.all(np.isfinite(ours.G))
    assert np.all(np.abs(ours.G - theirs.G).max(axis=(1, 2)) <= 1e-12 * np.abs(theirs.G).max(axis=(1, 2)))
