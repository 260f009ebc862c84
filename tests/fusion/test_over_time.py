"""Weights that change with time, from data to samplers and certificates."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sfbench
from sfbench import GramError, GridError, fuse, population_gram, sample, time_grid
from sfbench.fusion import FusionOverTime
from sfbench.processes.times import binned_grid, time_bins
from synthetic import SyntheticProblem, make_problem

OU = sfbench.OrnsteinUhlenbeck()


@pytest.fixture(scope="module")
def paper() -> SyntheticProblem:
    return make_problem("paper_mixture_1d", scale=6.0, target="barycenter")


@dataclass(frozen=True)
class Around:
    """The target's score plus a share, which changes with time, of the way to another law's."""

    base: sfbench.AnalyticScore
    other: sfbench.AnalyticScore
    share: Callable[[float], float]

    @property
    def dim(self) -> int:
        return self.base.dim

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        s = self.base.score(x, t)
        return s + self.share(t) * (self.other.score(x, t) - s)


@pytest.mark.slow
def test_weights_that_change_at_the_edges_of_bins_are_found() -> None:
    """At any time the average of the two models at w(t) is the target's score exactly."""
    laws = make_problem("random_mixtures", d=2, k=2, rng=3).auxiliaries
    base, other = (sfbench.AnalyticScore(law, OU) for law in laws)
    edges = time_bins(OU, 1e-3, 2.0, 4)
    truth = np.array([0.2, 0.5, 0.9, 0.6])

    def first(t: float) -> float:
        return float(truth[np.searchsorted(edges[1:-1], t, side="right")])

    models = [Around(base, other, lambda t: 1.0 - first(t)), Around(base, other, lambda t: -first(t))]
    x = laws[0].sample(4000, rng=0)
    result = fuse(models, x, process=OU, t_max=2.0, n_nodes=12, bins=4, rng=1)
    assert np.array_equal(result.weights.edges, edges)
    assert result.weights.weights[:, 0] == pytest.approx(truth, abs=0.06)
    low, high = result.confidence_interval(0.99)[:, 0].T
    assert np.all((low <= truth) & (truth <= high))
    constant = fuse(models, x, process=OU, t_max=2.0, n_nodes=12, rng=1)
    assert np.abs(constant.weights[0] - truth).max() > 0.2
    assert constant.window_bias is not None
    assert constant.window_bias.p_value < 1e-6


def test_bins_add_up_to_the_objective_of_constant_weights(paper: SyntheticProblem) -> None:
    x = paper.target.sample(800, rng=0)
    result = fuse(paper.auxiliaries, x, process=OU, n_nodes=96, bins=6, rng=0)
    assert isinstance(result, FusionOverTime)
    w = np.array([0.3, 0.7])
    total = sum(gram.value(w) for gram in result.grams)
    assert total == pytest.approx(result.statistics.at().value(w), rel=1e-12)
    constant = fuse(paper.auxiliaries, x, process=OU, n_nodes=96, rng=0)
    assert result.constant == pytest.approx(constant.weights, abs=1e-4)
    assert total == pytest.approx(constant.gram.value(w), rel=1e-3)  # both rules are fine
    assert np.all(result.gain() >= -1e-12)
    assert result.solver.value == pytest.approx(
        sum(gram.value(w) for gram, w in zip(result.grams, result.weights.weights, strict=True)), rel=1e-9
    )


def test_smoothing_leads_from_single_bins_to_constant_weights(paper: SyntheticProblem) -> None:
    x = paper.target.sample(800, rng=0)
    moved = []
    for smoothing in (0.0, 0.01, 0.1, 1e6):
        result = fuse(paper.auxiliaries, x, process=OU, bins=8, smoothing=smoothing, rng=0)
        moved.append(float(np.abs(np.diff(result.weights.weights[:, 0])).sum()))
    assert moved[0] > moved[1] > moved[2] > moved[3] == pytest.approx(0.0, abs=1e-3)
    assert result.weights.weights[0] == pytest.approx(result.constant, abs=2e-3)
    with pytest.raises(GramError, match="tied by smoothing; fit with smoothing=0"):
        result.confidence_interval()


