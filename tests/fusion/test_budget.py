"""Fits on a budget: unbiased statistics, honest intervals, evaluations that are counted and not exceeded."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sfbench
from sfbench.errors import GramError, NotFiniteError
from sfbench.fusion.budget import influence
from sfbench.statistics import passes
from sfbench.statistics.files import open_source
from sfbench.statistics.samples import data_source
from sfbench.statistics.subsampled import KeyedOrder, SubsampledPass, shares
from synthetic import make_problem
from tests.common import Foreign, settings

pytestmark = pytest.mark.filterwarnings("ignore:misfit")  # a barycenter's score is not the fused one, after t = 0
OU = sfbench.OrnsteinUhlenbeck()
PROBLEM = make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=(0.5, 0.5))
MODELS = [Foreign(law, OU) for law in PROBLEM.auxiliaries]


class Counted:
    """A model that counts the points at which it is asked."""

    dim, process = 1, OU

    def __init__(self, law):
        self.inner, self.asked = Foreign(law, OU), 0

    def score(self, x, t):
        self.asked += len(x)
        return self.inner.score(x, t)


def subsampled(x, rule, seed, probabilities, keep=4096, rows=None, parts=2):
    run = SubsampledPass(
        data_source(MODELS, x, rule, np.random.default_rng(seed)), rule, keep, parts, np.random.default_rng(seed)
    )
    for number, share in zip(rows or [len(x)], probabilities, strict=True):
        run.extend(number, np.asarray(share), lambda count: None)
    return run


@pytest.mark.parametrize("n_noise", [1, 2])
def test_all_nodes_of_all_samples_are_the_ordinary_pass(n_noise):
    x, rule = PROBLEM.target.sample(120, rng=0), settings(n_noise=n_noise)
    run = subsampled(x, rule, 3, [np.ones(6), np.ones(6)], rows=[50, 70])
    shuffled = x[run.source.data.order]
    want = passes.accumulate(data_source(MODELS, shuffled, rule, np.random.default_rng(3)), rule, [120], 4096, 2)[0]
    found = run.statistics()
    assert run.evaluations == rule.evaluations(2, 120)
    np.testing.assert_allclose(found.G, want.G, rtol=1e-12)
    np.testing.assert_allclose(found.b, want.b, rtol=1e-10, atol=1e-12)
    for part, other in zip(found.parts, want.parts, strict=True):
        np.testing.assert_allclose(part.g, other.g, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(part.b, other.b, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_statistics_are_unbiased_and_their_spread_is_that_of_the_kept_terms():
    rule = settings()
    population = sfbench.population_gram(PROBLEM, process=OU, grid=rule.grid)
    share = [np.ones(6), np.array([0.1, 0.2, 0.5, 0.1, 0.3, 0.8])]
    found, stated = [], []
    for seed in range(60):
        x = PROBLEM.target.sample(400, rng=1000 + seed)
        gram = subsampled(x, rule, seed, share, rows=[40, 360]).statistics().at()
        found.append(gram.b[1])
        stated.append(gram.contributions.variances()[1][1] / 400)
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - population.b[1]) < 4.0 * error
    assert 0.7 < np.sqrt(np.mean(stated)) / np.std(found) < 1.4


def test_rows_that_are_kept_average_to_the_statistics_whatever_the_batches():
    x, rule = PROBLEM.target.sample(300, rng=0), settings()
    share = [np.ones(6), np.full(6, 0.3), np.linspace(0.1, 1.0, 6)]
    for keep in (8, 37, 4096):
        gram = subsampled(x, rule, 5, share, keep=keep, rows=[20, 100, 180]).statistics().at()
        kept = gram.contributions
        assert len(kept.counts) <= max(keep, 8)
        assert kept.counts.sum() == 300
        weighted = kept.counts / kept.counts.sum()
        np.testing.assert_allclose(np.tensordot(weighted, kept.g, 1), gram.G, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(weighted @ kept.b, gram.b, rtol=1e-9, atol=1e-12)


def test_a_budget_is_not_exceeded_and_says_what_it_cost():
    x = PROBLEM.target.sample(3000, rng=0)
    for budget in (2500, 10_000, 50_000):
        models = [Counted(law) for law in PROBLEM.auxiliaries]
        result = sfbench.fuse(models, x, process=OU, evaluations=budget, check_models=False, rng=0)
        spent = sum(model.asked for model in models)
        assert result.n_evaluations <= budget
        assert result.n_evaluations <= spent <= result.n_evaluations + 100  # models are looked at once before
        assert result.n_evaluations > 0.8 * budget
    whole = sfbench.fuse(MODELS, x, process=OU, evaluations=10**9, rng=0)
    assert np.array_equal(whole.weights, sfbench.fuse(MODELS, x, process=OU, rng=0).weights)


def test_intervals_are_shorter_than_those_of_a_full_pass_of_the_same_cost():
    x = PROBLEM.target.sample(8000, rng=0)
    budget = 40_000
    few = x[: budget // (2 * 2 * 16)]
    full = sfbench.fuse(MODELS, few, process=OU, rng=0).confidence_interval()
    found = sfbench.fuse(MODELS, x, process=OU, evaluations=budget, rng=0).confidence_interval()
    assert np.ptp(found[0]) < 0.65 * np.ptp(full[0])


def test_a_fit_stops_when_its_intervals_are_short_or_says_that_they_are_not():
    x = PROBLEM.target.sample(8000, rng=0)
    done = sfbench.fuse(MODELS, x, process=OU, weight_tol=0.05, rng=0)
    assert np.ptp(done.confidence_interval(), axis=1).max() <= 0.05
    assert done.n_evaluations < 0.15 * 2 * 2 * 16 * 8000
    assert not any("weight_tol" in warning for warning in done.warnings)
    with pytest.warns(sfbench.FitWarning, match=r"above weight_tol=0\.01"):
        short = sfbench.fuse(MODELS, x[:500], process=OU, weight_tol=0.01, rng=0)
    assert any("above weight_tol=0.01" in warning for warning in short.warnings)


def test_the_same_seed_gives_the_same_bits_and_sorted_data_do_no_harm():
    x = np.sort(PROBLEM.target.sample(4000, rng=0), axis=0)
    one, two = (sfbench.fuse(MODELS, x, process=OU, evaluations=20_000, rng=7) for _ in range(2))
    assert np.array_equal(one.weights, two.weights)
    low, high = one.confidence_interval(0.999)[0]
    assert low <= sfbench.fuse(MODELS, x, process=OU, rng=1).weights[0] <= high


@pytest.mark.slow
def test_tensors_are_fitted_on_a_budget_too():
    from sfbench.nets import NetworkScore, build_network

    torch.manual_seed(0)
    nets = [NetworkScore(build_network("mlp", {"dim": 1, "width": 8}, process=OU), 1, OU) for _ in range(2)]
    x = torch.randn(400, 1)
    result = sfbench.fuse(nets, x, process=OU, evaluations=6000, n_nodes=4, rng=0)
    assert result.n_evaluations <= 6000
    assert np.isfinite(result.confidence_interval()).all()


@given(influences=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20), share=st.floats(0.01, 1.0))
def test_shares_add_up_and_favour_what_matters(influences, share):
    values = np.array(influences)
    nodes = max(1.0, share * len(values))
    found = shares(values, nodes)
    assert found.sum() == pytest.approx(nodes)
    assert (found > 0).all()
    assert (found <= 1.0).all()
    order = np.argsort(values)
    assert (np.diff(found[order]) >= -1e-12).all()


def test_influence_is_larger_where_terms_scatter_more():
    rng = np.random.default_rng(0)
    terms = [np.concatenate([s * rng.standard_normal((500, 1, 1)), np.ones((500, 1, 1))], axis=1) for s in (1.0, 3.0)]
    found = influence(terms, np.diag([0.0, 1.0]), np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    assert found[1] == pytest.approx(3.0 * found[0], rel=0.1)


def test_what_a_budget_cannot_do_is_refused(tmp_path):
    x = PROBLEM.target.sample(2000, rng=0)
    with pytest.raises(GramError, match="evaluations=100 is too small"):
        sfbench.fuse(MODELS, x, process=OU, evaluations=100)
    for value in (0.0, 1.0, -1, "short", np.nan):
        with pytest.raises(GramError, match="weight_tol"):
            sfbench.fuse(MODELS, x, process=OU, weight_tol=value)
    with pytest.raises(GramError, match="evaluations must"):
        sfbench.fuse(MODELS, x, process=OU, evaluations=0)
    with pytest.raises(GramError, match="constant weights"):
        sfbench.fuse(MODELS, x, process=OU, bins=4, evaluations=5000)
    with pytest.raises(GramError, match="has no evaluations"):
        sfbench.fuse(PROBLEM.auxiliaries, x, process=OU, objective="likelihood", evaluations=5000)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(x)), batch_size=50)
    with pytest.raises(GramError, match="random order"):
        sfbench.fuse(MODELS, loader, process=OU, evaluations=5000)


def test_models_that_are_one_spend_their_budget_like_others():
    x = PROBLEM.target.sample(3000, rng=0)
    fit = sfbench.fuse([MODELS[0], MODELS[0]], x, process=OU, evaluations=9000, check_models=False, rng=0)
    assert 8000 < fit.n_evaluations <= 9000


def test_a_file_is_read_in_the_random_order_of_an_array(tmp_path):
    x = PROBLEM.target.sample(3000, rng=0)
    np.save(tmp_path / "x.npy", x)
    fits = [
        sfbench.fuse(MODELS, data, process=OU, evaluations=9000, rng=3) for data in (x, open_source(tmp_path / "x.npy"))
    ]
    np.testing.assert_array_equal(fits[0].weights, fits[1].weights)
    assert fits[0].n_evaluations == fits[1].n_evaluations <= 9000
    x[1234] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(NotFiniteError, match="in the order in which they are drawn"):
        sfbench.fuse(MODELS, open_source(tmp_path / "x.npy"), process=OU, weight_tol=1e-3, rng=3)


@given(n=st.integers(1, 3000), seed=st.integers(0, 1 << 30))
def test_an_order_by_key_is_a_permutation_read_in_any_pieces(n, seed):
    order = KeyedOrder(n, np.random.default_rng(seed))
    whole = order[:n]
    np.testing.assert_array_equal(np.sort(whole), np.arange(n))
    np.testing.assert_array_equal(np.concatenate([order[: n // 3], order[n // 3 : n]]), whole)


def test_orders_by_key_are_random():
    """Place of each row, and pairs of neighbours, over 800 keys: chi-square against a uniform permutation."""
    n, runs = 16, 800
    orders = np.array([KeyedOrder(n, np.random.default_rng(seed))[:n] for seed in range(runs)])
    for values, cells in ((orders + n * np.arange(n), n * n), (orders[:, :-1] * n + orders[:, 1:], n * n)):
        counts = np.bincount(values.ravel(), minlength=cells).astype(float)
        counts = counts[counts > 0]  # no row follows itself
        want = counts.mean()
        statistic = float(((counts - want) ** 2 / want).sum())
        assert statistic < len(counts) + 6.0 * np.sqrt(2.0 * len(counts))
