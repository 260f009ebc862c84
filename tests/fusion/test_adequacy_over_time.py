"""Adequacy of weights that change with time: losses, level, power, and what keeps it."""

import numpy as np
import pytest

import sfbench
from sfbench import FusionOverTime
from synthetic import GaussianMixture

from ..common import Foreign
from .test_adequacy import OU, SHIFTED, shifted

FOREIGN = [Foreign(law, OU) for law in SHIFTED]


def fitted(x: np.ndarray, bins: int = 2, rng: int = 0) -> FusionOverTime:
    return sfbench.fuse(FOREIGN, x, process=OU, bins=bins, n_nodes=6, rng=rng)


def test_losses_are_those_of_an_independent_computation() -> None:
    x = shifted([0.5, 0.3, 0.2]).sample(60, rng=0)
    fit = fitted(x, rng=5)
    noise, total, linear = np.random.default_rng(5).spawn(2)[0].standard_normal(x.shape), 0.0, fit.adequacy
    for t in fit.statistics.settings.grid.nodes.tolist():
        alpha, sigma = float(OU.alpha(t)), float(OU.sigma(t))
        for z in (noise, -noise):
            error = sigma * fit.score.score(alpha * x + sigma * z, t) + z
            total += (error**2).mean() / 12
    assert linear is not None
    assert linear.fused == pytest.approx(total, rel=1e-12)
    assert linear.unconstrained <= linear.fused <= min(linear.equal, *linear.single) + 1e-12


def test_one_bin_is_the_constant_fit() -> None:
    x = shifted([0.5, 0.3, 0.2]).sample(300, rng=0)
    one = fitted(x, bins=1).adequacy
    constant = sfbench.fuse(FOREIGN, x, process=OU, n_nodes=6, rng=0).adequacy
    assert one is not None
    assert constant is not None
    for name in ("fused", "equal", "unconstrained", "linear"):
        assert getattr(one, name) == pytest.approx(getattr(constant, name), rel=1e-9)
    np.testing.assert_allclose(one.over_single, constant.over_single, rtol=1e-6)


@pytest.mark.slow
def test_level_and_power() -> None:
    """P-values are corrected for the number of bins: above uniform ones in the family, tiny outside of it."""
    inside = [fitted(shifted([0.5, 0.3, 0.2]).sample(300, rng=i), 3, i).adequacy for i in range(12)]
    values = [found.p_value for found in inside if found is not None]
    assert min(values) > 1e-3
    assert np.mean(values) > 0.3
    target = GaussianMixture([0.5, 0.5], [[-0.9, 0.5], [0.9, 0.5]], 0.6)
    with pytest.warns(sfbench.FitWarning, match="misfit|worse than a linear"):
        outside = fitted(target.sample(1500, rng=0), 3)
    assert outside.adequacy is not None
    assert outside.adequacy.p_value < 1e-6
    assert "better model would take about" in outside.summary()
    assert len(outside.warnings) == outside.summary().count("warning: ")


def test_exact_laws_are_judged_when_asked_and_files_keep_the_answer(tmp_path) -> None:
    x = shifted([0.5, 0.3, 0.2]).sample(400, rng=0)
    fit = sfbench.fuse(SHIFTED, x, process=OU, bins=2, n_nodes=6, rng=0)
    assert callable(fit.judged)
    assert "adequate: yes" in fit.summary()
    fit.save(tmp_path)
    kept = sfbench.load_result(tmp_path)
    assert kept.to_dict()["adequacy"] == fit.to_dict()["adequacy"]
    weighted = sfbench.fuse(SHIFTED, x, process=OU, bins=2, n_nodes=6, sample_weight=np.ones(400), rng=0).adequacy
    assert weighted is not None
    assert weighted.fused == pytest.approx(fit.adequacy.fused, rel=1e-9)


def test_smoothed_and_few() -> None:
    with pytest.warns(sfbench.FitWarning, match="only n = 20"):
        few = fitted(shifted([0.5, 0.3, 0.2]).sample(20, rng=0))
    assert "not known" in few.summary()
