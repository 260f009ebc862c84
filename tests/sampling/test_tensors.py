"""Samplers on tensors: the points of numpy, to rounding, on the device that was asked for."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import sfbench
from sfbench import FusedScore, ModelError, SfbenchError
from sfbench._internal.arrays import Normals
from sfbench.baselines.superposition import SuperposedSampler
from sfbench.laws import DataScaling, log_likelihood, ode_log_density
from sfbench.nets import NetworkDivergence, NetworkScore
from sfbench.processes.times import time_steps
from sfbench.sampling import (
    CorrectedSampler,
    DivergenceError,
    EulerMaruyama,
    Exponential,
    FusedSampler,
    known_integrators,
    sample,
)
from sfbench.sampling.api import as_sampler
from sfbench.sampling.base import Sampler, SampleRequest
from sfbench.sampling.device_particles import DeviceParticles
from sfbench.sampling.guard import Survivors
from sfbench.sampling.moves import LangevinMoves
from sfbench.scores import AlignedScore, AnalyticScore, ProductScore
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


class HostOnly(Sampler):
    """A sampler of somebody else's that knows no devices."""

    law, n_steps = "none", 4

    def draw(self, request: SampleRequest) -> Any:
        raise AssertionError


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


@pytest.mark.slow
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
    with pytest.raises(SfbenchError, match=r"HostOnly draws numpy arrays only; leave device='cpu' out"):
        sample(fused(2, "laws"), 20, HostOnly(), device="cpu")
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


def paired(n: int, sampler: Any, score: FusedScore, **options: Any) -> tuple[Any, Any]:
    """The same draw as arrays and as tensors of float64."""
    options |= {"check_steps": False, "rng": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sfbench.sampling.TrustWarning)  # so few points are not to be trusted
        return sample(score, n, sampler, **options), sample(score, n, sampler, device="cpu", dtype="float64", **options)


