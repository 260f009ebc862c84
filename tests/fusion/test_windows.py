"""The window diagnostic finds nodes at which networks err by more than they differ, and passes exact scores."""

from dataclasses import dataclass

import numpy as np
import pytest

import sfbench
from sfbench import AnalyticScore, GramError, time_grid
from sfbench.nets import inspect_windows
from synthetic import GaussianMixture

OU = sfbench.OrnsteinUhlenbeck()
LAWS = [GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.2), GaussianMixture([0.3, 0.7], [[-0.8], [0.7]], 0.3)]
GRID = time_grid(1e-2, 4.0, 8)


@dataclass(frozen=True)
class Erring:
    """An exact score plus an error along the other law's difference, large at late times only."""

    law: AnalyticScore
    other: AnalyticScore
    share: float
    start: float
    dim: int = 1

    def score(self, x, t):
        own = self.law.score(x, t)
        return own + (self.share * (self.other.score(x, t) - own) if t > self.start else 0.0)


def held_out(n=4000):
    return [law.sample(n, rng=i) for i, law in enumerate(LAWS)]


def test_exact_scores_pass_where_there_are_data_enough():
    report = inspect_windows([AnalyticScore(law, OU) for law in LAWS], held_out(), process=OU, grid=GRID)
    early = GRID.nodes < 1.0
    assert report.meaningful[early].all()
    assert not report.undecided[early].any()
    assert np.all(np.diff(report.difference[:, 0][GRID.nodes > 0.3]) < 0)  # laws become alike


def test_errors_at_late_times_are_found_and_measured():
    exact = [AnalyticScore(law, OU) for law in LAWS]
    models = [Erring(exact[0], exact[1], 0.6, 0.5), exact[1]]
    report = inspect_windows(models, held_out(), process=OU, grid=GRID)
    late = (GRID.nodes > 0.5) & (GRID.nodes < 1.0)
    assert late.any()
    assert not report.meaningful[late].any()
    # s_0 moved by 0.6 towards s_1: the remaining difference is 0.4 of the old one, so the ratio is 0.6 / 0.4.
    np.testing.assert_allclose(report.ratio[late, 0], 1.5, rtol=0.15)
    low, high = report.window()
    assert low == GRID.nodes[0]
    assert high == GRID.nodes[GRID.nodes <= 0.5][-1]
    assert any("exclude this node" in message for message in report.messages())


def test_too_few_data_are_undecided():
    report = inspect_windows(
        [AnalyticScore(law, OU) for law in LAWS], held_out(8), process=OU, grid=time_grid(1.5, 1.5), n_noise=1
    )
    assert report.undecided.any() or not report.meaningful.any()
    assert report.messages()


def test_no_meaningful_node():
    exact = [AnalyticScore(law, OU) for law in LAWS]
    models = [Erring(exact[0], exact[1], 0.7, 0.0), exact[1]]
    with pytest.raises(GramError, match="at no time node"):
        inspect_windows(models, held_out(500), process=OU, grid=time_grid(0.1, 0.5, 3)).window()


def test_bad_input():
    exact = [AnalyticScore(law, OU) for law in LAWS]
    with pytest.raises(GramError, match="at least two"):
        inspect_windows(exact[:1], held_out()[:1], process=OU, grid=GRID)
    with pytest.raises(GramError, match="each of the 2"):
        inspect_windows(exact, held_out()[:1], process=OU, grid=GRID)
    with pytest.raises(GramError, match="at least 2 points"):
        inspect_windows(exact, held_out(1), process=OU, grid=GRID)


class Trained:
    """A score that says for which times it was trained."""

    def __init__(self, law: GaussianMixture, t_range: tuple[float, float]) -> None:
        self.dim, self.t_range, self._exact = law.dim, t_range, sfbench.AnalyticScore(law, OU)
        self.asked: list[float] = []

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        self.asked.append(t)
        return self._exact.score(x, t)


def test_a_default_window_keeps_to_the_times_that_all_models_were_trained_for() -> None:
    laws = [GaussianMixture([1.0], [[m]], 1.0) for m in (-1.0, 1.0)]
    models = [Trained(laws[0], (0.01, 9.0)), Trained(laws[1], (1e-5, 2.0))]
    x = np.random.default_rng(0).standard_normal((50, 1))
    fit = sfbench.fuse(models, x, process=OU, rng=0)  # the look at reversed times, too
    assert fit.grid.ends == (0.01, 2.0)
    assert all(low <= min(m.asked) and max(m.asked) <= high for m in models for low, high in [m.t_range])
    assert not any("t_range" in text for text in fit.warnings)
    with pytest.warns(sfbench.FitWarning, match=r"window \[0\.01, 5\] leaves \[0\.01, 2\]"):
        beyond = sfbench.fuse(models, x, process=OU, t_max=5.0, rng=0)
    assert beyond.grid.ends == (0.01, 5.0)
    assert any("t_range" in text for text in beyond.warnings)
    assert sfbench.fuse(laws, x, process=OU, rng=0).grid.ends == (1e-3, 5.0)
    with pytest.warns(
        sfbench.FitWarning, match=r"window \[0\.001, 2\] leaves"
    ):  # what is given is kept, even the default
        assert sfbench.fuse(models, x, process=OU, t_min=1e-3, rng=0).grid.ends == (1e-3, 2.0)
    with pytest.raises(sfbench.GridError, match="no time is one that all"):
        sfbench.fuse([Trained(laws[0], (0.01, 0.1)), Trained(laws[1], (0.2, 1.0))], x, process=OU)