@pytest.mark.slow
def test_the_fit_is_sampled_certified_and_told(paper: SyntheticProblem) -> None:
    x = paper.target.sample(4000, rng=0)
    result = fuse(paper.auxiliaries, x, process=OU, bins=8, smoothing=0.002, rng=0)
    early, late = result.weights.weights[0], result.score.weights_at(1.0)
    assert early == pytest.approx([0.5, 0.5], abs=0.05)  # the barycenter's, where noise and pooling commute
    assert late[0] > 0.7
    points = np.linspace(-2, 2, 9)[:, None]
    expected = sfbench.FusedScore(paper.auxiliaries, late, process=OU).score(points, 1.0)
    assert np.array_equal(result.score.score(points, 1.0), expected)
    edges = result.weights.edges.tolist()
    exact = [population_gram(paper, process=OU, grid=time_grid(*ends, 4)) for ends in itertools.pairwise(edges)]
    changing, constant = (
        sum(gram.value(w) for gram, w in zip(exact, weights, strict=True))
        for weights in (result.weights.weights, [result.constant] * 8)
    )
    assert changing < 0.8 * constant
    assert sample(result, 500, "fused", steps=64, rng=0).x.shape == (500, 1)
    assert sample(result, 600, "corrected", steps=64, rng=0).law.endswith("of the weights at the end")
    losses = result.losses(x[:200])
    assert losses.names == ("fused", "0", "1", "equal weights")
    assert losses.losses[0] < losses.losses[3]
    text = result.summary()
    for part in ("8 bins of time", "certified gap", "objective below that of the best constant weights", "gain"):
        assert part in text


def test_every_bin_has_its_own_rule() -> None:
    edges = time_bins(OU, 1e-3, 5.0, 3)
    assert np.diff(OU.log_snr(edges)) == pytest.approx(np.full(3, np.diff(OU.log_snr(edges[[0, -1]]))[0] / 3))
    grid = binned_grid(edges, 4)
    assert len(grid) == 12
    for low, high, part in zip(edges[:-1], edges[1:], np.split(np.arange(12), 3), strict=True):
        assert np.all((grid.nodes[part] > low) & (grid.nodes[part] < high))
        assert grid.weights[part] @ np.sqrt(grid.nodes[part]) == pytest.approx((high**1.5 - low**1.5) / 1.5, rel=5e-3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bins": 0}, GridError, "bins must be an integer of at least 1"),
        ({"bins": 2.5}, GridError, "bins must be an integer"),
        ({"bins": 10**9}, GridError, "bins must be at most"),
        ({"bins": 2, "smoothing": -1.0}, GramError, "smoothing must be at least 0"),
        ({"bins": 2, "smoothing": np.nan}, GramError, "smoothing must be finite"),
        ({"bins": 2, "solver": "daqp"}, GramError, "a solver of their own, got solver='daqp'"),
        ({"smoothing": 0.1}, GramError, "pass bins=8 with smoothing=0.1"),
        ({"objective": "likelihood", "bins": 4}, GramError, r"'likelihood' has no bins \(got 4\): leave it out"),
        ({"objective": "likelihood", "t_min": 0.01}, GramError, "has no t_min"),
        ({"objective": "likelihood", "t_max": 1.0}, GramError, "has no t_max"),
        ({"objective": "likelihood", "n_nodes": 8}, GramError, "has no n_nodes"),
        ({"objective": "likelihood", "estimator": "dsm"}, GramError, "has no estimator"),
        ({"objective": "likelihood", "weighting": np.sqrt}, GramError, "has no weighting"),
        ({"objective": "likelihood", "n_noise": 2}, GramError, "has no n_noise"),
        ({"objective": "likelihood", "smoothing": np.ones(3)}, GramError, "has no smoothing"),
    ],
)
def test_bad_options_are_named(
    options: dict[str, Any], error: type[Exception], message: str, paper: SyntheticProblem
) -> None:
    with pytest.raises(error, match=message):
        fuse(paper.auxiliaries, paper.target.sample(40, rng=0), **{"process": OU, "rng": 0, **options})


def test_a_fit_is_kept_with_its_names(reference: SyntheticProblem, tmp_path: Path) -> None:
    models = dict(zip(["left", "right"], reference.auxiliaries, strict=True))
    x = reference.target.sample(200, rng=0)
    fit = sfbench.fuse(models, x, process=sfbench.OrnsteinUhlenbeck(), bins=3, smoothing=0.01, rng=0)
    kept = sfbench.load_result(fit.save(tmp_path))
    assert kept.weights.weights.tobytes() == fit.weights.weights.tobytes()
    assert (kept.summary(), kept.to_dict(), kept.labels) == (fit.summary(), fit.to_dict(), ("left", "right"))
    assert json.dumps(kept.to_dict())
    assert "left" in kept.summary()
    assert "<th>right</th>" in kept._repr_html_()
    with pytest.raises(sfbench.ModelError, match="attach"):
        kept.score.score(np.zeros((1, 1)), 0.5)
    drawn = [sfbench.sample(one, 40, steps=8, check_steps=False, rng=1).x for one in (fit, kept.attach(models))]
    assert drawn[0].tobytes() == drawn[1].tobytes()
    with pytest.warns(sfbench.FitWarning, match="'left' is not the one"):
        kept.attach([models["right"], models["right"]])
