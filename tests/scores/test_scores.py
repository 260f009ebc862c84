"""Score models: exact scores are gradients of noised log densities, fused scores are their averages."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sfbench
from sfbench import AnalyticScore, FusedScore, ModelError
from sfbench.scores import as_score_models, score_and_divergence
from synthetic import EmbeddedMixture, GaussianMixture, make_problem

from ..common import Foreign

PROCESSES = [sfbench.OrnsteinUhlenbeck(), sfbench.VariancePreserving(), sfbench.VarianceExploding(8.0)]
COVARIANCES = {"isotropic": [0.7, 1.3], "diagonal": [[0.5, 1.0, 2.0], [1.5, 0.7, 1.0]]}
FULL = np.array([[1.0, 0.4, 0.1], [0.4, 0.8, -0.2], [0.1, -0.2, 1.4]])
MEANS = [[0.0, 1.0, -1.0], [2.0, -0.5, 0.3]]


def _torch_gradient(law: GaussianMixture, process: sfbench.ForwardProcess, x: np.ndarray, t: float) -> np.ndarray:
    """Score of the noised mixture by automatic differentiation of its log density."""
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    covariance = torch.as_tensor(alpha**2 * law.spectrum.dense() + sigma**2 * np.eye(law.dim))
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.as_tensor(np.array(law.weights))),
        torch.distributions.MultivariateNormal(alpha * torch.as_tensor(np.array(law.means)), covariance),
    )
    points = torch.tensor(x, requires_grad=True)
    mixture.log_prob(points).sum().backward()
    assert points.grad is not None
    return points.grad.numpy()


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
@pytest.mark.parametrize("layout", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize("t", [1e-3, 0.2, 1.0])
def test_analytic_score_is_the_gradient_of_the_noised_log_density(
    process: sfbench.ForwardProcess, layout: str, t: float
) -> None:
    covariances = np.stack([FULL, 2 * FULL]) if layout == "full" else COVARIANCES[layout]
    law = GaussianMixture([0.4, 0.6], MEANS, covariances)
    x = np.random.default_rng(0).normal(0, 2, (20, 3))
    score = AnalyticScore(law, process).score(x, t)
    assert score == pytest.approx(_torch_gradient(law, process, x, t), abs=1e-11)
    assert not np.allclose(score, _torch_gradient(law, process, x, 1.5 * t), rtol=0.0, atol=1e-6)


def test_divergence_is_the_trace_of_the_jacobian(ou: sfbench.OrnsteinUhlenbeck) -> None:
    model = AnalyticScore(GaussianMixture([0.4, 0.6], MEANS, COVARIANCES["diagonal"]), ou)
    x, t, h = np.random.default_rng(1).normal(0, 2, (20, 3)), 0.3, 1e-5
    columns = [(model.score(x + h * e, t) - model.score(x - h * e, t)) @ e / (2 * h) for e in np.eye(3)]
    score, divergence = model.score_and_divergence(x, t)
    assert np.array_equal(score, model.score(x, t))
    assert divergence == pytest.approx(np.sum(columns, axis=0), abs=1e-8)


def test_an_embedded_mixture_keeps_its_score_in_every_dimension(ou: sfbench.OrnsteinUhlenbeck) -> None:
    law = make_problem("embedded_mixture", d=6, k=2).auxiliaries[0]
    assert isinstance(law, EmbeddedMixture)
    x, t, h = np.random.default_rng(2).normal(size=(5, 6)), 0.2, 1e-5
    model = AnalyticScore(law, ou)
    marginal = model.marginal(t)
    gradient = [(marginal.log_prob(x + h * e) - marginal.log_prob(x - h * e)) / (2 * h) for e in np.eye(6)]
    assert model.score(x, t) == pytest.approx(np.stack(gradient, axis=1), abs=1e-7)


@settings(deadline=None, max_examples=25)
@given(raw=st.tuples(*[st.floats(0, 1)] * 3).filter(lambda w: sum(w) > 1e-3), t=st.floats(1e-4, 5.0))
def test_fused_score_is_linear_in_the_weights(raw: tuple[float, ...], t: float) -> None:
    problem = make_problem("embedded_mixture", d=4, k=3)
    ou, w, x = sfbench.OrnsteinUhlenbeck(), np.array(raw) / sum(raw), np.random.default_rng(3).normal(size=(7, 4))
    fused = FusedScore(problem.auxiliaries, w, process=ou)
    parts = [AnalyticScore(law, ou).score_and_divergence(x, t) for law in problem.auxiliaries]
    score, divergence = fused.score_and_divergence(x, t)
    assert np.allclose(score, sum(wi * s for wi, (s, _) in zip(w, parts, strict=True)), rtol=1e-12)
    assert np.allclose(divergence, sum(wi * v for wi, (_, v) in zip(w, parts, strict=True)), rtol=1e-10)
    assert np.allclose(fused.score(x, t), score, rtol=1e-13, atol=1e-13)


class Poisoned(Foreign):
    """A model that must not be evaluated."""

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        return np.full_like(x, np.nan)

    def score_and_divergence(self, x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        return self.score(x, t), np.full(len(x), np.nan)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_a_vertex_returns_that_models_score_bit_for_bit(i: int, ou: sfbench.OrnsteinUhlenbeck) -> None:
    law = GaussianMixture([0.3, 0.7], MEANS, 1.1)
    models = [AnalyticScore(law, ou) if j == i else Poisoned(law, ou) for j in range(3)]
    fused, x = FusedScore(models, np.eye(3)[i], process=ou), np.random.default_rng(4).normal(size=(50, 3))
    assert np.array_equal(fused.score(x, 0.1), models[i].score(x, 0.1))
    for got, expected in zip(fused.score_and_divergence(x, 0.1), models[i].score_and_divergence(x, 0.1), strict=True):
        assert np.array_equal(got, expected)
    mixed = FusedScore(models, (np.eye(3)[i] + np.eye(3)[i - 1]) / 2, process=ou)
    assert np.isnan(mixed.score(x, 0.1)).all()


def test_foreign_models_are_fused_like_laws(ou: sfbench.OrnsteinUhlenbeck) -> None:
    laws = [GaussianMixture([0.3, 0.7], MEANS, v) for v in (0.8, 1.4)]
    x = np.random.default_rng(5).normal(size=(9, 3))
    foreign = FusedScore([Foreign(law, ou) for law in laws], [0.25, 0.75], process=ou)
    assert np.array_equal(foreign.score(x, 0.4), FusedScore(laws, [0.25, 0.75], process=ou).score(x, 0.4))
    assert foreign.dim == 3
    with pytest.raises(ModelError, match="Foreign does not know its divergence"):
        foreign.score_and_divergence(x, 0.4)
    with pytest.raises(ModelError, match="score_and_divergence"):
        score_and_divergence(foreign.models[0], x, 0.4)


def test_float32_points_give_float32_scores(ou: sfbench.OrnsteinUhlenbeck) -> None:
    model = AnalyticScore(GaussianMixture([0.3, 0.7], MEANS, 0.9), ou)
    x = np.random.default_rng(6).normal(size=(50, 3))
    single = model.score(x.astype(np.float32), 0.3)
    assert single.dtype == np.float32
    assert single == pytest.approx(model.score(x, 0.3), abs=1e-5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, 0.6], "sum to 1"),
        ([1.5, -0.5], "non-negative"),
        ([np.nan, 1.0], "finite"),
        ([1.0], "shape"),
        ([[0.5, 0.5]], "shape"),
    ],
)
def test_weights_off_the_simplex_are_refused(weights: list, message: str, ou: sfbench.OrnsteinUhlenbeck) -> None:
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    with pytest.raises(ModelError, match=message):
        FusedScore([law, law], weights, process=ou)


def test_bad_models_are_refused(ou: sfbench.OrnsteinUhlenbeck) -> None:
    line, plane = (GaussianMixture([1.0], np.zeros((1, d)), 1.0) for d in (1, 2))
    with pytest.raises(ModelError, match="no models given"):
        FusedScore([], [], process=ou)
    with pytest.raises(ModelError, match=r"one dimension, got \[1, 2\]"):
        FusedScore([line, plane], [0.5, 0.5], process=ou)
    with pytest.raises(ModelError, match=r"models\[1\] is a float"):
        FusedScore([line, 3.0], [0.5, 0.5], process=ou)


@pytest.mark.parametrize("t", [-1.0, np.nan, np.inf])
def test_a_time_that_is_none_is_refused(t: float) -> None:
    model = AnalyticScore(GaussianMixture([1.0], [[0.0]], 1.0), sfbench.OrnsteinUhlenbeck())
    with pytest.raises(sfbench.SfbenchError, match="t must be finite"):
        model.score(np.zeros((1, 1)), t)


@pytest.mark.parametrize("rng", ["seed", -1, 0.5])
def test_what_is_no_generator_is_refused(rng: object) -> None:
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    with pytest.raises(sfbench.SfbenchError, match="rng must be a Generator"):
        sfbench.fuse([law, law], np.zeros((8, 1)), process=sfbench.OrnsteinUhlenbeck(), rng=rng)  # type: ignore[arg-type]
    with pytest.raises(sfbench.SfbenchError, match="rng must be a Generator"):
        sfbench.OrnsteinUhlenbeck().perturb(np.zeros((1, 1)), 0.1, rng=rng)  # type: ignore[arg-type]


def test_a_fused_score_is_a_function_of_points_and_time(ou: sfbench.OrnsteinUhlenbeck) -> None:
    problem = make_problem("shifted_gaussians", k=2, d=3)
    fused, x = FusedScore(problem.auxiliaries, [0.3, 0.7], process=ou), np.ones((4, 3))
    assert np.array_equal(fused(x, 0.5), fused.score(x, 0.5))


@pytest.mark.parametrize("layout", ["full", "diag", "tied", "spherical"])
def test_fitted_mixtures_of_scikit_learn_are_laws(layout: str, ou: sfbench.OrnsteinUhlenbeck) -> None:
    from sklearn.mixture import GaussianMixture as SklearnMixture

    x = np.random.default_rng(0).standard_normal((200, 3)) * [1.0, 2.0, 0.5]
    fitted = SklearnMixture(2, covariance_type=layout, random_state=0).fit(x)
    (model,) = as_score_models([fitted], ou)
    assert isinstance(model, AnalyticScore)
    assert np.allclose(model.law.log_prob(x), fitted.score_samples(x), rtol=0.0, atol=1e-9)
    fit = sfbench.fuse({"a": fitted, "b": GaussianMixture([1.0], np.zeros((1, 3)), 1.0)}, x, process=ou, rng=0)
    assert fit.weights[0] > 0.9
    assert sfbench.sample(fitted, 3, process=ou, steps=4, rng=0).x.shape == (3, 3)
    with pytest.raises(ModelError, match="not fitted"):
        sfbench.fuse([SklearnMixture(2)], x, process=ou)


def test_a_bare_network_is_told_what_to_wrap_it_in(ou: sfbench.OrnsteinUhlenbeck) -> None:
    with pytest.raises(ModelError, match=r"Linear.*wrap a network in sfbench\.nets\.NetworkScore"):
        sfbench.fuse([torch.nn.Linear(2, 2)], np.ones((9, 2)), process=ou)
