"""Switched sampling: the law, its weak order, what each model is asked, and what is refused."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbench.errors import ModelError, SfbenchError
from sfbench.laws import affine_fused_law, fokker_planck_1d
from sfbench.metrics.from_samples import total_variation_floor, total_variation_from_samples
from sfbench.processes import ForwardProcess, OrnsteinUhlenbeck
from sfbench.processes.times import time_steps
from sfbench.sampling import AdaptiveFlow, FlowSampler, FusedSampler, SwitchedSampler, known_integrators, sample
from sfbench.sampling import switched as module
from sfbench.sampling.guard import CountedScore
from sfbench.sampling.integrators import Heun, ReverseProcess
from sfbench.sampling.switched import PairedExponential, SwitchedScore, models_at, switched_score
from sfbench.scores import AnalyticScore, FusedScore, WeightsOverTime
from synthetic import GaussianMixture

OU = OrnsteinUhlenbeck()
GAUSSIANS = [GaussianMixture([1.0], [[m]], v) for m, v in ((-1.0, 0.3), (0.5, 1.2), (1.5, 0.6), (2.0, 2.0))]
UNEQUAL = [0.4, 0.3, 0.2, 0.1]
AFFINE = FusedScore(GAUSSIANS, UNEQUAL, process=OU)
OPEN = [name for name in known_integrators() if name != "predictor_corrector"]
quiet = pytest.mark.filterwarnings("ignore::sfbench.sampling.TrustWarning")


@dataclass(eq=False)
class Recorder:
    """A score that notes how many points it is asked for, and when."""

    law: GaussianMixture
    process: ForwardProcess = OU
    calls: list[tuple[int, float]] = field(default_factory=list)
    dim: int = 1

    def score(self, x, t):
        self.calls.append((len(x), t))
        return AnalyticScore(self.law, self.process).score(x, t)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"order": "independent"}, {"order": "shared"}, {"integrator": "exponential"}])
def test_switched_follows_the_fused_law(fused, exact, options):
    x = sample(fused, 6000, SwitchedSampler(**options), steps=256, check_steps=False, rng=0).x
    assert total_variation_from_samples(x, exact).value < total_variation_floor(x, exact) + 0.035


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["weights", "one model for all"])
def test_the_check_of_the_law_has_teeth(fused, monkeypatch, broken):
    unequal = FusedScore(fused.models, [0.8, 0.2] if broken == "weights" else [0.5, 0.5], process=OU)
    exact = fokker_planck_1d(unequal, n_cells=1000, steps=150)

    def choice(u, weights):
        if broken == "weights":
            return models_at(u, np.full(len(weights), 1.0 / len(weights)))
        return np.full_like(models_at(u, weights), models_at(u[:1], weights)[0])  # of the first point, at random

    monkeypatch.setattr(module, "models_at", choice)
    order = "balanced" if broken == "weights" else "independent"
    x = sample(unequal, 8000, SwitchedSampler("exponential", order), steps=64, check_steps=False, rng=3).x
    assert total_variation_from_samples(x, exact).value > total_variation_floor(x, exact) + 0.05


def flow_errors(integrator, order, numbers, n=2000):
    """Errors of the mean and of the second moment of flows that start from one point, balanced choices apart."""
    start = np.full((n, 1), 1.5)
    times = time_steps(OU, 4, t_min=0.01, t_max=3.0)
    score, found = CountedScore(AFFINE, "fused"), start[:1]
    reverse = ReverseProcess(score, OU, np.zeros_like)
    for a, b in zip(times.times[:-1], times.times[1:], strict=True):
        found, _ = AdaptiveFlow().advance(reverse, found, (None, float(a), float(b)), None)
    errors = []
    for number in numbers:
        hold = 2 if integrator == "paired" else 1
        switch = SwitchedScore(AFFINE, n, order, hold, np.random.default_rng(0))
        reverse = ReverseProcess(CountedScore(switch, "switched"), OU, np.zeros_like)
        scheme = PairedExponential(stochastic=False) if integrator == "paired" else Heun(stochastic=False)
        times = [None, *time_steps(OU, number, t_min=0.01, t_max=3.0).times.tolist()]
        x, memory = start, None
        for j in range(number):
            switch.choose(j, times[j + 1], np.arange(n))
            x, memory = scheme.advance(reverse, x, tuple(times[j : j + 3]), memory)
        errors.append([abs((x**p).mean() - found[0, 0] ** p) for p in (1, 2)])
    return np.array(errors)


@pytest.mark.slow
@pytest.mark.parametrize("integrator", ["paired", "heun"])
def test_balanced_choices_keep_order_two_and_independent_ones_do_not(integrator):
    numbers = np.array([16, 32, 64, 96])
    slopes = {}
    for order in ("balanced", "independent"):
        errors = flow_errors(integrator, order, numbers)
        slopes[order] = -np.polyfit(np.log(numbers), np.log(errors.max(axis=1)), 1)[0]
    assert slopes["balanced"] > 1.7
    assert 0.6 < slopes["independent"] < 1.4


@pytest.mark.slow
def test_the_mean_of_the_reverse_sde_is_exact_to_order_two():
    exact = affine_fused_law(GAUSSIANS, UNEQUAL, process=OU, t_min=0.01, t_max=3.0).means[0, 0]
    found = []
    for number in (32, 64, 128):
        switch = SwitchedScore(AFFINE, 4000, "balanced", 2, np.random.default_rng(0))
        reverse, scheme = ReverseProcess(switch.score, OU, np.zeros_like), PairedExponential(stochastic=True)
        times = [None, *time_steps(OU, number, t_min=0.01, t_max=3.0).times.tolist()]
        x, memory = np.zeros((4000, 1)), None  # affine chains: the mean is that without noise
        for j in range(number):
            switch.choose(j, times[j + 1], np.arange(4000))
            x, memory = scheme.advance(reverse, x, tuple(times[j : j + 3]), memory)
        found.append(abs(x.mean() - exact))
    assert found[-1] < 1e-3
    assert found[-1] < 0.25 * found[0]


@pytest.mark.slow
@settings(max_examples=50)
@given(
    vertex=st.integers(0, 3),
    integrator=st.sampled_from([name for name in OPEN if name != "adaptive"]),
    order=st.sampled_from(["balanced", "independent", "shared"]),
    seed=st.integers(0, 2**32),
)
def test_at_a_vertex_the_points_are_those_of_the_model_bit_for_bit(vertex, integrator, order, seed):
    score = FusedScore(GAUSSIANS, np.eye(4)[vertex], process=OU)
    alone = FusedScore([GAUSSIANS[vertex]], [1.0], process=OU)
    sampler = SwitchedSampler(integrator, order)
    plain = FlowSampler if "flow" in sampler.law else FusedSampler
    found = sample(score, 8, sampler, steps=6, check_steps=False, rng=seed)
    want = sample(alone, 8, plain(integrator), steps=6, check_steps=False, rng=seed)
    assert found.x.tobytes() == want.x.tobytes()
    assert found.law == want.law


@pytest.mark.parametrize("order", ["balanced", "independent"])
def test_every_model_sees_one_batch_of_its_share_and_the_cost_is_counted(order):
    models = [Recorder(law) for law in GAUSSIANS]
    score = FusedScore(models, UNEQUAL, process=OU)
    steps = time_steps(OU, 12, t_min=0.01)
    seen = []
    result = sample(
        score,
        1000,
        SwitchedSampler(order=order),
        steps=steps,
        check_steps=False,
        callback=lambda *_: seen.append([[n for n, t in m.calls if n > 16 and n != 62] for m in models]),
        rng=0,
    )
    for weight, sizes in zip(UNEQUAL, seen[-1], strict=True):
        assert len(sizes) == 12  # one batch a step
        np.testing.assert_allclose(sizes, 1000 * weight, atol=2.0)  # points are spread evenly over the models
    assert result.diagnostics.n_model_evaluations == result.diagnostics.n_score_evaluations == 12
    assert sample(score, 20, steps=steps, check_steps=False, rng=0).diagnostics.n_model_evaluations == 48


@pytest.mark.slow
@given(weights=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=64), n=st.integers(1, 50), seed=st.integers(0, 99))
def test_balanced_orders_spend_their_shares_in_every_stretch(weights, n, seed):
    w = np.array(weights) / np.sum(weights)
    score = FusedScore([GAUSSIANS[0]] * len(w), w, process=OU)
    switch = SwitchedScore(score, n, "balanced", 1, np.random.default_rng(seed))
    chosen = []
    for j in range(89):
        switch.choose(j, 1.0, np.arange(n))
        chosen.append(switch.labels)
    counts = np.apply_along_axis(np.bincount, 0, np.array(chosen), minlength=len(w))
    assert np.abs(counts - 89 * w[:, None]).max() <= 3.0  # independent choices: about sqrt(89 w)


def test_a_model_of_weight_zero_is_never_asked_and_labels_match_the_scores():
    x, labels = np.linspace(-2, 2, 7)[:, None], np.array([2, 0, 2, 3, 0, 0, 2])
    found = switched_score(AFFINE.models, labels, x, 0.5)
    for row, i in enumerate(labels):
        np.testing.assert_allclose(found[row], AFFINE.models[i].score(x[row : row + 1], 0.5)[0], rtol=1e-13)
    u = np.array([0.0, 0.49, 0.5, 1.0 - 1e-16])
    assert models_at(u, np.array([0.0, 0.5, 0.0, 0.5, 0.0])).tolist() == [1, 1, 3, 3]


def test_a_shared_order_is_one_for_all_points_and_serves_a_single_one():
    models = [Recorder(law) for law in GAUSSIANS]
    score = FusedScore(models, UNEQUAL, process=OU)
    steps = time_steps(OU, 20, t_min=0.01)
    sample(score, 1000, SwitchedSampler(order="shared"), steps=steps, check_steps=False, rng=0)
    asked = sorted(t for m in models for n, t in m.calls if n == 1000)
    assert asked == sorted(steps.times[:-1].tolist())
    one = sample(score, 1, SwitchedSampler(order="shared"), steps=steps, check_steps=False, rng=0)
    assert one.x.shape == (1, 1)
    assert np.isfinite(one.x).all()


@pytest.mark.parametrize("order", ["balanced", "shared"])
def test_tensors_and_arrays_give_the_same_points(order):
    score = FusedScore(GAUSSIANS, UNEQUAL, process=OU)
    options = {"steps": 12, "check_steps": False, "rng": 4}
    want = sample(score, 40, SwitchedSampler(order=order), **options)
    found = sample(score, 40, SwitchedSampler(order=order), device="cpu", dtype="float64", **options)
    assert isinstance(found.x, torch.Tensor)
    np.testing.assert_allclose(found.x.numpy(), want.x, rtol=1e-12, atol=1e-12)


def test_weights_that_change_with_time_choose_by_the_weights_of_the_step():
    models = [Recorder(law) for law in GAUSSIANS[:2]]
    schedule = WeightsOverTime(np.array([1e-3, 0.5, 10.0]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    score = FusedScore(models, schedule, process=OU)
    sample(score, 1000, "switched", steps=time_steps(OU, 16, t_min=0.01), check_steps=False, rng=0)
    late, early = ([t for n, t in m.calls if n == 1000] for m in models)
    assert max(late) <= 0.5 <= min(early)


@quiet
def test_lost_points_keep_their_rows():
    def wild(x, t):
        return np.where(x > 1.0, 1e9, 0.0) * x

    class Wild:
        dim = 1
        score = staticmethod(wild)

    score = FusedScore([AnalyticScore(GAUSSIANS[0], OU), Wild()], [0.9, 0.1], process=OU)
    with pytest.warns(match="diverged"):
        result = sample(score, 200, "switched", steps=time_steps(OU, 16), max_lost=0.99, check_steps=False, rng=0)
    lost = np.isnan(result.x[:, 0])
    assert 0 < lost.sum() < 200
    assert np.array_equal(lost, result.log_weights == -np.inf)


def test_what_cannot_be_switched_is_refused():
    with pytest.raises(SfbenchError, match="Langevin"):
        SwitchedSampler("predictor_corrector")
    with pytest.raises(SfbenchError, match="unknown order 'batch'"):
        SwitchedSampler(order="batch")

    class Short:
        dim = 1

        def score(self, x, t):
            return x[:3] if t < OU.horizon else -x

    score = FusedScore([AnalyticScore(GAUSSIANS[0], OU), Short()], [0.5, 0.5], process=OU)
    with pytest.raises(ModelError, match=r"models\[1\] returned shape \(3, 1\)"):
        sample(score, 20, "switched", steps=time_steps(OU, 4), rng=0)


def test_a_change_of_weights_ends_a_pair_of_steps():
    """Between two models across a change there is no slope: the mean was off by 0.07 here, of the exact one."""
    means, variances = np.array([-1.0, 0.5, 1.5]), np.array([0.3, 1.2, 0.6])
    rows = [[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.3, 0.0, 0.7], [0.2, 0.6, 0.2]]
    weights = WeightsOverTime([1e-4, 0.1, 0.4, 1.0, 6.0], rows)
    laws = [GaussianMixture([1.0], [[m]], v) for m, v in zip(means, variances, strict=True)]
    exact, times = 0.0, np.geomspace(OU.horizon, 1e-4, 4001)
    for a, b in itertools.pairwise(times):  # the mean of the reverse process, by exponential steps
        t = 0.5 * (a + b)
        share = weights(t) / (OU.alpha(t) ** 2 * variances + OU.sigma(t) ** 2)
        rate, pull = 1.0 - 2.0 * share.sum(), 2.0 * OU.alpha(t) * float(share @ means)
        grown = np.exp(rate * (a - b))
        exact = exact * grown + pull * (grown - 1.0) / rate
    fused = FusedScore(laws, weights, process=OU)
    x = sample(fused, 20_000, SwitchedSampler(), steps=75, check_steps=False, rng=1).x
    assert abs(float(x.mean()) - exact) < 0.02
