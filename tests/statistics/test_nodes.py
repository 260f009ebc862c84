"""Statistics by time node: windows, parts, weightings and samples are views of one pass; estimators are objects."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import sfbench
from sfbench import GramError, ModelError, TimeGrid, prefix_grams, score_gram, simulated_grams
from sfbench.statistics import (
    AbstractEstimator,
    NodeStatistics,
    known_estimators,
    register_estimator,
    score_statistics,
)
from sfbench.statistics.nodes import part_edges
from synthetic import SyntheticProblem, make_problem

from ..common import Foreign, settings, streamed


def part_of(rule: sfbench.GramSettings, nodes: slice) -> sfbench.GramSettings:
    grid = TimeGrid(rule.grid.nodes[nodes], rule.grid.weights[nodes])
    return sfbench.GramSettings(rule.process, grid, rule.estimator, rule.weighting, rule.n_noise)


@pytest.fixture(scope="module", params=["reduced", "streamed"])
def statistics(request: pytest.FixtureRequest, reference: SyntheticProblem) -> NodeStatistics:
    rule = settings("dsm", n_nodes=7)
    laws = reference.auxiliaries if request.param == "reduced" else streamed(reference.auxiliaries, rule)
    return score_statistics(laws, reference.target.sample(300, rng=0), rule, keep=40, parts=3, rng=1)


@pytest.mark.parametrize("nodes", [slice(None), slice(0, 2), slice(2, 4), slice(3, 6), slice(4, 7)])
def test_a_window_is_what_a_pass_over_it_gives(
    nodes: slice, statistics: NodeStatistics, reference: SyntheticProblem
) -> None:
    view, x = statistics.at(nodes), reference.target.sample(300, rng=0)
    alone = score_gram(reference.auxiliaries, x, part_of(settings("dsm", n_nodes=7), nodes), keep=40, rng=1)
    assert np.allclose(view.G, alone.G, rtol=1e-12)
    assert np.allclose(view.b, alone.b, rtol=1e-12)
    assert view.objective == alone.objective
    kept = view.contributions
    assert (kept is None) == (nodes in (slice(3, 6),))  # parts start at nodes 0, 2 and 4
    if kept is not None:
        assert np.allclose(kept.g, alone.contributions.g, rtol=1e-12, atol=1e-15)
        assert np.allclose(kept.b, alone.contributions.b, rtol=1e-11, atol=1e-14)


def test_parts_add_up_and_samples_merge(statistics: NodeStatistics, reference: SyntheticProblem) -> None:
    parts = statistics.by_part()
    assert [len(part.contributions.counts) for part in parts] == [38, 38, 38]  # batches of 8 samples, at most 40
    assert np.allclose(sum(part.G for part in parts), statistics.at().G, rtol=1e-13)
    other = score_statistics(reference.auxiliaries, reference.target.sample(100, rng=5), statistics.settings, rng=6)
    merged = (statistics + other).at()
    assert merged.n == 400
    assert np.allclose(merged.b, (statistics.at() + other.at()).b, rtol=1e-13)
    with pytest.raises(GramError, match="different objectives"):
        statistics + replace(other, settings=replace(other.settings, weighting="sigma2"), parts=())


@pytest.mark.parametrize("window", [slice(3, 3), slice(0, 7, 2), slice(8, 9)])
def test_windows_without_nodes_or_with_gaps_are_refused(window: slice, statistics: NodeStatistics) -> None:
    with pytest.raises(GramError, match="consecutive nodes out of 7"):
        statistics.at(window)


def test_edges_of_parts() -> None:
    assert part_edges(7, 2) == (0, 3, 7)
    assert part_edges(1, 1) == (0, 1)
    assert part_edges(16, 4) == (0, 4, 8, 12, 16)


# ---------------------------------------------------------------------- estimators
@dataclass(frozen=True)
class SteinAtSmallNoise(AbstractEstimator):
    """Divergences where the noise is small, and the noise term, which needs none, elsewhere."""

    switch: float = 0.5
    signs: ClassVar[tuple[float, ...]] = (1.0,)

    def noise_share(self, alpha: float, sigma: float) -> float:
        return 0.0 if sigma < self.switch else 0.75


def test_an_estimator_of_ones_own_is_taken_by_object_and_by_name(reference: SyntheticProblem) -> None:
    register_estimator("stein_at_small_noise", SteinAtSmallNoise)
    assert "stein_at_small_noise" in known_estimators()
    x, process = reference.target.sample(400, rng=0), sfbench.OrnsteinUhlenbeck()
    by_object, by_name = (
        sfbench.fuse(reference.auxiliaries, x, process=process, estimator=estimator, rng=0)
        for estimator in (SteinAtSmallNoise(), "stein_at_small_noise")
    )
    assert np.array_equal(by_object.weights, by_name.weights)
    noise, bend = (score_statistics(reference.auxiliaries, x, settings(name), rng=0).b for name in ("dsm", "stein"))
    rule = settings(SteinAtSmallNoise())
    mixed = score_statistics(reference.auxiliaries, x, rule, rng=0).b
    small = np.array([sigma < 0.5 for _, sigma in rule.coefficients])
    assert 0 < small.sum() < len(small)
    assert np.allclose(mixed[small], bend[small], rtol=1e-12)
    assert np.allclose(mixed[~small], 0.75 * noise[~small] + 0.25 * bend[~small], rtol=1e-12)


@pytest.mark.parametrize("moments", [True, False])
def test_an_estimator_of_ones_own_is_unbiased_on_gaussians_by_moments_and_by_terms(
    moments: bool, shifted: SyntheticProblem
) -> None:
    rule, x = settings(SteinAtSmallNoise()), shifted.target.sample(300, rng=3)
    a = score_gram(shifted.auxiliaries, x, rule, keep=0 if moments else 300, rng=4)
    b = score_gram(shifted.auxiliaries, x, rule, keep=10, rng=4)
    assert np.allclose(a.b, b.b, rtol=1e-11, atol=1e-13)
    assert np.allclose(a.G, b.G, rtol=1e-11, atol=1e-13)


def test_divergences_are_asked_for_only_where_they_are_used(reference: SyntheticProblem) -> None:
    models = [Foreign(law, sfbench.OrnsteinUhlenbeck()) for law in reference.auxiliaries]  # without divergences
    x = reference.target.sample(20, rng=0)
    late = settings(SteinAtSmallNoise(0.01), t_min=0.5)
    with pytest.raises(ModelError, match="needs models with score_and_divergence"):
        score_gram(models, x, late)

    @dataclass(frozen=True)
    class NoiseLater(AbstractEstimator):
        def noise_share(self, alpha: float, sigma: float) -> float:
            return 0.0 if sigma < 0.5 else 1.0

    assert score_gram(models, x, settings(NoiseLater(), t_min=0.5), rng=0).n == 20
    with pytest.raises(ModelError, match=r"estimator .*NoiseLater.* needs models with score_and_divergence"):
        score_gram(models, x, settings(NoiseLater(), t_min=0.01), rng=0)


def test_the_estimator_of_the_documentation_runs(reference: SyntheticProblem) -> None:
    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    block = next(b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "AbstractEstimator" in b)
    namespace: dict[str, object] = {}
    exec(compile(block, "extending.md", "exec"), namespace)
    x, process = reference.target.sample(2000, rng=0), sfbench.OrnsteinUhlenbeck()
    weights = [
        sfbench.fuse(reference.auxiliaries, x, process=process, estimator=estimator, rng=1).weights
        for estimator in (namespace["SteinAtSmallNoise"](), "antithetic")
    ]
    assert weights[0] == pytest.approx(weights[1], abs=0.05)


@pytest.mark.parametrize("estimator", ["stien", None, 3, SteinAtSmallNoise])
def test_unknown_estimators_are_named(estimator: object) -> None:
    with pytest.raises(
        GramError, match=r"unknown estimator 'stien' .did you mean|a name or an AbstractEstimator object"
    ):
        settings(estimator)


@pytest.mark.parametrize("sizes", [[64, 128, 320], [48, 96], [50, 131], [320]])
@pytest.mark.parametrize("keep", [1, 7, 90])
def test_terms_of_the_last_prefix_average_to_its_statistics(sizes: list[int], keep: int) -> None:
    problem = make_problem("embedded_mixture", d=8, k=3, rng=0)
    arguments = problem.auxiliaries, problem.target, settings("antithetic", n_nodes=3)
    *earlier, last = simulated_grams(*arguments, sizes, keep=keep, rng=2)
    alone = simulated_grams(*arguments, sizes[-1:], rng=2)[0]
    np.testing.assert_allclose(last.G, alone.G, rtol=1e-12, atol=1e-12)
    kept = last.contributions
    assert kept is not None
    assert kept.n == sizes[-1]
    np.testing.assert_allclose(kept.counts @ kept.b / kept.n, last.b, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.tensordot(kept.counts, kept.g, 1) / kept.n, last.G, rtol=1e-10, atol=1e-12)
    assert all(gram.contributions is None for gram in earlier)


@pytest.mark.parametrize("sizes", [[64, 128, 320], [48, 144, 240], [50, 131]])
@pytest.mark.parametrize("reduced", [True, False])
def test_prefixes_are_fits_to_their_rows(sizes: list[int], reduced: bool) -> None:
    problem, rule = make_problem("embedded_mixture", d=8, k=3, rng=0), settings("antithetic", n_nodes=3)
    laws = problem.auxiliaries
    x, models = problem.target.sample(320, rng=1), laws if reduced else streamed(laws, rule)
    for size, gram in zip(sizes, prefix_grams(models, x, rule, sizes, rng=2), strict=True):
        alone = score_gram(models, x[:size], rule, rng=2)
        np.testing.assert_allclose(gram.G, alone.G, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(gram.b, alone.b, rtol=1e-10, atol=1e-12)
        assert gram.n == size
