"""Samplers, their options and resampling at the border.

The oracle: an error of the package that says what was wrong, or a sample with points and weights of the promised shape
and kind whose law, where the result trusts it and it is known, is the right one (Kolmogorov-Smirnov). Nothing takes
long, nothing is written into. The number of cases is that of the environment variable SFBENCH_FUZZ_CASES, shared out
among the tests of this file.
"""

import os
import time
import warnings
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import stats

import sfbench
from sfbench import SfbenchError
from sfbench.baselines import SuperposedSampler
from sfbench.processes import make_process
from sfbench.processes.times import TimeSteps, time_steps
from sfbench.sampling import (
    AdaptiveFlow,
    CorrectedSampler,
    DivergenceError,
    EulerMaruyama,
    Exponential,
    FlowSampler,
    FusedSampler,
    Heun,
    PredictorCorrector,
    SwitchedSampler,
    sample,
    steps_for,
)
from sfbench.sampling.moves import LangevinMoves
from sfbench.sampling.resampling import SCHEMES, scheme
from sfbench.scores import AnalyticScore, FusedScore, ProductScore
from synthetic import GaussianMixture, SyntheticError

CASES = int(os.environ.get("SFBENCH_FUZZ_CASES", "80"))
HANG = 20.0
REFUSED = (SfbenchError, SyntheticError, DivergenceError)
seeds = st.integers(0, 2**32 - 1)
rarely = st.integers(0, 5).map(lambda i: i == 0)


def fuzz(share: float) -> Any:
    """So many of the cases, however they come."""
    return settings(
        max_examples=max(int(CASES * share), 1), deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )


def said(error: BaseException) -> None:
    """An error must say something."""
    assert str(error)


ODDITIES: list[Any] = [
    None,
    True,
    "",
    "0.5",
    b"1",
    0,
    -1,
    2**63,
    10**12,
    10**400,
    0.5,
    -0.0,
    1e-300,
    1e300,
    np.nan,
    np.inf,
    -np.inf,
    1j,
    Decimal("0.5"),
    Fraction(1, 3),
    np.float32(0.1),
    np.int8(2),
    np.bool_(True),
    np.datetime64("2020"),
    np.array(0.25),
    np.array([0.25]),
    np.array(["fused"]),
    np.ma.masked,
    torch.tensor(0.5),
    torch.tensor(0.5, requires_grad=True),
    object(),
    len,
    [],
    ["systematic"],
    (1.0,),
    {"a": 1},
    {0.5},
    float,
    FusedSampler,
    Exponential,
    np.random.default_rng,
]
oddities = st.sampled_from(ODDITIES)


