"""Whether a fit is adequate: losses against an independent computation, the misfit test's level, power and edges."""

from typing import Any

import numpy as np
import pytest
import torch

import sfbench
from sfbench.fusion.adequacy import Adequacy, adequacy
from sfbench.nets import NetworkScore
from sfbench.statistics import score_statistics
from sfbench.statistics.residuals import Residuals
from solvers import solve
from synthetic import GaussianMixture, make_problem

from ..common import Foreign, settings
from ..nets.exact_networks import ExactNetwork

OU = sfbench.OrnsteinUhlenbeck()
PAIR = [GaussianMixture([0.5, 0.5], [[-2.0], [0.0]], 0.3), GaussianMixture([0.4, 0.6], [[0.5], [2.5]], 0.3)]
SHIFTED = [GaussianMixture([1.0], [m], 1.0) for m in ([-1.5, 0.0], [1.5, 0.0], [0.0, 2.0])]


def judged(models: Any, x: np.ndarray, rng: int = 0, **options: Any) -> Adequacy:
    """By the pass of models that nothing is known about."""
    rule = settings(**options)
    residuals = Residuals(rule)
    foreign = [Foreign(model, OU) for model in models]
    fitted = score_statistics(foreign, x, rule, residuals=residuals, rng=rng)
    return adequacy(residuals, np.asarray(solve(fitted.at().to_qp()).weights))


def shifted(weights: list[float], variance: float = 1.0) -> GaussianMixture:
    """The fused law of the shifted Gaussians."""
    return GaussianMixture([1.0], [np.array(weights) @ np.vstack([law.means for law in SHIFTED])], variance)


