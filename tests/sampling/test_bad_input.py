"""Faults in models and arguments end in specific errors; lost trajectories are counted, never dropped."""

import numpy as np
import pytest
import torch

import sfbench
from sfbench.errors import ModelError, NotFiniteError, ProcessMismatchError, SfbenchError
from sfbench.processes import OrnsteinUhlenbeck, VariancePreserving
from sfbench.sampling import (
    CorrectedSampler,
    DivergenceError,
    DivergenceWarning,
    EulerMaruyama,
    Exponential,
    FlowSampler,
    FusedSampler,
    PredictorCorrector,
    sample,
)
from sfbench.sampling.moves import LangevinMoves
from sfbench.scores import AlignedScore, AnalyticScore, FusedScore, ProductScore
from synthetic import GaussianMixture

OU = OrnsteinUhlenbeck()


class Stub:
    def __init__(self, function, dim=1):
        self.function, self.dim = function, dim

    def score(self, x, t):
        return self.function(x, t)


NORMAL = Stub(lambda x, t: -x)
SAMPLERS = ["fused", "ode", "corrected"]
quiet = pytest.mark.filterwarnings("ignore::sfbench.sampling.TrustWarning")


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_names_model_time_and_point(sampler, bad):
    broken = Stub(lambda x, t: np.where(np.arange(len(x))[:, None] == 3, bad, -x) if t < 1 else -x)
    fused = FusedScore([NORMAL, broken], [0.5, 0.5], process=OU)
    with pytest.raises(NotFiniteError, match=r"models\[1\].*t = 0\.\d+.*\[3, 0\]"):
        sample(fused, 10, sampler, steps=50, rng=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_wrong_shape_names_the_shapes(sampler):
    fused = FusedScore([Stub(lambda x, t: -x[:, :1], dim=2)], [1.0], process=OU)
    with pytest.raises(ModelError, match=r"models\[0\] \(Stub\).*\(16, 1\).*\(16, 2\)"):
        sample(fused, 10, sampler, steps=5, rng=0)


def exploding(x, t):
    return np.where(x > 1.2, 1e9 * x, -x)


@quiet
@pytest.mark.parametrize("sampler", ["fused", "corrected"])
def test_lost_trajectories_are_reported_with_their_share(sampler):
    fused = FusedScore([Stub(exploding), Stub(exploding)], [0.5, 0.5], process=OU)
    with pytest.raises(DivergenceError, match=r"\d+\.\d+% of 400 trajectories"):
        sample(fused, 400, sampler, steps=8, rng=0)
    with pytest.warns(DivergenceWarning, match="no fair sample"):
        result = sample(fused, 400, sampler, steps=8, rng=0, max_lost=0.9)
    lost = ~np.isfinite(result.x[:, 0])
    assert result.diagnostics.lost_share == pytest.approx(lost.mean())
    assert 0.0 < lost.mean() < 0.9
    assert np.all(result.log_weights[lost] == -np.inf)
    assert result.weights.sum() == pytest.approx(1.0)
    assert not result.diagnostics.trustworthy
    assert "lost" in repr(result)


def test_losing_all_is_an_error():
    fused = FusedScore([Stub(lambda x, t: 1e9 * x)], [1.0], process=OU)
    with pytest.raises(DivergenceError, match="all 50"):
        sample(fused, 50, FusedSampler(EulerMaruyama()), steps=8, rng=0, max_lost=0.99)


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"n": 0}, "n must"),
        ({"n": 2.5}, "n must"),
        ({"sampler": "exact"}, "exact"),
        ({"steps": 0}, "n_steps"),
        ({"dtype": np.int32}, "dtype"),
        ({"max_lost": 1.0}, "max_lost"),
        ({"sampler": FusedSampler("euler")}, "euler"),
        ({"sampler": FusedSampler(Exponential(2, stochastic=False))}, "FusedSampler"),
        ({"sampler": FlowSampler(EulerMaruyama())}, "FlowSampler"),
        ({"process": VariancePreserving()}, "process"),
    ],
)
def test_bad_arguments(kwargs, named):
    fused = FusedScore([NORMAL], [1.0], process=OU)
    arguments = {"n": 5, "sampler": "fused", "steps": 4, "rng": 0} | kwargs
    with pytest.raises(SfbenchError, match=named):
        sample(fused, **arguments)


def test_sources_that_cannot_be_sampled():
    with pytest.raises(ModelError, match="process"):
        sample(GaussianMixture([1.0], [[0.0]], 1.0), 5, rng=0)
    with pytest.raises(ModelError, match="cannot sample a dict"):
        sample({}, 5, rng=0)


def test_models_of_different_processes_are_refused():
    law = GaussianMixture([1.0], [[0.0]], 1.0)
    other = AnalyticScore(law, VariancePreserving())
    for model in (other, ProductScore(other, 1)):
        with pytest.raises(ProcessMismatchError, match=r"models\[1\].*VariancePreserving.*OrnsteinUhlenbeck"):
            FusedScore([AnalyticScore(law, OU), model], [0.5, 0.5], process=OU)
    with pytest.raises(ProcessMismatchError, match=r"VariancePreserving.*OrnsteinUhlenbeck"):
        sfbench.fuse([other, other], np.zeros((5, 1)), process=OU, rng=0)
    aligned = AlignedScore(other, 1.0, process=OU, own_process=VariancePreserving())
    assert FusedScore([AnalyticScore(law, OU), aligned], [0.5, 0.5], process=OU).dim == 1