def or_odd(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is usual."""
    return rarely.flatmap(lambda odd: oddities if odd else usual)


# ---------------------------------------------------------------------- options
INTEGRATORS = {
    "Exponential": (Exponential, {"order": st.sampled_from([1, 2]), "stochastic": st.booleans()}),
    "Heun": (Heun, {"stochastic": st.booleans()}),
    "EulerMaruyama": (EulerMaruyama, {}),
    "PredictorCorrector": (PredictorCorrector, {"corrections": st.integers(1, 2), "size": st.floats(0.05, 0.5)}),
    "AdaptiveFlow": (AdaptiveFlow, {"rtol": st.floats(1e-6, 1e-3), "atol": st.floats(1e-6, 1e-3)}),
    "name": (lambda name: name, {"name": st.sampled_from(["ddim", "ddpm", "heun", "euler", "exponential_2m"])}),
}
MOVES = {"steps": st.integers(1, 2), "size": st.floats(0.05, 0.5)}


@st.composite
def built(draw: st.DrawFn, make: Any, options: dict[str, Any]) -> Any:
    """An object made with some of its options, or the error that it raised."""
    chosen = {name: draw(or_odd(values)) for name, values in options.items() if draw(st.booleans()) or name == "name"}
    try:
        return make(**chosen)
    except REFUSED as error:
        said(error)
        return error


integrators = st.sampled_from(sorted(INTEGRATORS)).flatmap(lambda name: built(*INTEGRATORS[name]))
counts = st.sampled_from([1, 2, 7, 20])
labels = st.sampled_from([None, [0], [0, 0], [0, 1], [0, 1, 2], ["a", "b"], np.arange(3), np.array([0.5, np.nan])])
SAMPLERS = {
    "fused": (FusedSampler, {"integrator": integrators, "n_steps": counts}),
    "flow": (FlowSampler, {"integrator": integrators, "n_steps": counts}),
    "switched": (
        SwitchedSampler,
        {
            "integrator": integrators,
            "order": st.sampled_from(["balanced", "independent", "shared"]),
            "n_steps": counts,
        },
    ),
    "corrected": (
        CorrectedSampler,
        {
            "integrator": integrators,
            "resampling": st.sampled_from(sorted(SCHEMES)),
            "threshold": st.floats(0.0, 1.0),
            "moves": built(LangevinMoves, MOVES),
            "blocks": labels,
            "noise": st.sampled_from(["auto", "independent", "lattice"]),
            "check_steps": st.booleans(),
            "n_steps": counts,
        },
    ),
    "superposed": (
        SuperposedSampler,
        {"rule": st.sampled_from(["or", "and"]), "largest": st.floats(0.1, 100.0), "n_steps": counts},
    ),
}
named = st.sampled_from(["fused", "ode", "corrected", "switched", "superposed", "ddim", "heun", "Fused", "corrected "])
samplers = st.one_of(named, st.sampled_from(sorted(SAMPLERS)).flatmap(lambda name: built(*SAMPLERS[name])))


@pytest.mark.slow
@fuzz(0.2)
@given(sampler=or_odd(samplers), data=st.data())
def test_options(sampler, data):
    """Whatever was built samples, or says why not."""
    law = GaussianMixture([0.5, 0.5], [[-1.0] * 2, [1.0] * 2], 0.3)
    source = FusedScore([law, law], [0.5, 0.5], process=sfbench.OrnsteinUhlenbeck())
    run(source, {"n": data.draw(st.sampled_from([1, 30, 700])), "sampler": sampler, "rng": 0})


# ---------------------------------------------------------------------- sources
processes = st.sampled_from(
    ["ornstein_uhlenbeck", "variance_preserving", "variance_exploding", "karras", "flow_matching"]
)


@st.composite
def laws(draw: st.DrawFn, d: int) -> GaussianMixture:
    """A mixture of any scale."""
    rng = np.random.default_rng(draw(seeds))
    m, scale = draw(st.integers(1, 3)), 10.0 ** draw(st.one_of(st.floats(-2, 2), st.floats(-9, 9)))
    spread = scale * 10.0 ** draw(st.floats(-3, 1))
    return GaussianMixture(rng.dirichlet(np.ones(m)), scale * rng.standard_normal((m, d)), spread**2)


ANSWERS: dict[str, Any] = {
    "row": lambda s: s[0],
    "column": lambda s: s[:, :1],
    "numbers": lambda s: np.array([3.0, 3.0]),
    "complex": lambda s: s + 0j,
    "objects": lambda s: s.astype(object),
    "integers": lambda s: s.astype(np.int64),
    "a list": lambda s: s.tolist(),
    "a tensor": lambda s: torch.from_numpy(np.array(s)),
    "masked": lambda s: np.ma.masked_less(s, 0.0),
    "nothing": lambda s: None,
    "not a number": lambda s: s * np.nan,
    "infinite": lambda s: s / np.zeros_like(s),
    "float32": lambda s: s.astype(np.float32),
}


class Foreign:
    """A model by others: exact, but for its manners."""

    def __init__(self, exact: AnalyticScore, answer: Any, writes: bool, t_range: Any):
        self.exact, self.answer, self.writes, self.dim = exact, answer, writes, exact.dim
        if t_range is not Ellipsis:
            self.t_range = t_range

    def score(self, x, t):
        s = self.exact.score(x, t)
        if self.writes:
            x += 1.0
        with np.errstate(all="ignore"):
            return self.answer(s)


@st.composite
def sources(draw: st.DrawFn) -> Any:
    """What is sampled, and its law if that is known."""
    d, k = draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from([1, 1, 2, 3]))
    process = make_process(draw(processes))
    members = [draw(laws(d)) for _ in range(k)]
    models: list[Any] = list(members)
    if draw(st.integers(0, 2)) == 0:
        exact = AnalyticScore(members[0], process)
        answer = ANSWERS[draw(st.sampled_from(sorted(ANSWERS)))] if draw(st.booleans()) else np.asarray
        ranges = st.sampled_from([..., None, (0.0, 1e9), (1e-3, 0.5), (0.5, 0.1), (1e9, 1e10)])
        models[0] = Foreign(exact, answer, draw(rarely), draw(ranges))
    if draw(rarely):
        models = [ProductScore(AnalyticScore(law, process), 2) for law in members]
    weights = np.random.default_rng(draw(seeds)).dirichlet(np.ones(k))
    known = members[0] if k == 1 and d == 1 and models[0] is members[0] else None
    return FusedScore(models, weights, process=process), known


def sound(result: Any, n: int, d: int, dtype: Any) -> None:
    assert result.x.shape == (n, d)
    assert result.x.dtype == np.dtype(dtype)
    assert result.log_weights.shape == (n,)
    assert np.isclose(result.weights.sum(), 1.0)
    kept = result.log_weights > -np.inf
    assert np.all(np.isfinite(result.x[kept]))
    assert isinstance(repr(result), str)
    if result.diagnostics.log_partition is not None:
        assert np.isfinite(result.diagnostics.log_partition.value) or not result.diagnostics.trustworthy


def run(source: Any, arguments: dict[str, Any]) -> Any:
    """The sample, or None if it was refused."""
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sfbench.sampling.TrustWarning)
        warnings.simplefilter("ignore", sfbench.sampling.DivergenceWarning)
        try:
            result = sample(source, **arguments)
        except REFUSED as error:
            said(error)
            return None
        finally:
            assert time.monotonic() - start < HANG
    d = source.dim if isinstance(source, FusedScore) else source.process.dim
    sound(result, int(arguments["n"]), d, arguments.get("dtype", "float64"))
    return result


@pytest.mark.slow
@fuzz(0.4)
@given(source=sources(), sampler=named, n=st.sampled_from([1, 2, 40, 700]), data=st.data())
def test_sources(source, sampler, n, data):
    """Laws of any scale and models of any manners; a law that is known and trusted is right."""
    fused, known = source
    steps = data.draw(st.sampled_from([None, 1, 3, 16, 40]))
    result = run(fused, {"n": n, "sampler": sampler, "steps": steps, "max_lost": 0.5, "rng": 0})
    if result is None or known is None or n < 700 or not result.diagnostics.trustworthy:
        return
    order = np.argsort(result.x[:, 0])
    x, below = result.x[order, 0], np.cumsum(result.weights[order])
    sd = np.sqrt(np.broadcast_to(np.asarray(known.covariances).reshape(-1), (len(known.weights),)))
    exact = known.weights @ stats.norm.cdf(x, known.means[:, :1], sd[:, None])
    limit = 0.05 + 2.0 / np.sqrt(700) if result.diagnostics.step_difference is not None else 1.0
    assert np.abs(below - exact).max() < limit


# ---------------------------------------------------------------------- arguments
OU = sfbench.OrnsteinUhlenbeck()
ARGUMENTS = {
    "n": st.sampled_from([1, 5, 50, np.int64(7)]),
    "sampler": named,
    "steps": st.sampled_from([None, 1, 2, 9, time_steps(OU, 5), TimeSteps([4.0, 1.0, 0.01])]),
    "process": st.sampled_from([None, OU, sfbench.VariancePreserving()]),
    "dtype": st.sampled_from(["float64", "float32", np.float32, np.dtype("float64"), float, "float16", int, ">f8"]),
    "max_lost": st.floats(-0.1, 1.1),
    "callback": st.sampled_from([None, lambda *_: None]),
    "progress": st.just(False),
    "check_steps": st.booleans(),
    "rng": st.sampled_from([0, 2**40, np.random.SeedSequence(1)]),
}
THINGS = [GaussianMixture([1.0], [[0.0, 1.0]], 1.0), AnalyticScore(GaussianMixture([1.0], [[0.0, 1.0]], 1.0), OU)]


@pytest.mark.slow
@fuzz(0.3)
@given(data=st.data())
def test_arguments(data):
    """Any argument may be odd."""
    odd = data.draw(st.sampled_from(["source", *ARGUMENTS]))
    arguments = {
        name: data.draw(or_odd(values) if name == odd else values)
        for name, values in ARGUMENTS.items()
        if name in ("n", odd) or data.draw(st.booleans())
    }
    assume(arguments.get("progress", False) is False)
    source = data.draw(or_odd(st.sampled_from(THINGS)) if odd == "source" else st.sampled_from(THINGS))
    source_or_fused = (
        FusedScore([THINGS[0]], [1.0], process=OU) if data.draw(st.booleans()) and odd != "source" else source
    )
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sfbench.sampling.TrustWarning)
        try:
            result = sample(source_or_fused, **arguments)
        except REFUSED as error:
            said(error)
            return
        finally:
            assert time.monotonic() - start < HANG
    sound(result, int(arguments["n"]), 2, np.dtype(arguments.get("dtype", "float64")).newbyteorder("="))


# ---------------------------------------------------------------------- windows, resampling
@fuzz(0.05)
@given(source=sources(), n_steps=or_odd(st.integers(1, 300)), stretch=st.booleans())
def test_windows(source, n_steps, stretch):
    fused, _ = source
    try:
        steps = steps_for(fused, n_steps, stretch=stretch)
    except REFUSED as error:
        said(error)
        return
    assert len(steps) == n_steps or (stretch and len(steps) > n_steps)
    if fused.t_range is not None:
        assert fused.t_range[0] <= steps.times[-1]
        assert steps.times[0] <= fused.t_range[1]


@fuzz(0.05)
@given(
    raw=st.lists(st.floats(0.0, 1.0, allow_subnormal=False), min_size=1, max_size=30),
    name=or_odd(st.sampled_from(sorted(SCHEMES))),
    n=or_odd(st.integers(1, 40)),
    rng=or_odd(seeds),
)
def test_resampling(raw, name, n, rng):
    assume(sum(raw) > 1e-9)
    weights = np.array(raw) / np.sum(raw)
    try:
        ancestors = scheme(name)(weights, np.random.default_rng(0), None)
        assert np.all(np.bincount(ancestors, minlength=len(weights))[weights == 0] == 0)
        with np.errstate(divide="ignore"):
            logs = np.log(weights)
        points = np.arange(len(weights))[:, None] * 1.0
        result = sfbench.sampling.SampleResult(points, logs, "law", 0.1, sfbench.sampling.Diagnostics("", 1, 1))
        drawn = result.resampled(n, rng=rng)
    except REFUSED as error:
        said(error)
        return
    assert drawn.shape == (len(weights) if n is None else n, 1)
    assert not set(drawn[:, 0].astype(int)) & set(np.flatnonzero(weights == 0).tolist())
