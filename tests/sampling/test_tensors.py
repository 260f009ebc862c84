"""Samplers on tensors: the points of numpy, to rounding, on the device that was asked for."""

import numpy as np
import pytest
import torch

import sfbench
from sfbench import FusedScore, ModelError, SfbenchError
from sfbench.nets import NetworkScore
from sfbench.sampling import known_integrators, sample
from synthetic import GaussianMixture

OU = sfbench.OrnsteinUhlenbeck()
LAWS = [GaussianMixture([0.4, 0.6], [[-1.0, 0.5], [1.5, 0.0]], 0.3 + 0.2 * i) for i in range(4)]


class Exact(torch.nn.Module):
    """Score of a Gaussian, which drifts with its seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.centre = torch.nn.Parameter(torch.tensor([0.3 * seed, -0.2 * seed], dtype=torch.float64))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.exp(-t)[:, None] * self.centre - x


def fused(k: int, kind: str) -> FusedScore:
    models = [NetworkScore(Exact(i), 2, OU, "score") for i in range(k)] if kind == "networks" else LAWS[:k]
    return FusedScore(models, np.full(k, 1.0 / k), process=OU)


@pytest.mark.parametrize("integrator", [name for name in known_integrators() if name != "adaptive"])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("kind", ["laws", "networks"])
def test_tensors_and_arrays_give_the_same_points(integrator: str, k: int, kind: str) -> None:
    score, options = fused(k, kind), {"steps": 12, "check_steps": False, "rng": 4}
    want = sample(score, 40, integrator, **options)
    found = sample(score, 40, integrator, device="cpu", dtype=torch.float64, **options)
    single = sample(score, 40, integrator, device="cpu", dtype="float32", **options)
    assert isinstance(found.x, torch.Tensor)
    assert isinstance(found.log_weights, np.ndarray)
    np.testing.assert_allclose(found.x.numpy(), want.x, rtol=1e-12, atol=1e-12)
    assert single.x.dtype == torch.float32


def test_single_precision_is_the_default_of_a_device_and_close() -> None:
    score = fused(2, "networks")
    double = sample(score, 60, "ode", dtype=np.float32, steps=12, check_steps=False, rng=4)
    single = sample(score, 60, "ode", device="cpu", steps=12, check_steps=False, rng=4)
    assert single.x.dtype == torch.float32
    np.testing.assert_allclose(single.x.numpy(), double.x, atol=1e-5)


def test_the_adaptive_flow_and_the_whole_audit_take_tensors() -> None:
    score = fused(2, "laws")
    a = sample(score, 16, "adaptive", device="cpu", dtype="float64", steps=4, rng=0)
    b = sample(score, 16, "adaptive", steps=4, rng=0)
    np.testing.assert_allclose(a.x.numpy(), b.x, atol=1e-10)
    seen = []
    c = sample(score, 400, device="cpu", dtype="float64", rng=0, callback=lambda j, t, x, w: seen.append(type(x)))
    d = sample(score, 400, rng=0)
    assert set(seen) == {torch.Tensor}
    assert c.diagnostics.noise_left == pytest.approx(d.diagnostics.noise_left, rel=1e-9)
    assert c.expectation(lambda x: x[:, 0]).value == pytest.approx(d.expectation(lambda x: x[:, 0]).value, rel=1e-9)
    np.testing.assert_allclose(c.resampled(9, rng=1).numpy(), d.resampled(9, rng=1), rtol=1e-9)


def test_what_cannot_be_drawn_on_a_device_is_refused() -> None:
    with pytest.raises(SfbenchError, match=r"CorrectedSampler draws numpy arrays only; leave device='cpu' out"):
        sample(fused(2, "laws"), 20, "corrected", device="cpu")
    with pytest.raises(SfbenchError, match=r"device 'nowhere' is not there .*this machine has cpu"):
        sample(fused(2, "laws"), 20, device="nowhere")
    with pytest.raises(SfbenchError, match="holds no numbers"):
        sample(fused(2, "laws"), 20, device="meta")
    with pytest.raises(SfbenchError, match="dtype must be float64 or float32"):
        sample(fused(2, "laws"), 20, device="cpu", dtype=torch.bfloat16)


def test_models_that_answer_tensors_with_arrays_are_named() -> None:
    class Numpy:
        dim = 2

        def score(self, x, t):
            return -np.asarray(x)

    score = FusedScore([Numpy()], [1.0], process=OU)
    with pytest.raises(ModelError, match=r"returned a ndarray for a tensor of points \(20, 2\) on cpu"):
        sample(score, 20, device="cpu", steps=4, check_steps=False, rng=0)
