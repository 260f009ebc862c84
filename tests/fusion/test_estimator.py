"""The estimator of scikit-learn: its own suite, and the numbers of `fuse`, `sample` and exact laws."""

import importlib
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

import sfbench
from synthetic import GaussianMixture, SyntheticProblem

OU = sfbench.OrnsteinUhlenbeck()
NOT_APPLICABLE = {
    "check_array_api_input": "needs SCIPY_ARRAY_API; statistics are summed in float64 on the host",
    "check_sample_weights_pandas_series": "needs pandas, which the project does not use",
}


def two(d: int) -> list[GaussianMixture]:
    return [GaussianMixture([1.0], np.full((1, d), mean), 1.0) for mean in (-1.0, 1.0)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_passes_the_suite_of_scikit_learn() -> None:
    results = check_estimator(sfbench.FusionEstimator(two, OU, n_nodes=4, steps=8, random_state=0), on_fail=None)
    assert len(results) > 40
    not_passed = {r["check_name"]: r["exception"] for r in results if r["status"] != "passed"}
    assert set(not_passed) <= set(NOT_APPLICABLE), not_passed


def test_parameters_are_read_set_and_cloned(shifted: SyntheticProblem) -> None:
    fit = sfbench.FusionEstimator(shifted.auxiliaries, OU, t_max=2.0, random_state=3)
    assert fit.get_params()["t_max"] == 2.0
    x = shifted.target.sample(100, rng=0)
    with pytest.raises(NotFittedError):
        fit.score_samples(x)
    assert fit.fit(x) is fit
    other = clone(fit).set_params(t_max=1.0)
    assert not hasattr(other, "result_")
    assert other.fit(x).result_.grid.nodes[-1] < 1.0 < fit.result_.grid.nodes[-1]
    assert np.array_equal(clone(fit).fit(x).weights_, fit.weights_)


@pytest.mark.slow
def test_it_fits_and_samples_what_the_functions_do(shifted: SyntheticProblem) -> None:
    models = dict(zip("abc", shifted.auxiliaries, strict=True))
    x = shifted.target.sample(100, rng=0)
    fit = sfbench.FusionEstimator(models, OU, random_state=np.random.default_rng(7)).fit(x)
    assert np.array_equal(fit.weights_, sfbench.fuse(models, x, process=OU, rng=np.random.default_rng(7)).weights)
    assert fit.result_.names == ("a", "b", "c")
    once = (np.arange(100) < 50).astype(float)
    halved = clone(fit).fit(x, sample_weight=once)
    assert halved.result_.effective_n == pytest.approx(50.0)
    seeded = fit.set_params(random_state=1).sample(50)
    assert seeded.shape == (50, 5)
    assert np.array_equal(seeded, fit.sample(50))
    assert not np.array_equal(seeded, fit.set_params(random_state=np.random.RandomState(1)).sample(50))
    with pytest.raises(sfbench.ModelError, match="X has 4 features, and the models have dimension 5"):
        fit.fit(x[:, :4])


@pytest.mark.slow
def test_scores_are_log_densities(shifted: SyntheticProblem) -> None:
    x = shifted.target.sample(30, rng=0)
    fit = sfbench.FusionEstimator(shifted.auxiliaries, OU, random_state=0).fit(x)
    law = shifted.barycenter(fit.weights_)  # for Gaussians of one covariance, the fused law but for alpha(5) = 0.007
    assert fit.score_samples(x) == pytest.approx(law.log_prob(x), abs=0.02)
    assert fit.score(x) == pytest.approx(float(np.mean(law.log_prob(x))), abs=0.02)
    assert cross_val_score(clone(fit).set_params(steps=8), x, cv=2).shape == (2,)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: Any = sys.modules
    monkeypatch.setitem(modules, "sklearn.base", None)
    monkeypatch.delitem(modules, "sfbench.fusion.estimator", raising=False)
    assert "FusionEstimator" in dir(sfbench)
    assert "FusionEstimator" not in sfbench.__all__  # import * does not need it
    with pytest.raises(ImportError, match=r"pip install 'sfbench\[sklearn\]'"):
        importlib.import_module("sfbench.fusion.estimator")