def test_bad_options():
    for build in (
        lambda: CorrectedSampler(resampling="residual"),
        lambda: CorrectedSampler(threshold=1.5),
        lambda: PredictorCorrector(0),
        lambda: PredictorCorrector(1, np.nan),
        lambda: Exponential(3),  # type: ignore[arg-type]
        lambda: LangevinMoves(0),
    ):
        with pytest.raises(SfbenchError):
            build()


class Writer(Stub):
    def score(self, x, t):
        x *= -1.0
        return x.copy()


MANNERS = {
    "numbers": (Stub(lambda x, t: np.array([3.0, 3.0])), r"returned shape \(2,\) for points of shape \(16, 1\)"),
    "a row": (Stub(lambda x, t: -x[0]), r"returned shape \(1,\)"),
    "nothing": (Stub(lambda x, t: None), "returned a builtins.NoneType"),
    "a list": (Stub(lambda x, t: (-x).tolist()), "returned a builtins.list"),
    "a tensor": (Stub(lambda x, t: torch.from_numpy(-x)), r"torch\.Tensor.*detach\(\)\.cpu\(\)\.numpy\(\)"),
    "a tensor with gradients": (Stub(lambda x, t: torch.from_numpy(-x).requires_grad_()), r"torch\.Tensor"),
    "a masked array": (Stub(lambda x, t: np.ma.masked_less(-x, 0.0)), "MaskedArray"),
    "its points": (Writer(None), "writes into the points"),
}


@pytest.mark.parametrize("sampler", [*SAMPLERS, "superposed"])
@pytest.mark.parametrize("name", MANNERS)
def test_models_are_asked_once_before_the_run(sampler, name):
    model, said = MANNERS[name]
    for models, place in (([model], 0), ([NORMAL, model], 1)):
        fused = FusedScore(models, np.full(len(models), 1 / len(models)), process=OU)
        with pytest.raises(ModelError, match=rf"models\[{place}\] \((Stub|Writer)\).*{said}"):
            sample(fused, 10, sampler, steps=5, rng=0)
    idle = FusedScore([NORMAL, model], [1.0, 0.0], process=OU)  # a model of weight zero is not asked
    assert sample(idle, 10, "fused", steps=5, check_steps=False, rng=0).x.shape == (10, 1)


def test_shapes_never_broadcast_later_on():
    late = Stub(lambda x, t: np.array([3.0, 3.0]) if t < 1 else -x)
    with pytest.raises(ModelError, match=r"models\[1\] returned shape \(2,\)"):
        sample(FusedScore([NORMAL, late], [0.5, 0.5], process=OU), 10, steps=50, rng=0)


@pytest.mark.parametrize(
    "build",
    [
        lambda: CorrectedSampler(resampling=["systematic"]),
        lambda: CorrectedSampler(resampling={"systematic"}),
        lambda: CorrectedSampler(noise=["auto"]),
        lambda: CorrectedSampler(noise=np.array(["auto", "lattice"])),
        lambda: CorrectedSampler(threshold=True),
        lambda: PredictorCorrector("1"),
        lambda: PredictorCorrector(1, "0.3"),
        lambda: LangevinMoves(steps=1.5),
        lambda: FusedSampler(["ddim"]).law,
        lambda: FusedSampler({"ddim": 1}).law,
        lambda: sample(GaussianMixture([1.0], [[0.0]], 1.0), 5, process=OU, steps=10**12),
        lambda: sample(GaussianMixture([1.0], [[0.0]], 1.0), 5, process=OU, steps=2**63),
        lambda: sample(GaussianMixture([1.0], [[0.0]], 1.0), 10**12, process=OU),
        lambda: sample(GaussianMixture([1.0], [[0.0]], 1.0), 5, process=OU, check_steps="no"),
        lambda: sample(GaussianMixture([1.0], [[0.0]], 1.0), 5, process=OU, dtype=["float64"]),
    ],
)
def test_odd_options_are_named(build):
    with pytest.raises(SfbenchError, match=r"must|unknown|GiB"):
        build()


def test_an_unknown_sampler_is_told_every_name() -> None:
    score = FusedScore([GaussianMixture([1.0], [[0.0]], 1.0)] * 2, [0.5, 0.5], process=OrnsteinUhlenbeck())
    with pytest.raises(SfbenchError, match="did you mean 'corrected'") as caught:
        sfbench.sample(score, 10, "corected")
    said = str(caught.value).replace("'", "").replace(",", " ").split()
    names = [*sfbench.sampling.known_samplers(), *sfbench.sampling.known_integrators()]
    assert [name for name in names if said.count(name) < 1] == []
    assert said.count("ode") == 1
