"""Weighted rows: whole numbers are repetitions, spread is that of weighted means, bad weights are refused."""

from typing import Any

import numpy as np
import pytest
import torch

import sfbench
from sfbench import GramError
from sfbench.nets import NetworkScore
from sfbench.statistics import score_gram, score_statistics
from sfbench.statistics.passes import accumulate
from sfbench.statistics.residuals import Residuals
from sfbench.statistics.samples import data_source
from synthetic import GaussianMixture, make_problem

from ..common import Foreign, settings
from ..nets.exact_networks import ExactNetwork

OU = sfbench.OrnsteinUhlenbeck()
LAWS = [GaussianMixture([1.0], [m], 1.0) for m in ([-1.5, 0.0], [1.5, 0.0], [0.0, 2.0])]
X = np.random.default_rng(0).standard_normal((60, 2))
COUNTS = np.random.default_rng(1).integers(0, 4, 60)
KINDS = {
    "reduced": LAWS,
    "foreign": [Foreign(law, OU) for law in LAWS],
    "networks": [NetworkScore(ExactNetwork(law, OU, "epsilon"), 2, OU, "epsilon") for law in LAWS],
}


class Repeated:
    """A source that gives every row and its noise as often as counts say."""

    def __init__(self, source: Any, counts: np.ndarray) -> None:
        self.source, self.rows = source, np.repeat(np.arange(len(counts)), counts)
        self.models, self.data, self.device = source.models, source.data[self.rows], source.device
        self.reduction, self.sample_weight, self.rows_per_chunk = None, None, 1 << 20

    def chunk(self, start: int, stop: int) -> Any:
        return ((y[self.rows], zeta[self.rows]) for y, zeta in self.source.chunk(0, len(self.source.data)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", ["antithetic", "dsm", "stein"])
def test_whole_numbers_are_repeated_rows(kind: str, estimator: str) -> None:
    if kind != "reduced" and estimator == "stein":
        return  # these know no divergence
    rule = settings(estimator)
    weighted = score_statistics(KINDS[kind], X, rule, sample_weight=COUNTS, keep=60, rng=3)
    source: Any = Repeated(data_source(KINDS[kind], X, rule, np.random.default_rng(3)), COUNTS)
    (repeated,) = accumulate(source, rule, [int(COUNTS.sum())])
    np.testing.assert_allclose(weighted.G, repeated.G, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(weighted.b, repeated.b, rtol=1e-10, atol=1e-12)
    kept = weighted.at().contributions
    assert kept is not None
    np.testing.assert_allclose(kept.b.mean(axis=0), weighted.at().b, rtol=1e-10)


def test_equal_weights_change_no_bit() -> None:
    plain = sfbench.fuse(LAWS, X, process=OU, rng=0)
    for value in (1.0, 4.0):
        found = sfbench.fuse(LAWS, X, process=OU, sample_weight=np.full(60, value), rng=0)
        np.testing.assert_array_equal(found.gram.G, plain.gram.G)
        np.testing.assert_array_equal(found.weights, plain.weights)
        assert found.effective_n == pytest.approx(60)
        assert found.warnings == plain.warnings
    assert plain.effective_n is None


@pytest.mark.slow
def test_rows_of_weight_zero_are_not_there() -> None:
    """The fit of the others, with their own noise: the same weights within the spread, and the same adequacy."""
    inside = make_problem("shifted_gaussians", k=3, d=2, weights=(0.5, 0.3, 0.2))
    x = inside.target.sample(3000, rng=0)
    far = np.concatenate([x, x + 5.0])
    weight = np.repeat([1.0, 0.0], 3000)
    found = sfbench.fuse(inside.auxiliaries, far, process=OU, sample_weight=weight, rng=0)
    np.testing.assert_allclose(found.weights, [0.5, 0.3, 0.2], atol=0.06)
    assert found.effective_n == pytest.approx(3000)
    assert found.adequacy is not None
    assert found.adequacy.p_value > 1e-3
    assert "weighted: as good as 3000.0" in found.summary()
    unweighted = sfbench.fuse(inside.auxiliaries, far, process=OU, rng=0)
    assert unweighted.adequacy is not None
    assert unweighted.adequacy.p_value < 1e-6


@pytest.mark.slow
def test_weights_of_importance_are_fitted_and_covered() -> None:
    """Rows of one law, weighted to another: 90 % intervals over 30 draws hold the other's weights."""
    problem = make_problem("shifted_gaussians", k=3, d=2, weights=(0.5, 0.3, 0.2))
    other = problem.barycenter([0.3, 0.4, 0.3])
    held = 0
    for i in range(30):
        x = problem.target.sample(800, rng=i)
        weight = np.exp(other.log_prob(x) - problem.target.log_prob(x))
        fit = sfbench.fuse(problem.auxiliaries, x, process=OU, t_max=1.0, n_nodes=6, sample_weight=weight, rng=i)
        low, high = fit.confidence_interval()[0]
        held += int(low <= 0.3 <= high)
    assert 22 <= held <= 30  # 27 expected, standard deviation 1.6


def test_losses_of_weighted_rows() -> None:
    fit = sfbench.fuse(LAWS, X, process=OU, rng=0)
    whole = fit.losses(X, sample_weight=COUNTS)
    plain = fit.losses(X)
    by_row = plain.by_row * (COUNTS / COUNTS.mean())
    np.testing.assert_allclose(whole.losses, by_row.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(whole.by_time.mean(axis=1), whole.losses, rtol=1e-12)
    assert np.all(whole.stderr > 0)
    np.testing.assert_array_equal(fit.losses(X, sample_weight=np.ones(60)).by_row, plain.by_row)


def test_weighted_residuals_are_those_of_repeated_rows() -> None:
    from sfbench.fusion.adequacy import adequacy

    rule, w = settings(), np.array([0.5, 0.3, 0.2])
    weighted, repeated = Residuals(rule), Residuals(rule)
    score_statistics(KINDS["foreign"], X, rule, residuals=weighted, sample_weight=COUNTS, rng=3)
    source: Any = Repeated(data_source(KINDS["foreign"], X, rule, np.random.default_rng(3)), COUNTS)
    accumulate(source, rule, [int(COUNTS.sum())], residuals=repeated)
    np.testing.assert_allclose(adequacy(weighted, w).single, adequacy(repeated, w).single, rtol=1e-10)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(59), r"sample_weight must have shape \(60,\)"),
        (np.full(60, np.nan), "sample_weight must be finite"),
        (-np.ones(60), r"sample_weight must not be negative, but sample_weight\[0\] is -1"),
        (np.zeros(60), "zero for every row"),
        (np.ones((60, 1)), "must have shape"),
    ],
)
def test_bad_weights(weight: np.ndarray, message: str) -> None:
    with pytest.raises(GramError, match=message):
        sfbench.fuse(LAWS, X, process=OU, sample_weight=weight, rng=0)


def test_where_weights_make_no_sense() -> None:
    with pytest.raises(GramError, match="objective 'likelihood' has no sample_weight"):
        sfbench.fuse(LAWS, X, process=OU, objective="likelihood", sample_weight=np.ones(60))
    with pytest.raises(GramError, match="a fit on a budget has no sample_weight"):
        sfbench.fuse(LAWS, X, process=OU, evaluations=5000, sample_weight=np.ones(60))
    loader = torch.utils.data.DataLoader(torch.from_numpy(X), batch_size=20)
    with pytest.raises(GramError, match="rows in a known order"):
        sfbench.fuse(KINDS["foreign"], loader, process=OU, sample_weight=np.ones(60), rng=0)
    fit = sfbench.fuse(LAWS, X, process=OU, rng=0)
    with pytest.raises(sfbench.ModelError, match="leave it out, or n_samples"):
        sfbench.compare({"fused": fit}, X, sample_weight=np.ones(60), n_samples=10)


def test_few_effective_rows_warn_and_bins_take_weights(tmp_path: Any) -> None:
    weight = np.r_[np.ones(5), np.full(55, 1e-3)]
    fit = sfbench.fuse(LAWS, X, process=OU, sample_weight=weight, rng=0)
    assert any("only as good as n = 5" in text for text in fit.warnings)
    assert sfbench.load_result(fit.save(tmp_path / "fit")).effective_n == fit.effective_n
    over_time = sfbench.fuse(LAWS, X, process=OU, bins=2, sample_weight=np.ones(60), rng=0)
    plain = sfbench.fuse(LAWS, X, process=OU, bins=2, rng=0)
    np.testing.assert_array_equal(over_time.weights.weights, plain.weights.weights)
    assert score_gram(LAWS, X, settings(), rng=0).n == 60
