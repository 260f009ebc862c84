import numpy as np
import pytest

from sfbench.errors import ModelError
from sfbench.laws import GridDensity, PlanarDensity, fokker_planck_1d, fokker_planck_2d, fused_law
from sfbench.processes import OrnsteinUhlenbeck
from sfbench.sampling import sample
from sfbench.scores import AnalyticScore, FusedScore, ProductScore
from synthetic import GaussianMixture, IntractableError, make_problem

OU = OrnsteinUhlenbeck()
PAIR = (
    GaussianMixture([0.5, 0.5], [[-1.0, 0.5], [1.2, -0.5]], 0.15),
    GaussianMixture([0.7, 0.3], [[-1.0, -0.5], [1.0, 0.8]], 0.15),
)


@pytest.mark.slow
def test_vertex_is_the_auxiliary_and_refinement_converges():
    fused = FusedScore(PAIR, (1.0, 0.0), process=OU)
    marginal = AnalyticScore(PAIR[0], OU).marginal(5e-5)
    errors = [
        fokker_planck_2d(fused, n_cells=n, steps=s).total_variation(marginal).value for n, s in ((32, 20), (64, 40))
    ]
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.03


@pytest.mark.slow
def test_fused_law_agrees_with_samples():
    fused = FusedScore(PAIR, (0.5, 0.5), process=OU)
    exact = fokker_planck_2d(fused, n_cells=64, steps=40)
    x = sample(fused, 8000, steps=64, rng=0).x
    for axis in (0, 1):
        marginal = exact.marginal(axis)
        gaps = np.abs(np.searchsorted(np.sort(x[:, axis]), marginal.edges) / len(x) - marginal.cdf(marginal.edges))
        assert gaps.max() < 0.03
    assert exact.density.sum() * exact.cell == pytest.approx(1.0)


@pytest.mark.slow
def test_independent_coordinates_factorise():
    """Auxiliaries that differ in x alone: the plane's marginal is the line's law."""
    line = (GaussianMixture([0.5, 0.5], [[-1.0], [1.2]], 0.2), GaussianMixture([0.8, 0.2], [[-1.0], [1.0]], 0.2))
    plane = [GaussianMixture(p.weights, np.hstack([p.means, np.zeros((2, 1))]), 0.2) for p in line]
    exact = fokker_planck_2d(FusedScore(plane, (0.5, 0.5), process=OU), n_cells=64, steps=40).marginal(0)
    reference = fokker_planck_1d(FusedScore(line, (0.5, 0.5), process=OU), n_cells=800, steps=100)
    assert exact.total_variation(reference).value < 0.03
    assert np.abs(exact.cdf(exact.edges) - reference.cdf(exact.edges)).max() < 0.01


@pytest.mark.slow
def test_the_stated_error_covers_the_true_one():
    """Two independent copies of a pair on the line, whose law is known far better than the plane's."""
    line = make_problem("paper_mixture_1d", scale=6.0).auxiliaries
    one = fokker_planck_1d(FusedScore(line, (0.5, 0.5), process=OU), t_min=1e-2, n_cells=1500, steps=120)
    copies = [ProductScore(AnalyticScore(law, OU), 2) for law in line]
    for n_cells in (47, 64):  # odd numbers are rounded up
        plane = fokker_planck_2d(FusedScore(copies, (0.5, 0.5), process=OU), t_min=1e-2, n_cells=n_cells, steps=40)
        masses = np.outer(np.diff(one.cdf(plane.x_edges)), np.diff(one.cdf(plane.y_edges)))
        true = 0.5 * (np.abs(plane.density * plane.cell - masses).sum() + 1.0 - masses.sum())
        assert true < plane.error < 4.0 * true


@pytest.mark.slow
def test_fused_law_reduces_embedded_problems():
    problem = make_problem("embedded_mixture", rank=1, d=50, k=2, rng=1)
    law = fused_law(problem.auxiliaries, (0.5, 0.5), process=OU, n_cells=400, steps=60)
    assert isinstance(law, GridDensity)
    flat = fused_law(PAIR, (0.5, 0.5), process=OU, n_cells=16, steps=8)
    assert isinstance(flat, PlanarDensity)
    with pytest.raises(IntractableError, match="two dimensions"):
        fused_law(make_problem("random_mixtures", k=2, d=5, rng=0).auxiliaries, (0.5, 0.5), process=OU)


def test_refuses_other_dimensions():
    with pytest.raises(ModelError, match="dim 1"):
        fokker_planck_2d(FusedScore([GaussianMixture([1.0], [[0.0]], 1.0)], [1.0], process=OU))
