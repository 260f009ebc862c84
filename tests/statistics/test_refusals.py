"""Models, data and settings from which no statistics are made: errors that name what was wrong."""

import numpy as np
import pytest

import sfbench
from sfbench import (
    GramError,
    ModelError,
    NotFiniteError,
    OrnsteinUhlenbeck,
    prefix_grams,
    score_gram,
    simulated_grams,
    time_grid,
)
from sfbench.statistics.settings import GramSettings
from synthetic import GaussianMixture, SyntheticProblem

from ..common import Foreign, settings


class NaNAt(Foreign):
    """A model whose score breaks at one time."""

    where = 1.0
    value = np.nan

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        out = super().score(x, t)
        if t > self.where:
            out[11] = self.value
        return out


@pytest.mark.parametrize("estimator", ["antithetic", "dsm"])
@pytest.mark.parametrize("value", [np.nan, np.inf, [np.inf, -np.inf]])
def test_nan_of_one_model_names_model_time_and_row(
    estimator: str, value: object, ou: sfbench.OrnsteinUhlenbeck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NaNAt, "value", value)
    monkeypatch.setattr("sfbench.statistics.samples._CHUNK_NUMBERS", 1)
    law = GaussianMixture([1.0], np.zeros((1, 2)), 1.0)
    rule = settings(estimator)
    broken = next(t for t in rule.grid.nodes if t > NaNAt.where)
    models = [Foreign(law, ou), NaNAt(GaussianMixture([1.0], np.ones((1, 2)), 1.0), ou)]
    with pytest.raises(NotFiniteError, match=rf"model 1 .* not finite at t={broken:.6g} near data row 11$"):
        score_gram(models, np.zeros((40, 2)), rule, rng=0)
    assert score_gram(models, np.zeros((40, 2)), settings(estimator, t_max=1.0), rng=0).k == 2


def test_nan_of_a_divergence_is_caught(ou: sfbench.OrnsteinUhlenbeck) -> None:
    class Diverging(Foreign):
        def score_and_divergence(self, x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
            return self.score(x, t), np.where(np.arange(len(x)) == 3, np.nan, 1.0)

    models = [Diverging(GaussianMixture([1.0], [[float(i)]], 1.0), ou) for i in range(2)]
    with pytest.raises(NotFiniteError, match=r"model 0 .* near data row 3$"):
        score_gram(models, np.zeros((9, 1)), settings("stein"), rng=0)


def test_models_of_wrong_shape_or_kind_are_refused(ou: sfbench.OrnsteinUhlenbeck) -> None:
    class Flat(Foreign):
        def score(self, x: np.ndarray, t: float) -> np.ndarray:
            return x.sum(axis=1)

    law = GaussianMixture([1.0], np.zeros((1, 2)), 1.0)
    with pytest.raises(ModelError, match=r"models\[1\] \(Flat\) returned a score of shape \(3,\) for"):
        score_gram([Foreign(law, ou), Flat(law, ou)], np.zeros((4, 2)), settings("dsm"))
    with pytest.raises(ModelError, match="'stein' needs models with score_and_divergence"):
        score_gram([Foreign(law, ou)] * 2, np.zeros((4, 2)), settings("stein"))
    with pytest.raises(ModelError, match="2 dimensions, data in 3"):
        score_gram([law, law], np.zeros((4, 3)), settings())


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros(4), GramError, r"use data\[:, None\]"),
        (np.zeros(()), GramError, r"shape \(n, d\)"),
        (np.zeros((0, 2)), GramError, "n = 0"),
        (np.zeros((3, 2), dtype=complex), GramError, "complex"),
        (np.array([["a", "b"]]), GramError, "real numbers"),
        ([[0.0, 1.0], [2.0, np.nan]], NotFiniteError, r"data\[1, 1\] is nan"),
        ([[0.0, -np.inf], [2.0, np.inf]], NotFiniteError, r"data\[0, 1\] is -inf"),
    ],
)
def test_bad_data_are_refused(x: np.ndarray, error: type[Exception], message: str) -> None:
    law = GaussianMixture([1.0], np.zeros((1, 2)), 1.0)
    with pytest.raises(error, match=message):
        score_gram([law, law], x, settings())


@pytest.mark.parametrize("sizes", [[], [0, 4], [4, 4], [5, 3]])
def test_bad_prefix_sizes_are_refused(sizes: list[int], reference: SyntheticProblem) -> None:
    x = reference.target.sample(10, rng=0)
    with pytest.raises(GramError, match="strictly increasing"):
        prefix_grams(reference.auxiliaries, x, settings(), sizes)
    with pytest.raises(GramError, match="sizes ask for 11"):
        prefix_grams(reference.auxiliaries, x, settings(), [11])


def test_bad_settings_are_refused(reference: SyntheticProblem) -> None:
    for options, message in (
        ({"estimator": "stien"}, "unknown estimator 'stien'"),
        ({"n_noise": 0}, "n_noise must be an integer of at least 1"),
        ({"n_noise": 1.5}, "n_noise must be an integer of at least 1, got 1.5"),
        ({"dtype": np.int64}, "float32 or float64"),
    ):
        with pytest.raises(GramError, match=message):
            settings(**options)
    with pytest.raises(GramError, match="n_noise > 1 needs data"):
        simulated_grams(reference.auxiliaries, reference.target, settings(n_noise=2), [4])


def test_objectives_that_weigh_times_differently_do_not_merge() -> None:
    process, grid = OrnsteinUhlenbeck(), time_grid(0.01, 2.0, 8)
    described = {
        GramSettings(process, grid, weighting=weighting).describe()
        for weighting in ("girsanov", "sigma2", lambda t: np.asarray(t) ** 2, lambda t: np.asarray(t) ** 3)
    }
    assert len(described) == 4
    again = [GramSettings(process, grid, weighting=lambda t: np.asarray(t) ** 2).describe() for _ in range(2)]
    assert again[0] == again[1]
