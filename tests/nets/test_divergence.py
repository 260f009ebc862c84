"""Divergences by automatic differentiation against closed forms, one direction at a time or many together."""

import numpy as np
import pytest
import torch

import sfbench
from sfbench import ModelError
from sfbench.laws import ode_log_density
from sfbench.nets import NetworkDivergence, NetworkScore
from synthetic import GaussianMixture

from .exact_networks import ExactNetwork

OU = sfbench.OrnsteinUhlenbeck()
LAW = GaussianMixture([0.3, 0.7], [[-1.0, 0.2, 0.1], [0.5, 0.0, -0.4]], [0.3, 0.2])


class Quadratic(torch.nn.Module):
    """``s_i(x) = x'A_i x``, whose Jacobian is ``x'(A_i + A_i')``."""

    def __init__(self, d):
        super().__init__()
        self.register_buffer("tensor", torch.randn(d, d, d, generator=torch.Generator().manual_seed(0)).double())

    def forward(self, x, t):
        return torch.einsum("nj,ijk,nk->ni", x, self.tensor, x)


class NoBatchedDerivative(torch.autograd.Function):
    """A square whose derivative looks at values, which autograd cannot do for many directions together."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 2 * x if float(gradient.abs().sum()) >= 0 else None


class Squares(torch.nn.Module):
    def forward(self, x, t):
        return NoBatchedDerivative.apply(x)


@pytest.mark.parametrize("loops", [True, False], ids=["one by one", "together"])
@pytest.mark.parametrize("d", [1, 3, 7])
def test_projections_of_a_quadratic_field(d, loops):
    model = NetworkScore(Quadratic(d), d, OU, "score", batch=4)
    model._memory.loops_over_probes = loops
    rng = np.random.default_rng(d)
    x, probes = rng.standard_normal((10, d)), rng.standard_normal((5, 10, d))
    A = model.module.tensor.numpy()
    jacobian = np.einsum("nj,ijk->nik", x, A + A.transpose(0, 2, 1))
    scores, products = model.score_and_projections(x, 0.3, probes)
    np.testing.assert_allclose(scores, model.score(x, 0.3), rtol=1e-12)
    np.testing.assert_allclose(products, np.einsum("mni,nik,mnk->mn", probes, jacobian, probes), rtol=1e-10)
    _, divergence = NetworkDivergence(model, None).score_and_divergence(x, 0.3)
    np.testing.assert_allclose(divergence, np.trace(jacobian, axis1=1, axis2=2), rtol=1e-10, atol=1e-12)


def test_networks_that_cannot_take_directions_together_take_them_one_by_one():
    model = NetworkScore(Squares(), 3, OU, "score")
    model._memory.loops_over_probes = False
    x = np.random.default_rng(0).standard_normal((6, 3))
    for _ in range(2):
        _, divergence = NetworkDivergence(model, None).score_and_divergence(x, 0.3)
        np.testing.assert_allclose(divergence, 2 * x.sum(axis=1), rtol=1e-12)
        assert model._memory.loops_over_probes


def test_exact_divergence_of_a_mixture_at_a_time_for_each_point():
    model = NetworkScore(ExactNetwork(LAW, OU, "v"), 3, OU, batch=7)
    x, times = LAW.sample(20, rng=0), np.linspace(0.1, 2.0, 20)
    scores, divergence = NetworkDivergence(model, None).score_and_divergence(x, times)
    for i, t in enumerate(times):
        s, div = sfbench.AnalyticScore(LAW, OU).score_and_divergence(x[i : i + 1], float(t))
        np.testing.assert_allclose(scores[i], s[0], rtol=1e-8)
        np.testing.assert_allclose(divergence[i], div[0], rtol=1e-8)


def test_kinds_and_precisions_are_kept():
    class Decay(torch.nn.Module):
        def forward(self, x, t):
            return -(x**3)

    model = NetworkScore(Decay(), 2, OU, "score")
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=dtype)
        scores, divergence = NetworkDivergence(model, 3, rng=0).score_and_divergence(x, 0.3)  # diagonal: no noise
        torch.testing.assert_close(scores, -(x**3))
        torch.testing.assert_close(divergence, -3 * (x**2).sum(dim=1))
        assert not scores.requires_grad
    found = NetworkDivergence(model, 3, rng=0).score_and_divergence(x.numpy(), 0.3)
    assert all(isinstance(part, np.ndarray) for part in found)
    leaf = x.clone().requires_grad_(True)
    model.evaluate(leaf, 0.3).sum().backward()
    torch.testing.assert_close(leaf.grad, -3 * x**2)


def test_probes_of_another_shape_are_refused():
    model = NetworkScore(Quadratic(3), 3, OU, "score")
    x = np.zeros((4, 3))
    for shape in ((4, 3), (2, 3, 3), (2, 4, 2)):
        with pytest.raises(ModelError, match=r"probes must have shape \(m, 4, 3\) or \(m, 1, 3\)"):
            model.score_and_projections(x, 0.3, np.zeros(shape))
    for n_probes in (0, 1.5, "all"):
        with pytest.raises(ModelError, match="n_probes"):
            NetworkDivergence(model, n_probes)


@pytest.mark.slow
def test_likelihoods_of_single_precision_networks_need_no_differences():
    """Differences of float32 scores lose the divergence; its derivative does not."""
    law = GaussianMixture([1.0], [[0.3, -0.2, 0.0]], 0.5)

    class Single(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = torch.nn.Parameter(torch.tensor([0.3, -0.2, 0.0]))

        def forward(self, x, t):
            alpha = torch.exp(-t)[:, None]
            return -(x - alpha * self.mean) / (0.5 * alpha**2 + 1 - alpha**2)

    x = law.sample(10, rng=0)
    found = ode_log_density(NetworkScore(Single(), 3, OU, "score"), x, process=OU, steps=64, n_probes=2, rng=0)
    exact = ode_log_density(sfbench.AnalyticScore(law, OU), x, process=OU, steps=64)
    np.testing.assert_allclose(found.values, exact.values, atol=2e-4)
    fused = sfbench.FusedScore([NetworkScore(Single(), 3, OU, "score"), law], [0.4, 0.6], process=OU)
    mixed = ode_log_density(fused, x, steps=64, n_probes=2, divergence="hutchinson", rng=0)
    np.testing.assert_allclose(mixed.values, exact.values, atol=2e-4)