def same(want: Any, found: Any) -> None:
    assert isinstance(found.x, torch.Tensor)
    np.testing.assert_allclose(found.x.numpy(), want.x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.log_weights, want.log_weights, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("integrator", [EulerMaruyama(), Exponential(1), Exponential(2)], ids=repr)
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("blocks", [None, [0, 1, 0, 1], [0, 1, 2, 3]], ids=["whole", "pairs", "lines"])
def test_corrected_tensors_and_arrays_are_the_same_particles(integrator: Any, k: int, blocks: Any) -> None:
    """The lattice is on for lines; the chains resample and extrapolate."""
    factors = [GaussianMixture([0.4, 0.6], [[-1.0], [1.5]], 0.3 + 0.4 * i) for i in range(k)]
    score = FusedScore([ProductScore(AnalyticScore(f, OU), 4) for f in factors], np.full(k, 1.0 / k), process=OU)
    want, found = paired(520, CorrectedSampler(integrator, blocks=blocks, threshold=0.9999), score, steps=8)
    same(want, found)
    assert k == 1 or want.diagnostics.n_resamplings > 0
    for name in ("log_partition", "founders", "n_resamplings", "noise_left"):
        a, b = (getattr(r.diagnostics, name) for r in (want, found))
        np.testing.assert_allclose(getattr(b, "value", b), getattr(a, "value", a), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("resampling", ["stratified", "multinomial", "srinivasan"])
def test_resampling_and_moves_of_networks_take_tensors(resampling: str) -> None:
    sampler = CorrectedSampler(resampling=resampling, moves=LangevinMoves())
    same(*paired(60, sampler, fused(3, "networks"), steps=8))


@pytest.mark.parametrize("rule", ["or", "and"])
def test_superposition_takes_tensors(rule: Any) -> None:
    want, found = paired(60, SuperposedSampler(rule), fused(3, "networks"), steps=8)
    assert isinstance(found.x, torch.Tensor)
    np.testing.assert_allclose(found.x.numpy(), want.x, rtol=1e-9, atol=1e-9)  # a linear system in every step


def unseen(sampler: Any, score: FusedScore, device: str, n: int = 60, rng: int = 4) -> SampleRequest:
    """A request of which the host looks at no step, as on an accelerator."""
    steps = time_steps(OU, 8, t_min=1e-2, t_max=3.0)
    options = {"device": torch.device(device), "looks": False}
    return SampleRequest(
        score, n, np.dtype(np.float64), steps, 0.0, None, np.random.default_rng(rng), iter(range(8)), **options
    )


@pytest.mark.parametrize(
    "sampler",
    [
        FusedSampler("stochastic_heun"),
        FusedSampler("predictor_corrector"),
        CorrectedSampler(threshold=1.0),
        CorrectedSampler(threshold=1.0, resampling="multinomial"),
        CorrectedSampler(threshold=0.0),
        SuperposedSampler("and"),
    ],
    ids=repr,
)
def test_not_looking_changes_nothing(sampler: Any) -> None:
    """At threshold 1 both ways of resampling draw the same numbers; at 0 neither resamples."""
    score = fused(3, "laws")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sfbench.sampling.TrustWarning)
        found = sampler.draw(unseen(sampler, score, "cpu"))
        want = sampler.draw(replace(unseen(sampler, score, "cpu"), looks=True))
    if getattr(sampler, "threshold", 1.0) > 0.0:
        np.testing.assert_allclose(found.x.numpy(), want.x.numpy(), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found.log_weights, want.log_weights, atol=1e-10)
        assert found.diagnostics.founders == pytest.approx(want.diagnostics.founders) or not found.diagnostics.founders
    else:
        assert found.diagnostics.n_resamplings == 0
        assert found.diagnostics.founders == pytest.approx(1.0 / float(np.sum(found.weights**2)))


@pytest.mark.parametrize(
    "sampler",
    [*(name for name in known_integrators() if name != "adaptive"), CorrectedSampler(), SuperposedSampler("or")],
    ids=str,
)
def test_no_step_waits_for_the_device(sampler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of the device "meta" hold no numbers: whatever has to wait for one of them raises."""

    class Reached(Exception):
        pass

    def reached(tensor: Any) -> None:
        with pytest.raises((RuntimeError, NotImplementedError)):
            float(tensor)
        raise Reached

    monkeypatch.setattr(Survivors, "missed", property(lambda self: reached(self._extent)))
    monkeypatch.setattr(DeviceParticles, "on_host", lambda self: reached(self.resamplings))
    monkeypatch.setattr(Normals, "fill", lambda self, out: out.normal_())
    models = [m.to(device="meta") for m in fused(3, "networks").models]
    for model in models:
        model._memory.is_trusted, model._memory.rows = True, 4096
    chosen = as_sampler(sampler)
    request = unseen(chosen, FusedScore(models, [0.2, 0.3, 0.5], process=OU), "meta")
    with pytest.raises(Reached):
        chosen.draw(request)
    assert next(request.order, None) is None  # all steps were taken


def test_looking_at_a_step_does_wait() -> None:
    """What shows that the test above would notice: one look is an error on that device."""
    model = fused(1, "networks").models[0].to(device="meta")
    model._memory.is_trusted, model._memory.rows = True, 4096
    request = replace(unseen("ode", FusedScore([model], [1.0], process=OU), "meta"), looks=True)
    with pytest.raises((RuntimeError, NotImplementedError)):
        as_sampler("ode").draw(request)
    assert next(request.order) == 1  # in the first step


def test_what_is_lost_unseen_is_drawn_again_and_reported() -> None:
    class Explodes(torch.nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return torch.where(t[:, None] < 0.5, 1e30, -1.0) * x

    score = FusedScore([NetworkScore(Explodes(), 2, OU, "score")], [1.0], process=OU)
    for sampler in (FusedSampler(), CorrectedSampler()):
        with pytest.raises(DivergenceError, match=r"diverged by t = 0\.\d+"):
            sampler.draw(unseen(sampler, score, "cpu"))


@pytest.mark.slow
def test_likelihoods_take_tensors() -> None:
    score, x = fused(2, "networks"), np.random.default_rng(0).standard_normal((20, 2))
    points = torch.from_numpy(x)
    for options in ({"divergence": "hutchinson", "n_probes": 3}, {}):
        want = ode_log_density(score, x, steps=12, rng=1, **options)
        found = ode_log_density(score, points, steps=12, rng=1, **options)
        np.testing.assert_allclose(found.values, want.values, rtol=1e-12)
        single = ode_log_density(score, points.float(), steps=12, rng=1, **options)
        np.testing.assert_allclose(single.values, want.values, rtol=1e-4)
    exact = FusedScore([NetworkDivergence(m, None) for m in score.models], [0.5, 0.5], process=OU)
    want = ode_log_density(exact, x, steps=12)
    assert "exact divergence" in want.method
    scaling = DataScaling([2.0, 0.5], 0.3)
    a = log_likelihood(exact, scaling.scale * x + 0.3, scaling=scaling, steps=12)
    c = log_likelihood(exact, torch.from_numpy(scaling.scale * x + 0.3), scaling=scaling, steps=12)
    np.testing.assert_allclose(c.log_prob, a.log_prob, rtol=1e-12)
    with pytest.raises(ModelError, match=r"'exact' needs .*NetworkDivergence\(network, None\)"):
        ode_log_density(FusedScore([NetworkDivergence(score.models[0], 4)], [1.0], process=OU), x, divergence="exact")
    with pytest.raises(ModelError, match="records gradients"):
        ode_log_density(score, points.requires_grad_(True), steps=4)


def test_aligned_and_product_scores_keep_tensors() -> None:
    model = NetworkScore(Exact(1), 2, OU, "score")
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 4)))
    aligned = AlignedScore(model, 2.0, [0.5, -1.0], process=OU)
    for score, points in ((aligned, x[:, :2]), (ProductScore(model, 2), x), (ProductScore(aligned, 2), x)):
        for kind in (torch.float64, torch.float32):
            found = score.score(points.to(kind), 0.3)
            assert found.dtype == kind
            tolerance = 1e-12 if kind == torch.float64 else 1e-5
            np.testing.assert_allclose(found.numpy(), score.score(points.numpy(), 0.3), rtol=tolerance, atol=tolerance)
