"""Alignment against the law moved in closed form: the score chain rule at every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbench.errors import GridError, ModelError
from sfbench.processes import OrnsteinUhlenbeck, VarianceExploding, VariancePreserving
from sfbench.sampling import sample
from sfbench.scores import AlignedScore, AnalyticScore, FusedScore, ProductScore
from synthetic import GaussianMixture, make_problem

PROCESSES = [OrnsteinUhlenbeck(), VariancePreserving(), VarianceExploding(25.0)]
LAW = GaussianMixture([0.3, 0.7], [[-1.0, 0.5], [1.5, 0.0]], [0.2, 0.4])


@settings(max_examples=40)
@given(
    st.sampled_from(PROCESSES), st.sampled_from(PROCESSES), st.floats(0.4, 3.0), st.floats(-2, 2), st.floats(0.02, 0.6)
)
def test_score_is_that_of_the_moved_law(process, own, scale, shift, share):
    t = share * process.horizon
    aligned = AlignedScore(AnalyticScore(LAW, own), scale, [shift, -shift], process=process, own_process=own)
    moved = AnalyticScore(LAW.affine(scale, [shift, -shift]), process)
    x = moved.marginal(t).sample(5, rng=0)
    np.testing.assert_allclose(aligned.score(x, t), moved.score(x, t), rtol=1e-6, atol=1e-8)
    _, divergence = aligned.score_and_divergence(x, t)
    np.testing.assert_allclose(divergence, moved.score_and_divergence(x, t)[1], rtol=1e-6, atol=1e-7)


def test_forgetting_the_time_change_is_wrong():
    process, t = PROCESSES[0], 0.5
    aligned = AlignedScore(AnalyticScore(LAW, process), 2.0, process=process)
    x = LAW.sample(20, rng=0)
    naive = AnalyticScore(LAW, process).score(x / 2.0, t) / 2.0
    assert np.abs(naive - aligned.score(x, t)).max() > 0.1


def test_own_moment_alignment_of_the_reference_problem():
    """Models trained on standardised data, fused in raw coordinates: the same as fusing the raw laws."""
    raw = make_problem("paper_mixture_1d", space="raw").auxiliaries
    process = VarianceExploding(25.0)
    models = []
    for law in raw:
        std, mean = float(np.sqrt(law.covariance()[0, 0])), float(law.mean()[0])
        models.append(
            AlignedScore(AnalyticScore(law.affine(1 / std, -mean / std), process), std, mean, process=process)
        )
    x = np.linspace(-12, 12, 9)[:, None]
    for t in (0.05, 0.4, 0.9):
        np.testing.assert_allclose(
            FusedScore(models, [0.4, 0.6], process=process).score(x, t),
            FusedScore(raw, [0.4, 0.6], process=process).score(x, t),
            rtol=1e-8,
        )
    assert sample(FusedScore(models, [0.4, 0.6], process=process), 100, steps=20, rng=0).x.shape == (100, 1)


def test_identity_changes_no_bit():
    model = AnalyticScore(LAW, PROCESSES[0])
    x = LAW.sample(4, rng=0)
    np.testing.assert_array_equal(AlignedScore(model, 1.0, process=PROCESSES[0]).score(x, 0.3), model.score(x, 0.3))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, [1.0, 2.0]])
def test_bad_scale(scale):
    with pytest.raises(ModelError, match="scale"):
        AlignedScore(AnalyticScore(LAW, PROCESSES[0]), scale, process=PROCESSES[0])


def test_bad_shift_model_and_reach():
    process = PROCESSES[1]
    with pytest.raises(ModelError, match="shift"):
        AlignedScore(AnalyticScore(LAW, process), 1.0, [0.0, 1.0, 2.0], process=process)
    with pytest.raises(ModelError, match="score model"):
        AlignedScore(LAW.means, 1.0, process=process)  # type: ignore[arg-type]
    far = AlignedScore(AnalyticScore(LAW, PROCESSES[2]), 1e-9, process=process, own_process=PROCESSES[2])
    with pytest.raises(GridError, match="log SNR"):
        far.score(np.zeros((1, 2)), 1.0)


def test_product_score_is_the_product_law():
    law = GaussianMixture([0.3, 0.7], [[-1.0], [1.5]], 0.2)
    model = ProductScore(AnalyticScore(law, PROCESSES[0]), 3)
    x = np.random.default_rng(0).standard_normal((5, 3))
    score, divergence = model.score_and_divergence(x, 0.2)
    one = AnalyticScore(law, PROCESSES[0])
    np.testing.assert_allclose(score, np.hstack([one.score(x[:, [j]], 0.2) for j in range(3)]))
    np.testing.assert_allclose(divergence, sum(one.score_and_divergence(x[:, [j]], 0.2)[1] for j in range(3)))
    assert model.blocks.tolist() == [0, 1, 2]
    with pytest.raises(ModelError, match="copies"):
        ProductScore(one, 0)
    with pytest.raises(ModelError, match="shape"):
        model.score(np.zeros((4, 2)), 0.1)