def test_losses_are_those_of_an_independent_computation() -> None:
    rule, x = settings(n_nodes=3), shifted([0.5, 0.3, 0.2]).sample(40, rng=0)
    foreign = [Foreign(law, OU) for law in SHIFTED]
    residuals = Residuals(rule)
    fitted = score_statistics(foreign, x, rule, residuals=residuals, rng=5)
    w = np.asarray(solve(fitted.at().to_qp()).weights)
    found = adequacy(residuals, w)
    noise = np.random.default_rng(5).spawn(2)[0].standard_normal(x.shape)

    def loss(weights: np.ndarray) -> float:
        total = 0.0
        for t in rule.grid.nodes.tolist():
            alpha, sigma = float(OU.alpha(t)), float(OU.sigma(t))
            for z in (noise, -noise):
                score = sum(v * m.score(alpha * x + sigma * z, t) for v, m in zip(weights, foreign, strict=True))
                total += ((sigma * score + z) ** 2).mean() / 6
        return total

    assert found.fused == pytest.approx(loss(w), rel=1e-12)
    assert found.equal == pytest.approx(loss(np.full(3, 1 / 3)), rel=1e-12)
    np.testing.assert_allclose(found.single, [loss(corner) for corner in np.eye(3)], rtol=1e-12)
    free = [loss(np.array([1 - a - b, a, b])) for a in (0.2, 0.3, 0.4) for b in (0.1, 0.2, 0.3)]
    assert found.unconstrained <= min(*free, found.fused) + 1e-12
    assert found.over_single[0] == pytest.approx(found.single.min() - found.fused, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("weights", [[0.5, 0.3, 0.2], [0.7, 0.3, 0.0], [0.0, 0.0, 1.0]])
def test_targets_in_the_family_pass(weights: list[float]) -> None:
    """P-values over 24 draws: uniform, so none is tiny and their mean is near one half."""
    values = [judged(SHIFTED, shifted(weights).sample(300, rng=i), rng=i).p_value for i in range(24)]
    assert min(values) > 1e-3
    assert 0.3 < np.mean(values) < 0.7


@pytest.mark.parametrize(
    "target",
    [
        shifted([0.5, 0.3, 0.2], 1.3),
        GaussianMixture([1.0], [[-1.0, 4.0]], 1.0),
        GaussianMixture([0.5, 0.5], [[-0.9, 0.5], [0.9, 0.5]], 0.6),
        GaussianMixture([0.9, 0.1], [[0.0, 0.5], [0.0, 0.5]], [0.5, 5.0]),
    ],
    ids=["wider", "elsewhere", "two modes", "heavy tails"],
)
def test_targets_outside_of_the_family_are_refused(target: GaussianMixture) -> None:
    found = judged(SHIFTED, target.sample(1500, rng=0))
    assert found.p_value < 1e-6
    assert found.misfit > 0.003
    assert "better model would take about" in found.verdict(("a", "b", "c"))


def test_the_size_of_the_misfit_is_a_lower_estimate() -> None:
    """The excess loss over the target's own score, which is known here."""
    target = GaussianMixture([0.5, 0.5], [[-0.9, 0.5], [0.9, 0.5]], 0.6)
    x = target.sample(4000, rng=0)
    found, best = judged(SHIFTED, x), judged([target], x)
    assert 0.5 * (found.fused - best.fused) < found.misfit < 1.1 * (found.fused - best.fused)
    assert best.misfit < 1e-3


def test_directions_in_which_all_models_agree_are_looked_at_too() -> None:
    """Exact laws are reduced to one coordinate by the pass, in which this target is a perfect fit."""
    models = [GaussianMixture([1.0], [[m, *[0.0] * 11]], 1.0) for m in (-1.0, 1.0)]
    x = GaussianMixture([1.0], [[0.0, *[1.0] * 11]], 1.0).sample(1000, rng=0)
    found = sfbench.fuse(models, x, process=OU, rng=0)
    assert found.adequacy is not None
    assert found.adequacy.p_value < 1e-6
    assert "adequate: no" in found.summary()
    inside = sfbench.fuse(models, GaussianMixture([1.0], [[0.0] * 12], 1.0).sample(1000, rng=0), process=OU, rng=0)
    assert "adequate: yes" in inside.summary()


def test_wrong_and_useless_fits_say_so() -> None:
    arithmetic = GaussianMixture([0.25, 0.25, 0.2, 0.3], [[-2.0], [0.0], [0.5], [2.5]], 0.3)
    found = sfbench.fuse(PAIR, arithmetic.sample(1000, rng=0), process=OU, rng=0)
    assert "adequate: no" in found.summary()
    assert "optimal: yes" in found.summary()
    vertex = sfbench.fuse(PAIR, PAIR[0].sample(1000, rng=0), process=OU, rng=0)
    assert "adequate: yes" in vertex.summary()


def test_few_rows_and_one_model() -> None:
    few = judged(SHIFTED, shifted([0.5, 0.3, 0.2]).sample(20, rng=0))
    assert np.isnan(few.p_value)
    assert "not known" in few.verdict(("a", "b", "c"))
    assert few.to_dict()["p_value"] is None
    one = judged(PAIR[:1], PAIR[0].sample(500, rng=0))
    assert one.p_value > 1e-3
    assert judged(PAIR[:1], PAIR[1].sample(500, rng=0)).p_value < 1e-6
    assert "best single" not in one.verdict(("a",))
    assert np.isnan(judged(SHIFTED, np.zeros((1, 2))).p_value)


@pytest.mark.parametrize("options", [{"estimator": "dsm"}, {"n_noise": 3}, {"weighting": "sigma2"}])
def test_any_estimator(options: dict[str, Any]) -> None:
    assert judged(SHIFTED, shifted([0.5, 0.3, 0.2]).sample(500, rng=0), **options).p_value > 1e-3
    assert judged(SHIFTED, shifted([0.5, 0.3, 0.2], 2.0).sample(500, rng=0), **options).p_value < 1e-6


@pytest.mark.slow
def test_networks_are_judged_by_the_pass_itself() -> None:
    """Tensors and arrays give the same numbers, from evaluations that the fit makes anyway; files keep them."""
    x = shifted([0.5, 0.3, 0.2]).sample(300, rng=0)
    networks = [NetworkScore(ExactNetwork(law, OU, "epsilon"), 2, OU, "epsilon") for law in SHIFTED]
    options: dict[str, Any] = {"process": OU, "n_nodes": 6, "rng": 0}
    found = sfbench.fuse(networks, torch.from_numpy(x), **options).adequacy
    host = sfbench.fuse([Foreign(law, OU) for law in SHIFTED], x, **options).adequacy
    assert isinstance(found, Adequacy)
    assert isinstance(host, Adequacy)
    np.testing.assert_allclose(found.single, host.single, rtol=1e-9)
    assert found.p_value == pytest.approx(host.p_value, rel=1e-6)
    assert found.linear == pytest.approx(host.linear, rel=1e-9)


def test_files_keep_it(tmp_path: Any) -> None:
    fit = sfbench.fuse(SHIFTED, shifted([0.5, 0.3, 0.2]).sample(300, rng=0), process=OU, rng=0)
    kept = sfbench.load_result(fit.save(tmp_path / "fit"))
    assert kept.adequacy.to_dict() == fit.adequacy.to_dict()
    assert kept.summary() == fit.summary()
    assert fit.to_dict()["adequacy"]["p_value"] == fit.adequacy.p_value


def test_exact_laws_are_judged_on_a_loader_too() -> None:
    problem = make_problem("shifted_gaussians", k=2, d=3)
    x = problem.target.sample(200, rng=0)
    loader = torch.utils.data.DataLoader(torch.from_numpy(x), batch_size=64)
    by_loader, by_array = (sfbench.fuse(problem.auxiliaries, data, process=OU, rng=0) for data in (loader, x))
    assert np.array_equal(by_loader.weights, by_array.weights)
    assert by_loader.adequacy is not None
    assert by_array.adequacy is not None
    assert by_loader.adequacy.to_dict() == by_array.adequacy.to_dict()
